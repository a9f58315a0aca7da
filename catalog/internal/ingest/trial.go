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
	if err := r.stages(ctx, e); err != nil {
		r.out.fatal = true
		r.fail(err)
	}
	out := Trial{Relations: r.out.relations, RefreshKeys: r.out.refreshKeys, Failures: r.out.failures}
	if !r.out.fatal {
		out.Entity = r.out.entity
		out.Again, _ = r.out.cache.encode()
	}
	for _, c := range r.out.children {
		d := Deferred{LocationKey: c.Key}
		if c.document != nil {
			d.Entity, _ = entity.Decode(c.document)
		}
		out.Found = append(out.Found, d)
	}
	return out
}
