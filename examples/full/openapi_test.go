package main

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/internal/wiretest"
	"github.com/callboard-dev/callboard/internal/wiretest/apispec"
)

// descriptions are the published one of the catalog's API, and our own.
func descriptions(t *testing.T, base string) []*apispec.Spec {
	t.Helper()
	published, err := apispec.Published(t.Context(), filepath.Join(needs(t, "catalog-openapi"), "router.cjs.js"))
	if err != nil {
		t.Fatal(err)
	}
	var out []*apispec.Spec
	for _, d := range []struct {
		name, doc, prefix string
	}{{"the published description", string(published), "/api/catalog"}, {"our description", read(t, base+"/api/catalog/openapi.json"), ""}} {
		s, err := apispec.Load(d.name, []byte(d.doc), d.prefix)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// TestAnswersAreAsDescribed asks every route for every answer that the descriptions name.
func TestAnswersAreAsDescribed(t *testing.T) {
	databases(t, func(t *testing.T, database string) {
		base, site := sample(t, database)
		specs := descriptions(t, base)
		published, own := specs[0], specs[1]
		// A proposal has a name, as in the recordings; the description closes the object and
		// leaves the name out of it.
		published.Wrong(`/entity/metadata: property "name" is unsupported`)
		both, ours := apispec.Proxy(t, base, published, own), apispec.Proxy(t, base, own)

		send := func(base, method, path, body string) (int, []byte) {
			t.Helper()
			var content io.Reader
			if body != "" {
				content = strings.NewReader(body)
			}
			req, err := http.NewRequestWithContext(t.Context(), method, base+"/api/catalog"+path, content)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+wiretest.StaticToken)
			req.Header.Set("Content-Type", "application/json")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			data, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			return res.StatusCode, data
		}
		ask := func(want int, method, path, body string) []byte {
			t.Helper()
			status, data := send(both, method, path, body)
			if status != want {
				t.Errorf("%s %s: %d, want %d: %.300s", method, path, status, want, data)
			}
			return data
		}
		field := func(data []byte, keys ...string) string {
			t.Helper()
			var v any
			if err := json.Unmarshal(data, &v); err != nil {
				t.Fatal(err)
			}
			for _, k := range keys {
				m, _ := v.(map[string]any)
				v = m[k]
			}
			s, _ := v.(string)
			return s
		}

		const checkout = "/entities/by-name/component/default/checkout-api"
		uid := field(ask(200, "GET", checkout, ""), "metadata", "uid")
		ask(404, "GET", "/entities/by-name/component/default/nope", "")
		ask(400, "GET", checkout+"?more=1", "")
		ask(200, "GET", checkout+"/ancestry", "")
		ask(400, "GET", checkout+"/ancestry?more=1", "")
		ask(200, "GET", "/entities/by-uid/"+uid, "")
		ask(400, "GET", "/entities/by-uid/"+uid+"?more=1", "")
		ask(200, "GET", "/entities", "")
		ask(200, "GET", "/entities?limit=2&filter=kind=component&order=asc:metadata.name", "")
		ask(400, "GET", "/entities?limit=x", "")
		next := field(ask(200, "GET", "/entities/by-query?limit=2&orderField=metadata.name,asc&filter=kind=component", ""), "pageInfo", "nextCursor")
		ask(200, "POST", "/entities/by-query", `{"cursor":"`+next+`","limit":2}`)
		ask(400, "GET", "/entities/by-query?cursor=x", "")
		ask(400, "POST", "/entities/by-query", `{"limit":-1}`)
		ask(200, "POST", "/entities/by-refs", `{"entityRefs":["component:default/checkout-api","component:default/nope"]}`)
		ask(400, "POST", "/entities/by-refs", `{}`)
		ask(200, "GET", "/entity-facets?facet=kind&facet=spec.type", "")
		ask(400, "GET", "/entity-facets", "")
		ask(200, "POST", "/entity-facets", `{"facets":["relations.ownedBy"],"query":{"kind":"component"}}`)
		ask(400, "POST", "/entity-facets", `{}`)
		ask(200, "POST", "/refresh", `{"entityRef":"component:default/checkout-api"}`)
		ask(400, "POST", "/refresh", `{}`)
		ask(404, "POST", "/refresh", `{"entityRef":"component:default/nope"}`)

		added := ask(201, "POST", "/locations", `{"type":"url","target":"`+site+`/a.yaml"}`)
		ask(201, "POST", "/locations?dryRun=true", `{"type":"url","target":"`+site+`/b.yaml"}`)
		ask(400, "POST", "/locations?dryRun=true", `{"type":"url","target":"`+site+`/none.yaml"}`)
		ask(409, "POST", "/locations", `{"type":"url","target":"`+site+`/a.yaml"}`)
		id := "/locations/" + field(added, "location", "id")
		ask(200, "GET", "/locations", "")
		ask(200, "POST", "/locations/by-query", `{"limit":1}`)
		ask(200, "GET", id, "")
		ask(404, "GET", "/locations/00000000-0000-4000-8000-000000000000", "")
		ask(200, "PUT", id, `{"type":"url","target":"`+site+`/c.yaml"}`)
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			if status, _ := send(base, "GET", "/locations/by-entity/component/default/registered-c", ""); status == 200 {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the entity of the registered location does not appear")
			}
		}
		ask(200, "GET", "/locations/by-entity/component/default/registered-c", "")
		ask(404, "GET", "/locations/by-entity/component/default/nope", "")
		ask(200, "POST", "/analyze-location", `{"location":{"type":"url","target":"`+site+`/repository"}}`)
		ask(400, "POST", "/analyze-location", `{}`)
		const valid = `{"apiVersion":"backstage.io/v1alpha1","kind":"Component","metadata":{"name":"x"},"spec":{"type":"service","lifecycle":"production","owner":"a"}}`
		ask(200, "POST", "/validate-entity", `{"location":"url:`+site+`/x.yaml","entity":`+valid+`}`)
		ask(400, "POST", "/validate-entity", `{"location":"url:`+site+`/x.yaml","entity":`+strings.Replace(valid, `"owner":"a"`, `"owner":1`, 1)+`}`)
		ask(400, "DELETE", "/entities/by-uid/"+uid+"?more=1", "")
		ask(204, "DELETE", "/entities/by-uid/"+uid, "")
		ask(400, "DELETE", id+"?more=1", "")
		ask(204, "DELETE", id, "")

		// What the published description does not have.
		for _, r := range []struct {
			method, path, body string
			want               int
		}{
			// Entities that lack what the reader did not ask for.
			{"GET", "/entities?limit=2&fields=metadata.name", "", 200},
			{"GET", "/entities/unprocessed/pending", "", 200},
			{"GET", "/entities/unprocessed/failed", "", 200},
			{"DELETE", "/entities/unprocessed/delete/00000000-0000-4000-8000-000000000000", "", 204},
			{"GET", "/.well-known/backstage/permissions/metadata", "", 200},
			{"POST", "/.well-known/backstage/permissions/apply-conditions", `{"items":[{"id":"1","resourceRef":"component:default/checkout-web","resourceType":"catalog-entity","conditions":{"rule":"IS_ENTITY_KIND","resourceType":"catalog-entity","params":{"kinds":["Component"]}}}]}`, 200},
			{"GET", "/openapi.json", "", 200},
			{"GET", "/callboard/v1/trash", "", 200},
			{"POST", "/callboard/v1/trash/restore", `{"entityRef":"component:default/registered-c"}`, 200},
			{"GET", "/callboard/v1/held-removals", "", 200},
			{"POST", "/callboard/v1/held-removals/release", `{"provider":"nobody"}`, 404},
			{"GET", "/incremental/health", "", 200},
			{"GET", "/incremental/providers", "", 200},
			{"POST", "/incremental/cleanup", "", 200},
			{"GET", "/incremental/providers/nobody", "", 404},
			{"DELETE", "/incremental/providers/nobody", "", 404},
			{"GET", "/incremental/providers/nobody/marks", "", 404},
			{"DELETE", "/incremental/providers/nobody/marks", "", 404},
			{"POST", "/incremental/providers/nobody/start", "", 404},
			{"POST", "/incremental/providers/nobody/trigger", "", 404},
			{"POST", "/incremental/providers/nobody/cancel", "", 404},
		} {
			if status, data := send(ours, r.method, r.path, r.body); status != r.want {
				t.Errorf("%s %s: %d, want %d: %.300s", r.method, r.path, status, r.want, data)
			}
		}
		for _, s := range specs {
			for _, id := range s.Uncovered() {
				if id == "POST /api/catalog/callboard/v1/held-removals/release 200" {
					continue // no provider of this portal holds anything back; catalog/internal/api has one
				}
				if strings.Contains(id, "/incremental/providers/{provider}") && strings.HasSuffix(id, " 200") {
					continue // no provider of this portal reads in bursts; the tests of package catalog have one
				}
				t.Errorf("%s: no answer %s was seen", s.Name(), id)
			}
		}
	})
}
