package events_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/guestauth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/events"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
	"github.com/callboard-dev/callboard/internal/wiretest"
	"github.com/callboard-dev/callboard/internal/wiretest/fixtures"
)

// The recorded exchanges of the group events pass on both databases.
func TestReplay(t *testing.T) {
	t.Parallel()
	for _, database := range []string{"SQLite", "PostgreSQL"} {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			files := fixtures.Start(t)
			yaml := wiretest.Config(files.URL(), files.Dir(), "http://127.0.0.1:0") + `
events:
  notifyTimeoutMs: 200
  http: {topics: [fixture-topic]}
`
			if database == "PostgreSQL" {
				yaml = strings.Replace(yaml, "\nbackend:\n", "\nbackend:\n  database: "+postgres(t)+"\n", 1)
			}
			sum := wiretest.Run(t, production(t, yaml, events.Plugin(), auth.Plugin(), guestauth.Module()), []string{"events"}, wiretest.Options{
				Fixtures: files, Installed: []string{"events", "auth"},
			})
			if passed := sum.Total(wiretest.Passed) + sum.Total(wiretest.Deviating); passed != 19 {
				t.Errorf("%d exchanges pass, want 19", passed)
			}
		})
	}
}

// production starts a backend that is not in development, where errors have no stacks,
// and returns its URL.
func production(t *testing.T, yaml string, features ...backend.Feature) string {
	t.Helper()
	cfg, err := backendtest.Config(t, yaml)
	if err != nil {
		t.Fatal(err)
	}
	b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))
	b.Add(features...)
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return "http://" + b.Addr().String()
}

// postgres is a value of backend.database.
func postgres(t testing.TB) string {
	return fmt.Sprintf(`{client: pg, pluginDivisionMode: schema, connection: %q}`, pgtest.New(t))
}
