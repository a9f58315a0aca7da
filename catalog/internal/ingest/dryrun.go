package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// maxDryRun bounds how many entities a dry run follows.
const maxDryRun = 1000

// DryRun processes a location, and all that it leads to, without touching a table
// (contract catalog.md, 1.6.12). The first entity is the Location itself. Any failure,
// and an entity that occurs twice, is an apierr.Input error that has all the texts.
func (e *Engine) DryRun(ctx context.Context, loc entity.Location) ([]entity.Entity, error) {
	if err := checkLocation(loc); err != nil {
		return nil, err
	}
	var out []entity.Entity
	var problems []string
	seen := map[string]bool{}
	type item struct {
		e      entity.Entity
		places []byte
	}
	queue := []item{{e: LocationDeferred(loc, "").Entity}}
	for len(queue) > 0 {
		if len(out) >= maxDryRun {
			problems = append(problems, fmt.Sprintf("%s leads to more than %d entities", loc, maxDryRun))
			break
		}
		next := queue[0]
		queue = queue[1:]
		ref := next.e.Ref().String()
		if seen[ref] {
			problems = append(problems, ref+" occurs twice")
			continue
		}
		seen[ref] = true
		got := e.Pipeline.Process(ctx, next.e, next.places, new(cache))
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, f := range got.failures {
			problems = append(problems, f.Message)
		}
		if got.fatal {
			continue
		}
		out = append(out, got.entity)
		for _, c := range got.children {
			child, err := entity.Decode(c.document)
			if err != nil {
				return nil, err
			}
			queue = append(queue, item{child, c.places})
		}
	}
	if len(problems) > 0 {
		return nil, apierr.Input.New("%s", strings.Join(problems, "; "))
	}
	return out, nil
}

// Validate runs an entity through all stages but the reading of what it refers to
// (contract catalog.md, 1.6.19), as if it had come from loc. The errors are a join.
func (e *Engine) Validate(ctx context.Context, candidate entity.Entity, loc entity.Location) error {
	made, err := entity.Normalize(candidate)
	if err != nil {
		return apierr.Input.Wrap(err, "entity cannot be read")
	}
	if err := e.Pipeline.Model.CheckIdentity(made); err != nil {
		return err
	}
	pipeline := *e.Pipeline
	if made.Kind() == "Location" {
		pipeline.Processors = withoutReaders(pipeline.Processors)
	}
	if made.Annotation(entity.AnnotationManagedBy) == "" {
		made.SetAnnotation(entity.AnnotationManagedBy, loc.String())
	}
	if made.Annotation(entity.AnnotationManagedByOrigin) == "" {
		made.SetAnnotation(entity.AnnotationManagedByOrigin, loc.String())
	}
	got := pipeline.Process(ctx, made, nil, new(cache))
	var errs []error
	for _, f := range got.failures {
		errs = append(errs, errors.New(f.Message))
	}
	return errors.Join(errs...)
}

// withoutReaders replaces reading by finding nothing.
func withoutReaders(processors []Processor) []Processor {
	out := []Processor{{Name: "nothing", Read: func(context.Context, entity.Location, func(Emission)) (bool, error) { return true, nil }}}
	for _, p := range processors {
		p.Read = nil
		out = append(out, p)
	}
	return out
}
