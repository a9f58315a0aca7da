package ingest

import (
	"context"

	"github.com/callboard-dev/callboard/catalog/entity"
)

// A Trial is an outcome for callers outside of the engine.
type Trial struct {
	Entity      entity.Entity // nil if the run failed
	Found       []Deferred
	Relations   []entity.Relation
	RefreshKeys []string
	Failures    []Failure
	Again       []byte
}

// Try processes e without a catalog and with every kind allowed. again is what an
// earlier trial left.
func (p *Pipeline) Try(ctx context.Context, e entity.Entity, again []byte) Trial {
	r := &run{Pipeline: p, self: e.Ref().String(), seen: map[string]int{}, unruly: true}
	r.out = outcome{ref: r.self, cache: decodeCache(again), unreadable: map[int64]bool{}, keptRefs: map[string]bool{}}
	defer func() { r.out.parking.close() }()
	if err := r.stages(ctx, e); err != nil {
		r.out.fatal = true
		r.fail(CodeEntity, err)
	}
	out := Trial{Relations: r.out.relations, RefreshKeys: r.out.refreshKeys, Failures: r.out.failures}
	if !r.out.fatal {
		out.Entity = r.out.entity
		out.Again, _ = r.out.cache.encode()
	}
	for _, c := range r.out.children {
		d := Deferred{LocationKey: c.Key}
		if c.document.fresh() {
			d.Entity, _ = c.decode()
		}
		out.Found = append(out.Found, d)
	}
	return out
}

// An Inspection is what one run says about an entity, for tools that look at files.
type Inspection struct {
	Entity    entity.Entity // nil if the run failed as a whole
	Failures  []Failure     // with their errors, codes and paths
	Found     []Finding
	Relations []entity.Relation
}

// A Finding is an entity that another one led to.
type Finding struct {
	Entity   entity.Entity
	At       entity.Location
	Document *entity.Document // where it was parsed from; nil if a processor made it
}

// Inspect runs e, which has its location annotations, through all stages, without a
// catalog. The failures have no places in e's own file: the caller has its document.
func (p *Pipeline) Inspect(ctx context.Context, e entity.Entity) Inspection {
	r := &run{Pipeline: p, self: e.Ref().String(), seen: map[string]int{}, inspect: true}
	r.out = outcome{ref: r.self, cache: new(cache), unreadable: map[int64]bool{}, keptRefs: map[string]bool{}}
	defer func() { r.out.parking.close() }()
	if err := r.stages(ctx, e); err != nil {
		r.out.fatal = true
		r.fail(CodeEntity, err)
	}
	out := Inspection{Failures: r.out.failures, Relations: r.out.relations}
	if !r.out.fatal {
		out.Entity = r.out.entity
	}
	for _, c := range r.out.children {
		made, err := c.decode()
		if err != nil {
			out.Failures = append(out.Failures, failuresOf(CodeEntity, err)...)
			continue
		}
		out.Found = append(out.Found, Finding{made, c.at, c.doc})
	}
	return out
}
