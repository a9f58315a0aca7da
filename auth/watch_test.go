package auth_test

import (
	"context"
	"fmt"
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
)

// TestSignInsAreAuditedMeasuredAndTraced holds the names of contract/auth.md section 12,
// and that neither addresses nor tokens are among what is told.
func TestSignInsAreAuditedMeasuredAndTraced(t *testing.T) {
	t.Parallel()
	reader, spans, audit := sdkmetric.NewManualReader(), tracetest.NewSpanRecorder(), new(backendtest.Audit)
	p := open(t, production,
		backend.NewService(backend.ExportTelemetry(func(context.Context, backend.Exporting) (backend.TelemetryProviders, error) {
			return backend.TelemetryProviders{
				Metrics: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
				Traces:  sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
			}, nil
		})),
		backend.NewPluginService(func(id backend.PluginID, base backend.Auditor) (backend.Auditor, error) {
			if id == "auth" {
				return audit, nil
			}
			return base, nil
		}))
	b := p.browser()
	b.script("GET", "/idp/refresh?env=production") // nobody has signed in: tells nothing
	b.signIn("alice", "")
	b.signIn("nomail", "")
	b.signIn("stranger", "")
	b.signIn("twins", "")
	b.signIn("alice", "")
	b.script("GET", "/idp/refresh?env=production")
	p.idp.mu.Lock()
	p.idp.gone = true
	p.idp.mu.Unlock()
	b.script("GET", "/idp/refresh?env=production")
	b.script("POST", "/idp/logout?env=production")
	b.do("GET", "/idp/handler/frame?code=alice&state=forged", "")
	b.do("GET", "/idp/handler/frame?code=alice&state=forged&env=production", "")

	const byEmail = " resolver=emailMatchingUserEntityProfileEmail"
	want := []string{
		"env=production flow=popup provider=idp" + byEmail + " result=success", "env=production flow=popup provider=idp" + byEmail + " result=success",
		"env=production error.name=Error flow=popup provider=idp" + byEmail + " result=error",
		"env=production error.name=Error flow=popup provider=idp result=error",
		"env=production error.name=ConflictError flow=popup provider=idp" + byEmail + " result=error",
		"env=production flow=refresh provider=idp" + byEmail + " result=success",
		"env=production error.name=AuthenticationError flow=refresh provider=idp result=error",
		"error.name=NotAllowedError flow=popup provider=idp result=error",
		"env=production error.name=NotAllowedError flow=popup provider=idp result=error",
	}
	slices.Sort(want)
	var traced []string
	for _, span := range spans.Ended() {
		if span.Name() == "auth.signIn" {
			traced = append(traced, text(span.Attributes()))
		}
	}
	slices.Sort(traced)
	if !slices.Equal(traced, want) {
		t.Errorf("traced\n%s\nwant\n%s", strings.Join(traced, "\n"), strings.Join(want, "\n"))
	}
	if got := measured(t, reader, "auth.signIn"); !slices.Equal(got, want) {
		t.Errorf("counted\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := measured(t, reader, "auth.signIn.duration"); !slices.Equal(got, want) {
		t.Errorf("timed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	var told []string
	for _, e := range audit.Events() {
		told = append(told, fmt.Sprintf("%s %s %v %v %v %v", e.ID, e.Status, e.Meta["flow"], e.Outcome["userEntityRef"], e.Outcome["error.name"], e.Request != nil))
	}
	wantTold := []string{
		"sign-in succeeded popup user:default/alice <nil> true",
		"sign-in failed popup <nil> Error true",
		"sign-in failed popup <nil> Error true",
		"sign-in failed popup <nil> ConflictError true",
		"sign-in succeeded popup user:default/alice <nil> true",
		"sign-in failed refresh <nil> AuthenticationError true",
		"sign-out succeeded <nil> <nil> <nil> true",
		"sign-in failed popup <nil> NotAllowedError true",
		"sign-in failed popup <nil> NotAllowedError true",
	}
	if !slices.Equal(told, wantTold) {
		t.Errorf("audited\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(wantTold, "\n"))
	}
	for _, span := range spans.Ended() {
		for _, a := range span.Attributes() {
			if s := a.Value.String(); span.Name() == "auth.signIn" && (strings.Contains(s, "@") || strings.Contains(s, "user:")) {
				t.Errorf("the span has %s=%s", a.Key, s)
			}
		}
	}
}

func text(attrs []attribute.KeyValue) string {
	var out []string
	for _, a := range attrs {
		if !strings.HasPrefix(string(a.Key), "backstage.") { // those of every span of a plugin
			out = append(out, string(a.Key)+"="+a.Value.String())
		}
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), " ")
}

// measured lists the attributes of a counter or histogram, as often as they were counted.
func measured(t *testing.T, reader sdkmetric.Reader, name string) (out []string) {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	add := func(set attribute.Set, n uint64) {
		for range n {
			out = append(out, text(set.ToSlice()))
		}
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, point := range data.DataPoints {
					if m.Name == name {
						add(point.Attributes, uint64(point.Value))
					}
				}
			case metricdata.Histogram[float64]:
				for _, point := range data.DataPoints {
					if m.Name == name {
						add(point.Attributes, point.Count)
					}
				}
			}
		}
	}
	slices.Sort(out)
	return out
}
