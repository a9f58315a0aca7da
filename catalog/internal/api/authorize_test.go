package api_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/principal"
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/api"
	"github.com/callboard-dev/callboard/catalog/internal/filter"
	"github.com/callboard-dev/callboard/catalog/internal/index"
	"github.com/callboard-dev/callboard/catalog/internal/ingest"
	"github.com/callboard-dev/callboard/catalog/internal/query"
	"github.com/callboard-dev/callboard/catalog/internal/stitch"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// A policy answers the same to everything.
type policy struct {
	auth query.Auth
	err  error
}

func (p policy) Entities(context.Context, principal.Credentials, api.Permission) (query.Auth, error) {
	return p.auth, p.err
}

func (p policy) Allowed(_ context.Context, _ principal.Credentials, want api.Permission) error {
	if p.auth.Deny {
		return apierr.NotAllowed.New("permission %s is denied", want.Name)
	}
	return p.err
}

type muxRouter struct {
	t   *testing.T
	mux *httpx.Mux
}

func (m muxRouter) Handle(pattern string, h httpx.HandlerFunc, allow ...httpx.Access) {
	if err := m.mux.Handle(pattern, h, allow...); err != nil {
		m.t.Error(err)
	}
}

// serve fills a store with entities that are served, and returns what asks an API over
// it under a policy.
func serve(t *testing.T, d db.DB, memory bool, entities ...entity.Entity) func(p api.Authorizer, request, body string) answer {
	st := store.New(d)
	for i, e := range entities {
		ref, uid := e.Ref().String(), fmt.Sprintf("%08d-0000-4000-8000-000000000000", i)
		final, err := entity.Finalize(e, entity.Stitch{UID: uid})
		if err != nil {
			t.Fatal(err)
		}
		var rows []store.SearchRow
		var names []string
		for _, r := range entity.Flatten(final.Entity, relationsOf(e)) {
			rows, names = append(rows, store.SearchRow(r)), append(names, r.Key)
		}
		keys, err := st.KnowKeys(t.Context(), names)
		if err != nil {
			t.Fatal(err)
		}
		err = st.Tx(t.Context(), func(tx *store.Tx) error {
			ids, err := tx.InsertStates(t.Context(), time.Unix(0, 0), []*store.Content{{UID: uid, Ref: ref, Unprocessed: []byte("{}"), Hash: []byte("h")}})
			if err != nil {
				return err
			}
			finals := []store.Final{{ID: ids[ref], UID: uid, Ref: ref, Entity: final.JSON, ETag: "e", Hash: []byte("h"), Rows: rows}}
			if err := tx.SaveRows(t.Context(), finals, keys); err != nil {
				return err
			}
			return tx.SaveFinals(t.Context(), time.Unix(0, 0), finals)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	reads := query.New(st, index.Options{})
	if memory {
		var keys []string
		for _, e := range entities {
			for _, r := range entity.Flatten(e, relationsOf(e)) {
				keys = append(keys, r.Key)
			}
		}
		if err := reads.Load(t.Context(), append(keys, "metadata.uid")...); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	engine := ingest.NewEngine(ingest.Options{
		Store: st, Log: log, Stitcher: stitch.New(stitch.Options{Store: st, Log: log}),
		Pipeline: &ingest.Pipeline{Model: entity.NewModel(entity.ModelOptions{})},
	})
	return func(p api.Authorizer, request, body string) answer {
		t.Helper()
		mux := &httpx.Mux{Errors: httpx.ErrorWriter{Log: log}}
		api.Register(muxRouter{t, mux}, api.Deps{Query: reads, Engine: engine, Store: st, Integrations: new(scm.Integrations), Log: log, Authorizer: p})
		method, path, _ := strings.Cut(request, " ")
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return answer{w.Code, w.Header(), strings.TrimSpace(w.Body.String())}
	}
}

// decisions runs a test on both databases, with reads that go there and from memory.
func decisions(t *testing.T, test func(t *testing.T, ask func(p api.Authorizer, request, body string) answer)) {
	for name, memory := range map[string]bool{"database": false, "memory": true} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
				test(t, serve(t, d, memory, component("seen", "service"), component("hidden", "library")))
			})
		})
	}
}

// TestDecisions has the rows of the table of decisions in contract catalog.md 1.7.
func TestDecisions(t *testing.T) {
	t.Parallel()
	decisions(t, func(t *testing.T, ask func(api.Authorizer, string, string) answer) {
		condition := filter.KeyIn("spec.type", "service")
		deny, some := policy{auth: query.Auth{Deny: true}}, policy{auth: query.Auth{Where: &condition}}
		const seenUID, hiddenUID = "00000000-0000-4000-8000-000000000000", "00000001-0000-4000-8000-000000000000"
		const project = `"fields":["metadata.name"]`
		const seen = `{"metadata":{"name":"seen"}}`
		for _, tt := range []struct {
			name          string
			request, body string
			policy        api.Authorizer
			status        int
			want          string // of the body; empty: any
		}{
			{"a list, denied", "GET /entities", "", deny, 200, `[]`},
			{"a list, by condition", "GET /entities?fields=metadata.name", "", some, 200, `[` + seen + `]`},
			{"a list under another filter, by condition", "GET /entities?filter=metadata.name=hidden", "", some, 200, `[]`},
			{"a legacy page, by condition", "GET /entities?limit=5&fields=metadata.name", "", some, 200, `[` + seen + `]`},
			{"a page, denied", "GET /entities/by-query", "", deny, 200, `{"items":[],"totalItems":0,"pageInfo":{}}`},
			{"a page, by condition", "GET /entities/by-query?fields=metadata.name", "", some, 200, `{"items":[` + seen + `],"totalItems":1,"pageInfo":{}}`},
			{"a page by predicate, denied", "POST /entities/by-query", "{}", deny, 200, `{"items":[],"totalItems":0,"pageInfo":{}}`},
			{"a page by predicate, by condition", "POST /entities/by-query", `{"query":{"$any":[{"kind":"component"},{"kind":"api"}]},` + project + `}`, some, 200, `{"items":[` + seen + `],"totalItems":1,"pageInfo":{}}`},
			{"references, denied", "POST /entities/by-refs", `{"entityRefs":["component:seen","component:hidden"]}`, deny, 200, `{"items":[null,null]}`},
			{"references, by condition", "POST /entities/by-refs", `{"entityRefs":["component:seen","component:hidden"],` + project + `}`, some, 200, `{"items":[` + seen + `,null]}`},
			{"by name, denied", "GET /entities/by-name/component/default/seen", "", deny, 404, ""},
			{"by name, by condition", "GET /entities/by-name/component/default/seen", "", some, 200, ""},
			{"by name, outside of the condition", "GET /entities/by-name/component/default/hidden", "", some, 404, ""},
			{"by uid, denied", "GET /entities/by-uid/" + seenUID, "", deny, 404, ""},
			{"by uid, outside of the condition", "GET /entities/by-uid/" + hiddenUID, "", some, 404, ""},
			{"facets, denied", "GET /entity-facets?facet=kind&facet=spec.type", "", deny, 200, `{"facets":{"kind":[],"spec.type":[]}}`},
			{"facets, by condition", "POST /entity-facets", `{"facets":["spec.type"]}`, some, 200, `{"facets":{"spec.type":[{"value":"service","count":1}]}}`},
			{"ancestry, denied", "GET /entities/by-name/component/default/seen/ancestry", "", deny, 403, ""},
			{"ancestry, outside of the condition", "GET /entities/by-name/component/default/hidden/ancestry", "", some, 403, ""},
			{"ancestry, by condition", "GET /entities/by-name/component/default/seen/ancestry", "", some, 200, ""},
			{"refresh, denied", "POST /refresh", `{"entityRef":"component:seen"}`, deny, 403, ""},
			{"refresh, outside of the condition", "POST /refresh", `{"entityRef":"component:hidden"}`, some, 403, ""},
			{"refresh, by condition", "POST /refresh", `{"entityRef":"component:seen"}`, some, 200, ""},
			{"refresh of nothing, by condition", "POST /refresh", `{"entityRef":"component:nope"}`, some, 403, ""},
			{"locations, denied", "GET /locations", "", deny, 200, `[]`},
			{"locations by predicate, denied", "POST /locations/by-query", "{}", deny, 200, `{"items":[],"totalItems":0,"pageInfo":{}}`},
			{"a location, denied", "GET /locations/" + seenUID, "", deny, 404, ""},
			{"a new location, denied", "POST /locations", `{"type":"url","target":"https://example.com"}`, deny, 403, ""},
			{"analysis, denied", "POST /analyze-location", `{"location":{"type":"url","target":"https://example.com"}}`, deny, 403, ""},
			{"validation, denied", "POST /validate-entity", `{"entity":{},"location":"x"}`, deny, 403, ""},
			{"delete, denied", "DELETE /entities/by-uid/" + seenUID, "", deny, 403, ""},
			{"delete, outside of the condition", "DELETE /entities/by-uid/" + hiddenUID, "", some, 403, ""},
			{"delete of nothing, by condition", "DELETE /entities/by-uid/nope", "", some, 403, ""},
			{"delete, by condition", "DELETE /entities/by-uid/" + seenUID, "", some, 204, ""},
			{"an authorizer that fails", "GET /entities", "", policy{err: apierr.ServiceUnavailable.New("later")}, 503, ""},
			{"an authorizer that fails, of locations", "GET /locations", "", policy{err: apierr.ServiceUnavailable.New("later")}, 503, ""},
			{"an authorizer that fails, of a location", "GET /locations/" + seenUID, "", policy{err: apierr.ServiceUnavailable.New("later")}, 503, ""},
		} {
			if a := ask(tt.policy, tt.request, tt.body); a.status != tt.status || tt.want != "" && a.body != tt.want {
				t.Errorf("%s:\n got %s\nwant %d %s", tt.name, a, tt.status, tt.want)
			}
		}
	})
}

// TestSEC11_NoDatabaseErrors: what PostgreSQL has no text for is refused or not found;
// it never gets as far as an error of the server.
func TestSEC11_NoDatabaseErrors(t *testing.T) {
	t.Parallel()
	decisions(t, func(t *testing.T, ask func(api.Authorizer, string, string) answer) {
		for _, request := range []string{
			"GET /entities?filter=%00", "GET /entities?filter=kind=%ff", "GET /entities?order=asc:%ff", "GET /entities?limit=1&order=asc:%00",
			"GET /entities/by-query?orderField=%00", "GET /entities/by-query?fullTextFilterTerm=%ff", "GET /entities/by-query?fullTextFilterTerm=a&fullTextFilterFields=%00",
			"GET /entity-facets?facet=%ff", "GET /entities/by-uid/%00", "GET /entities/by-name/a/%ff/c", "GET /entities/by-name/%00/b/c/ancestry",
			"DELETE /entities/by-uid/%ff", "GET /locations/%00", "DELETE /locations/%ff", "GET /locations/by-entity/a/b/%00",
			"GET /entities/unprocessed/failed?owner=%00", "DELETE /entities/unprocessed/delete/%00",
			"GET /entities?limit=2147483647&offset=2147483647", "GET /entities/by-query?limit=2147483647&offset=2147483647",
			`POST /entities/by-refs {"entityRefs":["a:b/\u0000"]}`, `POST /entities/by-query {"query":{"kind":"\u0000"}}`,
			`POST /entities/by-query {"query":{"kind":{"$hasPrefix":"\u0000"}}}`, `POST /entities/by-query {"orderBy":[{"field":"\u0000","order":"asc"}]}`,
			`POST /entities/by-query {"fullTextFilter":{"term":"a","fields":["\u0000"]}}`,
			`POST /entity-facets {"facets":["\u0000"]}`, `POST /refresh {"entityRef":"a:b/\u0000"}`,
			`POST /locations {"type":"url","target":"\u0000"}`, `POST /locations/by-query {"query":{"id":"\u0000"}}`,
			`POST /.well-known/backstage/permissions/apply-conditions {"items":[{"id":"1","resourceType":"catalog-entity","resourceRef":["a:b/\u0000"],"conditions":{"rule":"IS_ENTITY_KIND","resourceType":"catalog-entity","params":{"kinds":["x"]}}}]}`,
		} {
			method, rest, _ := strings.Cut(request, " ")
			path, body, _ := strings.Cut(rest, " ")
			if a := ask(api.AllowAll{}, method+" "+path, body); a.status >= 500 {
				t.Errorf("%s: %s", request, a)
			}
		}
	})
}
