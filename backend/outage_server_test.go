//go:build unix

package backend_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/backend/events"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// outageFull makes TestTheServerIsAway take the server away for as long as it says, such as
// 60s, with the grace that readiness has by default:
//
//	CALLBOARD_TEST_OUTAGE_FULL=60s go test ./backend -run TestTheServerIsAway -v -timeout 10m
const outageFull = "CALLBOARD_TEST_OUTAGE_FULL"

// A portal is one replica, its way to the server, and what its background work has done.
type portal struct {
	*testing.T
	base  string
	relay *dbtest.Relay
	runs  atomic.Int64 // of its local task, which asks the database
	heard atomic.Int64 // events
}

const (
	countPath = "/api/things/count"
	livePath  = "/.backstage/health/v1/liveness"
	readyPath = "/.backstage/health/v1/readiness"
)

func newPortal(t *testing.T, url string, grace time.Duration, number int) *portal {
	t.Helper()
	p := &portal{T: t, relay: dbtest.NewRelay(t, url)}
	cfg, err := backendtest.Config(t, fmt.Sprintf(`backend: {database: {client: pg, pluginDivisionMode: schema, connection: {connectionString: %q, statement_timeout: 1000}}}`, p.relay.URL))
	if err != nil {
		t.Fatal(err)
	}
	options := []backend.Option{backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler), backend.Development()}
	if grace > 0 {
		options = append(options, backend.WithOutageGrace(grace))
	}
	b := backend.New(options...)
	b.Add(events.Plugin(), backend.NewPlugin("things", fx.Invoke(func(r backend.Router, d db.DB, s backend.Scheduler, e backend.Events, bg *backend.Background, life fx.Lifecycle) error {
		count := func(ctx context.Context) (n int, err error) {
			return n, d.QueryRow(ctx, db.Same("SELECT 7")).Scan(&n)
		}
		r.Handle("GET /count", func(w http.ResponseWriter, r *http.Request) error {
			n, err := count(r.Context())
			if err != nil {
				return fmt.Errorf("count things: %w", err)
			}
			return httpx.JSON(w, http.StatusOK, n)
		}, backend.AllowUnauthenticated)
		life.Append(fx.StartHook(func() {
			bg.Go(func(ctx context.Context) {
				for _, err := range e.Subscribe(ctx, fmt.Sprint("portal", number), "things.counted") {
					if err == nil {
						p.heard.Add(1)
					}
				}
			})
		}))
		often := config.Schedule{Frequency: config.Cadence{Every: config.Duration(500 * time.Millisecond)}, Timeout: config.Duration(time.Minute)}
		return s.Schedule(fmt.Sprint("count", number), often, func(ctx context.Context) error {
			n, err := count(ctx)
			if err == nil {
				err = e.Publish(ctx, "things.counted", n)
			}
			if err == nil {
				p.runs.Add(1)
			}
			return err
		})
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
	p.base = "http://" + b.Addr().String()
	return p
}

// patience is what a client has that must not hang: far more than statement_timeout and
// what is added to it.
var patience = &http.Client{Timeout: 15 * time.Second}

func (p *portal) fetch(path string) (int, string) {
	p.Helper()
	return get(p.T, patience, p.base+path)
}

func (p *portal) until(what string, ok func() bool) {
	p.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	p.Fatalf("not within 60 s: %s", what)
}

// away looks at the portal while its server is away.
func (p *portal) away(span, grace time.Duration) {
	began, tries := time.Now(), p.relay.Attempts()
	refused, served, notReady := 0, 0, false
	for time.Since(began) < span {
		switch status, body := p.fetch(countPath); {
		case status == http.StatusServiceUnavailable && strings.HasPrefix(body, `{"error":{"name":"ServiceUnavailableError","message":"`):
			refused++
		case status == http.StatusOK && refused == 0:
			served++ // on its way when the server went
		default:
			p.Errorf("while the database is away: %d %s", status, body)
		}
		if status, body := p.fetch(livePath); status != http.StatusOK {
			p.Errorf("liveness is %d %s", status, body)
		}
		before := time.Since(began)
		switch status, body := p.fetch(readyPath); {
		case status == http.StatusServiceUnavailable && body == `{"message":"Database is not available","status":"error"}`:
			notReady = true
			if before < grace-time.Second { // it may have gone a moment before began
				p.Errorf("not ready after %s, before %s are over", before, grace)
			}
		case status != http.StatusOK || notReady:
			p.Errorf("after %s, readiness is %d %s", before, status, body)
		}
		time.Sleep(50 * time.Millisecond)
	}
	took := time.Since(began)
	if refused == 0 || served > 1 {
		p.Errorf("%d requests were refused, %d served", refused, served)
	}
	if !notReady {
		p.Errorf("still ready after %s", took)
	}
	// Two a second, and those that were on their way or due at once at either end.
	if n, most := p.relay.Attempts()-tries, int64(2*took.Seconds())+3; n > most {
		p.Errorf("%d attempts to connect in %s, want at most %d", n, took, most)
	} else {
		p.Logf("%d attempts to connect in %s, %d requests refused", n, took.Round(time.Second), refused)
	}
}

// TestTheServerIsAway takes a real server away from two replicas: once it is stopped and
// started again, and once it is paused, so that connections stay and nobody answers.
func TestTheServerIsAway(t *testing.T) {
	grace, configured := 2*time.Second, 2*time.Second
	full, err := time.ParseDuration(cmp.Or(os.Getenv(outageFull), "0s"))
	if err != nil {
		t.Fatal(err)
	}
	if full > 0 {
		grace, configured = 10*time.Second, 0
	}
	for _, tt := range []struct {
		name       string
		take, give func(*pgtest.Own)
		away       time.Duration
	}{
		{"stopped", (*pgtest.Own).Stop, (*pgtest.Own).Start, 5 * time.Second},
		// A server that is silent is noticed by the watch, which asks every five seconds and
		// waits twice for three.
		{"paused", (*pgtest.Own).Freeze, (*pgtest.Own).Thaw, 14 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := pgtest.NewOwn(t)
			name := server.Name(t)
			server.Exec(t, "CREATE DATABASE "+name)
			portals := []*portal{newPortal(t, server.URL(name), configured, 1), newPortal(t, server.URL(name), configured, 2)}
			works := func(p *portal) {
				runs, heard := p.runs.Load(), p.heard.Load()
				p.until("requests are served", func() bool { status, _ := p.fetch(countPath); return status == http.StatusOK })
				p.until("it is ready", func() bool { status, _ := p.fetch(readyPath); return status == http.StatusOK })
				p.until("tasks run and events come", func() bool {
					return portals[0].runs.Load()+portals[1].runs.Load() > runs && p.heard.Load() > heard
				})
			}
			for _, p := range portals {
				works(p)
			}
			tt.take(server)
			done := make(chan struct{})
			for _, p := range portals {
				go func() {
					defer func() { done <- struct{}{} }()
					p.away(cmp.Or(full, tt.away), grace)
				}()
			}
			for range portals {
				<-done
			}
			tt.give(server)
			for _, p := range portals {
				works(p)
			}
		})
	}
}
