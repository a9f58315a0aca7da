package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/internal/scheduler"
	"github.com/callboard-dev/callboard/internal/testbed/logtest"
)

// TestRegistrations holds what a start does to tasks that are known: it does not run them,
// and it moves their next run earlier only.
func TestRegistrations(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open open) {
		c := &clock{}
		var runs atomic.Int64
		count := func(context.Context) error { runs.Add(1); return nil }
		first := open(t, c)
		mustSchedule(t, first, "work", every(time.Hour, time.Minute), count)
		first.Start()
		eventually(t, "the first run", func() bool { v := viewOf(t, first, "work"); return v.Task != nil && v.Task.LastRunEndedAt != "" })
		if err := first.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		due := viewOf(t, first, "work").Task.StartsAt
		for _, tt := range []struct {
			name     string
			schedule config.Schedule
			moves    bool
		}{
			{"the same again", every(time.Hour, time.Minute), false},
			{"a longer period", every(2*time.Hour, time.Minute), false},
			{"a delay", delayed(every(time.Hour, time.Minute), 2*time.Hour), false},
			{"a shorter period", every(time.Minute, time.Minute), true},
			{"by hand: what was due is not any more", manual, true},
		} {
			r := open(t, c)
			mustSchedule(t, r, "work", tt.schedule, count)
			r.Start()
			eventually(t, "a look at the table", func() bool { return viewOf(t, r, "work").Worker.Status == "idle" })
			if err := r.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			now := viewOf(t, r, "work").Task.StartsAt
			if moved := now != due; moved != tt.moves || now > due {
				t.Errorf("%s: the next run was at %s, and is at %s", tt.name, due, now)
			}
		}
		if n := runs.Load(); n != 1 {
			t.Errorf("starts ran the task: %d runs, want 1", n)
		}
		// A run that was ordered is not forgotten by a start, also if the task was another
		// one before.
		if _, err := first.db.Exec(t.Context(), db.Same(`UPDATE backstage_backend_tasks__tasks SET settings_json = '{}'`)); err != nil {
			t.Fatal(err)
		}
		r := open(t, c)
		mustSchedule(t, r, "work", manual, count)
		if err := r.Trigger(t.Context(), "work"); err != nil {
			t.Fatal(err)
		}
		r.Start()
		eventually(t, "the run that was ordered", func() bool { return runs.Load() == 2 })
	})
}

// TestATableOfUpstream holds that a table without the column that is ours is taken over,
// with the rows in it.
func TestATableOfUpstream(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open open) {
		r := open(t, &clock{})
		for _, q := range []db.SQL{
			{
				Postgres: `CREATE TABLE backstage_backend_tasks__tasks (id text PRIMARY KEY, settings_json text NOT NULL, next_run_start_at timestamptz,
					current_run_ticket text, current_run_started_at timestamptz, current_run_expires_at timestamptz, last_run_ended_at timestamptz, last_run_error_json text)`,
				SQLite: `CREATE TABLE backstage_backend_tasks__tasks (id TEXT PRIMARY KEY, settings_json TEXT NOT NULL, next_run_start_at INTEGER,
					current_run_ticket TEXT, current_run_started_at INTEGER, current_run_expires_at INTEGER, last_run_ended_at INTEGER, last_run_error_json TEXT)`,
			},
			db.Same(`INSERT INTO backstage_backend_tasks__tasks (id, settings_json) VALUES ('work', '{}'), ('forgotten', '{}')`),
		} {
			if _, err := r.db.Exec(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
		var runs atomic.Int64
		mustSchedule(t, r, "work", every(time.Hour, time.Minute), func(context.Context) error { runs.Add(1); return nil })
		r.Start()
		eventually(t, "a run", func() bool { return runs.Load() == 1 })
	})
}

// lines are those of a log, without stacks.
func lines(log *logtest.Buffer) []string {
	stack := regexp.MustCompile(` stack="[^"\\]*(\\.[^"\\]*)*"`)
	return strings.Split(strings.TrimSpace(stack.ReplaceAllString(log.String(), "")), "\n")
}

// TestWhatIsToldOfRuns holds that a failure is logged once, until it is another one or
// none, and that an observer is told of every run.
func TestWhatIsToldOfRuns(t *testing.T) {
	t.Parallel()
	m, err := db.New(db.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	locks, err := m.Locks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	type mark struct{}
	var book logtest.Buffer
	var told []string
	s := scheduler.New(scheduler.Options{
		Plugin: "costs", DB: m.Plugin("costs").DB(), Locks: func(context.Context) (*db.Locks, error) { return locks, nil },
		Log: slog.New(slog.NewTextHandler(&book, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})),
		Observe: func(ctx context.Context, task, scope string) (context.Context, func(error)) {
			return context.WithValue(ctx, mark{}, true), func(err error) { told = append(told, fmt.Sprintf("%s %s: %v", scope, task, err)) }
		},
	})
	outcomes := []func() error{
		func() error { return errors.New("no price list") },
		func() error { return errors.New("no price list") },
		func() error { panic("no price") },
		func() error { panic("no price") },
		func() error { return nil },
		func() error { return nil },
	}
	run := 0
	done := make(chan struct{})
	if err := s.Schedule("prices", every(time.Millisecond, time.Minute), func(ctx context.Context) error {
		if ctx.Value(mark{}) == nil {
			t.Error("the run did not get the observer's context")
		}
		if run == len(outcomes) {
			close(done)
			<-ctx.Done()
			return nil
		}
		run++
		return outcomes[run-1]()
	}); err != nil {
		t.Fatal(err)
	}
	s.Start()
	<-done
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`level=ERROR msg="task failed" task=prices error="no price list"`,
		`level=ERROR msg="task panicked" task=prices panic="no price"`,
		`level=INFO msg="task works again" task=prices`,
	}
	if got := lines(&book); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("logged\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	const outcome = "global prices: "
	wantTold := outcome + strings.Join([]string{"no price list", "no price list", "panic: no price", "panic: no price", "<nil>", "<nil>", "<nil>"}, ","+outcome)
	if got := strings.Join(told, ","); got != wantTold {
		t.Errorf("the observer was told\n%s, want\n%s", got, wantTold)
	}
}

// TestRoutes holds the shapes of contract/backend.md section 10, to the byte except for
// times.
func TestRoutes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open open) {
		r := open(t, &clock{})
		begun := make(chan struct{})
		mustSchedule(t, r, "costs:prices", every(30*time.Second, 24*time.Second), func(ctx context.Context) error { close(begun); <-ctx.Done(); return ctx.Err() })
		mustSchedule(t, r, "fails", delayed(manual, time.Hour), func(context.Context) error { return errors.New("a < b") })
		local := delayed(cron("0 0 1 1 *"), time.Hour)
		local.Scope = "local"
		mustSchedule(t, r, "cache", local, never(t))
		mux := &httpx.Mux{Errors: httpx.ErrorWriter{Log: quiet()}}
		if err := r.Routes(mux); err != nil {
			t.Fatal(err)
		}
		ask := func(method, path string) string {
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/.backstage/scheduler/v1/"+path, http.NoBody))
			return fmt.Sprintf("%d %s", w.Code, w.Body)
		}
		times := regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00"`)
		r.Start()
		<-begun
		if got := ask("POST", "tasks/fails/trigger"); got != "200 " {
			t.Errorf("trigger: %s", got)
		}
		eventually(t, "the failure", func() bool { return strings.Contains(ask("GET", "tasks"), "a < b") })
		want := `200 {"tasks":[` +
			`{"taskId":"costs:prices","pluginId":"costs","scope":"global","settings":{"version":2,"cadence":"PT30S","timeoutAfterDuration":"PT24S"},` +
			`"taskState":{"status":"running","startedAt":T,"timesOutAt":T},"workerState":{"status":"running"}},` +
			`{"taskId":"fails","pluginId":"costs","scope":"global","settings":{"version":2,"cadence":"manual","initialDelayDuration":"PT1H","timeoutAfterDuration":"PT1M"},` +
			`"taskState":{"status":"idle","lastRunEndedAt":T,"lastRunError":"{\"name\":\"Error\",\"message\":\"a < b\"}"},"workerState":{"status":"idle"}},` +
			`{"taskId":"cache","pluginId":"costs","scope":"local","settings":{"version":2,"cadence":"0 0 1 1 *","initialDelayDuration":"PT1H","timeoutAfterDuration":"PT1M"},` +
			`"taskState":{"status":"idle","startsAt":T},"workerState":{"status":"initial-wait"}}]}`
		eventually(t, "the worker's rest", func() bool {
			return strings.Contains(ask("GET", "tasks"), `"a < b\"}"},"workerState":{"status":"idle"`)
		})
		if got := times.ReplaceAllString(ask("GET", "tasks"), "T"); got != want {
			t.Errorf("tasks are\n%s, want\n%s", got, want)
		}
		body := func(status int, name, message, method, url string) string {
			return fmt.Sprintf(`%d {"error":{"name":%q,"message":%q},"request":{"method":%q,"url":"/.backstage/scheduler/v1/%s"},"response":{"statusCode":%d}}`,
				status, name, message, method, url, status)
		}
		for _, tt := range []struct{ path, want string }{
			{"tasks/nope/trigger", body(404, "NotFoundError", "Task nope does not exist", "POST", "tasks/nope/trigger")},
			{"tasks/nope/cancel", body(404, "NotFoundError", "Task nope does not exist", "POST", "tasks/nope/cancel")},
			{"tasks/costs:prices/trigger", body(409, "ConflictError", "Task costs:prices is currently running", "POST", "tasks/costs:prices/trigger")},
			{"tasks/fails/cancel", body(409, "ConflictError", "Task fails is not running", "POST", "tasks/fails/cancel")},
			{"tasks/cache/cancel", body(409, "ConflictError", "Task cache is not running", "POST", "tasks/cache/cancel")},
			{"tasks/costs%3Aprices/cancel", "200 "},
			{"tasks", "404 "},
		} {
			if got := ask("POST", tt.path); got != tt.want {
				t.Errorf("POST %s: %s, want %s", tt.path, got, tt.want)
			}
		}
		if got := ask("GET", "tasks"); !strings.Contains(got, `task was cancelled`) {
			t.Errorf("after the cancellation: %s", got)
		}
	})
}

// TestTimedOut holds the words that clients know.
func TestTimedOut(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open open) {
		r := open(t, &clock{})
		mustSchedule(t, r, "slow", every(time.Hour, 20*time.Millisecond), func(ctx context.Context) error {
			<-ctx.Done()
			return fmt.Errorf("read prices: %w", ctx.Err())
		})
		r.Start()
		eventually(t, "the error", func() bool {
			v := viewOf(t, r, "slow")
			return v.Task != nil && v.Task.LastRunError == `{"name":"Error","message":"Task timed out"}`
		})
	})
}

// idle counts what 50 tasks of ten plugins cost that have nothing to do, in statements per
// minute: each look at a table is counted, for as many looks as there are in a minute.
func idle(t testing.TB, cfg db.Config) float64 {
	const plugins, tasks = 10, 50
	var n atomic.Int64
	m, err := db.New(cfg, db.WithObserver(func(context.Context, string, string) func(error) { n.Add(1); return nil }))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	locks, err := m.Locks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer locks.Close()
	perMinute := 0.0
	for p := range plugins {
		name := fmt.Sprintf("plugin-%d", p)
		s := scheduler.New(scheduler.Options{
			Plugin: name, DB: m.Plugin(name).DB(), Log: quiet(), Plugins: func() int { return plugins },
			Locks: func(context.Context) (*db.Locks, error) { return locks, nil },
		})
		for i := range tasks / plugins {
			if err := s.Schedule(fmt.Sprintf("task-%d", i), delayed(every(time.Hour, time.Minute), time.Hour), func(context.Context) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		s.Look(t.Context()) // registers them
		before := n.Load()
		wait := s.Look(t.Context())
		perMinute += float64(n.Load()-before) * float64(time.Minute) / float64(wait)
	}
	return perMinute
}

// TestIdleCost holds that 50 tasks at rest cost a replica at most 60 statements a minute.
func TestIdleCost(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]db.Config{"SQLite": {}, "PostgreSQL": onPostgres(t)} {
		if got := idle(t, cfg); got > 60 || got == 0 {
			t.Errorf("%s: %.0f statements per minute, want at most 60", name, got)
		}
	}
}

// BenchmarkIdle reports the statements per minute of TestIdleCost.
func BenchmarkIdle(b *testing.B) {
	for name, cfg := range map[string]func() db.Config{"SQLite": func() db.Config { return db.Config{} }, "PostgreSQL": func() db.Config { return onPostgres(b) }} {
		b.Run(name, func(b *testing.B) {
			perMinute := 0.0
			for b.Loop() {
				perMinute = idle(b, cfg())
			}
			b.ReportMetric(perMinute, "statements/min")
		})
	}
}
