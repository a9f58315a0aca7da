package backend_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/db"
)

// TestRunsAreSpansOfTheScheduler holds that the span of a run is of the scheduler's tracer,
// whatever the plugin's own is called (contract/backend.md section 14), and says whose
// task it was.
func TestRunsAreSpansOfTheScheduler(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	b := backendtest.Start(t, `backend: {tracing: {plugin: {costs: {tracer: {name: acme-costs}}}}}`,
		scheduling("costs", func(context.Context, db.DB) error { return errors.New("no price list") }),
		backend.NewService(backend.ExportTelemetry(func(context.Context, backend.Exporting) (backend.TelemetryProviders, error) {
			p := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
			return backend.TelemetryProviders{Traces: p, Shutdown: p.Shutdown}, nil
		})))
	b.RunTask("costs", "prices")
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, s := range spans.Ended() {
			if s.Name() != "task prices" {
				continue
			}
			set := attribute.NewSet(s.Attributes()...)
			plugin, _ := set.Value("backstage.plugin.id")
			got := fmt.Sprintf("%s %s %s", s.InstrumentationScope().Name, plugin.AsString(), s.Status().Code)
			if want := "backstage-service-scheduler costs Error"; got != want {
				t.Errorf("the span is %s, want %s", got, want)
			}
			return
		}
	}
	t.Fatal("no span of the run within 20 s")
}
