package index

import (
	"slices"
	"sort"
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
			h.column = h.replace(touched, now, len(x.ids), x.uidLine.place, x.uids)
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
	x.ids, x.seqs, x.uids, x.refs = append(x.ids, 0), append(x.seqs, 0), append(x.uids, ""), append(x.refs, "")
	return uint32(len(x.ids) - 1)
}

// reorder brings what stands in line up to date.
func (x *Index) reorder(gone, added []uint32) {
	out := newSet(len(x.ids))
	out.addAll(gone)
	live := newSet(len(x.ids))
	copy(live, x.live)
	live.without(out)
	live.addAll(added)
	x.live = live
	x.uidLine = x.uidLine.replace(out, added, x.uids)
	x.refLine = x.refLine.replace(out, added, x.refs)
}

// A line is an order: entities stand in it at places. In the line of a column they stand
// once for each value, and place has the one that counts.
type line struct {
	slots []uint32 // by place
	place []uint32 // of a slot
}

// newLine has n slots in their own order.
func newLine(n int) line {
	l := line{make([]uint32, n), make([]uint32, n)}
	for i := range l.slots {
		l.slots[i] = uint32(i)
	}
	l.number()
	return l
}

func (l line) number() {
	for i, slot := range l.slots {
		l.place[slot] = uint32(i)
	}
}

// replace returns the line without some slots and with others, ordered by text.
func (l line) replace(gone set, added []uint32, text []string) line {
	slices.SortFunc(added, func(a, b uint32) int { return strings.Compare(text[a], text[b]) })
	out := line{make([]uint32, 0, len(l.slots)+len(added)), make([]uint32, len(text))}
	from := 0
	keep := func(to int) {
		for _, slot := range l.slots[from:to] {
			if !gone.has(slot) {
				out.slots = append(out.slots, slot)
			}
		}
		from = to
	}
	for _, slot := range added {
		keep(from + sort.Search(len(l.slots)-from, func(i int) bool { return text[l.slots[from+i]] >= text[slot] }))
		out.slots = append(out.slots, slot)
	}
	keep(len(l.slots))
	out.number()
	return out
}
