package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/catalog"
)

const restricted = "Bearer read-only-token-0123456789"

// TestRestrictedTokens: a token that is restricted to reading entities cannot do
// anything else (contract 1.7, what DENY means).
func TestRestrictedTokens(t *testing.T) {
	t.Parallel()
	s := start(t, config, some()...)
	for _, tt := range []struct {
		request, body string
		want          int
	}{
		{"GET /entities", "", 200},
		{"GET /entities/by-name/component/default/petstore", "", 200},
		{"POST /entities/by-refs", `{"entityRefs":[]}`, 200},
		{"POST /refresh", `{"entityRef":"component:default/petstore"}`, 403},
		{"DELETE /entities/by-uid/00000000-0000-4000-8000-000000000000", "", 403},
		{"POST /locations", `{"type":"url","target":"https://example.com/a"}`, 403},
		{"POST /locations?dryRun=true", `{"type":"url","target":"https://example.com/a"}`, 403},
		{"PUT /locations/00000000-0000-4000-8000-000000000000", `{"type":"url","target":"https://example.com/a"}`, 403},
		{"DELETE /locations/00000000-0000-4000-8000-000000000000", "", 403},
		{"GET /locations", "", 200},
		{"POST /locations/by-query", `{}`, 200},
		{"GET /locations/00000000-0000-4000-8000-000000000000", "", 404},
		{"GET /locations/by-entity/component/default/petstore", "", 404},
		{"POST /analyze-location", `{"location":{"type":"url","target":"https://example.com/a"}}`, 403},
		{"POST /validate-entity", `{"entity":{},"location":"url:https://example.com/a"}`, 403},
		{"GET /entities/unprocessed/failed", "", 403},
		{"GET /entities/unprocessed/pending", "", 403},
		{"DELETE /entities/unprocessed/delete/x", "", 403},
	} {
		method, path, _ := strings.Cut(tt.request, " ")
		a := s.ask(method, path, tt.body, "Authorization", restricted)
		if a.status != tt.want {
			t.Errorf("%s: %s, want %d", tt.request, a, tt.want)
		}
		if tt.want == 403 && a.status == 403 && a.errorName(t) != "NotAllowedError" {
			t.Errorf("%s: %s", tt.request, a)
		}
	}
}

// files serves descriptors, as a source of locations.
func files(t *testing.T, list map[string]string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := list[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, content)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func descriptor(name string) string {
	return "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: " + name + "}\nspec: {type: service, lifecycle: production, owner: team-a}\n"
}

// until asks again until the answer has the status.
func (s *server) until(status int, path string) answer {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		a := s.get(path)
		if a.status == status {
			return a
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: %s, want %d", path, a, status)
		}
	}
}

type registered struct{ ID, Type, Target, EntityRef string }

func TestLocations(t *testing.T) {
	t.Parallel()
	base := files(t, map[string]string{"/a.yaml": descriptor("from-a"), "/b.yaml": descriptor("from-b"), "/bad.yaml": "kind: Component\n"})
	s := start(t, config)
	body := func(file string) string { return `{"type":"url","target":"` + base + file + `"}` }

	preview := s.ask("POST", "/locations?dryRun=Yes", body("/a.yaml"))
	if preview.status != 201 || !strings.Contains(preview.body, `"name":"from-a"`) || !strings.Contains(preview.body, `"exists":false`) || strings.Contains(preview.body, `"uid"`) {
		t.Fatalf("dry run: %s", preview)
	}
	for _, file := range []string{"/bad.yaml", "/none.yaml"} {
		if a := s.ask("POST", "/locations?dryRun=true", body(file)); a.status != 400 {
			t.Errorf("dry run of %s: %s", file, a)
		}
	}
	if a := s.get("/locations"); a.body != "[]" {
		t.Errorf("a dry run registers: %s", a)
	}

	var created struct {
		Location registered
		Entities []any
	}
	a := s.ask("POST", "/locations", body("/a.yaml"))
	a.json(t, &created)
	loc := created.Location
	if a.status != 201 || created.Entities == nil || loc.ID == "" || !strings.HasPrefix(loc.EntityRef, "location:default/generated-") {
		t.Fatalf("create: %s", a)
	}
	s.until(200, "/entities/by-name/component/default/from-a")
	if a := s.ask("POST", "/locations", body("/a.yaml")); a.status != 409 || a.errorName(t) != "ConflictError" {
		t.Errorf("again: %s", a)
	}
	if a := s.ask("POST", "/locations?onConflict=refresh", body("/a.yaml")); a.status != 201 || !strings.Contains(a.body, loc.ID) {
		t.Errorf("again, as a refresh: %s", a)
	}
	if a := s.get("/locations/by-entity/Component/Default/From-A"); a.status != 200 || !strings.Contains(a.body, loc.ID) {
		t.Errorf("by entity: %s", a)
	}

	var moved registered
	s.ask("PUT", "/locations/"+loc.ID, body("/b.yaml")).json(t, &moved)
	if moved.ID != loc.ID || moved.EntityRef != loc.EntityRef || moved.Target != base+"/b.yaml" {
		t.Errorf("put: %+v", moved)
	}
	s.until(200, "/entities/by-name/component/default/from-b")
	s.until(404, "/entities/by-name/component/default/from-a")
	// The target is free again; its location cannot share the other one's entity.
	var other struct{ Location registered }
	s.ask("POST", "/locations", body("/a.yaml")).json(t, &other)
	if other.Location.EntityRef == "" || other.Location.EntityRef == loc.EntityRef {
		t.Errorf("a second location for the old target: %+v", other)
	}
	s.until(200, "/entities/by-name/component/default/from-a")
	s.until(200, "/entities/by-name/component/default/from-b")
	if a := s.ask("PUT", "/locations/"+loc.ID, body("/a.yaml")); a.status != 409 {
		t.Errorf("put onto another one: %s", a)
	}

	// Pages follow the cursor, which replaces everything else.
	var one struct {
		Items      []registered
		TotalItems int
		PageInfo   struct{ NextCursor string }
	}
	var seen []string
	next := `{"limit":1,"query":{"type":"URL","target":{"$hasPrefix":"` + strings.ToUpper(base[:4]) + base[4:] + `/"}}}`
	for next != "" && len(seen) < 5 {
		one.PageInfo.NextCursor = ""
		s.ask("POST", "/locations/by-query", next).json(t, &one)
		for _, item := range one.Items {
			seen = append(seen, item.ID)
		}
		if next = ""; one.PageInfo.NextCursor != "" {
			next = `{"cursor":"` + one.PageInfo.NextCursor + `","limit":100,"query":{"type":"nothing"}}`
		}
	}
	if len(seen) != 2 || seen[0] >= seen[1] || one.TotalItems != 2 {
		t.Errorf("pages: %v of %d", seen, one.TotalItems)
	}
	for query, want := range map[string]int{
		`{"id":{"$in":["` + loc.ID + `"]}}`:                      1,
		`{"id":{"$in":["` + strings.ToUpper(loc.ID) + `"]}}`:     0,
		`{"id":"` + strings.ToUpper(loc.ID) + `"}`:               1,
		`{"EntityRef":"` + strings.ToUpper(loc.EntityRef) + `"}`: 1,
		`{"$not":{"id":{"$in":["` + loc.ID + `"]}}}`:             1,
		`{"$any":[]}`: 0,
		`{"$all":[]}`: 0,
		`{}`:          2,
	} {
		s.ask("POST", "/locations/by-query", `{"query":`+query+`}`).json(t, &one)
		if one.TotalItems != want || len(one.Items) != want {
			t.Errorf("%s: %d, want %d", query, one.TotalItems, want)
		}
	}

	for i, want := range []int{204, 404} {
		if a := s.ask("DELETE", "/locations/"+loc.ID, ""); a.status != want {
			t.Errorf("delete, time %d: %s", i+1, a)
		}
	}
	s.until(404, "/entities/by-name/component/default/from-b")
	if a := s.get("/entities/by-name/component/default/from-a"); a.status != 200 {
		t.Errorf("the other location's entity: %s", a)
	}
}

func TestReadonly(t *testing.T) {
	t.Parallel()
	base := files(t, map[string]string{"/a.yaml": descriptor("from-a")})
	yaml := strings.Replace(config, "catalog: {", "catalog: {readonly: true, ", 1)
	s := start(t, yaml)
	body := `{"type":"url","target":"` + base + `/a.yaml"}`
	for request, want := range map[string]int{
		"POST /locations":                                        403,
		"POST /locations?dryRun=true":                            201,
		"PUT /locations/00000000-0000-4000-8000-000000000000":    403,
		"DELETE /locations/00000000-0000-4000-8000-000000000000": 403,
	} {
		method, path, _ := strings.Cut(request, " ")
		send := body
		if method == "DELETE" {
			send = ""
		}
		if a := s.ask(method, path, send); a.status != want {
			t.Errorf("%s: %s, want %d", request, a, want)
		}
	}
}

func TestDefaultConflictStrategy(t *testing.T) {
	t.Parallel()
	s := start(t, strings.Replace(config, "catalog: {", "catalog: {defaultLocationConflictStrategy: refresh, ", 1))
	for query, want := range map[string]int{"": 201, "?onConflict=refresh": 201, "?onConflict=reject": 409} {
		s.ask("POST", "/locations", `{"type":"url","target":"https://example.com/a"}`)
		if a := s.ask("POST", "/locations"+query, `{"type":"url","target":"https://example.com/a"}`); a.status != want {
			t.Errorf("%q: %s, want %d", query, a, want)
		}
	}
}

func TestDeletedEntitiesComeBack(t *testing.T) {
	t.Parallel()
	base := files(t, map[string]string{"/a.yaml": descriptor("from-a")})
	s := start(t, config)
	s.ask("POST", "/locations", `{"type":"url","target":"`+base+`/a.yaml"}`)
	uid := func() string {
		var e struct{ Metadata struct{ UID string } }
		s.until(200, "/entities/by-name/component/default/from-a").json(t, &e)
		return e.Metadata.UID
	}
	old := uid()
	if a := s.ask("DELETE", "/entities/by-uid/"+old, ""); a.status != 204 || a.body != "" {
		t.Fatal(a)
	}
	if a := s.get("/entities/by-uid/" + old); a.status != 404 {
		t.Errorf("the deleted entity: %s", a)
	}
	if now := uid(); now == old {
		t.Error("it came back with the same uid")
	}
	if a := s.ask("POST", "/refresh", `{"entityRef":"Component:from-A"}`); a.status != 200 || a.body != "" {
		t.Errorf("refresh: %s", a)
	}
}

func TestUnprocessed(t *testing.T) {
	t.Parallel()
	base := files(t, map[string]string{"/bad.yaml": "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: bad}\nspec: {type: service, owner: Team-A}\n"})
	s := start(t, config)
	s.ask("POST", "/locations", `{"type":"url","target":"`+base+`/bad.yaml"}`)
	type row struct {
		EntityID          string         `json:"entity_id"`
		EntityRef         string         `json:"entity_ref"`
		UnprocessedEntity map[string]any `json:"unprocessed_entity"`
		ProcessedEntity   any            `json:"processed_entity"`
		LocationKey       string         `json:"location_key"`
		Errors            []struct{ Name, Message string }
		NextUpdateAt      time.Time `json:"next_update_at"`
		LastDiscoveryAt   time.Time `json:"last_discovery_at"`
	}
	var list struct {
		Type     string
		Entities []row
	}
	for deadline := time.Now().Add(20 * time.Second); len(list.Entities) == 0 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		s.get("/entities/unprocessed/failed").json(t, &list)
	}
	if len(list.Entities) != 1 || list.Type != "failed" {
		t.Fatalf("%+v", list)
	}
	got := list.Entities[0]
	if got.EntityRef != "component:default/bad" || got.UnprocessedEntity["kind"] != "Component" || got.ProcessedEntity != nil ||
		got.LocationKey != "url:"+base+"/bad.yaml" || len(got.Errors) != 1 || got.Errors[0].Name != "InputError" ||
		got.NextUpdateAt.IsZero() || got.LastDiscoveryAt.IsZero() {
		t.Errorf("%+v", got)
	}
	for query, want := range map[string]int{"?owner=Team-A": 1, "?owner=team-a": 0, "?limit=0": 0, "?offset=1": 0, "?limit=1&offset=0": 1} {
		list.Entities = nil
		if s.get("/entities/unprocessed/failed"+query).json(t, &list); len(list.Entities) != want {
			t.Errorf("%s: %d, want %d", query, len(list.Entities), want)
		}
	}
	if a := s.get("/entities/unprocessed/pending"); a.body != `{"entities":[],"type":"pending"}` {
		t.Errorf("pending: %s", a)
	}
	if a := s.ask("DELETE", "/entities/unprocessed/delete/"+got.EntityID, ""); a.status != 204 {
		t.Errorf("delete: %s", a)
	}
}

func TestValidateEntity(t *testing.T) {
	t.Parallel()
	s := start(t, config)
	const good = `{"apiVersion":"backstage.io/v1alpha1","kind":"Component","metadata":{"name":"x"},"spec":{"type":"service","lifecycle":"production","owner":"a"}}`
	for _, tt := range []struct{ entity, location, name, cause string }{
		{entity: good},
		{entity: strings.Replace(good, `"name":"x"`, `"name":"b a d"`, 1), name: "InputError", cause: "Error"},
		{entity: strings.Replace(good, `"name":"x"`, `"name":"x","tags":["Bad Tag"]`, 1), name: "InputError", cause: "Error"},
		{entity: strings.Replace(good, `,"owner":"a"`, ``, 1), name: "InputError", cause: "TypeError"},
		{entity: strings.Replace(good, `"Component"`, `"Thing"`, 1), name: "InputError"},
		{entity: `{"kind":"Component"}`, name: "TypeError"},
		{entity: `{}`, name: "TypeError"},
		{entity: good, location: "nonsense", name: "TypeError"},
		{entity: good, location: "file:/etc/passwd", name: "TypeError"},
		{entity: good, location: "url:javascript:alert(1)", name: "TypeError"},
	} {
		if tt.location == "" {
			tt.location = "url:https://example.com/a.yaml"
		}
		a := s.ask("POST", "/validate-entity", `{"entity":`+tt.entity+`,"location":"`+tt.location+`"}`)
		if tt.name == "" {
			if a.status != 200 || a.body != "" {
				t.Errorf("%s: %s", tt.entity, a)
			}
			continue
		}
		var body struct {
			Errors []struct {
				Name, Message string
				Cause         struct{ Name, Message string }
			}
		}
		a.json(t, &body)
		if a.status != 400 || len(body.Errors) != 1 || body.Errors[0].Name != tt.name || body.Errors[0].Cause.Name != tt.cause || body.Errors[0].Message == "" {
			t.Errorf("%s from %s: %s", tt.entity, tt.location, a)
		}
	}
}

func TestAnalyzeLocation(t *testing.T) {
	t.Parallel()
	// No host is asked for what it has.
	offline := backend.NewModule("catalog", "offline", fx.Invoke(func(x *catalog.Extensions) { x.AddSCMLocationAnalyzer(empty{}) }))
	b := backendtest.Start(t, config+"integrations: {gitlab: [{host: gitlab.com}]}\n", catalog.Plugin(), offline)
	s := &server{t, b.URL, b.As("user:default/alice"), b.AsPlugin("catalog")}
	for target, want := range map[string]string{
		"https://github.com/acme/repo":                    `{"annotations":{"github.com/project-slug":"acme/repo"},"name":"repo"}`,
		"https://github.com/acme/repo/blob/main/a/b.yaml": `{"annotations":{"github.com/project-slug":"acme/repo"},"name":"repo"}`,
		"https://gitlab.com/group/sub/repo":               `{"annotations":{"gitlab.com/project-slug":"group/sub/repo"},"name":"repo"}`,
		"https://bitbucket.org/acme/repo":                 `{"annotations":{"bitbucket.org/project-slug":"acme/repo"},"name":"repo"}`,
		"https://git.example.com/acme/thing.git":          `{"name":"thing"}`,
		"https://git.example.com/":                        `{"name":"git.example.com"}`,
	} {
		a := s.ask("POST", "/analyze-location", `{"location":{"type":"url","target":"`+target+`"},"catalogFilename":"catalog-info.yaml"}`)
		wantBody := `{"existingEntityFiles":[],"generateEntities":[{"entity":{"apiVersion":"backstage.io/v1alpha1","kind":"Component","metadata":` + want + `,"spec":{"lifecycle":"unknown","type":"other"}},"fields":[]}]}`
		if a.status != 200 || a.body != wantBody {
			t.Errorf("%s:\n got %s\nwant %s", target, a, wantBody)
		}
	}
}

type empty struct{}

func (empty) Supports(string) bool { return true }

func (empty) Descriptors(context.Context, string, string) ([]string, error) { return nil, nil }

func TestApplyConditions(t *testing.T) {
	t.Parallel()
	s := start(t, config, some()...)
	const kind = `{"rule":"IS_ENTITY_KIND","resourceType":"catalog-entity","params":{"kinds":["component"]}}`
	item := func(id, ref, conditions string) string {
		return `{"id":"` + id + `","resourceRef":` + ref + `,"resourceType":"catalog-entity","conditions":` + conditions + `}`
	}
	a := s.ask("POST", "/.well-known/backstage/permissions/apply-conditions", `{"items":[`+strings.Join([]string{
		item("1", `"Component:Default/Petstore"`, kind),
		item("2", `"group:default/team-a"`, kind),
		item("3", `"component:default/nope"`, `{"not":`+kind+`}`),
		item("4", `["component:default/library","component:default/nope","group:default/team-a"]`, kind),
		item("5", `[]`, kind),
		item("6", `"component:default/petstore"`, `{"rule":"IS_ENTITY_OWNER","resourceType":"catalog-entity","params":{"claims":["group:default/team-a"]}}`),
	}, ",")+`]}`)
	if want := `{"items":[{"id":"1","result":"ALLOW"},{"id":"2","result":"DENY"},{"id":"3","result":"DENY"},{"id":"4","result":["ALLOW","DENY","DENY"]},{"id":"5","result":[]},{"id":"6","result":"ALLOW"}]}`; a.body != want {
		t.Errorf("\n got %s\nwant %s", a, want)
	}
}

func TestOldClientsSendTheirTokenInTheBodyOfARefresh(t *testing.T) {
	t.Parallel()
	s := start(t, `
backend: {auth: {externalAccess: [{type: static, options: {token: a-token-of-an-old-client, subject: robot}}]}}
catalog: {}`, some()...)
	const good, bad = "a-token-of-an-old-client", "a-token-of-nobody"
	for _, tt := range []struct {
		header, body string
		want         int
	}{{"", "", 401}, {"", good, 200}, {"", bad, 401}, {good, "", 200}, {good, bad, 401}, {bad, good, 200}, {bad, "", 401}} {
		sent := map[string]string{"entityRef": "component:default/petstore"}
		if tt.body != "" {
			sent["authorizationToken"] = tt.body
		}
		text, err := json.Marshal(sent)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/api/catalog/refresh", bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if tt.header != "" {
			r.Header.Set("Authorization", "Bearer "+tt.header)
		}
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(got.Body)
		got.Body.Close()
		if got.StatusCode != tt.want || strings.Contains(string(answer), "a-token") {
			t.Errorf("header %q, body %q: %d, want %d: %s", tt.header, tt.body, got.StatusCode, tt.want, answer)
		}
	}
}
