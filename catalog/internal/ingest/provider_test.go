package ingest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/catalog/entity"
)

func TestListingThatFailsChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.provide("p", component("a", "kept", ""), component("b", "kept", ""))
		w.settle()
		for name, list := range map[string]func(func(Deferred, error) bool){
			"an error in the sequence": func(yield func(Deferred, error) bool) {
				_ = yield(component("a", "changed", ""), nil) && yield(Deferred{}, errors.New("page 2: 500"))
			},
			"an entity without a name": func(yield func(Deferred, error) bool) {
				_ = yield(component("c", "new", ""), nil) && yield(Deferred{Entity: entity.Entity{"kind": "Component"}}, nil)
			},
		} {
			if err := w.engine.Provider("p").Replace(t.Context(), list); err == nil {
				t.Errorf("%s: no error", name)
			}
			w.settle()
			w.expect("component:default/a kept", "component:default/b kept")
		}
	})
}

func TestDelta(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.provide("p", component("a", "1", ""), component("b", "1", ""))
		w.provide("q", component("c", "1", ""))
		w.settle()
		err := w.engine.Provider("p").Apply(t.Context(), []Deferred{component("a", "2", ""), component("d", "2", "")},
			[]string{"component:default/b", "component:default/c", "component:default/none"})
		if err != nil {
			t.Fatal(err)
		}
		w.settle()
		w.expect("component:default/a 2", "component:default/c 1", "component:default/d 2")
	})
}

func TestDuplicatesOfOneListing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.provide("p", component("a", "first", "k"), component("a", "last", "k"), component("b", "first", "k"), component("b", "other key", "l"))
		w.settle()
		w.expect("component:default/a last", "component:default/b first")
		if !strings.Contains(w.log.String(), "more than once") {
			t.Error("duplicates are not reported")
		}
	})
}

// A listing larger than what is kept in memory goes through a file.
func TestLargeListing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const n = 3000
		large := strings.Repeat("x", 4000)
		list := func(yield func(Deferred, error) bool) {
			for i := range n {
				if !yield(component(fmt.Sprintf("c%d", i), large, ""), nil) {
					return
				}
			}
		}
		if err := w.engine.Provider("p").Replace(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		count, err := w.store.CountDue(t.Context(), w.now())
		if err != nil || count != n {
			t.Fatalf("%d entities are due, %v; want %d", count, err, n)
		}
		if err := w.engine.Provider("p").Replace(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(w.log.String(), fmt.Sprintf("unchanged=%d", n)) {
			t.Error("the second listing was not found to be unchanged")
		}
	})
}

func TestMassDeletionGuard(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.engine.Guard = Guard{Share: 0.3, Minimum: 3}
		list := func(n int) (out []Deferred) {
			for i := range n {
				out = append(out, component(fmt.Sprintf("c%d", i), "", ""))
			}
			return out
		}
		count := func(want int, when string) {
			t.Helper()
			w.settle()
			if got := len(w.served()); got != want {
				t.Errorf("%s: %d entities are served, want %d", when, got, want)
			}
		}
		w.provide("p", list(10)...)
		count(10, "at first")
		w.provide("p", list(8)...)
		count(8, "a removal of a fifth")
		w.provide("p", list(2)...)
		count(8, "a removal of three quarters")
		w.provide("p", append(list(2), component("new", "", ""))...)
		count(9, "another one, with an addition")
		w.provide("p", append(list(2), component("new", "", ""))...)
		count(3, "the third equal answer")

		w.provide("p", list(10)...)
		w.provide("p")
		count(10, "an empty listing")
		w.provide("p", list(10)...)
		if held, err := w.store.HeldRemovals(t.Context()); err != nil || len(held) != 0 {
			t.Errorf("after a full listing, removals are still held: %v, %v", held, err)
		}
		w.provide("p", list(1)...)
		if removed, err := w.engine.ReleaseHeld(t.Context(), "p"); err != nil || removed != 9 {
			t.Fatal(removed, err)
		}
		count(1, "a released removal")
		if _, err := w.engine.ReleaseHeld(t.Context(), "p"); !errors.Is(err, apierr.NotFound) {
			t.Errorf("a removal that is not held is released: %v", err)
		}

		w.provide("p", list(10)...)
		w.provide("p", list(1)...)
		if err := w.engine.Provider("p").Apply(t.Context(), list(2), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := w.engine.ReleaseHeld(t.Context(), "p"); !errors.Is(err, apierr.NotFound) {
			t.Errorf("what was added since is still to be removed: %v", err)
		}
	})
}

func TestEvictionOfProvidersThatAreGone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.engine.Guard = Guard{Share: 0.1, Minimum: 1}
		w.provide("p", component("a", "", ""))
		w.provide("q", component("b", "", ""))
		w.settle()
		if err := w.engine.Evict(t.Context(), []string{"q"}); err != nil {
			t.Fatal(err)
		}
		w.settle()
		w.expect("component:default/b")
	})
}

func TestRefreshKeys(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("a.yaml", yamlComponent("a", "1"))
		w.provide("p", location("root", "a.yaml"))
		w.settle()
		w.file("a.yaml", yamlComponent("a", "2"))
		w.settle()
		w.expect("component:default/a 1", "location:default/root")
		if err := w.engine.RefreshKeys(t.Context(), "url:"+fileURL("a.yaml")); err != nil {
			t.Fatal(err)
		}
		w.settle()
		w.expect("component:default/a 2", "location:default/root")
	})
}

func TestDeletionsLeaveTombstones(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.provide("p", component("a", "", ""), component("b", "", ""))
		w.settle()
		w.provide("p", component("b", "", ""))
		w.settle()
		var seqs, last, tombstones int64
		row := w.db.QueryRow(t.Context(), db.Same(`SELECT (SELECT count(DISTINCT seq) FROM (SELECT seq FROM final_entities UNION ALL SELECT seq FROM final_deletions) x),
			(SELECT value FROM change_seq), (SELECT count(*) FROM final_deletions WHERE ref = 'component:default/a')`))
		if err := row.Scan(&seqs, &last, &tombstones); err != nil {
			t.Fatal(err)
		}
		if seqs != 2 || last != 3 || tombstones != 1 {
			t.Errorf("%d distinct change numbers up to %d, %d tombstones; want 2, 3, 1", seqs, last, tombstones)
		}
	})
}
