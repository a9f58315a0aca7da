package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/proxy"
)

// TestRequestsAreAuditedMeasuredAndTraced also holds that what is told contains neither queries
// nor secrets, and that a trace reaches a target only where traceparent is allowed.
func TestRequestsAreAuditedMeasuredAndTraced(t *testing.T) {
	t.Parallel()
	reader, spans, audit := sdkmetric.NewManualReader(), tracetest.NewSpanRecorder(), new(backendtest.Audit)
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/fails" {
			w.WriteHeader(http.StatusConflict)
		}
	})
	b := start(t, to, `
/x: {target: TARGET, headers: {X-Key: canary}}
/traced: {target: TARGET, allowedHeaders: [traceparent]}
/dead: http://127.0.0.1:1
/ws: {target: TARGET, ws: true}
`,
		backend.NewService(backend.ExportTelemetry(func(context.Context, backend.Exporting) (backend.TelemetryProviders, error) {
			return backend.TelemetryProviders{
				Metrics: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
				Traces:  sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
			}, nil
		})),
		backend.NewPluginService(func(id backend.PluginID, base backend.Auditor) (backend.Auditor, error) {
			if id == "proxy" {
				return audit, nil
			}
			return base, nil
		}))
	c := b.As(alice)
	ask(t, c, "GET", b.URL+"/api/proxy/x/a?token=canary", "")
	ask(t, c, "POST", b.URL+"/api/proxy/x/b?token=canary", "canary")
	ask(t, c, "DELETE", b.URL+"/api/proxy/x/fails", "")
	ask(t, c, "PUT", b.URL+"/api/proxy/dead/x", "canary")
	ask(t, c, "GET", b.URL+"/api/proxy/x/%2e%2e/x", "")
	ask(t, nil, "POST", b.URL+"/api/proxy/x/b", "")
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	traceparent := "traceparent: 00-" + trace + "-00f067aa0ba902b7-01"
	ask(t, c, "GET", b.URL+"/api/proxy/x/a", "", traceparent)
	if got := to.last(t).Header.Get("Traceparent"); got != "" {
		t.Errorf("the target got trace %s", got)
	}
	ask(t, c, "GET", b.URL+"/api/proxy/traced/a", "", traceparent)
	if got := to.last(t).Header.Get("Traceparent"); !strings.HasPrefix(got, "00-"+trace) || strings.Contains(got, "00f067aa0ba902b7") {
		t.Errorf("the target got trace %q, want one of the portal's own spans", got)
	}
	shake(t, b.URL, "/api/proxy/ws", "Sec-WebSocket-Protocol: callboard.token."+tokenOf(t, c))

	var told []string
	for _, e := range audit.Events() {
		told = append(told, fmt.Sprintf("%s %s %v %v %v", e.ID, e.Status, e.Meta, e.Outcome, e.Err))
	}
	want := []string{
		"proxy-request succeeded map[endpoint:/x method:POST path:/x/b] map[status:200] <nil>",
		"proxy-request failed map[endpoint:/x method:DELETE path:/x/fails] map[status:409] the target has answered with status 409",
		"proxy-request failed map[endpoint:/dead method:PUT path:/dead/x] map[status:504] dial tcp 127.0.0.1:1: connect: connection refused",
		"proxy-request failed map[endpoint:/x method:GET path:/x/%2e%2e/x] map[] the path does not stay below the target's",
		"proxy-request succeeded map[endpoint:/ws method:GET path:/ws] map[status:200] <nil>",
	}
	if !slices.Equal(told, want) {
		t.Errorf("audited\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}

	measured := []string{
		"http.request.method=DELETE http.response.status_code=409 outcome=answered proxy.endpoint=/x",
		"http.request.method=GET http.response.status_code=200 outcome=answered proxy.endpoint=/traced",
		"http.request.method=GET http.response.status_code=200 outcome=answered proxy.endpoint=/ws",
		"http.request.method=GET http.response.status_code=200 outcome=answered proxy.endpoint=/x",
		"http.request.method=GET http.response.status_code=200 outcome=answered proxy.endpoint=/x",
		"http.request.method=POST http.response.status_code=200 outcome=answered proxy.endpoint=/x",
		"http.request.method=PUT http.response.status_code=504 outcome=failed proxy.endpoint=/dead",
	}
	if got := counted(t, reader); !slices.Equal(got, measured) {
		t.Errorf("measured\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(measured, "\n"))
	}
	n := 0
	for _, span := range spans.Ended() {
		if span.Name() == "proxy.request" {
			n++
		}
		if text := fmt.Sprint(span.Attributes(), span.Events(), span.Status()); strings.Contains(text, "canary") {
			t.Errorf("span %s tells %s", span.Name(), text)
		}
	}
	if n != len(measured) {
		t.Errorf("%d spans", n)
	}
}

// counted are the attributes of every request that was measured.
func counted(t *testing.T, reader sdkmetric.Reader) (out []string) {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			h, ok := m.Data.(metricdata.Histogram[float64])
			if !ok || m.Name != "proxy.request.duration" {
				continue
			}
			for _, p := range h.DataPoints {
				for range p.Count {
					out = append(out, text(p.Attributes.ToSlice()))
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

func text(attrs []attribute.KeyValue) string {
	var out []string
	for _, a := range attrs {
		out = append(out, string(a.Key)+"="+a.Value.String())
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// TestSecretsAreNotPrinted: an Endpoint can be printed, and shows nothing.
func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	e := proxy.NewEndpoint("http://h")
	cfg, err := backendtest.Config(t, "proxy: {endpoints: {/x: {target: 'http://h', auth: 'me:canary', headers: {X-Key: canary}}}}")
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Decode(`proxy.endpoints["/x"]`, &e); err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v", e, e, e); strings.Contains(text, "canary") || e.Headers["X-Key"].Reveal() != "canary" {
		t.Errorf("printed as %s", text)
	}
}
