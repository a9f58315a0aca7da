package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// A replica is a world whose engine and stitcher run on their own.
type replica struct {
	*world
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func startReplica(w *world) *replica {
	ctx, cancel := context.WithCancel(context.Background())
	r := &replica{world: w, cancel: cancel}
	r.done.Go(func() { w.engine.Run(ctx) })
	r.done.Go(func() { w.stitcher.Run(ctx) })
	return r
}

func (r *replica) stop() {
	r.cancel()
	r.done.Wait()
}

// rest waits until no work is left on the database, and none in the replicas.
func rest(t *testing.T, replicas ...*replica) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w := replicas[0].world
	for quiet := 0; quiet < 3; {
		due, err := w.store.CountDue(ctx, w.now())
		if err != nil {
			t.Fatalf("the replicas do not come to rest: %v; log:\n%s", err, w.log)
		}
		queued, err := w.store.CountStitches(ctx)
		if err != nil {
			t.Fatal(err)
		}
		orphans, err := w.store.Orphans(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		left := due + queued + int64(len(orphans))
		for _, r := range replicas {
			left += r.engine.inFlight.Load()
		}
		if quiet++; left > 0 {
			quiet = 0
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestReplicasShareTheWork runs several engines on one database, restarting them while
// two providers change their sets, and compares the end with what one stepped engine
// makes of the last sets.
func TestReplicasShareTheWork(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		t.Parallel()
		files := map[string]string{}
		const n = 40
		for f := range 10 {
			var docs []string
			for i := range n {
				docs = append(docs, yamlComponent(fmt.Sprintf("c%d-%d", f, i), "", "dependsOn: ['component:hub']"))
			}
			files[fileURL(fmt.Sprintf("f%d.yaml", f))] = documents(docs...)
		}
		sets := func(round int) (p, q []Deferred) {
			for f := range 10 {
				if (f+round)%3 != 0 {
					p = append(p, location(fmt.Sprintf("l%d", f), fmt.Sprintf("f%d.yaml", f)))
				}
			}
			q = []Deferred{component("hub", fmt.Sprint(round), ""), component(fmt.Sprintf("q%d", round), "", "")}
			return p, q
		}
		fresh := func() *world {
			w := newWorld(t, d, Options{PollInterval: 20 * time.Millisecond})
			w.files = maps.Clone(files)
			return w
		}
		replicas := []*replica{startReplica(fresh()), startReplica(fresh()), startReplica(fresh())}
		const rounds = 6
		for round := range rounds {
			p, q := sets(round)
			var changes sync.WaitGroup
			for i, change := range []struct {
				provider string
				list     []Deferred
			}{{"p", p}, {"q", q}, {"p", p}} {
				changes.Go(func() {
					err := replicas[i].engine.Provider(change.provider).Replace(t.Context(), sequence(change.list))
					if err != nil && !errors.Is(err, context.Canceled) {
						t.Errorf("round %d: %v", round, err)
					}
				})
			}
			changes.Wait()
			// One replica goes in the middle of the work, and another one comes.
			i := round % len(replicas)
			replicas[i].stop()
			replicas[i] = startReplica(fresh())
		}
		rest(t, replicas...)
		for _, r := range replicas {
			r.stop()
		}
		got := replicas[0].served()
		replicas[0].check()

		alone := newWorld(t, dbtest.Memory(t, store.Migrations()), Options{})
		alone.files = maps.Clone(files)
		p, q := sets(rounds - 1)
		alone.provide("p", p...)
		alone.provide("q", q...)
		alone.settle()
		if want := alone.served(); !slices.Equal(got, want) {
			t.Errorf("the replicas serve %d entities, one alone %d:\n%v\n%v", len(got), len(want), got, want)
		}
		hub := func(w *world) int { return len(w.entities()["component:default/hub"]["relations"].([]any)) }
		if a, b := hub(replicas[0].world), hub(alone); a != b {
			t.Errorf("the hub has %d relations, alone %d", a, b)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t, store.Migrations()), Options{})
	before := goleak.IgnoreCurrent()
	w.file("a.yaml", yamlComponent("x", "1"))
	w.provide("p", location("root", "a.yaml"))
	r := startReplica(w)
	rest(t, r)
	r.stop()
	goleak.VerifyNone(t, before)
	w.expect("component:default/x 1", "location:default/root")
}
