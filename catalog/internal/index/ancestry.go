package index

import (
	"context"
	"slices"

	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// A Lineage is an entity with everything that emits it, directly or through others.
type Lineage struct {
	Exists   bool                      // the entity is served, to whomever
	Root     int64                     // its row; 0 if the selection does not have it
	Entity   []byte                    // its bytes
	Emitters map[int64][]store.Emitter // by the row that they emit, ordered by reference
}

// Ancestry returns the lineage of an entity. Who emits what is not among the changes that
// the index follows, so the database is asked for it: once for all who ask at the same time.
func (x *Index) Ancestry(ctx context.Context, ref string, sel store.Selection) (Lineage, error) {
	if !x.running.Load() && !x.everLoaded() {
		return Lineage{}, ErrUnready
	}
	lines, err := x.lineages.join(ctx, ref, func(refs []string) (map[int64][]store.Emitter, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
		defer cancel()
		slices.Sort(refs)
		return x.store.Lineages(ctx, slices.Compact(refs))
	})
	if err != nil {
		return Lineage{}, err
	}
	out := Lineage{Emitters: map[int64][]store.Emitter{}}
	var ids []int64
	for _, root := range lines[0] {
		if root.Ref == ref {
			ids = append(ids, root.ID)
		}
	}
	for seen := 0; seen < len(ids); seen++ {
		if _, ok := out.Emitters[ids[seen]]; ok {
			continue
		}
		list := slices.Clone(lines[ids[seen]])
		out.Emitters[ids[seen]] = list
		for _, e := range list {
			ids = append(ids, e.ID)
		}
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	k := keyOf(sel, nil)
	var found []int64
	docs, err := x.find(ctx, sel.Keys(), func() []wanted {
		m := x.matches(k)
		slot, ok := x.byRef[ref]
		out.Exists, out.Root = ok, 0
		if ok && m.has(slot) {
			out.Root = x.ids[slot]
		}
		found = found[:0]
		var list []wanted
		for _, id := range ids {
			if slot, ok := x.byID[id]; ok && m.has(slot) {
				found, list = append(found, id), append(list, x.wantedOf(slot))
			}
		}
		return list
	})
	if err != nil {
		return Lineage{}, err
	}
	bytes := make(map[int64][]byte, len(found))
	for i, id := range found {
		bytes[id] = docs[i]
	}
	if out.Root != 0 && bytes[out.Root] == nil {
		return Lineage{}, ErrUnready // it came back between the two looks
	}
	out.Entity = bytes[out.Root]
	for _, list := range out.Emitters {
		for i := range list {
			list[i].Entity = bytes[list[i].ID]
		}
	}
	return out, nil
}
