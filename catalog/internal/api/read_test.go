package api_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

type page struct {
	Items []struct {
		Metadata struct{ Name string }
	}
	TotalItems int
	PageInfo   struct{ NextCursor, PrevCursor string }
}

func (p page) names() string {
	var out []string
	for _, item := range p.Items {
		out = append(out, item.Metadata.Name)
	}
	return strings.Join(out, " ")
}

// TestReads holds what recorded exchanges do not show, or do not show plainly.
func TestReads(t *testing.T) {
	t.Parallel()
	s := start(t, config, some()...)
	for _, tt := range []struct{ name, method, path, body, want string }{
		{name: "a filter and a projection", path: "/entities?filter=kind=component,spec.type=service&fields=metadata.name,kind", want: `[{"metadata":{"name":"petstore"},"kind":"Component"}]`},
		{name: "order", path: "/entities?filter=kind=component&order=desc:metadata.name&fields=metadata.name", want: `[{"metadata":{"name":"Petstore-Web"}},{"metadata":{"name":"petstore"}},{"metadata":{"name":"library"}}]`},
		{name: "a page without a limit", path: "/entities?offset=2&order=asc:metadata.name&fields=metadata.name", want: `[{"metadata":{"name":"Petstore-Web"}},{"metadata":{"name":"team-a"}}]`},
		{name: "limit 0 counts only", path: "/entities/by-query?limit=0&filter=kind=component", want: `{"items":[],"totalItems":3,"pageInfo":{}}`},
		{name: "limit 0 counts only, by predicate", method: "POST", path: "/entities/by-query", body: `{"limit":0,"query":{"kind":"Component"}}`, want: `{"items":[],"totalItems":3,"pageInfo":{}}`},
		{name: "references in any case, in order, with gaps", method: "POST", path: "/entities/by-refs", body: `{"entityRefs":["Component:petstore-WEB","component:default/nope","nonsense","","group:default/team-a","group:default/team-a"],"fields":["metadata.name"]}`,
			want: `{"items":[{"metadata":{"name":"Petstore-Web"}},null,null,null,{"metadata":{"name":"team-a"}},{"metadata":{"name":"team-a"}}]}`},
		{name: "references under two filters", method: "POST", path: "/entities/by-refs?filter=kind=component", body: `{"entityRefs":["component:default/petstore","component:default/library","group:default/team-a"],"fields":["metadata.name"],"query":{"spec.type":"library"}}`,
			want: `{"items":[null,{"metadata":{"name":"library"}},null]}`},
		{name: "facets", path: "/entity-facets?facet=spec.type&facet=nothing&facet=Kind&filter=kind=component", want: `{"facets":{"Kind":[{"value":"Component","count":3}],"nothing":[],"spec.type":[{"value":"library","count":1},{"value":"service","count":1},{"value":"website","count":1}]}}`},
		{name: "facets by predicate", method: "POST", path: "/entity-facets", body: `{"facets":["metadata.tags"],"query":{"spec.type":{"$in":["service","library"]}}}`, want: `{"facets":{"metadata.tags":[{"value":"java","count":1}]}}`},
		{name: "nothing found", path: "/entities?filter=kind=nothing", want: `[]`},
	} {
		if tt.method == "" {
			tt.method = "GET"
		}
		if a := s.ask(tt.method, tt.path, tt.body); a.status != 200 || a.body != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, a, tt.want)
		}
	}
}

func TestWhatIsStreamedAndWhatIsBuffered(t *testing.T) {
	t.Parallel()
	s := start(t, config, some()...)
	for _, tt := range []struct {
		path, body string
		buffered   bool
	}{
		{path: "/entities"},
		{path: "/entities?fields=kind"},
		{path: "/entities?limit=2"},
		{path: "/entities?limit=2&fields=kind", buffered: true},
		{path: "/entities/by-name/component/default/petstore"},
		{path: "/entities/by-query"},
		{path: "/entities/by-query?fields=kind", buffered: true},
		{path: "/entities/by-query", body: `{"fields":["kind"]}`, buffered: true},
		{path: "/entities/by-refs", body: `{"entityRefs":["component:petstore"]}`},
		{path: "/entities/by-refs", body: `{"entityRefs":["component:petstore"],"fields":["kind"]}`, buffered: true},
		{path: "/entity-facets?facet=kind", buffered: true},
		{path: "/openapi.json", buffered: true},
		{path: "/locations", buffered: true},
	} {
		method := "GET"
		if tt.body != "" {
			method = "POST"
		}
		a := s.ask(method, tt.path, tt.body)
		etag := a.header.Get("ETag")
		if a.status != 200 || a.header.Get("Content-Type") != "application/json; charset=utf-8" || (etag != "") != tt.buffered {
			t.Errorf("%s %s: %d, ETag %q, %s", method, tt.path, a.status, etag, a.header.Get("Content-Type"))
		}
		if method == "POST" {
			continue
		}
		if tt.buffered {
			if again := s.ask("GET", tt.path, "", "If-None-Match", etag); again.status != http.StatusNotModified || again.body != "" {
				t.Errorf("%s with its ETag: %s", tt.path, again)
			}
		}
		if head := s.ask("HEAD", tt.path, ""); head.status != 200 || head.body != "" || head.header.Get("ETag") != etag {
			t.Errorf("HEAD %s: %s, ETag %q", tt.path, head, head.header.Get("ETag"))
		}
	}
}

func TestCursorsServeBothVerbs(t *testing.T) {
	t.Parallel()
	s := start(t, config, some()...)
	var first, second, back page
	s.get("/entities/by-query?limit=1&filter=kind=component&orderField=metadata.name").json(t, &first)
	if first.names() != "library" || first.TotalItems != 3 || first.PageInfo.PrevCursor != "" {
		t.Fatalf("%+v", first)
	}
	doc, err := base64.StdEncoding.DecodeString(first.PageInfo.NextCursor)
	var cursor map[string]any
	if err != nil || json.Unmarshal(doc, &cursor) != nil || cursor["query"] == nil {
		t.Fatalf("the JavaScript client cannot decode the cursor: %s", doc)
	}
	ask := map[string]any{"cursor": first.PageInfo.NextCursor, "limit": 1, "query": map[string]any{"kind": "group"}}
	body, _ := json.Marshal(ask)
	s.ask("POST", "/entities/by-query", string(body)).json(t, &second)
	if second.names() != "petstore" || second.TotalItems != 3 {
		t.Fatalf("the second page, by POST: %+v", second)
	}
	s.get("/entities/by-query?limit=1&cursor="+url.QueryEscape(second.PageInfo.PrevCursor)).json(t, &back)
	if back.names() != "library" || back.PageInfo.PrevCursor != "" || back.PageInfo.NextCursor == "" {
		t.Fatalf("back, by GET: %+v", back)
	}
}

func TestTheLinkLeadsThroughTheList(t *testing.T) {
	t.Parallel()
	s := start(t, config, some()...)
	var seen []string
	next := "/entities?limit=3&offset=0&fields=metadata.name&order=asc:metadata.name"
	for range 5 {
		a := s.get(next)
		var list []struct{ Metadata struct{ Name string } }
		a.json(t, &list)
		for _, e := range list {
			seen = append(seen, e.Metadata.Name)
		}
		link := a.header.Get("Link")
		if link == "" {
			break
		}
		after, rest, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">")
		if next = after; !strings.HasPrefix(next, "/entities?limit=3&fields=metadata.name&order=asc%3Ametadata.name&after=") || rest != `; rel="next"` {
			t.Fatalf("link %s", link)
		}
	}
	if want := []string{"library", "petstore", "Petstore-Web", "team-a"}; !slices.Equal(seen, want) {
		t.Errorf("got %v, want %v", seen, want)
	}
}

func TestUnknownEntitiesAreNotFound(t *testing.T) {
	t.Parallel()
	s := start(t, config, some()...)
	for _, path := range []string{
		"/entities/by-name/component/default/nope", "/entities/by-name/component/default/nope/ancestry",
		"/entities/by-name/component/default/%00", "/entities/by-name/component/default/%ff", "/entities/by-name/%2e%2e/%2f/%20",
		"/entities/by-uid/nope", "/entities/by-uid/%00", "/entities/by-uid/%ff",
		"/locations/nope", "/locations/%00", "/locations/00000000-0000-4000-8000-000000000000", "/locations/%7B00000000-0000-4000-8000-000000000000%7D",
		"/locations/by-entity/component/default/nope", "/locations/by-entity/component/default/petstore", "/locations/by-entity/a/b/%ff",
	} {
		if a := s.get(path); a.status != 404 || a.errorName(t) != "NotFoundError" {
			t.Errorf("%s: %s", path, a)
		}
	}
	for _, ref := range []string{"component:default/nope", "::", "nonsense", "component:default/\\u0000"} {
		if a := s.ask("POST", "/refresh", `{"entityRef":"`+ref+`"}`); a.status != 404 && a.status != 400 {
			t.Errorf("refresh %s: %s", ref, a)
		}
	}
	for _, uid := range []string{"nope", "%00", "00000000-0000-4000-8000-000000000000"} {
		if a := s.ask("DELETE", "/entities/by-uid/"+uid, ""); a.status != 204 {
			t.Errorf("delete %s: %s", uid, a)
		}
	}
}
