package index

import (
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// apply takes changes over. The caller holds applying and mu.
func (x *Index) apply(c store.Changes) {
	changed := map[int64]bool{}
	for _, s := range c.Changed {
		changed[s.ID] = true
	}
	var gone, added, dirty []uint32
	remove := func(id int64) {
		slot, ok := x.byID[id]
		if !ok {
			return
		}
		delete(x.byID, id)
		if x.byRef[x.refs[slot]] == slot {
			delete(x.byRef, x.refs[slot])
		}
		x.ids[slot] = 0
		gone = append(gone, slot)
	}
	for _, id := range c.Gone {
		if !changed[id] { // SQLite gives a number again
			remove(id)
		}
	}
	for _, s := range c.Changed {
		slot, ok := x.byID[s.ID]
		if ok && (x.uids[slot] != s.UID || x.refs[slot] != s.Ref) {
			remove(s.ID)
			ok = false
		}
		if !ok {
			slot = x.slot()
			x.ids[slot], x.uids[slot], x.refs[slot] = s.ID, s.UID, s.Ref
			x.byID[s.ID], x.byRef[s.Ref] = slot, slot
			added = append(added, slot)
		}
		x.seqs[slot] = s.Seq
		dirty = append(dirty, slot)
	}
	if len(gone)+len(added) > 0 {
		x.reorder(gone, added)
	}
	dirty = append(dirty, gone...)
	x.cache.forget(dirty, len(x.ids))
	touched := newSet(len(x.ids))
	touched.addAll(dirty)
	if len(dirty) > 0 {
		for _, h := range x.columns {
			var now []entry
			for _, r := range c.Rows[h.id] {
				if slot, ok := x.byID[r.ID]; ok {
					e := entry{slot: slot, null: r.Value == nil}
					if r.Value != nil {
						e.value = *r.Value
					}
					if r.Original != nil {
						e.original = *r.Original
					}
					now = append(now, e)
				}
			}
			h.column = h.replace(touched, now, len(x.ids), x.rank)
		}
		x.results.clear()
	}
	// Not before the columns have forgotten them.
	x.free = append(x.free, gone...)
	x.known = max(x.known, c.Seq)
}

// slot returns one that is free.
func (x *Index) slot() uint32 {
	if n := len(x.free); n > 0 {
		slot := x.free[n-1]
		x.free = x.free[:n-1]
		return slot
	}
	x.ids, x.seqs, x.uids, x.refs, x.rank = append(x.ids, 0), append(x.seqs, 0), append(x.uids, ""), append(x.refs, ""), append(x.rank, 0)
	return uint32(len(x.ids) - 1)
}

// reorder brings the order by uid up to date.
func (x *Index) reorder(gone, added []uint32) {
	byUID := func(a, b uint32) int { return strings.Compare(x.uids[a], x.uids[b]) }
	slices.SortFunc(added, byUID)
	live := newSet(len(x.ids))
	copy(live, x.live)
	out := newSet(len(x.ids))
	out.addAll(gone)
	live.without(out)
	order := make([]uint32, 0, len(x.order)+len(added))
	next := 0
	for _, slot := range x.order {
		if out.has(slot) {
			continue
		}
		for next < len(added) && byUID(added[next], slot) < 0 {
			order = append(order, added[next])
			next++
		}
		order = append(order, slot)
	}
	order = append(order, added[next:]...)
	live.addAll(added)
	for i, slot := range order {
		x.rank[slot] = uint32(i)
	}
	x.order, x.live = order, live
}
