package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/internal/telemetry"
	"github.com/callboard-dev/callboard/backend/principal"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// recording is a Telemetry whose spans and measurements can be looked at.
type recording struct {
	*telemetry.Telemetry
	spans  *tracetest.SpanRecorder
	reader *sdkmetric.ManualReader
}

func record(t *testing.T, opts telemetry.Options) *recording {
	t.Helper()
	r := &recording{telemetry.New(opts), tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()}
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.spans))
	err := r.Set(telemetry.Providers{Traces: tp, Metrics: sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader)), Shutdown: tp.Shutdown})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func attr(s sdktrace.ReadOnlySpan, key string) string {
	for _, a := range s.Attributes() {
		if string(a.Key) == key {
			return a.Value.String()
		}
	}
	return ""
}

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

var alice = principal.Credentials{Principal: principal.User{Ref: "user:default/alice"}}

// serve sends a request through what a backend does with it.
func serve(t *testing.T, tel *telemetry.Telemetry, handler httpx.HandlerFunc) {
	t.Helper()
	mux := &httpx.Mux{Guard: tel.Guard(func(r *http.Request, _ httpx.Access) (*http.Request, error) { return httpx.WithCaller(r, alice), nil })}
	if err := mux.Handle("GET /things/{id}", handler); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/api/x/things/7?secret=1", nil)
	r.Header.Set("Traceparent", parent)
	r, done := tel.Request(r)
	w := httptest.NewRecorder()
	tel.Routes("x", mux.Pattern, mux).ServeHTTP(w, httpx.StripMount(r, len("/api/x")))
	if done != nil {
		done(w.Code)
	}
}

func TestARequestIsASpan(t *testing.T) {
	t.Parallel()
	for _, capture := range []bool{false, true} {
		rec := record(t, telemetry.Options{System: "sqlite", Tracing: telemetry.TracingConfig{Capture: telemetry.Capture{EndUser: capture}}})
		serve(t, rec.Telemetry, func(w http.ResponseWriter, r *http.Request) error {
			ctx, span := rec.Tracer("x").Start(r.Context(), "work")
			rec.Statement(ctx, "x", " select a FROM t WHERE b = $1")(nil)
			rec.Statement(ctx, "x", "INSERT INTO t VALUES ($1)")(errors.New("invalid input: canary"))
			span.End()
			return httpx.JSON(w, http.StatusTeapot, nil)
		})
		spans := rec.spans.Ended()
		var names []string
		for _, s := range spans {
			names = append(names, s.Name())
			if s.SpanContext().TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" {
				t.Errorf("%s is of another trace", s.Name())
			}
			if strings.Contains(s.Status().Description, "canary") || len(s.Events()) > 0 || strings.Contains(attr(s, "url.path"), "secret") {
				t.Errorf("%s tells a secret: %v", s.Name(), s.Attributes())
			}
			if id := attr(s, "backstage.plugin.id"); id != "x" {
				t.Errorf("%s is of plugin %q", s.Name(), id)
			}
		}
		if got, want := strings.Join(names, ", "), "SELECT, INSERT, work, GET /api/x/things/{id}"; got != want {
			t.Fatalf("spans %s, want %s", got, want)
		}
		server, work := spans[3], spans[2]
		if server.SpanKind() != trace.SpanKindServer || attr(server, "http.response.status_code") != "418" || attr(server, "http.route") != "/api/x/things/{id}" {
			t.Errorf("the request: %v", server.Attributes())
		}
		for _, s := range []sdktrace.ReadOnlySpan{server, work} {
			want := map[bool]string{true: "user:default/alice"}[capture]
			if got := attr(s, "enduser.id"); got != want || attr(s, "backstage.principal.type") != "user" {
				t.Errorf("captured %v: %s names %q", capture, s.Name(), got)
			}
		}
		if spans[0].Parent().SpanID() != work.SpanContext().SpanID() || work.Parent().SpanID() != server.SpanContext().SpanID() {
			t.Error("the spans are not below each other")
		}
		if work.InstrumentationScope().Name != "backstage-plugin-x" {
			t.Errorf("scope %v", work.InstrumentationScope())
		}
	}
}

func TestStatementsOutsideOfATraceStartNone(t *testing.T) {
	t.Parallel()
	rec := record(t, telemetry.Options{})
	if done := rec.Statement(t.Context(), "x", "SELECT 1"); done != nil {
		t.Error("polling is a trace of its own")
	}
}

func TestRequestsAreMeasured(t *testing.T) {
	t.Parallel()
	rec := record(t, telemetry.Options{})
	serve(t, rec.Telemetry, func(w http.ResponseWriter, _ *http.Request) error { return httpx.Empty(w, http.StatusNoContent) })
	var out metricdata.ResourceMetrics
	if err := rec.reader.Collect(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	h, ok := out.ScopeMetrics[0].Metrics[0].Data.(metricdata.Histogram[float64])
	if !ok || len(h.DataPoints) != 1 || h.DataPoints[0].Count != 1 {
		t.Fatalf("measured %+v", out.ScopeMetrics)
	}
	if route, _ := h.DataPoints[0].Attributes.Value(attribute.Key("http.route")); route.AsString() != "/api/x/things/{id}" {
		t.Errorf("attributes %v", h.DataPoints[0].Attributes)
	}
}

func TestScopesCanBeRenamed(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("app-config.yaml", []byte(`
metrics: {listen: 9464, plugin: {x: {meter: {name: my-meter, version: "2", schemaUrl: "https://x/1"}}}}
tracing: {plugin: {x: {tracer: {name: my-tracer}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	var opts telemetry.Options
	if err := errors.Join(cfg.Decode("metrics", &opts.Metrics), cfg.Decode("tracing", &opts.Tracing)); err != nil {
		t.Fatal(err)
	}
	if opts.Metrics.Listen.IsZero() {
		t.Error("the address is lost")
	}
	rec := record(t, opts)
	_, span := rec.Tracer("x").Start(t.Context(), "work")
	span.End()
	if got := rec.spans.Ended()[0].InstrumentationScope().Name; got != "my-tracer" {
		t.Errorf("tracer %q", got)
	}
	for plugin, want := range map[string]string{"x": "my-meter 2 https://x/1", "y": "backstage-plugin-y  "} {
		c, err := rec.Meter(plugin).Int64Counter("n")
		if err != nil {
			t.Fatal(err)
		}
		c.Add(t.Context(), 1)
		var out metricdata.ResourceMetrics
		if err := rec.reader.Collect(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, s := range out.ScopeMetrics {
			found = found || s.Scope.Name+" "+s.Scope.Version+" "+s.Scope.SchemaURL == want
		}
		if !found {
			t.Errorf("no scope %q", want)
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for yaml, ok := range map[string]bool{"9464": true, `"9464"`: true, `":9464"`: true, "127.0.0.1:0": true, `"[::1]:9464"`: true,
		"x": false, "99999": false, "{}": false, "host:x": false, `""`: false} {
		cfg, err := config.Parse("app-config.yaml", []byte("listen: "+yaml))
		if err != nil {
			t.Fatal(err)
		}
		var c telemetry.MetricsConfig
		if err := cfg.Decode("", &c); (err == nil) != ok {
			t.Errorf("%s: %v", yaml, err)
		}
	}
}

// Even where nothing is exported, a trace that somebody else has begun goes on.
func TestATraceOfSomebodyElseIsPassedOn(t *testing.T) {
	t.Parallel()
	for name, tel := range map[string]*telemetry.Telemetry{"silent": telemetry.New(telemetry.Options{}), "exporting": record(t, telemetry.Options{}).Telemetry} {
		var got string
		next := roundTrip(func(r *http.Request) (*http.Response, error) {
			got = r.Header.Get("Traceparent")
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		})
		serve(t, tel, func(w http.ResponseWriter, r *http.Request) error {
			req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://other", nil)
			if err != nil {
				return err
			}
			res, err := tel.Transport(next).RoundTrip(req)
			if err != nil {
				return err
			}
			res.Body.Close()
			if req.Header.Get("Traceparent") != "" {
				t.Error("the transport changes the request of its caller")
			}
			return httpx.Empty(w, http.StatusNoContent)
		})
		if !strings.HasPrefix(got, "00-4bf92f3577b34da6a3ce929d0e0e4736-") || (name == "silent") != (got == parent) {
			t.Errorf("%s: passed on %q", name, got)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestLogRecordsNameTheirTrace(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	log := slog.New(telemetry.LogHandler(slog.NewJSONHandler(&buf, nil)))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Traceparent", parent)
	r, _ = telemetry.New(telemetry.Options{}).Request(r)
	for _, tt := range []struct {
		log    *slog.Logger
		ctx    context.Context
		traced bool
	}{
		{log, r.Context(), true},
		{log.With("a", 1), r.Context(), true},
		{log.With("a", 1).WithGroup("g").With("b", 2), r.Context(), true},
		{log, t.Context(), false},
	} {
		buf.Reset()
		tt.log.InfoContext(tt.ctx, "hello", "c", 3)
		var line struct {
			Trace string `json:"trace_id"`
			Span  string `json:"span_id"`
		}
		if err := json.Unmarshal(buf.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if got := line.Trace == "4bf92f3577b34da6a3ce929d0e0e4736" && line.Span == "00f067aa0ba902b7"; got != tt.traced {
			t.Errorf("traced %v: %s", tt.traced, buf.String())
		}
	}
}

func TestMetricsAreServedApart(t *testing.T) {
	t.Parallel()
	var c telemetry.MetricsConfig
	cfg, err := config.Parse("app-config.yaml", []byte(`listen: "127.0.0.1:0"`))
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Decode("", &c); err != nil {
		t.Fatal(err)
	}
	scrape := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
	l, err := telemetry.Listen(t.Context(), c.Listen, scrape, quiet())
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/metrics": 200, "/": 404, "/debug/pprof/": 404} {
		res, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
