package api_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/api"
	"github.com/callboard-dev/callboard/catalog/internal/filter"
	"github.com/callboard-dev/callboard/catalog/internal/query"
)

// TestDecisionsOnOurOwnRoutes holds that nobody gets anything there without permission.
func TestDecisionsOnOurOwnRoutes(t *testing.T) {
	t.Parallel()
	decisions(t, func(t *testing.T, ask func(api.Authorizer, string, string) answer) {
		for i := range 2 { // both are in the trash afterwards
			if a := ask(api.AllowAll{}, fmt.Sprintf("DELETE /entities/by-uid/%08d-0000-4000-8000-000000000000", i), ""); a.status != 204 {
				t.Fatal(a)
			}
		}
		condition := filter.KeyIn("spec.type", "service")
		deny, some := policy{auth: query.Auth{Deny: true}}, policy{auth: query.Auth{Where: &condition}}
		broken := policy{err: apierr.ServiceUnavailable.New("later")}
		for _, tt := range []struct {
			name          string
			request, body string
			policy        api.Authorizer
			status        int
		}{
			{"the trash, denied", "GET /callboard/v1/trash", "", deny, 403},
			{"the trash, nobody knows", "GET /callboard/v1/trash", "", broken, 503},
			{"the trash, an unknown parameter", "GET /callboard/v1/trash?page=2", "", api.AllowAll{}, 400},
			{"the trash, too much of it", "GET /callboard/v1/trash?limit=1001", "", api.AllowAll{}, 400},
			{"restore, denied", "POST /callboard/v1/trash/restore", `{"entityRef":"component:seen"}`, deny, 403},
			{"restore, outside of the condition", "POST /callboard/v1/trash/restore", `{"entityRef":"component:hidden"}`, some, 403},
			{"restore of nothing, by condition", "POST /callboard/v1/trash/restore", `{"entityRef":"component:nope"}`, some, 403},
			{"restore of nothing", "POST /callboard/v1/trash/restore", `{"entityRef":"component:nope"}`, api.AllowAll{}, 404},
			{"restore of what is no reference", "POST /callboard/v1/trash/restore", `{"entityRef":"::"}`, api.AllowAll{}, 404},
			{"restore without a reference", "POST /callboard/v1/trash/restore", `{}`, api.AllowAll{}, 400},
			{"restore, an unknown member", "POST /callboard/v1/trash/restore", `{"entityRef":"component:nope","force":true}`, api.AllowAll{}, 400},
			{"held removals, denied", "GET /callboard/v1/held-removals", "", deny, 403},
			{"held removals, nobody knows", "GET /callboard/v1/held-removals", "", broken, 503},
			{"held removals", "GET /callboard/v1/held-removals", "", api.AllowAll{}, 200},
			{"release, denied", "POST /callboard/v1/held-removals/release", `{"provider":"p"}`, deny, 403},
			{"release of nothing", "POST /callboard/v1/held-removals/release", `{"provider":"p"}`, api.AllowAll{}, 404},
			{"release without a provider", "POST /callboard/v1/held-removals/release", `{}`, api.AllowAll{}, 400},
		} {
			if a := ask(tt.policy, tt.request, tt.body); a.status != tt.status {
				t.Errorf("%s: got %s, want %d", tt.name, a, tt.status)
			}
		}
		for p, want := range map[*policy][]string{{}: {"component:default/hidden", "component:default/seen"}, &some: {"component:default/seen"}} {
			var page struct{ Items []struct{ EntityRef string } }
			ask(*p, "GET /callboard/v1/trash", "").json(t, &page)
			var got []string
			for _, item := range page.Items {
				got = append(got, item.EntityRef)
			}
			if !slices.Equal(got, want) {
				t.Errorf("the trash has %v, want %v", got, want)
			}
		}
		var first, second struct {
			Items []struct{ EntityRef string }
			After string
		}
		ask(api.AllowAll{}, "GET /callboard/v1/trash?limit=1", "").json(t, &first)
		ask(api.AllowAll{}, "GET /callboard/v1/trash?limit=1&after="+first.After, "").json(t, &second)
		if len(first.Items) != 1 || len(second.Items) != 1 || first.Items[0] == second.Items[0] || second.After != "" {
			t.Errorf("the pages of the trash: %v, %v", first, second)
		}
	})
}

// listing is a provider whose set the test decides.
type listing struct{ conn chan catalog.Connection }

func (listing) ProviderName() string { return "listing" }

func (l listing) Connect(_ context.Context, conn catalog.Connection) error {
	l.conn <- conn
	return nil
}

// TestMutationsAreAudited walks through what changes the catalog, and holds the events
// of contract catalog.md 1.10 and our own.
func TestMutationsAreAudited(t *testing.T) {
	t.Parallel()
	audit := new(backendtest.Audit)
	replaced := backend.NewPluginService(func(id backend.PluginID, base backend.Auditor) (backend.Auditor, error) {
		if id == "catalog" {
			return audit, nil
		}
		return base, nil
	})
	provider := listing{make(chan catalog.Connection, 4)}
	b := backendtest.Start(t, config, catalog.Plugin(), replaced, backend.NewModule("catalog", "listing", fx.Invoke(func(x *catalog.Extensions) {
		x.AddEntityProvider(provider)
	})))
	s := &server{t, b.URL, b.As("user:default/alice"), b.AsPlugin("catalog")}
	conn := <-provider.conn
	replace := func(n int) {
		t.Helper()
		err := conn.Replace(t.Context(), func(yield func(catalog.Deferred, error) bool) {
			for i := range n {
				e := component(fmt.Sprintf("c%02d", i), "service")
				for _, key := range []string{entity.AnnotationManagedBy, entity.AnnotationManagedByOrigin} {
					e.SetAnnotation(key, "test:listing")
				}
				if !yield(catalog.Deferred{Entity: e}, nil) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	served := func(n int) {
		t.Helper()
		s.await(fmt.Sprintf("%d entities", n), func() bool {
			var page struct{ TotalItems int }
			s.get("/entities/by-query?limit=0&filter=kind=component").json(t, &page)
			return page.TotalItems == n
		})
	}
	uid := func(name string) string {
		var e struct{ Metadata struct{ UID string } }
		s.get("/entities/by-name/component/default/"+name).json(t, &e)
		return e.Metadata.UID
	}
	expect := func(id, status string, want map[string]any) {
		t.Helper()
		events := audit.Events()
		for _, e := range events {
			meta := maps.Clone(e.Meta)
			if meta == nil {
				meta = map[string]any{}
			}
			maps.Copy(meta, e.Outcome)
			same := e.ID == id && e.Status == status
			for k, v := range want {
				same = same && fmt.Sprint(meta[k]) == fmt.Sprint(v)
			}
			if same {
				return
			}
		}
		t.Errorf("no event %s %s %v among %d", id, status, want, len(events))
	}

	replace(30)
	served(30)
	gone := uid("c07")
	if a := s.ask("DELETE", "/entities/by-uid/"+gone, ""); a.status != 204 {
		t.Fatal(a)
	}
	expect("entity-mutate", "succeeded", map[string]any{"actionType": "delete", "entityRef": "component:default/c07", "uid": gone})
	served(29)
	if a := s.ask("POST", "/callboard/v1/trash/restore", `{"entityRef":"Component:c07"}`); a.status != 200 || !strings.Contains(a.body, gone) {
		t.Fatal(a)
	}
	expect("entity-mutate", "succeeded", map[string]any{"actionType": "restore", "entityRef": "Component:c07"})
	served(30)
	if now := uid("c07"); now != gone {
		t.Errorf("the restored entity has the uid %s, want %s", now, gone)
	}
	if a := s.ask("POST", "/callboard/v1/trash/restore", `{"entityRef":"component:c07"}`); a.status != 404 {
		t.Errorf("restored twice: %s", a)
	}
	expect("entity-mutate", "failed", map[string]any{"actionType": "restore"})

	replace(4)
	expect("held-removal", "succeeded", map[string]any{"provider": "listing", "removed": 25, "total": 29})
	var held struct {
		Items []struct {
			Provider                string
			Removed, Total, Answers int
			Needed                  int
			EntityRefs              []string
		}
	}
	s.get("/callboard/v1/held-removals").json(t, &held)
	if len(held.Items) != 1 || held.Items[0].Provider != "listing" || held.Items[0].Removed != 25 || len(held.Items[0].EntityRefs) != 25 || held.Items[0].Needed != 3 {
		t.Errorf("held: %+v", held)
	}
	restricted := []string{"Authorization", "Bearer read-only-token-0123456789"}
	for _, request := range []string{"GET /callboard/v1/held-removals", "GET /callboard/v1/trash", `POST /callboard/v1/held-removals/release {"provider":"listing"}`} {
		method, rest, _ := strings.Cut(request, " ")
		path, body, _ := strings.Cut(rest, " ")
		if a := s.ask(method, path, body, restricted...); a.status != 403 {
			t.Errorf("%s with a token for reading entities: %s", request, a)
		}
	}
	if a := s.ask("POST", "/callboard/v1/held-removals/release", `{"provider":"listing"}`); a.status != 200 || !strings.Contains(a.body, `"removed":25`) {
		t.Fatal(a)
	}
	expect("held-removal-mutate", "succeeded", map[string]any{"actionType": "release", "provider": "listing", "removed": 25})
	expect("held-removal-mutate", "failed", map[string]any{"provider": "listing"})
	served(5) // four, and the restored one, which belongs to no listing

	s.ask("POST", "/refresh", `{"entityRef":"component:c01"}`)
	expect("entity-mutate", "succeeded", map[string]any{"queryType": "refresh", "entityRef": "component:c01"})
	created := s.ask("POST", "/locations", `{"type":"url","target":"https://example.com/a.yaml"}`)
	expect("location-mutate", "succeeded", map[string]any{"actionType": "create", "location": "url:https://example.com/a.yaml"})
	var row struct{ Location struct{ ID string } }
	created.json(t, &row)
	s.ask("PUT", "/locations/"+row.Location.ID, `{"type":"url","target":"https://example.com/b.yaml"}`)
	expect("location-mutate", "succeeded", map[string]any{"actionType": "update", "id": row.Location.ID})
	s.ask("DELETE", "/locations/"+row.Location.ID, "")
	expect("location-mutate", "succeeded", map[string]any{"actionType": "delete", "id": row.Location.ID})
	s.ask("POST", "/locations?dryRun=true", `{"type":"url","target":"https://example.com/a.yaml"}`)
	for _, e := range audit.Events() {
		want := backend.AuditMedium
		if e.Request != nil && strings.Contains(e.Request.URL.RawQuery, "dryRun") {
			want = backend.AuditLow
		}
		if e.ID == "location-mutate" && e.Severity != want {
			t.Errorf("%s is of severity %s, want %s", e.Request.URL, e.Severity, want)
		}
	}
	s.get("/entity-facets?facet=kind")
	s.get("/locations")
	s.ask("POST", "/validate-entity", `{}`)
	s.ask("POST", "/analyze-location", `{}`)
	expect("entity-fetch", "succeeded", map[string]any{"queryType": "by-query"})
	expect("entity-fetch", "succeeded", map[string]any{"queryType": "by-name"})
	expect("entity-facets", "succeeded", nil)
	expect("location-fetch", "succeeded", map[string]any{"queryType": "all"})
	expect("entity-validate", "failed", nil)
	expect("location-analyze", "failed", nil)
}

// await polls until a condition holds.
func (s *server) await(what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("waited in vain for %s", what)
		}
	}
}
