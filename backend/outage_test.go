package backend_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// The database goes away and comes back; the backend stays.
func TestABackendOutlivesAnOutageOfItsDatabase(t *testing.T) {
	t.Parallel()
	relay := dbtest.NewRelay(t, pgtest.New(t))
	cfg, err := backendtest.Config(t, fmt.Sprintf(`backend: {database: {client: pg, pluginDivisionMode: schema, connection: %q}}`, relay.URL))
	if err != nil {
		t.Fatal(err)
	}
	b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler), backend.Development(), backend.WithOutageGrace(time.Second))
	b.Add(backend.NewPlugin("things", fx.Invoke(func(r backend.Router, d db.DB) {
		r.Handle("GET /count", func(w http.ResponseWriter, r *http.Request) error {
			var n int
			if err := d.QueryRow(r.Context(), db.Same("SELECT 7")).Scan(&n); err != nil {
				return fmt.Errorf("count things: %w", err)
			}
			return httpx.JSON(w, http.StatusOK, n)
		}, backend.AllowUnauthenticated)
	})))
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	fetch := func(path string) (int, string) {
		t.Helper()
		return get(t, http.DefaultClient, "http://"+b.Addr().String()+path)
	}
	const count, live, ready = "/api/things/count", "/.backstage/health/v1/liveness", "/.backstage/health/v1/readiness"
	until := func(path string, want int) {
		t.Helper()
		for range 1500 {
			if got, _ := fetch(path); got == want {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Fatalf("%s is not answered with %d within 30 s", path, want)
	}
	for _, path := range []string{count, live, ready} {
		if status, body := fetch(path); status != http.StatusOK {
			t.Fatal(path, status, body)
		}
	}
	for outage := range 2 {
		relay.Cut()
		for range 5 {
			status, body := fetch(count)
			if status != http.StatusServiceUnavailable || !strings.Contains(body, `{"error":{"name":"ServiceUnavailableError","message":"`) || strings.Contains(body, "127.0.0.1") {
				t.Errorf("outage %d: %d %s", outage, status, body)
			}
		}
		until(ready, http.StatusServiceUnavailable)
		if _, body := fetch(ready); body != `{"message":"Database is not available","status":"error"}` {
			t.Errorf("readiness says %s", body)
		}
		if status, body := fetch(live); status != http.StatusOK {
			t.Errorf("liveness is %d %s", status, body)
		}
		relay.Restore()
		until(count, http.StatusOK)
		until(ready, http.StatusOK)
	}
}
