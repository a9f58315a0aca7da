package ingest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/catalog/entity"
)

// TestLocationKeyMatrix is the table of contract/catalog.md 3.5, once for providers and
// once for what processing emits.
func TestLocationKeyMatrix(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, existing, incoming, want string
	}{
		{"none and none: the later one updates", "", "", "second"},
		{"none and K: the later one updates and claims", "", "K", "second"},
		{"K and K: the later one updates", "K", "K", "second"},
		{"K and another: the existing one wins", "K", "L", "first"},
		{"K and none: the existing one wins", "K", "", "first"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.provide("p", component("x", "first", tt.existing))
				w.settle()
				uid := w.uid("component:default/x")
				w.provide("q", component("x", "second", tt.incoming))
				w.settle()
				w.expect("component:default/x " + tt.want)
				if got := w.uid("component:default/x"); got != uid {
					t.Errorf("uid changed from %s to %s", uid, got)
				}
				// One edge per source: whoever goes, the other one still emits it.
				w.provide("p")
				w.settle()
				w.expect("component:default/x second")
				w.provide("q")
				w.settle()
				w.expect()
			})
		})
	}
}

func TestFileThatDefinesWhatAnotherHoldsWaits(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("a.yaml", yamlComponent("x", "in a"))
		w.file("b.yaml", yamlComponent("x", "in b"))
		w.provide("p", location("root", "a.yaml", "b.yaml"))
		w.settle()
		w.expect("component:default/x in a", "location:default/root")
		if n := strings.Count(w.log.String(), "claimed from two places"); n != 1 {
			t.Errorf("the conflict was logged %d times, want once", n)
		}
		w.round()
		w.round()
		if n := strings.Count(w.log.String(), "claimed from two places"); n != 1 {
			t.Errorf("after two more rounds the conflict was logged %d times, want once", n)
		}
		uid := w.uid("component:default/x")
		w.file("a.yaml", yamlComponent("y", "in a"))
		w.round()
		w.expect("component:default/x in b", "component:default/y in a", "location:default/root")
		if w.uid("component:default/x") != uid {
			t.Error("the entity got another uid when it was handed over")
		}
	})
}

// Two Locations lead to one file, one of them after it led to another that defined the
// same: what it held passes to both of them at once.
func TestTwoSourcesOfOneFileTakeOverTogether(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.provide("p", location("one", "new.yaml"))
		w.settle()
		w.file("old.yaml", yamlComponent("x", "old"))
		w.provide("q", location("two", "old.yaml"))
		w.settle()
		w.file("new.yaml", yamlComponent("x", "new"))
		w.provide("q", location("two", "new.yaml"))
		w.round()
		w.expect("component:default/x new", "location:default/one", "location:default/two")
		w.provide("q")
		w.settle()
		w.expect("component:default/x new", "location:default/one")
	})
}

// TestMoveBetweenLocations moves an entity from one file to another, of another
// Location, with the two Locations processed in either order (upstream #14042).
func TestMoveBetweenLocations(t *testing.T) {
	for _, order := range []string{"the new place is read first", "both are read at once"} {
		t.Run(order, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.file("a.yaml", documents(yamlComponent("x", "old"), yamlComponent("stays", "a")))
				w.file("b.yaml", yamlComponent("other", "b"))
				w.provide("p", location("one", "a.yaml"), location("two", "b.yaml"))
				w.settle()
				uid := w.uid("component:default/x")
				w.file("b.yaml", documents(yamlComponent("other", "b"), yamlComponent("x", "new")))
				if order == "the new place is read first" {
					if found, err := w.engine.Refresh(t.Context(), "location:default/two"); err != nil || !found {
						t.Fatal(found, err)
					}
					w.settle()
				}
				w.file("a.yaml", yamlComponent("stays", "a"))
				w.round()
				w.expect("component:default/x new", "component:default/other b", "component:default/stays a", "location:default/one", "location:default/two")
				if w.uid("component:default/x") != uid {
					t.Error("the entity got another uid when it moved")
				}
			})
		})
	}
}

func TestMoveBetweenTargetsOfOneLocation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("a.yaml", yamlComponent("x", "a"))
		w.file("b.yaml", yamlComponent("y", "b"))
		w.provide("p", location("root", "a.yaml", "b.yaml"))
		w.settle()
		uid := w.uid("component:default/x")
		w.file("a.yaml", yamlComponent("z", "a"))
		w.file("b.yaml", documents(yamlComponent("y", "b"), yamlComponent("x", "b")))
		w.round()
		w.expect("component:default/x b", "component:default/y b", "component:default/z a", "location:default/root")
		if w.uid("component:default/x") != uid {
			t.Error("the entity got another uid when it moved")
		}
	})
}

func TestHolderWhoseLocationIsGone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("a.yaml", yamlComponent("x", "in a"))
		w.file("b.yaml", yamlComponent("x", "in b"))
		w.provide("p", location("one", "a.yaml"))
		w.settle()
		w.provide("q", location("two", "b.yaml"))
		w.settle()
		w.expect("component:default/x in a", "location:default/one", "location:default/two")
		w.provide("p")
		w.settle()
		w.expect("component:default/x in b", "location:default/two")
	})
}

func TestChildOfTwoParentsStaysWhileOneEmitsIt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("shared.yaml", yamlComponent("x", "shared"))
		w.provide("p", location("one", "shared.yaml"), location("two", "shared.yaml"))
		w.settle()
		w.expect("component:default/x shared", "location:default/one", "location:default/two")
		w.round() // processing one parent must not take the other one's edge
		w.provide("p", location("two", "shared.yaml"))
		w.settle()
		w.expect("component:default/x shared", "location:default/two")
		w.provide("p", location("two"))
		w.settle()
		w.expect("location:default/two")
	})
}

// nested is a Location as a document of a file.
func nested(name string, files ...string) string {
	targets := make([]string, len(files))
	for i, f := range files {
		targets[i] = fileURL(f)
	}
	return fmt.Sprintf("apiVersion: backstage.io/v1alpha1\nkind: Location\nmetadata: {name: %s}\nspec: {type: url, targets: [%s]}\n", name, strings.Join(targets, ", "))
}

func TestEagerDeletion(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		// root -> a -> b -> a is a cycle; c hangs on b; shared is emitted by other, too.
		w.file("a.yaml", nested("a", "b.yaml"))
		w.file("b.yaml", nested("b", "a.yaml", "c.yaml", "shared.yaml"))
		w.file("c.yaml", yamlComponent("c", "deep"))
		w.file("shared.yaml", yamlComponent("shared", "both"))
		w.provide("p", location("root", "a.yaml"), location("other", "shared.yaml"))
		w.settle()
		w.expect("location:default/root", "location:default/a", "location:default/b", "location:default/other",
			"component:default/c deep", "component:default/shared both")
		w.provide("p", location("other", "shared.yaml"))
		w.settle()
		w.expect("location:default/other", "component:default/shared both")
	})
}

func TestCycleThatNobodyEmitsIsAnOrphan(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("a.yaml", nested("a", "b.yaml"))
		w.file("b.yaml", nested("b", "a.yaml"))
		w.provide("p", location("root", "a.yaml"))
		w.settle()
		w.expect("location:default/root", "location:default/a", "location:default/b")
		w.provide("p", location("root"))
		w.settle()
		w.expect("location:default/root")
	})
}

func TestOrphansAreKeptOnRequest(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.engine.KeepOrphans = true
		w.file("a.yaml", nested("a", "b.yaml"))
		w.file("b.yaml", yamlComponent("b", "deep"))
		w.provide("p", location("root", "a.yaml"))
		w.settle()
		w.provide("p", location("root"))
		w.settle()
		w.expect("location:default/root", "location:default/a (orphan)", "component:default/b deep")
		w.provide("p", location("root", "a.yaml"))
		w.settle()
		w.expect("location:default/root", "location:default/a", "component:default/b deep")
	})
}

func TestChildThatNeverSucceededGoesWithItsParentsWish(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.engine.KeepOrphans = true
		w.file("a.yaml", "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: bad}\nspec: {}\n")
		w.provide("p", location("root", "a.yaml"))
		w.settle()
		w.file("a.yaml", yamlComponent("good", ""))
		w.round()
		w.expect("location:default/root", "component:default/good")
		if states, err := w.store.States(t.Context(), []string{"component:default/bad"}); err != nil || len(states) != 0 {
			t.Errorf("the entity that never succeeded is still there: %v, %v", states, err)
		}
	})
}

func TestDeletedEntityComesBackFromItsSources(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.versions = true
		w.file("a.yaml", documents(yamlComponent("x", "a"), yamlComponent("y", "a")))
		w.provide("p", location("root", "a.yaml"))
		w.settle()
		uid := w.uid("component:default/x")
		if ref, err := w.engine.Delete(t.Context(), uid); err != nil || ref != "component:default/x" {
			t.Fatal(ref, err)
		}
		w.settle()
		w.expect("location:default/root", "component:default/x a", "component:default/y a")
		if w.uid("component:default/x") == uid {
			t.Error("the entity came back with its old uid")
		}
		if ref, err := w.engine.Delete(t.Context(), uid); err != nil || ref != "" {
			t.Errorf("deleting it again: %q, %v", ref, err)
		}
	})
}

func TestRegisteredLocations(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, locations := t.Context(), w.engine.Locations()
		w.engine.Restorable(RegisteredLocations, locations.Restore)
		w.file("a.yaml", yamlComponent("x", "a"))
		w.file("b.yaml", yamlComponent("y", "b"))
		a := entity.Location{Type: "url", Target: fileURL("a.yaml")}
		b := entity.Location{Type: "url", Target: fileURL("b.yaml")}
		row, created, err := locations.Create(ctx, a)
		if err != nil || !created {
			t.Fatal(created, err)
		}
		if again, created, err := locations.Create(ctx, a); err != nil || created || again != row {
			t.Errorf("registered again: %v, %v, %v", again, created, err)
		}
		w.settle()
		w.expect(row.EntityRef, "component:default/x a")
		if _, err := w.engine.Delete(ctx, w.uid(row.EntityRef)); err != nil {
			t.Fatal(err)
		}
		w.settle()
		w.expect(row.EntityRef, "component:default/x a")
		moved, err := locations.Update(ctx, row.ID, b)
		if err != nil {
			t.Fatal(err)
		}
		w.settle()
		w.expect(moved.EntityRef, "component:default/y b")
		if err := locations.Delete(ctx, row.ID); err != nil {
			t.Fatal(err)
		}
		w.settle()
		w.expect()
		if err := locations.Delete(ctx, row.ID); err == nil {
			t.Error("deleting it twice is no error")
		}
	})
}
