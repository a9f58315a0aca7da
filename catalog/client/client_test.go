package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/catalogtest"
	"github.com/callboard-dev/callboard/catalog/client"
	"github.com/callboard-dev/callboard/catalog/entity"
)

func constant(s string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return s, nil }
}

func component(name, typ string) entity.Entity {
	return entity.Entity{
		"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"type": typ, "lifecycle": "production", "owner": "team-a"},
	}
}

// start boots a real catalog with n components, and waits until it serves them.
func start(t *testing.T, n int) *client.Client {
	t.Helper()
	var entities []entity.Entity
	for i := range n {
		entities = append(entities, component(fmt.Sprintf("c%03d", i), []string{"service", "website"}[i%2]))
	}
	b := backendtest.Start(t, "backend: {reading: {allow: [{host: '127.0.0.1:1-65535'}]}}\n", catalog.Plugin(), catalogtest.Entities(entities...))
	c := client.At(b.URL+"/api/catalog/", b.As("user:default/alice"))
	eventually(t, func() bool {
		page, err := c.Query(t.Context(), client.QueryRequest{})
		return err == nil && page.Total >= n
	})
	return c
}

func eventually(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to pass")
		}
	}
}

func names(list []entity.Entity) string {
	var out []string
	for _, e := range list {
		out = append(out, e.Name()) // "" for nil
	}
	return strings.Join(out, " ")
}

func TestReads(t *testing.T) {
	t.Parallel()
	c, ctx := start(t, 7), t.Context()

	var streamed []entity.Entity
	for e, err := range c.Entities(ctx, client.Selection{Filter: []string{"kind=component,spec.type=service"}, Order: "metadata.name", Desc: true, Fields: []string{"metadata.name", "spec.type"}}) {
		if err != nil {
			t.Fatal(err)
		}
		streamed = append(streamed, e)
	}
	if names(streamed) != "c006 c004 c002 c000" || streamed[0].Kind() != "" || streamed[0].SpecString("type") != "service" {
		t.Errorf("streamed %v", streamed)
	}
	for e, err := range c.Entities(ctx, client.Selection{}) {
		if err != nil || e.UID() == "" {
			t.Errorf("%v, %v", e, err)
		}
		break // the rest of the answer is not wanted
	}

	page, err := c.Query(ctx, client.QueryRequest{
		Query:   client.Predicate{"kind": "Component", "metadata.name": map[string]any{"$in": []string{"c001", "c002", "c003"}}},
		OrderBy: []client.Order{{Field: "metadata.name", Desc: true}}, Fields: []string{"metadata.name"}, Limit: 2,
	})
	if err != nil || names(page.Items) != "c003 c002" || page.Total != 3 || page.Next == "" || page.Prev != "" {
		t.Errorf("page %+v, %v", page, err)
	}
	if page, err = c.Query(ctx, client.QueryRequest{Cursor: page.Next, Limit: 2}); err != nil || names(page.Items) != "c001" || page.Next != "" || page.Prev == "" {
		t.Errorf("next page %+v, %v", page, err)
	}
	if page, err = c.Query(ctx, client.QueryRequest{Text: &client.FullText{Term: "C00", Fields: []string{"metadata.name"}}, WithoutTotal: true, Offset: 5, OrderBy: []client.Order{{Field: "metadata.name"}}}); err != nil || names(page.Items) != "c005 c006" || page.Total != 0 {
		t.Errorf("text page %+v, %v", page, err)
	}
	var paged []entity.Entity
	for e, err := range c.Pages(ctx, client.QueryRequest{Limit: 3, OrderBy: []client.Order{{Field: "metadata.name"}}}) {
		if err != nil {
			t.Fatal(err)
		}
		paged = append(paged, e)
	}
	if names(paged) != "c000 c001 c002 c003 c004 c005 c006" {
		t.Errorf("pages %s", names(paged))
	}

	e, err := c.ByRef(ctx, entity.Ref{Kind: "Component", Name: "C003"})
	if err != nil || e.Name() != "c003" {
		t.Errorf("by ref %v, %v", e, err)
	}
	found, err := c.ByRefs(ctx, []string{"component:default/c001", "component:default/nope", "component:default/c000"})
	if err != nil || names(found) != "c001  c000" || found[1] != nil {
		t.Errorf("by refs %s, %v", names(found), err)
	}
	facets, err := c.Facets(ctx, client.Predicate{"kind": "component"}, "spec.type", "spec.nothing")
	if err != nil || !slices.Equal(facets["spec.type"], []client.FacetValue{{Value: "service", Count: 4}, {Value: "website", Count: 3}}) || len(facets["spec.nothing"]) != 0 {
		t.Errorf("facets %v, %v", facets, err)
	}
	ancestors, err := c.Ancestors(ctx, entity.Ref{Kind: "component", Name: "c001"})
	if err != nil || len(ancestors) != 1 || ancestors[0].Entity.Name() != "c001" || len(ancestors[0].Parents) != 0 {
		t.Errorf("ancestors %v, %v", ancestors, err)
	}
	if err := c.Refresh(ctx, entity.Ref{Kind: "component", Name: "c001"}); err != nil {
		t.Error(err)
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	t.Parallel()
	c, ctx := start(t, 1), t.Context()
	nope := entity.Ref{Kind: "component", Name: "nope/../x?%"}
	for name, tt := range map[string]struct {
		kind apierr.Kind
		call func() error
	}{
		"by ref":      {apierr.NotFound, func() error { _, err := c.ByRef(ctx, nope); return err }},
		"ancestors":   {apierr.NotFound, func() error { _, err := c.Ancestors(ctx, nope); return err }},
		"refresh":     {apierr.NotFound, func() error { return c.Refresh(ctx, nope) }},
		"location":    {apierr.NotFound, func() error { _, err := c.Location(ctx, "nope"); return err }},
		"location of": {apierr.NotFound, func() error { _, err := c.LocationOf(ctx, nope); return err }},
		"remove":      {apierr.NotFound, func() error { return c.RemoveLocation(ctx, "nope") }},
		"query":       {apierr.Input, func() error { _, err := c.Query(ctx, client.QueryRequest{Cursor: "nope"}); return err }},
		"facets":      {apierr.Input, func() error { _, err := c.Facets(ctx, nil); return err }},
		"location type": {apierr.Input, func() error {
			_, err := c.AddLocation(ctx, entity.Location{Type: "file", Target: "/etc/passwd"})
			return err
		}},
		"entities": {apierr.Input, func() error {
			for _, err := range c.Entities(ctx, client.Selection{Filter: []string{"=x"}}) {
				return err
			}
			return nil
		}},
	} {
		if err := tt.call(); !errors.Is(err, tt.kind) {
			t.Errorf("%s: %v, want a %s", name, err, tt.kind.Name())
		}
	}
	anonymous := client.New(constant("http://127.0.0.1:1/api/catalog"), func(context.Context) (string, error) { return "", errors.New("no token today") }, nil)
	if _, err := anonymous.Locations(ctx); err == nil || !strings.Contains(err.Error(), "no token today") {
		t.Error(err)
	}
}

func TestLocations(t *testing.T) {
	t.Parallel()
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: from-%s}\nspec: {type: service, lifecycle: production, owner: team-a}\n", strings.Trim(r.URL.Path, "/"))
	}))
	t.Cleanup(files.Close)
	c, ctx := start(t, 0), t.Context()
	at := func(name string) entity.Location { return entity.Location{Type: "url", Target: files.URL + "/" + name} }

	preview, err := c.PreviewLocation(ctx, at("a"))
	if err != nil || preview.Exists || len(preview.Entities) != 2 || preview.Entities[1].Name() != "from-a" {
		t.Fatalf("%v, %v", preview, err)
	}
	loc, err := c.AddLocation(ctx, at("a"))
	if err != nil || loc.Target != files.URL+"/a" {
		t.Fatal(loc, err)
	}
	if _, err := c.AddLocation(ctx, at("a")); !errors.Is(err, apierr.Conflict) {
		t.Errorf("registered twice: %v", err)
	}
	if again, err := c.EnsureLocation(ctx, at("a")); err != nil || again != loc {
		t.Errorf("%v, %v", again, err)
	}
	ref := entity.Ref{Kind: "component", Name: "from-a"}
	eventually(t, func() bool { _, err := c.ByRef(ctx, ref); return err == nil })
	if of, err := c.LocationOf(ctx, ref); err != nil || of != loc {
		t.Errorf("%v, %v", of, err)
	}
	if ancestors, err := c.Ancestors(ctx, ref); err != nil || len(ancestors) != 2 || !slices.Equal(ancestors[0].Parents, []string{loc.EntityRef}) {
		t.Errorf("%v, %v", ancestors, err)
	}
	moved, err := c.UpdateLocation(ctx, loc.ID, at("b"))
	if err != nil || moved.EntityRef != loc.EntityRef {
		t.Errorf("%v, %v", moved, err)
	}
	if got, err := c.Location(ctx, loc.ID); err != nil || got != moved {
		t.Errorf("%v, %v", got, err)
	}
	if list, err := c.Locations(ctx); err != nil || !slices.Equal(list, []client.Location{moved}) {
		t.Errorf("%v, %v", list, err)
	}
	if err := c.RemoveLocation(ctx, loc.ID); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	c, ctx := start(t, 0), t.Context()
	from := entity.Location{Type: "url", Target: "https://example.com/a.yaml"}
	if err := c.Validate(ctx, component("x", "service"), from); err != nil {
		t.Error(err)
	}
	wrong := component("x", "service")
	wrong.Delete("spec", "owner")
	var invalid *client.InvalidError
	if err := c.Validate(ctx, wrong, from); !errors.As(err, &invalid) || len(invalid.Problems) != 1 || !strings.Contains(err.Error(), "/spec/owner") {
		t.Errorf("%v", err)
	}
	if err := c.Validate(ctx, nil, from); !errors.Is(err, apierr.Input) || errors.As(err, &invalid) && len(invalid.Problems) == 0 {
		t.Errorf("%v", err)
	}
}

// TestReferencesGoInChunks: no request has more than a thousand references or 90 KiB of
// them, and the answer is one list.
func TestReferencesGoInChunks(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		refs []string
		want int // requests
	}{
		"none":                      {nil, 0},
		"a thousand":                {slices.Repeat([]string{"a:b/c"}, 1000), 1},
		"one more":                  {slices.Repeat([]string{"a:b/c"}, 1001), 2},
		"long ones":                 {slices.Repeat([]string{"a:b/" + strings.Repeat("c", 1000)}, 200), 3},
		"one that is longer itself": {[]string{"a:b/" + strings.Repeat("c", 100<<10), "a:b/c"}, 2},
	} {
		var mu sync.Mutex
		requests := 0
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			doc, _ := io.ReadAll(r.Body)
			n := strings.Count(string(doc), "a:b/")
			if n > 1000 || n > 1 && len(doc) > 91<<10 {
				t.Errorf("%s: %d references in %d bytes", name, n, len(doc))
			}
			mu.Lock()
			requests++
			mu.Unlock()
			fmt.Fprintf(w, `{"items":[%s]}`, strings.TrimSuffix(strings.Repeat("null,", n), ","))
		}))
		got, err := client.New(constant(s.URL), constant("t"), nil).ByRefs(t.Context(), tt.refs)
		s.Close()
		if err != nil || len(got) != len(tt.refs) || requests != tt.want {
			t.Errorf("%s: %d of %d in %d requests, want %d: %v", name, len(got), len(tt.refs), requests, tt.want, err)
		}
	}
}

// TestBrokenLists: a list that breaks off is an error, not a short list.
func TestBrokenLists(t *testing.T) {
	t.Parallel()
	for _, body := range []string{``, `[`, `[{"kind":"A"},`, `[{"kind":"A"}`, `{"items":[]}`, `[1]`, `[{"kind":"A"},{"ki`} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }))
		var last error
		for _, err := range client.New(constant(s.URL), constant("t"), nil).Entities(t.Context(), client.Selection{}) {
			last = err
		}
		s.Close()
		if last == nil {
			t.Errorf("%q is taken for a list", body)
		}
	}
}

// shrinking is a provider that lists all it is told to, so that a removal is held back.
type shrinking struct {
	mu   sync.Mutex
	n    int
	conn catalog.Connection
}

func (*shrinking) ProviderName() string { return "shrinking" }

func (s *shrinking) Connect(ctx context.Context, conn catalog.Connection) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = conn
	return s.list(ctx)
}

// list has n Components, one of which is not right.
func (s *shrinking) list(ctx context.Context) error {
	return s.conn.Replace(ctx, func(yield func(catalog.Deferred, error) bool) {
		for i := range s.n {
			e := component(fmt.Sprintf("s%03d", i), "service")
			if i == 0 {
				e.Delete("spec", "owner")
			}
			for _, key := range []string{entity.AnnotationManagedBy, entity.AnnotationManagedByOrigin} {
				e.SetAnnotation(key, "test:shrinking")
			}
			if !yield(catalog.Deferred{Entity: e}, nil) {
				return
			}
		}
	})
}

func TestOperating(t *testing.T) {
	t.Parallel()
	p := &shrinking{n: 60}
	module := backend.NewModule("catalog", "shrinking", fx.Invoke(func(x *catalog.Extensions) { x.AddEntityProvider(p) }))
	b := backendtest.Start(t, "", catalog.Plugin(), module)
	c, ctx := client.At(b.URL+"/api/catalog", b.As("user:default/alice")), t.Context()
	served := func() int {
		page, err := c.Query(ctx, client.QueryRequest{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		return page.Total
	}
	eventually(t, func() bool { return served() == 59 })

	failed, err := c.Failed(ctx, "")
	if err != nil || len(failed) != 1 || failed[0].Ref != "component:default/s000" || failed[0].Entity.Name() != "s000" || failed[0].UID == "" || failed[0].Discovered.IsZero() ||
		len(failed[0].Errors) != 1 || failed[0].Errors[0].Cause == nil || failed[0].Errors[0].Cause.Name != "TypeError" {
		t.Errorf("failed: %+v, %v", failed, err)
	}
	if list, err := c.Failed(ctx, "somebody"); err != nil || len(list) != 0 {
		t.Errorf("failed of somebody: %v, %v", list, err)
	}
	if list, err := c.Pending(ctx, ""); err != nil || len(list) != 0 {
		t.Errorf("pending: %v, %v", list, err)
	}
	if err := c.RemoveUnprocessed(ctx, failed[0].UID); err != nil {
		t.Error(err)
	}

	one, err := c.ByRef(ctx, entity.Ref{Kind: "component", Name: "s001"})
	if err != nil {
		t.Fatal(err)
	}
	if same, err := c.ByUID(ctx, one.UID()); err != nil || !same.Equal(one) {
		t.Errorf("by uid: %v, %v", same, err)
	}
	if _, err := c.ByUID(ctx, "nope"); !errors.Is(err, apierr.NotFound) {
		t.Errorf("by a uid that nobody has: %v", err)
	}

	p.mu.Lock()
	p.n = 20
	err = p.list(ctx)
	p.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	held, err := c.HeldRemovals(ctx)
	if err != nil || len(held) != 1 || held[0].Provider != "shrinking" || held[0].Removed != 40 || held[0].Answers >= held[0].Needed || len(held[0].EntityRefs) != 40 {
		t.Fatalf("held: %+v, %v", held, err)
	}
	if n, err := c.ReleaseHeldRemoval(ctx, "shrinking"); err != nil || n != 40 {
		t.Errorf("released %d, %v", n, err)
	}
	if _, err := c.ReleaseHeldRemoval(ctx, "shrinking"); !errors.Is(err, apierr.NotFound) {
		t.Errorf("released again: %v", err)
	}
	eventually(t, func() bool { return served() == 19 })

	var deleted []client.Deleted
	for after := ""; ; {
		page, next, err := c.Trash(ctx, after)
		if err != nil {
			t.Fatal(err)
		}
		deleted = append(deleted, page...)
		if after = next; after == "" {
			break
		}
	}
	if !slices.ContainsFunc(deleted, func(d client.Deleted) bool {
		return d.Ref == "component:default/s059" && d.Entity.Name() == "s059" && d.ExpiresAt.After(d.DeletedAt)
	}) {
		t.Errorf("trash: %d entities, %+v", len(deleted), deleted)
	}
	if err := c.Restore(ctx, entity.Ref{Kind: "component", Name: "s059"}); err != nil {
		t.Error(err)
	}
	if err := c.Restore(ctx, entity.Ref{Kind: "component", Name: "nope"}); !errors.Is(err, apierr.NotFound) {
		t.Errorf("restored what was never there: %v", err)
	}
	eventually(t, func() bool { _, err := c.ByRef(ctx, entity.Ref{Kind: "component", Name: "s059"}); return err == nil })

	if one, err = c.ByRef(ctx, entity.Ref{Kind: "component", Name: "s002"}); err != nil {
		t.Fatal(err)
	}
	if err := c.RemoveEntity(ctx, one.UID()); err != nil {
		t.Error(err)
	}
	if _, err := c.ByUID(ctx, one.UID()); !errors.Is(err, apierr.NotFound) {
		t.Errorf("a removed entity: %v", err)
	}
	if err := c.RemoveEntity(ctx, one.UID()); err != nil {
		t.Errorf("removed again: %v", err)
	}
}

func TestAnalyzeAndFindLocations(t *testing.T) {
	t.Parallel()
	c, ctx := start(t, 0), t.Context()
	got, err := c.Analyze(ctx, entity.Location{Type: "url", Target: "https://git.example.com/acme/thing"}, "")
	if err != nil || len(got.Existing) != 0 || len(got.Proposals) != 1 || got.Proposals[0].Entity.Name() != "thing" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.Analyze(ctx, entity.Location{Type: "url", Target: "thing"}, ""); !errors.Is(err, apierr.Input) {
		t.Error(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		if _, err := c.AddLocation(ctx, entity.Location{Type: "url", Target: "https://" + name + ".example.com/catalog-info.yaml"}); err != nil {
			t.Fatal(err)
		}
	}
	find := func(query client.Predicate) (targets []string) {
		for loc, err := range c.FindLocations(ctx, query) {
			if err != nil {
				t.Fatal(err)
			}
			targets = append(targets, loc.Target)
		}
		return targets
	}
	if n := len(find(nil)); n != 3 {
		t.Errorf("%d locations", n)
	}
	if got := find(client.Predicate{"target": map[string]any{"$hasPrefix": "https://b."}}); !slices.Equal(got, []string{"https://b.example.com/catalog-info.yaml"}) {
		t.Errorf("found %v", got)
	}
	for _, err := range c.FindLocations(ctx, client.Predicate{"kind": "x"}) {
		if !errors.Is(err, apierr.Input) {
			t.Error(err)
		}
	}
}
