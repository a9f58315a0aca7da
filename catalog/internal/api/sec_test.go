package api_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/catalog/internal/api"
	"github.com/callboard-dev/callboard/catalog/internal/query"
)

// TestSEC11_BombsAreRefused: what is crafted to cost much is refused before it does,
// and what cannot be compared with text is no server error.
func TestSEC11_BombsAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t, config, some()...)
	nested := func(n int, open, core, end string) string {
		return strings.Repeat(open, n) + core + strings.Repeat(end, n)
	}
	cursor := func(doc string) string { return base64.StdEncoding.EncodeToString([]byte(doc)) }
	list := func(n int, item string) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	for _, tt := range []struct{ name, method, path, body string }{
		{name: "a predicate that nests", method: "POST", path: "/entities/by-query", body: `{"query":` + nested(100, `{"$not":`, `{"kind":"a"}`, `}`) + `}`},
		{name: "a predicate that nests beyond any stack", method: "POST", path: "/entities/by-query", body: `{"query":` + nested(200_000, `{"$all":[`, ``, `]}`) + `}`},
		{name: "a predicate that is wide", method: "POST", path: "/entities/by-query", body: `{"query":{"$any":[` + list(20_000, `{"kind":"a"}`) + `]}}`},
		{name: "a predicate with many values", method: "POST", path: "/entity-facets", body: `{"facets":["kind"],"query":{"kind":{"$in":[` + list(100_000, `"a"`) + `]}}}`},
		{name: "a predicate of locations that nests", method: "POST", path: "/locations/by-query", body: `{"query":` + nested(100, `{"$not":`, `{"type":"a"}`, `}`) + `}`},
		{name: "a filter with many conditions", path: "/entities?filter=" + list(5000, "a=b,c")},
		{name: "many fields", path: "/entities?fields=" + list(20_000, "a.b")},
		{name: "many fields in a body", method: "POST", path: "/entities/by-refs", body: `{"entityRefs":[],"fields":[` + list(20_000, `"a"`) + `]}`},
		{name: "many orders", path: "/entities?limit=1&" + strings.Repeat("order=asc:kind&", 500)},
		{name: "many order fields", path: "/entities/by-query?" + strings.Repeat("orderField=kind,asc&", 500)},
		{name: "many orders in a body", method: "POST", path: "/entities/by-query", body: `{"orderBy":[` + list(500, `{"field":"kind","order":"asc"}`) + `]}`},
		{name: "many facets", path: "/entity-facets?" + strings.Repeat("facet=kind&", 500)},
		{name: "many facets in a body", method: "POST", path: "/entity-facets", body: `{"facets":[` + list(500, `"kind"`) + `]}`},
		{name: "many references", method: "POST", path: "/entities/by-refs", body: `{"entityRefs":[` + list(100_000, `"a:b/c"`) + `]}`},
		{name: "many text fields", path: "/entities/by-query?fullTextFilterTerm=a&fullTextFilterFields=" + list(5000, "a")},
		{name: "a cursor that nests", path: "/entities/by-query?cursor=" + url.QueryEscape(cursor(`{"orderFields":[],"orderFieldValues":["x"],"isPrevious":false,"totalItems":1,"query":`+nested(100, `{"$not":`, `{"kind":"a"}`, `}`)+`}`))},
		{name: "a cursor that nests beyond any stack", method: "POST", path: "/entities/by-query", body: `{"cursor":"` + cursor(nested(200_000, `[`, ``, `]`)) + `"}`},
		{name: "a cursor of another list", path: "/entities/by-query?cursor=" + url.QueryEscape(cursor(`{"limit":1,"afterId":"x"}`))},
		{name: "a cursor with a NUL", path: "/entities/by-query?cursor=" + url.QueryEscape(cursor(`{"orderFields":[{"field":"a\u0000","order":"asc"}],"orderFieldValues":["a","b"],"isPrevious":false,"totalItems":1}`))},
		{name: "a cursor of locations with a huge limit", method: "POST", path: "/locations/by-query", body: `{"cursor":"` + cursor(`{"limit":99999999999,"afterId":""}`) + `"}`},
		{name: "after, out of range", path: "/entities?after=" + url.QueryEscape(cursor(`{"limit":0,"offset":-1}`))},
		{name: "a limit that overflows", path: "/entities?limit=9223372036854775807"},
		{name: "a NUL in a filter", path: "/entities?filter=kind=%00"},
		{name: "no UTF-8 in a filter", path: "/entities?filter=kind=%ff"},
		{name: "a NUL in an order", path: "/entities?order=asc:%00"},
		{name: "no UTF-8 in an order", path: "/entities/by-query?orderField=%ff"},
		{name: "a NUL in a facet", path: "/entity-facets?facet=%00"},
		{name: "a NUL in a text", path: "/entities/by-query?fullTextFilterTerm=%00"},
		{name: "no UTF-8 in a text", path: "/entities/by-query?fullTextFilterTerm=%ff"},
		{name: "a NUL in a location", method: "POST", path: "/locations", body: `{"type":"url","target":"a\u0000"}`},
		{name: "conditions that nest", method: "POST", path: "/.well-known/backstage/permissions/apply-conditions", body: `{"items":[{"id":"1","resourceType":"catalog-entity","resourceRef":"a:b/c","conditions":` + nested(50, `{"not":`, `{"rule":"IS_ENTITY_KIND","resourceType":"catalog-entity","params":{"kinds":[]}}`, `}`) + `}]}`},
		{name: "many items to decide", method: "POST", path: "/.well-known/backstage/permissions/apply-conditions", body: `{"items":[` + list(20_000, `{}`) + `]}`},
	} {
		if tt.method == "" {
			tt.method = "GET"
		}
		// 431 is the server's answer to a request line that is too long for it.
		if a := s.ask(tt.method, tt.path, tt.body); a.status < 400 || a.status > 499 {
			t.Errorf("%s: %s", tt.name, a)
		}
	}
	// The catalog is as it was.
	if a := s.get("/entities/by-query?limit=0"); a.body != fmt.Sprintf(`{"items":[],"totalItems":%d,"pageInfo":{}}`, len(some())) {
		t.Error(a)
	}
}

// TestSEC51_ChecksReadNoFiles: an entity that is to be checked does not make the server
// read its own files by saying that it came from one.
func TestSEC51_ChecksReadNoFiles(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret.yaml")
	if err := os.WriteFile(secret, []byte("canary-7f3a: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, config)
	body := func(from, kind, spec string) string {
		return `{"location":"url:https://example.com/a.yaml","entity":{"apiVersion":"backstage.io/v1alpha1","kind":"` + kind + `",
			"metadata":{"name":"x","annotations":{"backstage.io/managed-by-location":"file:` + from + `","backstage.io/managed-by-origin-location":"file:` + from + `"}},"spec":` + spec + `}}`
	}
	beside := filepath.Join(filepath.Dir(secret), "catalog-info.yaml")
	for _, name := range []string{"./secret.yaml", "./missing.yaml"} {
		a := s.ask("POST", "/validate-entity", body(beside, "Component", `{"type":"service","lifecycle":"production","owner":"a","x":{"$yaml":"`+name+`"}}`))
		if a.status != 400 || strings.Contains(a.body, "canary") || !strings.Contains(a.body, "is not read for a check") {
			t.Errorf("a placeholder for %s: %s", name, a)
		}
		// Whether there is such a file does not show either.
		if a := s.ask("POST", "/validate-entity", body(beside, "Location", `{"target":"`+name+`"}`)); a.status != 200 {
			t.Errorf("a Location for %s: %s", name, a)
		}
	}
}

// TestSEC77_UnprocessedEntitiesNeedPermission: what is not served is shown and deleted
// only to who has the permissions for that; those for entities are not enough.
func TestSEC77_UnprocessedEntitiesNeedPermission(t *testing.T) {
	t.Parallel()
	s := start(t, config)
	restricted := []string{"Authorization", "Bearer read-only-token-0123456789"}
	requests := []string{"GET /entities/unprocessed/failed", "GET /entities/unprocessed/pending", "GET /entities/unprocessed/failed?owner=a",
		"DELETE /entities/unprocessed/delete/00000000-0000-4000-8000-000000000000"}
	for _, request := range requests {
		method, path, _ := strings.Cut(request, " ")
		if a := s.ask(method, path, "", restricted...); a.status != 403 || a.errorName(t) != "NotAllowedError" {
			t.Errorf("%s with a token for reading entities: %s", request, a)
		}
		if a := s.ask(method, path, "", "Authorization", "Bearer nobody"); a.status != 401 {
			t.Errorf("%s without credentials: %s", request, a)
		}
	}
	decisions(t, func(t *testing.T, ask func(api.Authorizer, string, string) answer) {
		for _, request := range requests {
			if a := ask(policy{auth: query.Auth{Deny: true}}, request, ""); a.status != 403 {
				t.Errorf("%s, denied: %s", request, a)
			}
		}
	})
}

// TestSEC76_IngestionsNeedPermission: who may read entities may neither see nor steer the
// ingestion of sources; reading does not allow steering.
func TestSEC76_IngestionsNeedPermission(t *testing.T) {
	t.Parallel()
	requests := []string{
		"GET /incremental/health", "HEAD /incremental/health", "POST /incremental/cleanup", "GET /incremental/providers", "GET /incremental/providers/p",
		"POST /incremental/providers/p/trigger", "POST /incremental/providers/p/start", "POST /incremental/providers/p/cancel",
		"DELETE /incremental/providers/p", "GET /incremental/providers/p/marks", "DELETE /incremental/providers/p/marks",
		"GET /callboard/v1/held-removals", "POST /callboard/v1/held-removals/release",
	}
	s := start(t, strings.Replace(config, "options: {token: read-only", "options: {token: ingestion-read-token-0123, subject: watcher}\n"+
		"        accessRestrictions: [{plugin: catalog, permission: catalog.ingestion.read}]\n      - type: static\n        options: {token: read-only", 1))
	for _, request := range requests {
		method, path, _ := strings.Cut(request, " ")
		body := ""
		if strings.HasSuffix(path, "/release") {
			body = `{"provider":"p"}`
		}
		if a := s.ask(method, path, body, "Authorization", "Bearer read-only-token-0123456789"); a.status != 403 {
			t.Errorf("%s with a token for reading entities: %s", request, a)
		}
		if a := s.ask(method, path, body, "Authorization", "Bearer nobody"); a.status != 401 {
			t.Errorf("%s without credentials: %s", request, a)
		}
		reads := method == "GET" || method == "HEAD"
		if a := s.ask(method, path, body, "Authorization", "Bearer ingestion-read-token-0123"); (a.status == 403) == reads {
			t.Errorf("%s with a token for reading ingestions: %s", request, a)
		}
	}
}

func TestIngestionsOfUnknownProviders(t *testing.T) {
	t.Parallel()
	s := start(t, config)
	for request, want := range map[string]string{
		"GET /incremental/health":               `200 {"healthy":true}`,
		"GET /incremental/providers":            `200 {"providers":[],"success":true}`,
		"GET /incremental/providers/p":          `404 {"last_error":"","status":{},"success":false}`,
		"GET /incremental/providers/p/marks":    `404 {"records":[],"success":false}`,
		"POST /incremental/providers/p/trigger": `404 {"message":"no provider of this name is listed in bursts","success":false}`,
		"POST /incremental/cleanup":             `200 {"ingestionMarksDeleted":0,"ingestionsDeleted":0,"markEntitiesDeleted":0}`,
	} {
		method, path, _ := strings.Cut(request, " ")
		if a := s.ask(method, path, ""); a.String() != want {
			t.Errorf("%s: got %s, want %s", request, a, want)
		}
	}
}
