package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"testing"

	metric "go.opentelemetry.io/otel/metric/noop"
	trace "go.opentelemetry.io/otel/trace/noop"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// HandlerForTest returns what serves these endpoints, without a backend around it: r's path is
// that below /api/proxy.
func HandlerForTest(t testing.TB, endpoints map[string]Endpoint) http.HandlerFunc {
	t.Helper()
	w, err := newWatch(trace.NewTracerProvider().Tracer(""), metric.NewMeterProvider().Meter(""), unheard{})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{auth: backendtest.Auth("proxy"), log: slog.New(slog.DiscardHandler), watch: w, stopped: make(chan struct{})}
	transports := newTransports()
	t.Cleanup(func() { transports.keep(nil) })
	routes, err := newTable(endpoints, transports)
	if err != nil {
		t.Fatal(err)
	}
	g.table.Store(routes)
	mux := &httpx.Mux{}
	if err := mux.Handle("/{rest...}", g.serve, httpx.AllowUnauthenticated); err != nil {
		t.Fatal(err)
	}
	return mux.ServeHTTP
}

// unheard is an auditor that remembers nothing: fuzzing has millions of events.
type unheard struct{}

func (unheard) CreateEvent(context.Context, backend.AuditEvent) backend.AuditedEvent {
	return unheard{}
}
func (unheard) Success(map[string]any)     {}
func (unheard) Fail(error, map[string]any) {}
