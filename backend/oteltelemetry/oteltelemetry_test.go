package oteltelemetry_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/fx"
	"google.golang.org/protobuf/proto"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/oteltelemetry"
	"github.com/callboard-dev/callboard/internal/testbed/logtest"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// sink is a collector that keeps the spans which it gets by OTLP over HTTP.
type sink struct {
	*httptest.Server
	mu    sync.Mutex
	spans []*tracepb.Span
	names map[string]bool // service names
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{names: map[string]bool{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req collector.ExportTraceServiceRequest
		if err == nil && r.URL.Path == "/v1/traces" {
			err = proto.Unmarshal(body, &req)
		}
		if err != nil {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, rs := range req.ResourceSpans {
			for _, a := range rs.Resource.Attributes {
				if a.Key == "service.name" {
					s.names[a.Value.GetStringValue()] = true
				}
			}
			for _, ss := range rs.ScopeSpans {
				s.spans = append(s.spans, ss.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(s.Close)
	return s
}

// find returns a field of the record with that message, in a log with one JSON object
// per line.
func find(t *testing.T, log *logtest.Buffer, message, field string) string {
	t.Helper()
	for line := range strings.Lines(log.String()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		if text, _ := record["msg"].(string); strings.Contains(text, message) {
			value, _ := record[field].(string)
			return value
		}
	}
	t.Errorf("no record %q in the log:\n%s", message, log.String())
	return ""
}

// start returns a backend that stops with the test, or earlier.
func start(t *testing.T, yaml string, features ...backend.Feature) (b *backend.Backend, log *logtest.Buffer, stop func()) {
	t.Helper()
	cfg, err := backendtest.Config(t, yaml)
	if err != nil {
		t.Fatal(err)
	}
	log = &logtest.Buffer{}
	b = backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.NewJSONHandler(log, nil)), backend.Rehearse(), backend.Development())
	b.Add(features...)
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return b, log, stop
}

// frontPlugin asks plugin back, which asks its database and logs.
func frontPlugin() backend.Feature {
	return backend.NewPlugin("front", fx.Invoke(func(r backend.Router, a backend.Auth, clients backend.Clients) {
		r.Handle("GET /ask", func(w http.ResponseWriter, r *http.Request) error {
			client, base, err := clients.Client(r.Context(), a.Own(), "back")
			if err != nil {
				return err
			}
			req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, base+"/answer", nil)
			if err != nil {
				return err
			}
			res, err := client.Do(req)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			w.WriteHeader(res.StatusCode)
			return nil
		}, backend.AllowUnauthenticated)
	}))
}

func backPlugin() backend.Feature {
	return backend.NewPlugin("back", fx.Invoke(func(r backend.Router, d db.DB, tracer trace.Tracer, meter metric.Meter, log *slog.Logger) error {
		answers, err := meter.Int64Counter("answers.count")
		if err != nil {
			return err
		}
		r.Handle("GET /answer", func(w http.ResponseWriter, r *http.Request) error {
			ctx, span := tracer.Start(r.Context(), "think")
			defer span.End()
			answers.Add(ctx, 1)
			log.InfoContext(ctx, "thinking")
			var n int
			if err := d.QueryRow(ctx, db.Same(`SELECT 6 * 7 AS answer`)).Scan(&n); err != nil {
				return err
			}
			return httpx.JSON(w, http.StatusOK, n)
		})
		return nil
	}))
}

// proxy is an address that is known before the backend behind it has started.
func proxy(t *testing.T) (address string, to func(*backend.Backend)) {
	t.Helper()
	var target *url.URL
	p := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
	t.Cleanup(p.Close)
	return p.URL, func(b *backend.Backend) { target = &url.URL{Scheme: "http", Host: b.Addr().String()} }
}

// One trace leads from an HTTP request through a second process down to its SQL, and
// into the log. The exporters are those that the environment names.
func TestOneTraceThroughTwoProcessesDownToSQL(t *testing.T) {
	for name, database := range map[string]func(t *testing.T) string{
		"SQLite": func(*testing.T) string { return "" },
		"PostgreSQL": func(t *testing.T) string {
			return fmt.Sprintf("database: {client: pg, pluginDivisionMode: schema, connection: %q}", pgtest.New(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSink(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.URL)
			t.Setenv("OTEL_METRICS_EXPORTER", "none")
			one, toOne := proxy(t)
			two, toTwo := proxy(t)
			front, frontLog, stopFront := start(t, fmt.Sprintf("backend: {baseUrl: %q}\ndiscovery: {endpoints: [{target: '%s/api/{{pluginId}}', plugins: [back]}]}", one, two),
				frontPlugin(), oteltelemetry.Service())
			toOne(front)
			back, backLog, stopBack := start(t, fmt.Sprintf("backend:\n  baseUrl: %q\n  %s\ndiscovery: {endpoints: [{target: '%s/api/{{pluginId}}', plugins: [front]}]}", two, database(t), one),
				backPlugin(), oteltelemetry.Service())
			toTwo(back)
			res, err := http.Get(one + "/api/front/ask")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Fatal(res.Status)
			}
			stopFront()
			stopBack()

			byID, want := map[string]*tracepb.Span{}, []string{"SELECT", "think", "GET /api/back/answer", "GET", "GET /api/front/ask"}
			var at *tracepb.Span
			for _, span := range s.spans {
				byID[hex.EncodeToString(span.SpanId)] = span
				for _, a := range span.Attributes {
					if a.Key == "db.query.text" && strings.Contains(a.Value.GetStringValue(), "6 * 7") {
						at = span
					}
				}
			}
			if at == nil {
				t.Fatalf("no span of the statement among %d", len(s.spans))
			}
			id := hex.EncodeToString(at.TraceId)
			var chain []string
			for ; at != nil; at = byID[hex.EncodeToString(at.ParentSpanId)] {
				chain = append(chain, at.Name)
				if hex.EncodeToString(at.TraceId) != id {
					t.Errorf("%s is of another trace", at.Name)
				}
			}
			if got := strings.Join(chain, " < "); got != strings.Join(want, " < ") {
				t.Errorf("the trace is %s, want %s", got, strings.Join(want, " < "))
			}
			if !s.names["callboard"] {
				t.Errorf("services %v", s.names)
			}
			for what, got := range map[string]string{
				"the plugin's record":             find(t, backLog, "thinking", "trace_id"),
				"the second process's access log": find(t, backLog, "GET /api/back/answer", "trace_id"),
				"the first process's access log":  find(t, frontLog, "GET /api/front/ask", "trace_id"),
			} {
				if got != id {
					t.Errorf("%s has trace id %q, want %s", what, got, id)
				}
			}
		})
	}
}

// TestPropagators holds that OTEL_PROPAGATORS says which headers carry a trace into a
// process, into its log, and on to the next process, without exporters, too.
func TestPropagators(t *testing.T) {
	const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	all := map[string]string{
		"traceparent": "00-" + trace + "-" + span + "-01",
		"b3":          trace + "-" + span + "-1",
		"baggage":     "team=payments",
	}
	for _, tt := range []struct {
		name, propagators string
		sent              []string // headers that come in
		want              []string // headers that go on
		logged            bool
	}{
		{"absent", "", []string{"traceparent", "b3", "baggage"}, []string{"traceparent"}, true},
		{"another form", "b3", []string{"traceparent", "b3"}, []string{"b3"}, true},
		{"two forms", "tracecontext, b3", []string{"b3"}, []string{"b3", "traceparent"}, true},
		{"baggage alone", "baggage", []string{"traceparent", "baggage"}, []string{"baggage"}, false},
		{"none", "none", []string{"traceparent", "b3"}, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("OTEL_PROPAGATORS", tt.propagators)
			var mu sync.Mutex
			var got []string
			back := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				for _, name := range []string{"b3", "baggage", "traceparent"} {
					if strings.Contains(r.Header.Get(name), trace) || name == "baggage" && r.Header.Get(name) != "" {
						got = append(got, name)
					}
				}
			}))
			t.Cleanup(back.Close)
			front, log, _ := start(t, fmt.Sprintf("discovery: {endpoints: [{target: '%s/api/{{pluginId}}', plugins: [back]}]}", back.URL), frontPlugin(), oteltelemetry.Service())
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+front.Addr().String()+"/api/front/ask", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range tt.sent {
				req.Header.Set(name, all[name])
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s goes on, want %s", got, tt.want)
			}
			if logged := strings.Contains(log.String(), trace); logged != tt.logged {
				t.Errorf("the trace is in the log: %v, want %v", logged, tt.logged)
			}
		})
	}
}

func TestUnknownPropagatorIsABootError(t *testing.T) {
	t.Setenv("OTEL_PROPAGATORS", "pigeon")
	_, err := backendtest.Boot(t, "", backPlugin(), oteltelemetry.Service())
	if err == nil || !strings.Contains(err.Error(), "environment variable OTEL_PROPAGATORS") || !strings.Contains(err.Error(), "fix: set it to a list of tracecontext") {
		t.Errorf("got %v", err)
	}
}

func TestPrometheusHasAPortOfItsOwn(t *testing.T) {
	b, log, _ := start(t, `backend: {metrics: {listen: "127.0.0.1:0"}}`, backPlugin(), frontPlugin(), oteltelemetry.Service())
	res, err := http.Get("http://" + b.Addr().String() + "/api/front/ask")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	const request = `http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/api/back/answer"`
	var text []byte
	// A request is counted when it is over, which its caller may see a moment before.
	for range 100 {
		res, err := http.Get("http://" + find(t, log, "metrics are served", "address") + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err = io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), request) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, want := range []string{
		request, `answers_count_total{otel_scope_name="backstage-plugin-back"`, `otel_scope_name="backstage-backend"`, `service_name="callboard"`, "go_goroutines",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in the metrics:\n%s", want, text)
		}
	}
	res2, err := http.Get("http://" + b.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	res2.Body.Close()
	if res2.StatusCode != http.StatusNotFound {
		t.Errorf("the portal's own port answers /metrics with %s", res2.Status)
	}
}

func TestWithoutExportersThereIsNoGoroutine(t *testing.T) {
	b, _, _ := start(t, "", backPlugin(), frontPlugin(), oteltelemetry.Service())
	res, err := http.Get("http://" + b.Addr().String() + "/api/front/ask")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	// A request's own goroutine may outlive its answer by a moment, and has the
	// middleware of telemetry on its stack: only what stays is a goroutine of
	// telemetry.
	var left []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if left = goroutinesOfTelemetry(); len(left) == 0 {
			return
		}
	}
	t.Errorf("goroutines of telemetry run:\n%s", strings.Join(left, "\n\n"))
}

// goroutinesOfTelemetry returns the stacks of all goroutines that have a
// function of telemetry in them.
func goroutinesOfTelemetry() []string {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var found []string
	for g := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(g, "go.opentelemetry.io") || strings.Contains(g, "internal/telemetry") {
			found = append(found, g)
		}
	}
	return found
}

func TestMetricsListenWantsSomebodyWhoMeasures(t *testing.T) {
	t.Parallel()
	_, err := backendtest.Boot(t, `backend: {metrics: {listen: ":0"}}`, backPlugin())
	if err == nil || !strings.Contains(err.Error(), "backend.metrics.listen: is set, but nothing in this backend exports measurements") ||
		!strings.Contains(err.Error(), "backend.Add(oteltelemetry.Service())") {
		t.Errorf("got %v", err)
	}
}
