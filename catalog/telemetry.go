package catalog

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// observe registers the metrics that are counted when somebody asks for them (contract
// catalog.md, 3.12).
func observe(meter metric.Meter, st *store.Store, lc fx.Lifecycle) error {
	var errs []error
	gauge := func(name, what string) metric.Int64ObservableGauge {
		g, err := meter.Int64ObservableGauge(name, metric.WithDescription(what))
		errs = append(errs, err)
		return g
	}
	queue := gauge("catalog.stitching.queue.length", "Entities that wait for being stitched.")
	entities := gauge("catalog_entities_count", "Entities that are served, by kind.")
	locations := gauge("catalog_registered_locations_count", "Locations that were registered.")
	relations := gauge("catalog_relations_count", "Relations that entities declare.")
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var registration metric.Registration
	lc.Append(fx.Hook{
		OnStart: func(context.Context) (err error) {
			sizes := &counted{store: st}
			registration, err = meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
				waiting, err := st.CountStitches(ctx)
				if err != nil {
					return err
				}
				counts, err := sizes.get(ctx)
				if err != nil {
					return err
				}
				o.ObserveInt64(queue, waiting)
				o.ObserveInt64(locations, counts.Locations)
				o.ObserveInt64(relations, counts.Relations)
				for kind, n := range counts.Kinds {
					o.ObserveInt64(entities, n, metric.WithAttributes(attribute.String("kind", kind)))
				}
				return nil
			}, queue, entities, locations, relations)
			return err
		},
		OnStop: func(context.Context) error { return registration.Unregister() },
	})
	return nil
}

// countEvery is how often the catalog is counted at most, however often it is asked for:
// relations are counted one by one.
const countEvery = time.Minute

// counted remembers what was counted.
type counted struct {
	store *store.Store

	mu     sync.Mutex
	at     time.Time
	counts store.Counts
}

func (c *counted) get(ctx context.Context) (store.Counts, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.at) >= countEvery {
		counts, err := c.store.Counts(ctx)
		if err != nil {
			return counts, err
		}
		c.counts, c.at = counts, time.Now()
	}
	return c.counts, nil
}
