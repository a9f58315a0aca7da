package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// defaultMaxDryRun is Options.MaxDryRun, unless it is set.
const defaultMaxDryRun = 10_000

// DryRun processes a location, and all that it leads to, without touching a table
// (contract catalog.md, 1.6.12). The first entity is the Location itself. Any failure,
// and an entity that occurs twice, is an apierr.Input error that has all the texts.
func (e *Engine) DryRun(ctx context.Context, loc entity.Location) ([]entity.Entity, error) {
	if err := checkLocation(loc); err != nil {
		return nil, err
	}
	var out []entity.Entity
	var problems []string
	most := cmp.Or(e.MaxDryRun, defaultMaxDryRun)
	seen := map[string]bool{}
	queue := []dryItem{{e: LocationDeferred(loc, "").Entity}}
	for len(queue) > 0 {
		if len(out) >= most {
			problems = append(problems, fmt.Sprintf("%s leads to more than %d entities, which is what catalog.limits.entitiesPerDryRun allows", loc, most))
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
		var err error
		queue, err = got.queue(queue)
		got.parking.close()
		if err := errors.Join(ctx.Err(), err); err != nil {
			return nil, err
		}
		for _, f := range got.failures {
			problems = append(problems, f.Message)
		}
		if got.fatal {
			continue
		}
		out = append(out, got.entity)
	}
	if len(problems) > 0 {
		return nil, apierr.Input.New("%s", strings.Join(problems, "; "))
	}
	return out, nil
}

// A dryItem is an entity that a dry run is to process.
type dryItem struct {
	e      entity.Entity
	places []byte
}

// queue appends what the outcome led to.
func (o *outcome) queue(queue []dryItem) ([]dryItem, error) {
	if o.fatal {
		return queue, nil
	}
	for _, c := range o.children {
		child, err := c.decode()
		if err != nil {
			return nil, err
		}
		queue = append(queue, dryItem{child, c.Places})
	}
	return queue, nil
}

// Validate runs an entity through all stages as if it had come from loc (contract
// catalog.md, 1.6.20): what it refers to is read, what it leads to is not processed.
// The result is what is wrong with it, nothing if it is fine. An entity without a kind,
// an apiVersion or a name is not looked at any further.
//
// Somebody who asks is not the configuration: an entity that says of itself that it
// comes from a location of another type than loc, such as a file, is checked without
// reading anything (SEC-51).
func (e *Engine) Validate(ctx context.Context, candidate entity.Entity, loc entity.Location) ([]Failure, error) {
	made, err := entity.Normalize(candidate)
	if err != nil {
		return nil, apierr.Input.Wrap(err, "entity cannot be read")
	}
	if made.APIVersion() == "" || made.Kind() == "" || made.Name() == "" {
		err := e.Pipeline.Model.CheckIdentity(made)
		return []Failure{{Name: typeCause, Message: cut(err.Error()), err: err}}, nil
	}
	for _, key := range []string{entity.AnnotationManagedBy, entity.AnnotationManagedByOrigin} {
		if made.Annotation(key) == "" {
			made.SetAnnotation(key, loc.String())
		}
	}
	pipeline := e.Pipeline
	if at, err := entity.LocationOf(made); err == nil && at.Type != loc.Type {
		pipeline = pipeline.withoutReading(at)
	}
	got := pipeline.Process(ctx, made, nil, new(cache))
	defer got.parking.close()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for i, f := range got.failures {
		if f.Cause != nil {
			got.failures[i].Message = cut(got.ref + ": " + f.Message)
		}
	}
	return got.failures, nil
}

// withoutReading is p for an entity of which nobody knows whether at may be read.
// Locations lead to nothing, placeholders fail.
func (p *Pipeline) withoutReading(at entity.Location) *Pipeline {
	out := *p
	out.Processors = []Processor{{Name: "nothing", Read: func(context.Context, entity.Location, func(Emission)) (bool, error) { return true, nil }}}
	for _, one := range p.Processors {
		one.Read = nil
		out.Processors = append(out.Processors, one)
	}
	out.ReadBeside = func(_ context.Context, _, _ entity.Location, ref string) ([]byte, entity.Location, error) {
		return nil, entity.Location{}, apierr.NotAllowed.New("%q is not read for a check, because the entity says that it comes from %s", ref, at)
	}
	return &out
}
