package catalog

import (
	"context"

	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/ingest"
)

// A Trial is what one run of an entity through processors yields.
type Trial struct {
	Entity      entity.Entity // nil if the run failed
	Found       []Deferred    // what it emits
	Relations   []entity.Relation
	RefreshKeys []string
	Errors      []entity.StatusError
	// Again is the cache for the next run of the entity.
	Again []byte
}

// Try runs e through processors, with the builtin checks of kinds and every kind
// allowed, as the catalog does, without a catalog: for tests of processors. again is
// the Again of an earlier trial, or nil. e needs no location annotations.
func Try(ctx context.Context, e entity.Entity, again []byte, processors ...Processor) Trial {
	model := entity.NewModel(entity.ModelOptions{})
	all := []ingest.Processor{adapt(newBuiltinKinds(entity.Formats{}), ingest.DefaultPriority)}
	for _, p := range processors {
		all = append(all, adapt(p, ingest.DefaultPriority))
	}
	e = e.Clone()
	for _, key := range []string{entity.AnnotationManagedBy, entity.AnnotationManagedByOrigin} {
		if e.Annotation(key) == "" {
			e.SetAnnotation(key, "url:https://example.com/catalog-info.yaml")
		}
	}
	pipeline := &ingest.Pipeline{
		Model: model, Processors: all, Parse: parserOf(nil, entity.Limits{}),
		LocationTypes: []string{e.SpecString("type")},
		ResolveURL:    func(_, ref string) (string, error) { return ref, nil },
	}
	got := pipeline.Try(ctx, e, again)
	out := Trial{Entity: got.Entity, Relations: got.Relations, RefreshKeys: got.RefreshKeys, Again: got.Again}
	for _, d := range got.Found {
		out.Found = append(out.Found, Deferred(d))
	}
	for _, f := range got.Failures {
		out.Errors = append(out.Errors, f.StatusError())
	}
	return out
}
