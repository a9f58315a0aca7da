package catalog_test

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/catalogtest"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// A source of Resources: one for each bucket of a store.
type buckets struct {
	list func(context.Context) ([]string, error)
}

func (b *buckets) ProviderName() string { return "buckets" }

func (b *buckets) Entities(ctx context.Context) iter.Seq2[catalog.Deferred, error] {
	return func(yield func(catalog.Deferred, error) bool) {
		names, err := b.list(ctx)
		if err != nil {
			yield(catalog.Deferred{}, fmt.Errorf("list buckets: %w", err))
			return
		}
		for _, name := range names {
			e := entity.Entity{
				"apiVersion": "backstage.io/v1alpha1", "kind": "Resource",
				"metadata": map[string]any{"name": name},
				"spec":     map[string]any{"type": "bucket", "owner": "platform"},
			}
			e.SetAnnotation(entity.AnnotationManagedBy, "buckets:"+name)
			e.SetAnnotation(entity.AnnotationManagedByOrigin, "buckets:"+name)
			if !yield(catalog.Deferred{Entity: e, LocationKey: "buckets"}, nil) {
				return
			}
		}
	}
}

// Poll makes a provider of a source: it lists on schedule, on one replica at a time.
func ExamplePoll() {
	src := &buckets{list: func(context.Context) ([]string, error) { return []string{"logs", "media"}, nil }}
	provider := catalog.Poll(src, config.Schedule{})

	var set catalogtest.Recorder
	ctx := context.Background()
	if err := provider.Connect(ctx, &set); err != nil {
		fmt.Println(err)
	}
	if err := set.Run(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Println(set.Refs())
	// Output: [resource:default/logs resource:default/media]
}

// ownerFromTeam lets descriptors write spec.team instead of spec.owner.
type ownerFromTeam struct{}

var _ catalog.PreProcessor = ownerFromTeam{}

func (ownerFromTeam) ProcessorName() string { return "owner-from-team" }

func (ownerFromTeam) PreProcess(_ context.Context, e entity.Entity, _ entity.Location) (entity.Entity, error) {
	if team := e.SpecString("team"); team != "" && e.SpecString("owner") == "" {
		e.Set("group:"+team, "spec", "owner")
	}
	return e, nil
}

// A processor takes part in the processing of every entity.
func ExampleProcessor() {
	e := entity.Entity{
		"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": map[string]any{"name": "shop"},
		"spec": map[string]any{"type": "service", "lifecycle": "production", "team": "checkout"},
	}
	got := catalog.Try(context.Background(), e, nil, ownerFromTeam{})
	for _, r := range got.Relations {
		fmt.Println(r.Source, r.Type, r.Target)
	}
	// Output:
	// component:default/shop ownedBy group:default/checkout
	// group:default/checkout ownerOf component:default/shop
}

// A module adds what an organisation has of its own.
func ExampleExtensions() {
	module := backend.NewModule("catalog", "acme", fx.Invoke(func(x *catalog.Extensions) {
		x.AddProcessor(ownerFromTeam{})
		x.AddPlaceholder("upper", func(_ context.Context, value any, _ string) (any, error) {
			s, _ := value.(string)
			return strings.ToUpper(s), nil
		})
	}))
	b := backend.New()
	b.Add(catalog.Plugin(), module)
}
