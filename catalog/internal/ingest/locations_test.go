package ingest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// TestLocationChangesOfTwoReplicas lets one replica change the registered locations at
// every statement of a change that another one is making. Every target and every
// reference has one owner afterwards, the set is what the table says, and nobody gets
// an error but conflicts and what is not there.
func TestLocationChangesOfTwoReplicas(t *testing.T) {
	t.Parallel()
	at := func(name string) entity.Location { return entity.Location{Type: "url", Target: fileURL(name)} }
	type change func(ctx context.Context, l *Locations, id string) error
	changes := map[string]change{
		"PUT b": func(ctx context.Context, l *Locations, id string) error {
			_, err := l.Update(ctx, id, at("b.yaml"))
			return err
		},
		"POST a": func(ctx context.Context, l *Locations, _ string) error {
			_, _, err := l.Create(ctx, at("a.yaml"))
			return err
		},
		"POST b": func(ctx context.Context, l *Locations, _ string) error {
			_, _, err := l.Create(ctx, at("b.yaml"))
			return err
		},
		"DELETE":  func(ctx context.Context, l *Locations, id string) error { return l.Delete(ctx, id) },
		"restore": func(ctx context.Context, l *Locations, _ string) error { return l.Restore(ctx) },
	}
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		t.Parallel()
		run := func(first, second change, statement int) (reached bool) {
			empty(t, d)
			spy := &spyDB{DB: d}
			a, b := newWorld(t, spy, Options{}), newWorld(t, d, Options{})
			a.file("a.yaml", yamlComponent("x", "a"))
			a.file("b.yaml", yamlComponent("y", "b"))
			row, _, err := a.engine.Locations().Create(t.Context(), at("a.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			a.settle()
			count, done := 0, make(chan error, 1)
			spy.before = func(inTx bool) {
				if count++; count == statement {
					reached = true
					go func() { done <- second(t.Context(), b.engine.Locations(), row.ID) }()
					waitOrBlock(t, d, inTx, done)
				}
			}
			errs := []error{first(t.Context(), a.engine.Locations(), row.ID)}
			spy.before = nil
			if !reached {
				return false
			}
			for _, err := range append(errs, <-done) {
				if err != nil && !errors.Is(err, apierr.Conflict) && !errors.Is(err, apierr.NotFound) {
					t.Error(err)
				}
			}
			a.settle()
			checkLocations(t, a)
			return true
		}
		for _, pair := range [][2]string{{"PUT b", "POST a"}, {"POST a", "PUT b"}, {"PUT b", "POST b"}, {"POST b", "PUT b"}, {"restore", "POST b"}, {"DELETE", "PUT b"}} {
			first, second := changes[pair[0]], changes[pair[1]]
			for statement := 1; run(first, second, statement); statement++ {
				if t.Failed() {
					t.Fatalf("%s, and at its statement %d: %s", pair[0], statement, pair[1])
				}
			}
		}
	})
}

// checkLocations compares what is served with the table.
func checkLocations(t *testing.T, w *world) {
	t.Helper()
	rows, err := w.engine.Locations().List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, e := range w.entities() {
		if e.Kind() == "Location" {
			targets[e.Ref().String()+" "+e.SpecString("target")] = true
		}
	}
	if len(targets) != len(rows) {
		t.Errorf("%d locations are registered, and %d are served: %v and %v", len(rows), len(targets), rows, targets)
	}
	owners := map[string]string{}
	for _, row := range rows {
		for _, key := range []string{row.EntityRef, row.Type + ":" + row.Target} {
			if other := owners[key]; other != "" {
				t.Errorf("%s belongs to %s and to %s", key, other, row.ID)
			}
			owners[key] = row.ID
		}
		if !targets[fmt.Sprint(row.EntityRef, " ", row.Target)] {
			t.Errorf("%v is not served as it is registered: %v", row, targets)
		}
	}
	w.check()
}
