package ingest

import (
	"errors"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/entity"
)

func (w *world) undelete(ref, uid string) {
	w.t.Helper()
	got, err := w.engine.Undelete(w.t.Context(), ref)
	if err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	if got != uid || w.uid(ref) != uid {
		w.t.Errorf("%s came back with the uid %s, and serves %s; it had %s", ref, got, w.uid(ref), uid)
	}
}

func TestRemovedEntityComesBackFromTheTrash(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const x = "component:default/x"
		w.provide("p", component("x", "1", "key"), component("y", "1", "key"))
		w.settle()
		uid := w.uid(x)
		if _, err := w.engine.Undelete(t.Context(), x); !errors.Is(err, apierr.NotFound) {
			t.Errorf("an entity that was not deleted is restored: %v", err)
		}
		w.provide("p", component("y", "1", "key"))
		w.settle()
		w.expect("component:default/y 1")
		w.undelete(x, uid)
		w.expect("component:default/x 1", "component:default/y 1")
		if _, err := w.engine.Undelete(t.Context(), x); !errors.Is(err, apierr.NotFound) {
			t.Errorf("what came back is still in the trash: %v", err)
		}
		if _, err := w.engine.Delete(t.Context(), uid); err != nil {
			t.Fatal(err)
		}
		w.settle()
		w.expect("component:default/y 1")
		w.undelete(x, uid)

		// A source that has it again takes it over, and takes it along.
		w.provide("p", component("x", "2", "key"), component("y", "1", "key"))
		w.settle()
		if err := w.engine.LetGoOfRestored(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.settle()
		w.expect("component:default/x 2", "component:default/y 1")
		w.provide("p", component("y", "1", "key"))
		w.settle()
		w.expect("component:default/y 1")
		w.provide("q", component("x", "new", ""))
		w.settle()
		if _, err := w.engine.Undelete(t.Context(), x); !errors.Is(err, apierr.Conflict) {
			t.Errorf("an entity is restored over one that exists: %v", err)
		}
		w.provide("q")
		w.settle()
		w.advance(TrashKept + time.Minute)
		if _, err := w.engine.Undelete(t.Context(), x); !errors.Is(err, apierr.NotFound) {
			t.Errorf("an entity is restored after more than %s: %v", TrashKept, err)
		}
		if err := w.store.PruneTrash(t.Context(), w.now().Add(-TrashKept)); err != nil {
			t.Fatal(err)
		}
		if left, err := w.store.Trash(t.Context(), "", 10); err != nil || len(left) != 0 {
			t.Errorf("the trash has %v, %v", left, err)
		}
	})
}

func TestRestoredEntityWithoutKeyIsTakenOver(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("a.yaml", documents(yamlComponent("x", "1"), yamlComponent("y", "1")))
		w.provide("p", location("root", "a.yaml"))
		w.settle()
		uid := w.uid("component:default/x")
		w.file("a.yaml", yamlComponent("y", "1"))
		w.round()
		w.expect("component:default/y 1", "location:default/root")
		w.undelete("component:default/x", uid)
		w.round()
		w.expect("component:default/x 1", "component:default/y 1", "location:default/root")
		w.provide("q", component("x", "2", ""))
		w.settle()
		if err := w.engine.LetGoOfRestored(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.settle()
		w.expect("component:default/x 2", "component:default/y 1", "location:default/root")
		w.provide("q")
		w.settle()
		w.expect("component:default/y 1", "location:default/root")
	})
}

func TestRestoredLocationIsRegisteredAgain(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, locations := t.Context(), w.engine.Locations()
		w.file("a.yaml", yamlComponent("x", "1"))
		row, _, err := locations.Create(ctx, entity.Location{Type: "url", Target: fileURL("a.yaml")})
		if err != nil {
			t.Fatal(err)
		}
		w.settle()
		uid := w.uid(row.EntityRef)
		if err := locations.Delete(ctx, row.ID); err != nil {
			t.Fatal(err)
		}
		w.settle()
		w.expect()
		w.undelete(row.EntityRef, uid)
		w.expect(row.EntityRef, "component:default/x 1")
		checkLocations(t, w)
	})
}
