package ingest

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// spyDB counts statements, and can be told to fail from the nth on, as a server does
// that is killed.
type spyDB struct {
	db.DB
	mu     sync.Mutex
	texts  []string
	killAt int             // 0: never
	before func(inTx bool) // called ahead of every statement; nil: not
}

// errKilled is what every statement yields after the kill.
var errKilled = fmt.Errorf("connection lost: %w", context.Canceled)

func (s *spyDB) see(text string, inTx bool) error {
	if s.before != nil {
		s.before(inTx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts = append(s.texts, strings.TrimSpace(text))
	if s.killAt > 0 && len(s.texts) >= s.killAt {
		return errKilled
	}
	return nil
}

// take returns the statements since the last call.
func (s *spyDB) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	texts := s.texts
	s.texts = nil
	return texts
}

func (s *spyDB) Exec(ctx context.Context, q db.SQL, args ...any) (int64, error) {
	if err := s.see(q.SQLite+q.Postgres, false); err != nil {
		return 0, err
	}
	return s.DB.Exec(ctx, q, args...)
}

func (s *spyDB) Query(ctx context.Context, q db.SQL, args ...any) (db.Rows, error) {
	if err := s.see(q.SQLite+q.Postgres, false); err != nil {
		return nil, err
	}
	return s.DB.Query(ctx, q, args...)
}

func (s *spyDB) QueryRow(ctx context.Context, q db.SQL, args ...any) db.Row {
	if err := s.see(q.SQLite+q.Postgres, false); err != nil {
		return failedRow{err}
	}
	return s.DB.QueryRow(ctx, q, args...)
}

func (s *spyDB) Tx(ctx context.Context, fn func(db.Conn) error) error {
	return s.DB.Tx(ctx, func(c db.Conn) error {
		if err := fn(&spyConn{c, s}); err != nil {
			return err
		}
		return s.see("COMMIT", true)
	})
}

type spyConn struct {
	db.Conn
	s *spyDB
}

func (c *spyConn) Exec(ctx context.Context, q db.SQL, args ...any) (int64, error) {
	if err := c.s.see(q.SQLite+q.Postgres, true); err != nil {
		return 0, err
	}
	return c.Conn.Exec(ctx, q, args...)
}

func (c *spyConn) Query(ctx context.Context, q db.SQL, args ...any) (db.Rows, error) {
	if err := c.s.see(q.SQLite+q.Postgres, true); err != nil {
		return nil, err
	}
	return c.Conn.Query(ctx, q, args...)
}

func (c *spyConn) QueryRow(ctx context.Context, q db.SQL, args ...any) db.Row {
	if err := c.s.see(q.SQLite+q.Postgres, true); err != nil {
		return failedRow{err}
	}
	return c.Conn.QueryRow(ctx, q, args...)
}

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

func writes(texts []string) (out []string) {
	for _, text := range texts {
		if !strings.HasPrefix(text, "SELECT") && text != "COMMIT" {
			out = append(out, text)
		}
	}
	return out
}

func TestRoundWithoutChangesWritesOnlyTheSchedule(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		t.Parallel()
		spy := &spyDB{DB: d}
		w := newWorld(t, spy, Options{})
		const n = 300
		var docs []string
		for i := range n {
			docs = append(docs, yamlComponent(fmt.Sprintf("c%d", i), "", "system: shop"))
		}
		w.file("a.yaml", documents(docs...))
		w.provide("p", location("root", "a.yaml"))
		w.settle()
		w.expect(w.served()...)
		if got := len(w.served()); got != n+1 {
			t.Fatalf("%d entities are served, want %d", got, n+1)
		}
		spy.take()
		w.provide("p", location("root", "a.yaml"))
		for _, text := range writes(spy.take()) {
			if !strings.Contains(text, "pg_advisory_xact_lock") && !strings.Contains(text, "held_removals") {
				t.Errorf("an equal listing wrote: %s", text)
			}
		}
		w.round()
		texts := spy.take()
		for _, text := range writes(texts) {
			if !strings.HasPrefix(text, "UPDATE refresh_queue") && !strings.HasPrefix(text, "UPDATE stitch_queue") && !strings.HasPrefix(text, "WITH due") {
				t.Errorf("a round without changes wrote: %s", text)
			}
		}
		if w.stitched != n+1 {
			t.Errorf("%d final entities were written for %d entities", w.stitched, n+1)
		}
	})
}

// A round of many entities in which nothing changed is about claiming them: at most one
// statement for a hundred, and none that writes more than the schedule.
func TestRoundWithoutChangesCostsFewStatements(t *testing.T) {
	t.Parallel()
	n := 500
	if s := os.Getenv("CALLBOARD_CATALOG_ENTITIES"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		t.Parallel()
		spy := &spyDB{DB: d}
		w := newWorld(t, spy, Options{})
		var list []Deferred
		for i := range n {
			list = append(list, component(fmt.Sprintf("c%d", i), "", ""))
		}
		w.provide("p", list...)
		w.settle()
		w.advance(10 * time.Minute)
		spy.take()
		ctx := t.Context()
		processed := 0
		for {
			due, err := w.store.ClaimDue(ctx, w.now(), w.engine.Batch, w.engine.IntervalMin, w.engine.IntervalMax)
			if err != nil {
				t.Fatal(err)
			}
			if len(due) == 0 {
				break
			}
			var batch []*finished
			for _, d := range due {
				batch = append(batch, w.engine.process(ctx, d))
			}
			w.engine.inFlight.Add(int64(len(batch)))
			w.engine.settle(ctx, batch)
			processed += len(batch)
		}
		texts := spy.take()
		if processed != n || len(texts) > n/100 {
			t.Errorf("%d statements for %d of %d entities, want one for a hundred", len(texts), processed, n)
		}
		for _, text := range writes(texts) {
			if !strings.HasPrefix(text, "UPDATE refresh_queue") && !strings.HasPrefix(text, "WITH due") {
				t.Errorf("a round without changes wrote: %s", text)
			}
		}
	})
}

// Users of one group each change the group's relations; the group is stitched once for
// itself, and once for all of them.
func TestUsersOfOneGroupStitchItTwice(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const n = 120
		docs := []string{"apiVersion: backstage.io/v1alpha1\nkind: Group\nmetadata: {name: all}\nspec: {type: team, children: []}\n"}
		for i := range n {
			docs = append(docs, fmt.Sprintf("apiVersion: backstage.io/v1alpha1\nkind: User\nmetadata: {name: u%d}\nspec: {memberOf: [all]}\n", i))
		}
		w.file("org.yaml", documents(docs...))
		w.provide("p", location("root", "org.yaml"))
		for {
			// In small batches, with the stitcher running after each.
			due, err := w.store.ClaimDue(t.Context(), w.now(), 10, w.engine.IntervalMin, w.engine.IntervalMax)
			if err != nil {
				t.Fatal(err)
			}
			if len(due) == 0 {
				break
			}
			var batch []*finished
			for _, d := range due {
				batch = append(batch, w.engine.process(t.Context(), d))
			}
			w.engine.inFlight.Add(int64(len(batch)))
			w.engine.settle(t.Context(), batch)
			if err := w.stitcher.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w.settle()
		if got := len(w.entities()["group:default/all"]["relations"].([]any)); got != n {
			t.Errorf("the group has %d relations, want %d", got, n)
		}
		if most := n + 1 + 1 + 1; w.stitched > most {
			t.Errorf("%d stitches for %d users, a group and a Location; want at most %d", w.stitched, n, most)
		}
	})
}

func TestUnchangedLocationIsNotReadAgain(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.versions = true
		w.file("a.yaml", documents(yamlComponent("x", "a"), yamlComponent("y", "a")))
		w.provide("p", location("root", "a.yaml"))
		w.settle()
		w.round()
		w.round()
		if w.reads != 1 {
			t.Errorf("the file was read %d times, want once", w.reads)
		}
		w.expect("component:default/x a", "component:default/y a", "location:default/root")

		// The rules are applied to what was not read again, too.
		w.mu.Lock()
		w.rules = Rules{{Allow: []AllowedKind{{Kind: "Location"}}}}
		w.mu.Unlock()
		w.file("b.yaml", yamlComponent("z", "b"))
		w.provide("q", location("late", "b.yaml"))
		w.round()
		// What is served stays; what is new does not come.
		w.expect("component:default/x a", "component:default/y a", "location:default/root (errors)")
	})
}

func TestFailuresKeepWhatIsServed(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("a.yaml", documents(yamlComponent("x", "1"), yamlComponent("y", "1")))
		w.provide("p", location("root", "a.yaml"))
		w.settle()
		before := w.entities()["component:default/x"]
		w.file("a.yaml", documents(
			"apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata:\n  name: x\nspec:\n  type: service\n  lifecycle: \"\"\n  owner: team\n",
			yamlComponent("y", "2")))
		w.round()
		w.expect("component:default/x 1 (errors)", "component:default/y 2", "location:default/root")
		e := w.entities()["component:default/x"]
		if e.UID() != before.UID() || e.ETag() == before.ETag() {
			t.Error("an error should change the etag and not the uid")
		}
		items, _ := e.Get("status", "items")
		if text := fmt.Sprint(items); !strings.Contains(text, "a.yaml:7:14: /spec/lifecycle") {
			t.Errorf("the error has no place: %s", text)
		}
		n := strings.Count(w.log.String(), "processing an entity failed")
		w.round()
		if again := strings.Count(w.log.String(), "processing an entity failed"); again != n {
			t.Error("an error that stayed the same was logged again")
		}
		w.file("a.yaml", documents(yamlComponent("x", "1"), yamlComponent("y", "2")))
		w.round()
		w.round()
		w.expect("component:default/x 1", "component:default/y 2", "location:default/root")
		if w.entities()["component:default/x"].ETag() != before.ETag() {
			t.Error("equal content has another etag than before")
		}
	})
}

func TestOneBadDocumentDoesNotStopItsSiblings(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("a.yaml", documents(yamlComponent("x", "1"), yamlComponent("y", "1"), yamlComponent("z", "1")))
		w.provide("p", location("root", "a.yaml"))
		w.settle()
		w.file("a.yaml", documents(yamlComponent("x", "2"), "a: [\n", yamlComponent("z", "2"), yamlComponent("new", "2")))
		w.round()
		w.expect("component:default/x 2", "component:default/y 1", "component:default/z 2", "component:default/new 2", "location:default/root (errors)")
		w.file("a.yaml", documents(yamlComponent("x", "3"), "apiVersion: backstage.io/v1alpha1\nkind: Template\nmetadata: {name: t}\nspec: {}\n"))
		w.round()
		w.expect("component:default/x 3", "location:default/root (errors)")
	})
}

func TestUnreadableLocationsDeleteNothing(t *testing.T) {
	for _, kind := range []apierr.Kind{apierr.Authentication, apierr.NotAllowed, apierr.NotFound, apierr.ServiceUnavailable, apierr.TooManyRequests, apierr.Internal} {
		t.Run(fmt.Sprint(kind.Status()), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dbtest.SQLite(t, store.Migrations()), Options{})
			w.file("a.yaml", yamlComponent("x", "1"))
			w.provide("p", location("root", "a.yaml"))
			w.settle()
			w.fail("a.yaml", kind.New("no"))
			for range 5 {
				w.round()
			}
			w.expect("component:default/x 1", "location:default/root (errors)")
		})
	}
}

func TestMissingOptionalLocationTakesItsEntities(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		optional := location("root", "a.yaml")
		optional.Entity.Set("optional", "spec", "presence")
		w.file("a.yaml", yamlComponent("x", "1"))
		w.provide("p", optional)
		w.settle()
		w.file("a.yaml", "")
		w.round()
		w.expect("location:default/root")
	})
}

// scenario is a life of a catalog in steps; the engine comes to rest after each.
var scenario = []func(w *world) error{
	func(w *world) error {
		w.file("a.yaml", documents(yamlComponent("x", "1"), yamlComponent("y", "1", "system: shop"), nested("n", "b.yaml")))
		w.file("b.yaml", documents(yamlComponent("deep", "1"), yamlComponent("shared", "1")))
		w.file("c.yaml", documents(yamlComponent("shared", "c"), yamlComponent("z", "1")))
		return w.replace("p", location("one", "a.yaml"), location("two", "c.yaml"))
	},
	func(w *world) error {
		w.file("a.yaml", documents(yamlComponent("x", "2"), nested("n", "b.yaml")))
		w.advance(1000e9)
		return nil
	},
	func(w *world) error { return w.replace("q", component("x", "stolen", ""), component("own", "q", "k")) },
	func(w *world) error { return w.replace("p", location("two", "c.yaml")) },
	func(w *world) error { return w.replace("q", component("own", "q2", "k")) },
}

func (w *world) replace(provider string, list ...Deferred) error {
	return w.engine.Provider(provider).Replace(w.t.Context(), sequence(list))
}

// tryStep is step for a database that may be lost at any statement.
func (w *world) tryStep() (int, error) {
	ctx := w.t.Context()
	due, err := w.store.ClaimDue(ctx, w.now(), 1000, w.engine.IntervalMin, w.engine.IntervalMax)
	if err != nil {
		return 0, err
	}
	var batch []*finished
	for _, d := range due {
		batch = append(batch, w.engine.process(ctx, d))
	}
	if len(batch) > 0 {
		done, err := w.engine.commit(ctx, slices.DeleteFunc(batch, (*finished).unchanged))
		if err != nil {
			return 0, err
		}
		if done.orphans {
			if _, err := w.engine.DeleteOrphans(ctx); err != nil {
				return 0, err
			}
		}
	} else {
		w.stitcher.Flush()
	}
	return len(due), w.stitcher.Drain(ctx)
}

// TestKilledAtEveryStatement loses the database at each statement of the scenario in
// turn, starts anew on what is there, and compares what is served in the end with an
// undisturbed run.
func TestKilledAtEveryStatement(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, spy *spyDB, kill int) []string {
		w := newWorld(t, spy, Options{})
		spy.take()
		spy.killAt = kill
		for _, step := range scenario {
			for try := 0; ; try++ {
				err := step(w)
				for err == nil {
					var n int
					if n, err = w.tryStep(); n == 0 && err == nil {
						break
					}
				}
				if err == nil {
					break
				}
				if try > 3 {
					t.Fatalf("killed at %d: %v", kill, err)
				}
				// The process is gone; another one starts, after the time for which
				// the killed one had claimed its work.
				spy.killAt = 0
				files, now := w.files, w.time
				w = newWorld(t, spy, Options{})
				w.files, w.time = files, now
				w.advance(1000e9)
			}
		}
		spy.killAt = 0
		if _, err := w.engine.DeleteOrphans(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.round()
		w.check()
		return w.served()
	}
	spy := &spyDB{DB: dbtest.SQLite(t, store.Migrations())}
	want := run(t, spy, 0)
	total := len(spy.take())
	if len(want) < 4 {
		t.Fatalf("the scenario ends with %v", want)
	}
	step := 1
	if testing.Short() {
		step = 7
	}
	for kill := 1; kill <= total; kill += step {
		spy := &spyDB{DB: dbtest.Memory(t, store.Migrations())}
		if got := run(t, spy, kill); !slices.Equal(got, want) {
			t.Fatalf("killed at statement %d:\n  %s\nundisturbed:\n  %s", kill, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	}
	t.Logf("killed at %d statements; served: %v", total, want)
}
