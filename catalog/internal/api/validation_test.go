package api_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestRequestValidation has a case for each row of contract catalog.md 1.1, on every
// kind of route that it is about.
func TestRequestValidation(t *testing.T) {
	t.Parallel()
	s := start(t, config, some()...)
	type request struct{ name, method, path, body string }
	var refused []request
	add := func(row, method, path, body string) {
		refused = append(refused, request{fmt.Sprintf("%s: %s %s %.60s", row, method, path, body), method, path, body})
	}
	for _, path := range []string{
		"/entities?foo=bar", "/entities/by-query?foo=bar", "/entity-facets?facet=kind&foo=bar", "/locations?foo=bar",
		"/entities/by-uid/x?foo=bar", "/entities/by-name/component/default/petstore?fields=kind",
		"/entities/by-name/component/default/petstore/ancestry?foo", "/entities?totalItems=include", "/openapi.json?foo=bar",
	} {
		add("undeclared parameter", "GET", path, "")
	}
	add("undeclared parameter", "POST", "/entities/by-query?filter=kind=component", "{}")
	add("undeclared parameter", "POST", "/refresh?now=1", `{"entityRef":"component:default/petstore"}`)
	for _, path := range []string{
		"/entities?filter=", "/entities?filter=kind&filter=", "/entities?fields=", "/entities?order=", "/entities?after=", "/entities?limit=",
		"/entities/by-query?cursor=", "/entities/by-query?filter=", "/entities/by-query?orderField=", "/entities/by-query?fullTextFilterTerm=",
		"/entities/by-query?fullTextFilterFields=", "/entities/by-query?totalItems=", "/entity-facets?facet=", "/entity-facets?facet=kind&filter=",
	} {
		add("empty value", "GET", path, "")
	}
	add("empty value", "POST", "/locations?dryRun=", `{"type":"url","target":"https://example.com/a"}`)
	add("empty value", "POST", "/entities/by-query", `{"cursor":""}`)
	for _, value := range []string{"abc", "-1", "1.5", "1e2", "9223372036854775808", "99999999999", "0x1", "%201"} {
		for _, param := range []string{"limit", "offset"} {
			add("no integer", "GET", "/entities?"+param+"="+value, "")
			add("no integer", "GET", "/entities/by-query?"+param+"="+value, "")
		}
	}
	add("out of range", "GET", "/entities?limit=0", "")
	for _, body := range []string{`{"limit":-1}`, `{"limit":1.5}`, `{"limit":"1"}`, `{"limit":null}`, `{"limit":1e300}`, `{"offset":-1}`} {
		add("no integer", "POST", "/entities/by-query", body)
		if strings.Contains(body, "limit") {
			add("no integer", "POST", "/locations/by-query", body)
		}
	}
	add("out of range", "POST", "/locations/by-query", `{"limit":0}`)
	add("enum", "GET", "/entities/by-query?totalItems=some", "")
	add("enum", "GET", "/entities/by-query?orderField=kind,up", "")
	add("enum", "GET", "/entities/by-query?orderField=,asc", "")
	add("enum", "GET", "/entities?order=up:kind", "")
	add("enum", "GET", "/entities?order=kind", "")
	add("enum", "POST", "/locations?onConflict=maybe", `{"type":"url","target":"https://example.com/a"}`)
	add("enum", "POST", "/entities/by-query", `{"totalItems":"some"}`)
	add("enum", "POST", "/entities/by-query", `{"orderBy":[{"field":"kind","order":"up"}]}`)
	add("enum", "POST", "/locations", `{"type":"url","target":"https://example.com/a","presence":"maybe"}`)
	bodies := map[string][]string{
		"/entities/by-query":  {`{nope`, `[]`, `"x"`, `null`, `{} {}`, `{"query":[]}`, `{"query":null}`, `{"fields":"kind"}`, `{"fields":[1]}`, `{"fields":[null]}`, `{"orderBy":[{"field":"kind"}]}`, `{"orderBy":[{"order":"asc"}]}`, `{"orderBy":{}}`, `{"fullTextFilter":"x"}`, `{"fullTextFilter":{"term":1}}`, `{"cursor":1}`},
		"/entities/by-refs":   {`{nope`, `{}`, `[]`, `{"entityRefs":"component:default/a"}`, `{"entityRefs":[1]}`, `{"entityRefs":null}`, `{"EntityRefs":[]}`, `{"entityRefs":[],"fields":"kind"}`, `{"entityRefs":[],"fields":["a["]}`, `{"entityRefs":[],"query":1}`},
		"/entity-facets":      {`{nope`, `{}`, `{"facets":"kind"}`, `{"facets":[]}`, `{"facets":[""]}`, `{"facets":["kind"],"query":{"$nope":1}}`},
		"/refresh":            {`{nope`, `{}`, `{"entityRef":1}`, `{"entityRef":""}`},
		"/locations":          {`{nope`, `{}`, `{"type":"url"}`, `{"target":"https://example.com"}`, `{"type":"url","target":""}`, `{"type":1,"target":"x"}`, `{"type":"file","target":"/etc/passwd"}`},
		"/locations/by-query": {`{nope`, `{"cursor":"zzz"}`, `{"cursor":""}`, `{"query":{"kind":"x"}}`, `{"query":[]}`},
		"/analyze-location":   {`{nope`, `{}`, `{"location":"x"}`, `{"location":{"type":"url"}}`, `{"location":{"type":"url","target":"not a url"}}`, `{"location":{"type":"url","target":"grid/meter"}}`},
		"/validate-entity":    {`{nope`, `{}`, `{"entity":{}}`, `{"location":"url:https://example.com/a"}`, `{"entity":"x","location":"url:https://example.com/a"}`, `{"entity":null,"location":"url:https://example.com/a"}`, `{"entity":{},"location":1}`},
		"/.well-known/backstage/permissions/apply-conditions": {
			`{nope`, `{}`, `{"items":{}}`, `{"items":[{}]}`,
			`{"items":[{"id":"1","resourceRef":"a:b/c","resourceType":"other","conditions":{"rule":"IS_ENTITY_KIND","resourceType":"catalog-entity","params":{"kinds":[]}}}]}`,
			`{"items":[{"id":"1","resourceRef":"a:b/c","resourceType":"catalog-entity","conditions":{"rule":"NOPE","resourceType":"catalog-entity","params":{}}}]}`,
		},
	}
	for path, list := range bodies {
		for _, body := range list {
			add("body", "POST", path, body)
		}
	}
	for path, body := range map[string]string{
		"/refresh":          `{"entityRef":"component:default/petstore","more":1}`,
		"/locations":        `{"type":"url","target":"https://example.com/a","more":1}`,
		"/analyze-location": `{"location":{"type":"url","target":"https://example.com/a","more":1}}`,
	} {
		add("closed body", "POST", path, body)
	}
	add("closed body", "PUT", "/locations/00000000-0000-4000-8000-000000000000", `{"type":"url","target":"x","presence":"required"}`)
	for _, path := range []string{"/entities/by-query", "/entities/by-refs", "/entity-facets", "/refresh", "/locations"} {
		add("too large", "POST", path, `{"x":"`+strings.Repeat("a", 3<<20)+`"}`)
	}
	for _, r := range refused {
		a := s.ask(r.method, r.path, r.body)
		if a.status != 400 {
			t.Errorf("%s: %s, want 400", r.name, a)
		} else if name := a.errorName(t); name != "InputError" {
			t.Errorf("%s: error.name is %s", r.name, name)
		}
	}

	t.Run("another media type", func(t *testing.T) {
		for _, path := range []string{"/entities/by-query", "/entities/by-refs", "/refresh"} {
			if a := s.ask("POST", path, `{}`, "Content-Type", "text/plain"); a.status != 400 {
				t.Errorf("%s: %s", path, a)
			}
		}
	})
	t.Run("members that nobody asked for are ignored where the body is open", func(t *testing.T) {
		for path, body := range map[string]string{
			"/entities/by-query":  `{"limit":0,"more":1}`,
			"/entities/by-refs":   `{"entityRefs":[],"more":1}`,
			"/entity-facets":      `{"facets":["kind"],"more":1}`,
			"/locations/by-query": `{"more":1}`,
			"/validate-entity":    `{"entity":{"apiVersion":"backstage.io/v1alpha1","kind":"Component","metadata":{"name":"x"},"spec":{"type":"a","lifecycle":"b","owner":"c"}},"location":"url:https://example.com/a","more":1}`,
			"/analyze-location":   `{"location":{"type":"url","target":"https://example.com/a"},"more":1}`,
		} {
			if a := s.ask("POST", path, body); a.status != 200 {
				t.Errorf("%s: %s", path, a)
			}
		}
	})
	t.Run("a body of a megabyte is read", func(t *testing.T) {
		if a := s.ask("POST", "/entities/by-query", `{"limit":0,"x":"`+strings.Repeat("a", 1<<20)+`"}`); a.status != 200 {
			t.Error(a)
		}
	})
	t.Run("an unknown path is 404 without a body", func(t *testing.T) {
		for _, path := range []string{"/nope", "/entities/nope/nope", "/entities/by-uid"} {
			if a := s.get(path); a.status != 404 || a.body != "" {
				t.Errorf("%s: %s", path, a)
			}
		}
		if a := s.ask("PATCH", "/entities", "{}"); a.status != 404 || a.body != "" {
			t.Error(a)
		}
	})
	t.Run("trailing slashes are tolerated", func(t *testing.T) {
		if a := s.get("/entities/?limit=1"); a.status != 200 {
			t.Error(a)
		}
	})
}
