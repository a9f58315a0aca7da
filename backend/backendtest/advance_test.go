package backendtest_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

func every(d time.Duration, scope string) config.Schedule {
	return config.Schedule{Frequency: config.Cadence{Every: config.Duration(d)}, Timeout: config.Duration(time.Minute), InitialDelay: config.Duration(d), Scope: scope}
}

// TestAdvance holds that tasks run when the clock says so, and that Advance returns when
// they have, for tasks of both scopes, and by the clock of the server, too.
func TestAdvance(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(t *testing.T) string{
		"SQLite": func(*testing.T) string { return "" },
		"PostgreSQL": func(t *testing.T) string {
			return fmt.Sprintf("backend: {database: {client: pg, pluginDivisionMode: schema, connection: %q}}", pgtest.New(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var daily, hourly, local, manual atomic.Int64
			counts := func() string {
				return fmt.Sprint(daily.Load(), hourly.Load(), local.Load(), manual.Load())
			}
			b := backendtest.Start(t, database(t), backend.NewPlugin("costs", fx.Invoke(func(s backend.Scheduler) error {
				task := func(n *atomic.Int64) func(context.Context) error {
					return func(context.Context) error { n.Add(1); return nil }
				}
				for id, what := range map[string]struct {
					s config.Schedule
					n *atomic.Int64
				}{
					"daily":  {every(24*time.Hour, ""), &daily},
					"hourly": {every(time.Hour, ""), &hourly},
					"local":  {every(time.Hour, "local"), &local},
					"manual": {config.Schedule{Frequency: config.Cadence{Manual: true}, Timeout: config.Duration(time.Minute)}, &manual},
				} {
					if err := s.Schedule(id, what.s, task(what.n)); err != nil {
						return err
					}
				}
				return nil
			})))
			for _, step := range []struct {
				d    time.Duration
				want string
			}{
				{59 * time.Minute, "0 0 0 0"},
				{2 * time.Minute, "0 1 1 0"},
				{time.Hour, "0 2 2 0"},
				{22 * time.Hour, "1 4 4 0"},
			} {
				b.Advance(step.d)
				if got := counts(); got != step.want {
					t.Errorf("after %s more: %s runs, want %s", step.d, got, step.want)
				}
			}
		})
	}
}

// TestTokensEnd holds that tokens go by the clock of the backend.
func TestTokensEnd(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "", backend.NewPlugin("costs", fx.Invoke(func(r backend.Router) {
		r.Handle("GET /", func(w http.ResponseWriter, _ *http.Request) error { return nil })
	})))
	status := func(c *http.Client) int {
		res, err := c.Get(b.URL + "/api/costs/")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	alice := b.As("user:default/alice")
	if got := status(alice); got != http.StatusOK {
		t.Fatalf("a new token: %d", got)
	}
	b.Advance(2 * time.Hour)
	if got := status(alice); got != http.StatusUnauthorized {
		t.Errorf("a token of two hours ago: %d", got)
	}
	for what, c := range map[string]*http.Client{"a user's new token": b.As("user:default/alice"), "a plugin's": b.AsPlugin("costs")} {
		if got := status(c); got != http.StatusOK {
			t.Errorf("%s: %d", what, got)
		}
	}
}
