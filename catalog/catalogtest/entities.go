package catalogtest

import (
	"context"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// Entities is a module that puts entities into the catalog, as a provider of its own
// does: they are processed, and served a moment after the backend has started.
// Entities without location annotations get some.
func Entities(entities ...entity.Entity) backend.Feature {
	return backend.NewModule("catalog", "catalogtest", fx.Invoke(func(x *catalog.Extensions) {
		x.AddEntityProvider(provider(entities))
	}))
}

type provider []entity.Entity

func (provider) ProviderName() string { return "catalogtest" }

func (p provider) Connect(ctx context.Context, conn catalog.Connection) error {
	return conn.Replace(ctx, func(yield func(catalog.Deferred, error) bool) {
		for _, e := range p {
			e = e.Clone()
			for _, key := range []string{entity.AnnotationManagedBy, entity.AnnotationManagedByOrigin} {
				if e.Annotation(key) == "" {
					e.SetAnnotation(key, "test:catalogtest")
				}
			}
			if !yield(catalog.Deferred{Entity: e}, nil) {
				return
			}
		}
	})
}
