package catalog_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/catalogtest"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// TestEngineIsMeasuredAndTraced holds the names of contract catalog.md 3.12.
func TestEngineIsMeasuredAndTraced(t *testing.T) {
	t.Parallel()
	reader, spans := sdkmetric.NewManualReader(), tracetest.NewSpanRecorder()
	exported := backend.NewService(backend.ExportTelemetry(func(context.Context, backend.Exporting) (backend.TelemetryProviders, error) {
		return backend.TelemetryProviders{
			Metrics: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
			Traces:  sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
		}, nil
	}))
	good := entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": map[string]any{"name": "good"},
		"spec": map[string]any{"type": "service", "lifecycle": "production", "owner": "team"}}
	bad := good.Clone()
	bad.Set("bad", "metadata", "name")
	bad.Delete("spec", "type")
	backendtest.Start(t, `catalog: {processingInterval: 1s}`, exported, catalog.Plugin(), catalogtest.Entities(good, bad))

	want := []string{
		"catalog.processed.entities.count result=changed", "catalog.processed.entities.count result=errors", "catalog.processed.entities.count result=unchanged",
		"catalog.processing.duration", "catalog.processors.duration", "catalog.processing.queue.delay",
		"catalog.stitched.entities.count result=changed", "catalog.stitched.entities.count result=abandoned", "catalog.stitching.duration", "catalog.stitching.queue.delay",
		"catalog.stitching.queue.length", "catalog_entities_count kind=component", "catalog_registered_locations_count", "catalog_relations_count",
		"catalog_processed_entities_count result=changed", "catalog_stitched_entities_count result=changed",
	}
	var missing []string
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		seen := measured(t, reader)
		missing = slices.DeleteFunc(slices.Clone(want), func(name string) bool { return slices.Contains(seen, name) })
		if len(missing) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not measured: %v; measured: %v", missing, seen)
		}
	}
	var names []string
	for _, span := range spans.Ended() {
		name := span.Name()
		for _, a := range span.Attributes() {
			if strings.HasPrefix(string(a.Key), "backstage.catalog.processor.") {
				name += fmt.Sprintf(" %s=%s", strings.TrimPrefix(string(a.Key), "backstage.catalog.processor."), a.Value.String())
			}
		}
		names = append(names, name)
	}
	for _, name := range []string{"TaskPipelineLoop", "ProcessingRun", "ProcessingStage stage=preProcess", "ProcessingStage stage=postProcess",
		"ProcessingStep stage=preProcess name=PlaceholderProcessor", "ProcessingStep stage=validate name=BuiltinKindsEntityProcessor"} {
		if !slices.Contains(names, name) {
			t.Errorf("no span %q among %v", name, slices.Compact(slices.Sorted(slices.Values(names))))
		}
	}
}

// measured lists what a reader has, with the attributes.
func measured(t *testing.T, reader sdkmetric.Reader) (out []string) {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	add := func(name string, set attribute.Set) {
		for _, a := range set.ToSlice() {
			name += fmt.Sprintf(" %s=%s", a.Key, a.Value.String())
		}
		out = append(out, name)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes)
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes)
				}
			}
		}
	}
	return out
}
