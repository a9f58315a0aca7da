package catalog_test

import (
	"context"
	"fmt"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/callboard-dev/callboard/backend/oteltelemetry"
	"github.com/callboard-dev/callboard/catalog/catalogtest"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// The catalog reports how much is in it, by the names of contract catalog.md 3.12.
func TestMetricsOfSize(t *testing.T) {
	t.Parallel()
	one := func(kind, name string, spec map[string]any) entity.Entity {
		return entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": kind, "metadata": map[string]any{"name": name}, "spec": spec}
	}
	service := map[string]any{"type": "service", "lifecycle": "production", "owner": "team"}
	reader := sdkmetric.NewManualReader()
	r := start(t, "catalog: {rules: [{allow: [Component, Group]}]}", oteltelemetry.Service(oteltelemetry.WithMetricReader(func(context.Context) (sdkmetric.Reader, error) { return reader, nil })),
		catalogtest.Entities(one("Component", "a", service), one("Component", "b", service), one("Group", "team", map[string]any{"type": "team", "children": []any{}})))
	r.until("three entities with their relations", func(got map[string]entity.Entity) bool {
		return len(got) == 3 && r.count("SELECT count(*) FROM relations") == 4
	})
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			gauge, ok := m.Data.(metricdata.Gauge[int64])
			if !ok {
				continue
			}
			for _, p := range gauge.DataPoints {
				name := m.Name
				if kind, ok := p.Attributes.Value("kind"); ok {
					name += "{" + kind.AsString() + "}"
				}
				got[name] = p.Value
			}
		}
	}
	for name, want := range map[string]int64{
		"catalog_entities_count{component}": 2, "catalog_entities_count{group}": 1,
		"catalog_registered_locations_count": 0, "catalog_relations_count": 4,
	} {
		if n, ok := got[name]; !ok || n != want {
			t.Errorf("%s is %d, want %d; %s", name, n, want, fmt.Sprint(got))
		}
	}
}
