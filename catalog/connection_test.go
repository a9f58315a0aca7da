package catalog_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/catalogtest"
	"github.com/callboard-dev/callboard/catalog/client"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// open is a provider that hands its connection out.
type open chan catalog.Connection

func (open) ProviderName() string { return "open" }

func (o open) Connect(_ context.Context, conn catalog.Connection) error {
	o <- conn
	return nil
}

// TestConnections holds that the catalog's connection and the one of catalogtest obey the
// same rules: what is tested against the one works with the other.
func TestConnections(t *testing.T) {
	t.Parallel()
	t.Run("Recorder", func(t *testing.T) {
		t.Parallel()
		var r catalogtest.Recorder
		connectionRules(t, &r, func(string) []string { return r.Refs() })
	})
	t.Run("Catalog", func(t *testing.T) {
		t.Parallel()
		o := make(open, 1)
		b := backendtest.Start(t, "catalog: {massDeletionGuard: false}\n", catalog.Plugin(),
			backend.NewModule("catalog", "open", fx.Invoke(func(x *catalog.Extensions) { x.AddEntityProvider(o) })))
		c := client.At(b.URL+"/api/catalog", b.As("user:default/alice"))
		connectionRules(t, <-o, func(want string) (refs []string) {
			for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				refs = nil
				for e, err := range c.Entities(t.Context(), client.Selection{}) {
					if err != nil {
						t.Fatal(err)
					}
					refs = append(refs, e.Ref().String())
				}
				slices.Sort(refs)
				if strings.Join(refs, " ") == want || time.Now().After(deadline) {
					return refs
				}
			}
		})
	})
}

// connectionRules holds a connection, whose set is empty, to its rules. set waits until
// the set is what is wanted, if it has to, and returns it.
func connectionRules(t *testing.T, conn catalog.Connection, set func(want string) []string) {
	ctx := t.Context()
	group := func(name string) catalog.Deferred {
		e := entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "Group", "metadata": map[string]any{"name": name}, "spec": map[string]any{"type": "team", "children": []any{}}}
		e.SetAnnotation(entity.AnnotationManagedBy, "open:"+name)
		e.SetAnnotation(entity.AnnotationManagedByOrigin, "open:"+name)
		return catalog.Deferred{Entity: e, LocationKey: "open"}
	}
	list := func(end error, names ...string) iter.Seq2[catalog.Deferred, error] {
		return func(yield func(catalog.Deferred, error) bool) {
			for _, name := range names {
				if !yield(group(name), nil) {
					return
				}
			}
			if end != nil {
				yield(catalog.Deferred{}, end)
			}
		}
	}
	is := func(rule string, names ...string) {
		t.Helper()
		var refs []string
		for _, n := range names {
			refs = append(refs, "group:default/"+n)
		}
		want := strings.Join(refs, " ")
		if got := strings.Join(set(want), " "); got != want {
			t.Errorf("%s: the set is %q, want %q", rule, got, want)
		}
	}
	broken := errors.New("the source is away")

	if err := conn.Replace(ctx, list(nil, "a", "b")); err != nil {
		t.Fatal(err)
	}
	is("Replace makes the whole set", "a", "b")
	if err := conn.Replace(ctx, list(broken, "c")); !errors.Is(err, broken) {
		t.Errorf("a listing that fails: %v", err)
	}
	is("a listing that fails changes nothing", "a", "b")
	if err := conn.Replace(ctx, list(nil, "a", "")); err == nil {
		t.Error("an entity without a name is taken")
	}
	is("an entity that cannot be named rejects the whole listing", "a", "b")
	if err := conn.Replace(ctx, list(nil, "b", "c")); err != nil {
		t.Error(err)
	}
	is("Replace removes what is not listed any more", "b", "c")
	if err := conn.Apply(ctx, []catalog.Deferred{group("d")}, []catalog.Deferred{group("b"), group("nobody")}); err != nil {
		t.Error(err)
	}
	is("Apply adds and removes, and leaves the rest", "c", "d")
	if err := conn.Apply(ctx, []catalog.Deferred{group("e"), group("")}, []catalog.Deferred{group("c")}); err == nil {
		t.Error("an entity without a name is added")
	}
	is("Apply changes all or nothing", "c", "d")
	own := group("f")
	if err := conn.Apply(ctx, []catalog.Deferred{own}, nil); err != nil {
		t.Error(err)
	}
	own.Entity.Set("changed", "metadata", "name")
	is("what callers do to their entities afterwards is theirs", "c", "d", "f")
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := conn.Replace(ended, list(nil, "g")); err == nil {
		t.Error("a listing whose context has ended is taken")
	}
	is("a listing that is interrupted changes nothing", "c", "d", "f")
	if err := conn.Refresh(ctx, "open:nothing"); err != nil {
		t.Error(err)
	}
	if err := conn.Replace(ctx, list(nil)); err != nil {
		t.Error(err)
	}
	is("an empty listing empties the set")
}

func TestStart(t *testing.T) {
	t.Parallel()
	team := entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "Group", "metadata": map[string]any{"name": "team"}, "spec": map[string]any{"type": "team", "children": []any{}}}
	c := catalogtest.Start(t, "", []entity.Entity{team})
	if e, err := c.ByRef(t.Context(), entity.Ref{Kind: "group", Name: "team"}); err != nil || e.SpecString("type") != "team" {
		t.Errorf("%v, %v", e, err)
	}
}
