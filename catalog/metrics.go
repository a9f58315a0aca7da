package catalog

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// countEvery is how often the catalog is counted at most, however often it is asked for:
// relations are counted one by one.
const countEvery = time.Minute

// sizes are the gauges of what is in the catalog (contract catalog.md, 3.12). Every replica
// reports the whole of it.
type sizes struct {
	store *store.Store

	entities, locations, relations metric.Int64ObservableGauge

	mu    sync.Mutex
	at    time.Time
	count store.Sizes
}

// measureSizes registers the gauges. Nothing is counted until somebody collects.
func measureSizes(m metric.Meter, st *store.Store) (metric.Registration, error) {
	s := &sizes{store: st}
	for _, g := range []struct {
		into       *metric.Int64ObservableGauge
		name, text string
	}{
		{&s.entities, "catalog_entities_count", "Entities that are served, by kind."},
		{&s.locations, "catalog_registered_locations_count", "Locations that were registered."},
		{&s.relations, "catalog_relations_count", "Relations between entities."},
	} {
		var err error
		if *g.into, err = m.Int64ObservableGauge(g.name, metric.WithDescription(g.text)); err != nil {
			return nil, err
		}
	}
	return m.RegisterCallback(s.observe, s.entities, s.locations, s.relations)
}

func (s *sizes) observe(ctx context.Context, o metric.Observer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) >= countEvery {
		count, err := s.store.Sizes(ctx)
		if err != nil {
			return err
		}
		s.count, s.at = count, time.Now()
	}
	for kind, n := range s.count.Entities {
		o.ObserveInt64(s.entities, n, metric.WithAttributes(attribute.String("kind", kind)))
	}
	o.ObserveInt64(s.locations, s.count.Locations)
	o.ObserveInt64(s.relations, s.count.Relations)
	return nil
}
