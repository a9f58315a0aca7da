package scheduler_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/internal/scheduler"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

func onPostgres(t testing.TB) db.Config {
	t.Helper()
	return db.Config{Client: "pg", PluginDivisionMode: "schema", Connection: db.Connection{ConnectionString: config.NewSecret(pgtest.New(t))}}
}

func viewOf(t *testing.T, r *replica, id string) scheduler.View {
	t.Helper()
	views, err := r.Tasks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range views {
		if v.TaskID == id {
			return v
		}
	}
	t.Fatalf("no task %s", id)
	return scheduler.View{}
}

// settle has replicas look at the table a few times.
func settle(replicas ...*replica) {
	for range 5 {
		for _, r := range replicas {
			r.Poke()
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestClocksDiffer holds that replicas whose clocks are five minutes slow and fast neither
// end each other's runs early nor run a task when it is not due.
func TestClocksDiffer(t *testing.T) {
	t.Parallel()
	cfg := onPostgres(t)
	var replicas []*replica
	var clocks []*clock
	var runs atomic.Int64
	release := make(chan struct{})
	for _, wrong := range []time.Duration{-5 * time.Minute, 0, 5 * time.Minute} {
		c := &clock{wrong: wrong}
		r := newReplica(t, cfg, c)
		mustSchedule(t, r, "work", every(10*time.Minute, time.Minute), func(ctx context.Context) error {
			runs.Add(1)
			<-release
			return scheduler.Check(ctx, r.db)
		})
		r.Start()
		replicas, clocks = append(replicas, r), append(clocks, c)
	}
	eventually(t, "the first run", func() bool { return runs.Load() > 0 })
	settle(replicas...)
	if v := viewOf(t, replicas[0], "work"); runs.Load() != 1 || v.Task.Status != "running" {
		t.Fatalf("%d runs, and the task is %s: a run was ended early", runs.Load(), v.Task.Status)
	}
	close(release)
	eventually(t, "the end of the run", func() bool { return viewOf(t, replicas[0], "work").Task.Status == "idle" })
	if v := viewOf(t, replicas[0], "work"); v.Task.LastRunError != "" {
		t.Fatalf("the run was fenced: %s", v.Task.LastRunError)
	}
	for _, c := range clocks {
		c.advance(9*time.Minute + 50*time.Second - 20*time.Second) // the test itself takes a while
	}
	settle(replicas...)
	if n := runs.Load(); n != 1 {
		t.Fatalf("%d runs before the next one is due", n)
	}
	for _, c := range clocks {
		c.advance(30 * time.Second)
	}
	settle(replicas...)
	eventually(t, "the second run", func() bool { return runs.Load() == 2 })
	settle(replicas...)
	if n := runs.Load(); n != 2 {
		t.Errorf("%d runs, want 2", n)
	}
}

// TestPausedBeforeItsRun holds that a replica that has taken the lock of a run, and is
// paused before it begins it, does not keep the task from others.
func TestPausedBeforeItsRun(t *testing.T) {
	t.Parallel()
	cfg := onPostgres(t)
	c := &clock{}
	paused, awake := newReplica(t, cfg, &clock{}), newReplica(t, cfg, c)
	if ok, err := paused.locks.TryLock(t.Context(), "task costs/work run 0"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	var runs atomic.Int64
	mustSchedule(t, awake, "work", every(time.Hour, time.Minute), func(context.Context) error { runs.Add(1); return nil })
	awake.Start()
	settle(awake)
	if runs.Load() != 0 {
		t.Fatal("the task ran without its lock")
	}
	c.advance(10 * time.Second)
	eventually(t, "the run", func() bool { awake.Poke(); return runs.Load() == 1 })
}

// TestAStopKeepsTheLocksOfOthers holds that a scheduler that stops does not end the lock
// session, which the plugins of a process share, and that another replica goes on with
// what it ran.
func TestAStopKeepsTheLocksOfOthers(t *testing.T) {
	t.Parallel()
	cfg := onPostgres(t)
	for range 20 {
		r := newReplica(t, cfg, &clock{})
		mustSchedule(t, r, "work", every(time.Millisecond, time.Minute), func(ctx context.Context) error { return ctx.Err() })
		r.Start()
		r.Poke()
		time.Sleep(5 * time.Millisecond)
		if err := r.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := r.locks.Check(t.Context()); err != nil {
			t.Fatalf("after a stop: %v", err)
		}
	}
	first, second := newReplica(t, cfg, &clock{}), newReplica(t, cfg, &clock{})
	begun := make(chan struct{})
	mustSchedule(t, first, "long", every(time.Hour, time.Hour), func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	})
	first.Start()
	<-begun
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	var runs atomic.Int64
	mustSchedule(t, second, "long", every(time.Hour, time.Hour), func(context.Context) error { runs.Add(1); return nil })
	v := viewOf(t, second, "long")
	if v.Task.Status != "idle" || !strings.Contains(v.Task.LastRunError, "has stopped") {
		t.Errorf("after a stop in a run: %+v", v.Task)
	}
	second.Start()
	eventually(t, "the run elsewhere", func() bool { return runs.Load() == 1 })
}

// TestSessionEnds holds that the context of a run ends when the session that holds its lock
// does.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	r := newReplica(t, onPostgres(t), &clock{})
	var cause atomic.Value
	begun := make(chan struct{})
	mustSchedule(t, r, "work", every(time.Hour, time.Hour), func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		cause.Store(context.Cause(ctx))
		return ctx.Err()
	})
	r.Start()
	<-begun
	if _, err := r.db.Exec(t.Context(), db.Same(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'callboard_locks' AND datname = current_database()`)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the run", func() bool { return cause.Load() != nil })
	if err, _ := cause.Load().(error); !errors.Is(err, db.ErrLocksLost) {
		t.Errorf("the run ended because of %v", err)
	}
}
