package scheduler_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/internal/scheduler"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// A replica is one process' worth of scheduler: its own pools and its own lock session.
type replica struct {
	*scheduler.Scheduler
	db    db.DB
	locks *db.Locks
}

// A clock that tests move: that of a replica, and that of the server with it.
type clock struct {
	offset atomic.Int64
	wrong  time.Duration // by how much the replica's differs from the server's
}

func (c *clock) now() time.Time                    { return c.server(time.Now()).Add(c.wrong) }
func (c *clock) server(server time.Time) time.Time { return server.Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration)           { c.offset.Add(int64(d)) }

// open makes replicas on one database.
type open func(t *testing.T, c *clock) *replica

func newReplica(t *testing.T, cfg db.Config, c *clock) *replica {
	t.Helper()
	m, err := db.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return replicaOf(t, m, c)
}

func replicaOf(t *testing.T, m *db.Manager, c *clock) *replica {
	t.Helper()
	locks, err := m.Locks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{db: m.Plugin("costs").DB(), locks: locks}
	r.Scheduler = scheduler.New(scheduler.Options{
		Plugin: "costs", DB: r.db, Log: quiet(), Now: c.now, Server: c.server,
		Locks: func(context.Context) (*db.Locks, error) { return locks, nil },
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.Stop(ctx); err != nil {
			t.Error(err)
		}
		_ = locks.Close()
	})
	return r
}

// each runs a test on SQLite, where the replicas share a process, and on PostgreSQL.
func each(t *testing.T, test func(t *testing.T, open open)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		m, err := db.New(db.Config{Client: "better-sqlite3", Connection: db.Connection{Directory: t.TempDir()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		shared, err := m.Locks(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		test(t, func(t *testing.T, c *clock) *replica {
			r := replicaOf(t, m, c)
			r.Scheduler = scheduler.New(scheduler.Options{
				Plugin: "costs", DB: r.db, Log: quiet(), Now: c.now, Server: c.server,
				Locks: func(context.Context) (*db.Locks, error) { return shared, nil },
			})
			r.locks = shared
			return r
		})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		url := pgtest.New(t)
		test(t, func(t *testing.T, c *clock) *replica {
			return newReplica(t, db.Config{
				Client: "pg", PluginDivisionMode: "schema", Connection: db.Connection{ConnectionString: config.NewSecret(url)},
			}, c)
		})
	})
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func every(d time.Duration, timeout time.Duration) config.Schedule {
	return config.Schedule{Frequency: config.Cadence{Every: config.Duration(d)}, Timeout: config.Duration(timeout)}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within 20 s: %s", what)
}

// TestOneAtATime holds that of three replicas one runs a task, again and again.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open open) {
		var running, overlaps, runs atomic.Int64
		for range 3 {
			r := open(t, &clock{})
			if err := r.Schedule("count", every(20*time.Millisecond, time.Minute), func(context.Context) error {
				if running.Add(1) > 1 {
					overlaps.Add(1)
				}
				time.Sleep(2 * time.Millisecond)
				running.Add(-1)
				runs.Add(1)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			r.Start()
		}
		eventually(t, "ten runs", func() bool { return runs.Load() >= 10 })
		if n := overlaps.Load(); n > 0 {
			t.Errorf("%d runs overlapped", n)
		}
	})
}

// TestOwnerIsGone holds that the task of a replica whose lock session ends runs elsewhere,
// and that the old run can write nothing more.
func TestOwnerIsGone(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	cfg := db.Config{Client: "pg", PluginDivisionMode: "schema", Connection: db.Connection{ConnectionString: config.NewSecret(url)}}
	first, second := newReplica(t, cfg, &clock{}), newReplica(t, cfg, &clock{})
	begun, release := make(chan struct{}), make(chan struct{})
	var late error
	finished := make(chan struct{})
	mustSchedule(t, first, "work", every(200*time.Millisecond, time.Hour), func(ctx context.Context) error {
		close(begun)
		<-release // paused: it does not look at its context
		late = scheduler.Check(context.WithoutCancel(ctx), first.db)
		close(finished)
		return nil
	})
	first.Start()
	<-begun
	var elsewhere atomic.Int64
	mustSchedule(t, second, "work", every(200*time.Millisecond, time.Hour), func(ctx context.Context) error {
		if err := scheduler.Check(ctx, second.db); err != nil {
			return err
		}
		elsewhere.Add(1)
		return nil
	})
	second.Start()
	time.Sleep(300 * time.Millisecond)
	if elsewhere.Load() > 0 {
		t.Fatal("the task runs twice")
	}
	_ = first.locks.Close() // as when the process is killed
	eventually(t, "a run on the other replica", func() bool { return elsewhere.Load() > 0 })
	close(release)
	<-finished
	if !errors.Is(late, scheduler.ErrFenced) {
		t.Errorf("the old run may still write: %v", late)
	}
}

// TestTimeIsOver holds that a run whose time is over loses its ticket, although its owner
// still holds the lock, and that its error is recorded.
func TestTimeIsOver(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open open) {
		c := &clock{}
		first, second := open(t, c), open(t, c)
		begun, release := make(chan struct{}), make(chan struct{})
		var once sync.Once
		var late error
		mustSchedule(t, first, "work", every(time.Hour, 10*time.Minute), func(ctx context.Context) error {
			once.Do(func() { close(begun) })
			<-release
			late = scheduler.Check(context.WithoutCancel(ctx), first.db)
			return nil
		})
		first.Start()
		<-begun
		var ran atomic.Int64
		mustSchedule(t, second, "work", every(time.Hour, 10*time.Minute), func(context.Context) error { ran.Add(1); return nil })
		c.advance(61 * time.Minute) // the run is long over, and the next one due
		second.Start()
		eventually(t, "a run on the other replica", func() bool { return ran.Load() == 1 })
		close(release)
		if err := first.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !errors.Is(late, scheduler.ErrFenced) {
			t.Errorf("the old run may still write: %v", late)
		}
	})
}

// TestOutcomes holds what is kept of a run: when the next one is, and the last error.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open open) {
		c := &clock{}
		r := open(t, c)
		mustSchedule(t, r, "fails", every(24*30*time.Hour, time.Minute), func(context.Context) error { return errors.New("no price list") })
		mustSchedule(t, r, "panics", every(time.Hour, time.Minute), func(context.Context) error { panic("no price list") })
		mustSchedule(t, r, "waits", config.Schedule{Frequency: config.Cadence{Every: config.Duration(time.Hour)}, Timeout: config.Duration(time.Minute), InitialDelay: config.Duration(time.Hour)}, never(t))
		mustSchedule(t, r, "cron", config.Schedule{Frequency: config.Cadence{Cron: "0 3 1 1 *"}, Timeout: config.Duration(time.Minute)}, never(t))
		var manual atomic.Int64
		mustSchedule(t, r, "manual", config.Schedule{Frequency: config.Cadence{Manual: true}, Timeout: config.Duration(time.Minute)}, func(context.Context) error { manual.Add(1); return nil })
		var local atomic.Int64
		mustSchedule(t, r, "local", config.Schedule{Frequency: config.Cadence{Every: config.Duration(time.Millisecond)}, Timeout: config.Duration(time.Minute), Scope: "local"}, func(context.Context) error { local.Add(1); return nil })
		if err := r.Schedule("fails", every(time.Hour, time.Minute), never(t)); err == nil {
			t.Error("one id for two tasks")
		}
		r.Start()
		eventually(t, "three local runs", func() bool { return local.Load() >= 3 })
		view := func(id string) scheduler.View { return viewOf(t, r, id) }
		eventually(t, "a failure", func() bool { v := view("fails"); return v.Task != nil && v.Task.LastRunError != "" })
		if v := view("fails"); !strings.Contains(v.Task.LastRunError, "no price list") || v.Settings.Cadence != "P30D" && v.Settings.Cadence != "PT720H" {
			t.Errorf("after a failure: %+v %+v", v.Task, v.Settings)
		}
		eventually(t, "a panic", func() bool {
			v := view("panics")
			return v.Task != nil && strings.Contains(v.Task.LastRunError, "panic")
		})
		if v := view("waits"); v.Task.Status != "idle" || v.Worker.Status != "initial-wait" || v.Settings.InitialDelay != "PT1H" {
			t.Errorf("before the first run: %+v %+v", v.Task, v.Worker)
		}
		if err := r.Trigger(t.Context(), "manual"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the triggered run", func() bool { return manual.Load() == 1 })
		for _, err := range []error{r.Trigger(t.Context(), "nope"), r.Cancel(t.Context(), "nope")} {
			if !errors.Is(err, apierr.NotFound) {
				t.Errorf("an unknown task: %v", err)
			}
		}
		eventually(t, "the end of the run", func() bool { return errors.Is(r.Cancel(t.Context(), "manual"), apierr.Conflict) })
		before := view("fails").Task.StartsAt
		c.advance(5 * time.Minute) // a clock that is wrong moves nothing by itself
		time.Sleep(50 * time.Millisecond)
		if after := view("fails").Task.StartsAt; after != before {
			t.Errorf("the next run moved from %s to %s", before, after)
		}
	})
}

// TestCancel holds that a run is ended from another replica.
func TestCancel(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open open) {
		c := &clock{}
		first, second := open(t, c), open(t, c)
		var cause atomic.Value
		begun := make(chan struct{})
		task := func(ctx context.Context) error {
			close(begun)
			<-ctx.Done()
			cause.Store(context.Cause(ctx))
			return ctx.Err()
		}
		mustSchedule(t, first, "long", every(time.Hour, time.Hour), task)
		mustSchedule(t, second, "long", every(time.Hour, time.Hour), never(t))
		first.Start()
		<-begun
		if err := first.Trigger(t.Context(), "long"); !errors.Is(err, apierr.Conflict) {
			t.Errorf("trigger of a running task: %v", err)
		}
		if err := second.Cancel(t.Context(), "long"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the end of the run", func() bool { return cause.Load() != nil })
		if err, _ := cause.Load().(error); !errors.Is(err, scheduler.ErrFenced) {
			t.Errorf("the run ended because of %v", err)
		}
	})
}

func mustSchedule(t *testing.T, r *replica, id string, s config.Schedule, run func(context.Context) error) {
	t.Helper()
	if err := r.Schedule(id, s, run); err != nil {
		t.Fatal(err)
	}
}

func never(t *testing.T) func(context.Context) error {
	return func(context.Context) error { t.Error("a task ran that was not due"); return nil }
}
