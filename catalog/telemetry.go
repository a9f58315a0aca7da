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
			relationCount := &counted{count: st.CountRelations}
			registration, err = meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
				for _, g := range []struct {
					gauge metric.Int64ObservableGauge
					count func(context.Context) (int64, error)
				}{{queue, st.CountStitches}, {locations, st.CountLocations}, {relations, relationCount.get}} {
					n, err := g.count(ctx)
					if err != nil {
						return err
					}
					o.ObserveInt64(g.gauge, n)
				}
				kinds, err := st.CountKinds(ctx)
				if err != nil {
					return err
				}
				for kind, n := range kinds {
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

// countEvery is how often relations are counted at most, however often they are asked for:
// they are counted one by one.
const countEvery = time.Minute

// counted remembers what was counted.
type counted struct {
	count func(context.Context) (int64, error)

	mu   sync.Mutex
	at   time.Time
	last int64
}

func (c *counted) get(ctx context.Context) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.at) >= countEvery {
		n, err := c.count(ctx)
		if err != nil {
			return 0, err
		}
		c.last, c.at = n, time.Now()
	}
	return c.last, nil
}
