//go:build !race

// The race detector slows atomic loads more than anything else, so that shares measured
// under it say nothing.

package telemetry_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/internal/rootserver"
	"github.com/callboard-dev/callboard/backend/internal/telemetry"
)

// pieces is what telemetry adds to a request with one statement.
func pieces(tel *telemetry.Telemetry) func(r *http.Request) {
	mux := &httpx.Mux{}
	guard := tel.Guard(func(r *http.Request, _ httpx.Access) (*http.Request, error) { return r, nil })
	routes := tel.Routes("x", mux.Pattern, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return func(r *http.Request) {
		r, done := tel.Request(r)
		_, _ = guard(r, 0)
		routes.ServeHTTP(nil, r)
		if after := tel.Statement(r.Context(), "x", "SELECT 1"); after != nil {
			after(nil)
		}
		if done != nil {
			done(http.StatusOK)
		}
	}
}

func TestWithoutExportersNothingIsAllocated(t *testing.T) {
	add := pieces(telemetry.New(telemetry.Options{}))
	r := httptest.NewRequest(http.MethodGet, "/api/x/things", nil)
	if n := testing.AllocsPerRun(1000, func() { add(r) }); n != 0 {
		t.Errorf("%v allocations per request", n)
	}
}

// The cost is measured as a share of the cheapest request there is, both in this run. The
// best of several rounds counts: other processes can only make a round slower.
func TestWithoutExportersAHundredthIsTheMost(t *testing.T) {
	add := pieces(telemetry.New(telemetry.Options{}))
	request := bareServer(t)
	r := httptest.NewRequest(http.MethodGet, "/api/x/things", nil)
	whole, part := best(2000, func() { request(r) }), best(20000, func() { add(r) })
	t.Logf("a request takes %s, telemetry %s of it: %.2f %%", whole, part, 100*float64(part)/float64(whole))
	if part*100 > whole {
		t.Errorf("telemetry costs %s of %s, more than 1 %%", part, whole)
	}
}

// best returns the shortest average of several rounds of n calls.
func best(n int, fn func()) time.Duration {
	shortest := time.Duration(1 << 62)
	for range 15 {
		began := time.Now()
		for range n {
			fn()
		}
		shortest = min(shortest, time.Since(began))
	}
	return max(shortest/time.Duration(n), 1)
}

// bareServer answers two bytes without authentication, database and log.
func bareServer(t testing.TB) func(r *http.Request) {
	t.Helper()
	cfg := rootserver.Defaults()
	cfg.BaseURL = "http://localhost:7007"
	s, err := rootserver.New(cfg, rootserver.Options{Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	mux := &httpx.Mux{}
	err = mux.Handle("GET /things", func(w http.ResponseWriter, _ *http.Request) error {
		httpx.JSONBytes(w, http.StatusOK, []byte(`{}`))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	gate, err := s.Mount(rootserver.Plugin{ID: "x", Routes: mux})
	if err != nil {
		t.Fatal(err)
	}
	gate.Open()
	return func(r *http.Request) { s.ServeHTTP(httptest.NewRecorder(), r) }
}

// BenchmarkRequest has three lines to compare: a request, the same with telemetry that
// nobody has asked for, and that telemetry alone.
func BenchmarkRequest(b *testing.B) {
	add := pieces(telemetry.New(telemetry.Options{}))
	request := bareServer(b)
	r := httptest.NewRequest(http.MethodGet, "/api/x/things", nil)
	for name, fn := range map[string]func(){
		"Bare": func() { request(r) }, "WithTelemetry": func() { request(r); add(r) }, "TelemetryAlone": func() { add(r) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				fn()
			}
		})
	}
}
