package ingest

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// A move is one thing that a replica does to the catalog of interleaved. What it needs
// is prepared before, up to the transaction that the other move comes into.
type move struct {
	name    string
	changes func(sets map[string][]Deferred) // of the sets, before; processed by commit only
	commit  string                           // whose outcome is stored; empty: do is called
	do      func(w *world) error
	empties string // the set of this provider
	uid     string // deletes the entity that had this reference
}

// interleavedSets are what three providers emit: one and two lead to the same nested
// Location, three to nothing yet.
func interleavedSets() map[string][]Deferred {
	return map[string][]Deferred{
		"p": {location("one", "a.yaml", "shared.yaml")},
		"q": {location("two", "shared.yaml")},
		"r": {location("three"), component("own", "r", "")},
	}
}

func interleavedFiles() map[string]string {
	return map[string]string{
		fileURL("a.yaml"):      yamlComponent("x", "a"),
		fileURL("shared.yaml"): documents(nested("n", "deep.yaml"), yamlComponent("s", "shared")),
		fileURL("deep.yaml"):   documents(yamlComponent("d1", "deep")),
		fileURL("deeper.yaml"): documents(yamlComponent("d2", "deep", "dependsOn: ['component:default/s']"), yamlComponent("d3", "deeper")),
	}
}

var moves = []move{
	{name: "one drops the file", commit: "location:default/one",
		changes: func(sets map[string][]Deferred) { sets["p"] = []Deferred{location("one", "a.yaml")} }},
	{name: "two drops the file", commit: "location:default/two",
		changes: func(sets map[string][]Deferred) { sets["q"] = []Deferred{location("two")} }},
	{name: "three gains the file", commit: "location:default/three",
		changes: func(sets map[string][]Deferred) {
			sets["r"] = []Deferred{location("three", "shared.yaml"), component("own", "r", "")}
		}},
	{name: "three gains the nested file", commit: "location:default/three",
		changes: func(sets map[string][]Deferred) {
			sets["r"] = []Deferred{location("three", "deeper.yaml"), component("own", "r", "")}
		}},
	{name: "the nested one is processed", commit: "location:default/n"},
	{name: "a component is processed", commit: "component:default/s"},
	{name: "the nested one is deleted", uid: "location:default/n"},
	{name: "one is deleted", uid: "location:default/one"},
	{name: "a component is deleted", uid: "component:default/s"},
	{name: "provider p goes", empties: "p"},
	{name: "provider q goes", empties: "q"},
	{name: "stitch", do: func(w *world) error { return w.stitcher.Drain(w.t.Context()) }},
	{name: "clean up", do: func(w *world) error {
		_, err := w.engine.DeleteOrphans(w.t.Context())
		return err
	}},
}

// TestInterleavings lets a second replica work at every statement of what a first one
// does, for pairs of moves, and expects what the moves one after the other lead to: no
// entity that was deleted is served, none is lost that is still emitted, and the rules
// between transactions hold. CI runs pairs of every sort, at every third statement;
// CALLBOARD_CATALOG_INTERLEAVE=all runs every pair at each of them, which takes long on PostgreSQL.
func TestInterleavings(t *testing.T) {
	t.Parallel()
	all := os.Getenv("CALLBOARD_CATALOG_INTERLEAVE") == "all"
	often := []string{
		"one drops the file / provider q goes", "two drops the file / three gains the file",
		"a component is processed / a component is deleted", "stitch / a component is deleted",
	}
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		t.Parallel()
		n := 0
		for i, first := range moves {
			for j, second := range moves {
				if i == j || !all && !slices.Contains(often, first.name+" / "+second.name) {
					continue
				}
				step := 3
				if all {
					step = 1
				}
				n += interleaved(t, d, first, second, step)
				if t.Failed() {
					return
				}
			}
		}
		t.Logf("%d interleavings", n)
	})
}

// interleaved runs second at statements of first in turn, and says how many that were.
func interleaved(t *testing.T, d db.DB, first, second move, step int) (n int) {
	last := interleavedSets()
	for _, m := range []move{first, second} {
		if m.changes != nil {
			m.changes(last)
		}
	}
	for _, p := range []string{first.empties, second.empties} {
		if p != "" {
			last[p] = nil
		}
	}
	want := alone(t, last)
	for at := 1; ; at += step {
		more := interleavedAt(t, d, first, second, at, last, want)
		if t.Failed() {
			t.Logf("%s, and at its statement %d: %s", first.name, at, second.name)
			return n
		}
		if !more {
			return n
		}
		n++
	}
}

func interleavedAt(t *testing.T, d db.DB, first, second move, at int, last map[string][]Deferred, want []string) (reached bool) {
	empty(t, d)
	spy := &spyDB{DB: d}
	a, b := newWorld(t, spy, Options{}), newWorld(t, d, Options{})
	b.time = a.time
	a.files, b.files = interleavedFiles(), interleavedFiles()
	sets := interleavedSets()
	provide := func() {
		for _, p := range slices.Sorted(maps.Keys(sets)) {
			a.provide(p, sets[p]...)
		}
	}
	provide()
	a.settle()
	for _, m := range []move{first, second} {
		if m.changes != nil {
			m.changes(sets)
		}
	}
	provide()
	runs := prepare(a, b, first, second)
	count, done := 0, make(chan error, 1)
	var deleted sync.Map
	spy.before = func(inTx bool) {
		if count++; count != at {
			return
		}
		reached = true
		go func() { done <- runs[1](&deleted) }()
		waitOrBlock(t, d, inTx, done)
	}
	err := runs[0](&deleted)
	spy.before = nil
	if !reached {
		return false
	}
	if err := <-done; err != nil {
		t.Errorf("%s: %v", second.name, err)
	}
	if err != nil {
		t.Errorf("%s: %v", first.name, err)
	}
	for _, e := range a.entities() {
		if ref, ok := deleted.Load(e.UID()); ok {
			t.Errorf("%s is served after it was deleted", ref)
		}
	}
	// What was deleted comes back with the next listing at the latest.
	sets = last
	provide()
	if _, err := a.engine.DeleteOrphans(t.Context()); err != nil {
		t.Error(err)
	}
	a.round()
	a.check()
	if got := a.served(); !slices.Equal(got, want) {
		t.Errorf("served:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	return true
}

// prepare readies both moves, the first one in the world a, the second one in b.
func prepare(a, b *world, first, second move) (runs [2]func(deleted *sync.Map) error) {
	ctx := a.t.Context()
	uids := map[string]string{}
	for ref, e := range a.entities() {
		uids[ref] = e.UID()
	}
	a.advance(10 * time.Minute) // all are due
	b.time = a.time
	due, err := a.store.ClaimDue(ctx, a.now(), 1000, time.Hour, time.Hour)
	if err != nil {
		a.t.Fatal(err)
	}
	for i, m := range []move{first, second} {
		w := []*world{a, b}[i]
		var batch []*finished
		for _, d := range due {
			if d.Ref == m.commit {
				d.ResultHash = nil // so that it is stored, also if nothing changed
				batch = append(batch, w.engine.process(ctx, d))
			}
		}
		runs[i] = func(deleted *sync.Map) error {
			switch {
			case m.uid != "":
				deleted.Store(uids[m.uid], m.uid)
				_, err := w.engine.Delete(ctx, uids[m.uid])
				return err
			case m.commit != "":
				_, err := w.engine.commit(ctx, batch)
				return err
			case m.empties != "":
				return w.replace(m.empties)
			}
			return m.do(w)
		}
	}
	if err := a.store.Tx(ctx, func(tx *store.Tx) error {
		return tx.QueueStitches(ctx, a.now(), []string{"location:default/n", "component:default/s", "component:default/x"})
	}); err != nil {
		a.t.Fatal(err)
	}
	return runs
}

// waitOrBlock waits until the second move is over, or waits for a lock that the first
// one holds. SQLite does not tell; there a writer waits for every transaction.
func waitOrBlock(t *testing.T, d db.DB, inTx bool, done chan error) {
	for {
		select {
		case err := <-done:
			done <- err
			return
		case <-time.After(time.Millisecond):
		}
		if db.DialectOf(d) == db.SQLite {
			if inTx {
				return
			}
			continue
		}
		var blocked int
		err := d.QueryRow(context.WithoutCancel(t.Context()), db.Same(
			`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)).Scan(&blocked)
		if err != nil || blocked > 0 {
			return
		}
	}
}

// alone is what sets come to in a catalog where nothing else happens.
func alone(t *testing.T, sets map[string][]Deferred) []string {
	w := newWorld(t, dbtest.Memory(t, store.Migrations()), Options{})
	w.files = interleavedFiles()
	for p, set := range sets {
		w.provide(p, set...)
	}
	w.settle()
	w.round()
	return w.served()
}

// empty makes the tables as migrations leave them, without the sequence of changes.
func empty(t testing.TB, d db.DB) {
	t.Helper()
	for _, table := range []string{"refresh_state", "relations", "search", "stitch_queue", "final_deletions", "held_removals", "locations", "refresh_claims", "trash"} {
		if _, err := d.Exec(t.Context(), db.Same(`DELETE FROM `+table)); err != nil {
			t.Fatal(err)
		}
	}
}
