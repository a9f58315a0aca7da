package index

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// patience is how long a read waits for what it needs to be loaded. Up to some ten
// thousand entities that takes less time than the database does to answer.
const patience = 300 * time.Millisecond

// at runs read with everything that was committed before, and with the columns of keys.
func (x *Index) at(ctx context.Context, keys []string, read func() error) error {
	loading, err := x.try(ctx, keys, read)
	if loading == nil {
		return err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-loading:
	case <-timer.C:
		return ErrUnready
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err = x.try(ctx, keys, read)
	return err
}

// try is at without waiting. If it returns ErrUnready because something is missing,
// loading is closed when that has been loaded, as far as it can be.
func (x *Index) try(ctx context.Context, keys []string, read func() error) (loading <-chan struct{}, err error) {
	err = x.current(ctx)
	if errors.Is(err, ErrUnready) {
		return x.want(keys...), err
	}
	if err != nil {
		return nil, err
	}
	var absent []string // keys that no entity had when x.known was known
	known := int64(-1)
	for range maxTries {
		x.mu.RLock()
		if !x.loaded {
			x.mu.RUnlock()
			return x.want(keys...), ErrUnready
		}
		if x.known != known {
			absent = nil // that may be different now
		}
		missing := x.missing(keys, absent)
		if missing == nil {
			defer x.mu.RUnlock()
			return nil, read()
		}
		large := slices.ContainsFunc(missing, func(key string) bool { return x.large[key] })
		known = x.known
		x.mu.RUnlock()
		if large {
			return nil, ErrUnready
		}
		ids, err := x.store.KeyIDs(ctx, missing)
		if err != nil {
			return nil, err
		}
		if len(ids) > 0 {
			return x.want(slices.Collect(maps.Keys(ids))...), ErrUnready
		}
		absent = missing
	}
	return nil, ErrUnready
}

// missing is those of keys that have no column, except absent ones, and notes that the
// others are used.
func (x *Index) missing(keys, absent []string) (out []string) {
	for _, key := range keys {
		switch h := x.columns[key]; {
		case h != nil:
			h.used.Store(x.clock.Add(1))
		case !slices.Contains(absent, key):
			out = append(out, key)
		}
	}
	return out
}

// column is that of a key, which is loaded or absent.
func (x *Index) column(key string) *column {
	if h := x.columns[key]; h != nil {
		return h.column
	}
	return x.empty
}

// A wanted is an entity as it was when it was found.
type wanted struct {
	slot uint32
	id   int64
	seq  int64
}

func (x *Index) wantedOf(slot uint32) wanted { return wanted{slot, x.ids[slot], x.seqs[slot]} }

// documents returns the bytes of entities as they were when they were found; those that
// have changed since are nil, and changed says so.
func (x *Index) documents(ctx context.Context, list []wanted, passing bool) (out [][]byte, changed bool, err error) {
	out = make([][]byte, len(list))
	var missing []int64
	x.cache.mu.RLock()
	for i, w := range list {
		if int(w.slot) < len(x.cache.docs) {
			out[i] = x.cache.get(w.slot, w.seq)
		}
		if out[i] == nil {
			missing = append(missing, w.id)
		}
	}
	x.cache.mu.RUnlock()
	if missing == nil {
		return out, false, nil
	}
	found := make(map[int64]store.Document, len(missing))
	if err := x.store.Documents(ctx, missing, func(d store.Document) { found[d.ID] = d }); err != nil {
		return nil, false, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	x.cache.mu.Lock()
	defer x.cache.mu.Unlock()
	for i, w := range list {
		if out[i] != nil {
			continue
		}
		d, ok := found[w.id]
		if !ok || d.Seq != w.seq {
			changed = true
			continue
		}
		out[i] = d.Entity
		if x.ids[w.slot] == w.id && x.seqs[w.slot] == w.seq {
			x.cache.put(w.slot, w.seq, d.Entity, passing)
		}
	}
	return out, changed, nil
}

// maxTries is how often a read looks again because something has changed meanwhile: what
// it found, before its bytes were there. What a caller may see is decided by the state that the bytes are of.
const maxTries = 3

// find runs pick, and returns what it picked with its bytes.
func (x *Index) find(ctx context.Context, keys []string, pick func() []wanted) ([][]byte, error) {
	for range maxTries {
		var list []wanted
		if err := x.at(ctx, keys, func() error { list = pick(); return nil }); err != nil {
			return nil, err
		}
		docs, changed, err := x.documents(ctx, list, false)
		if err != nil || !changed {
			return docs, err
		}
	}
	return nil, ErrUnready
}

// ByRef returns the bytes of an entity; db.ErrNoRows if there is none that sel has.
func (x *Index) ByRef(ctx context.Context, ref string, sel store.Selection) ([]byte, error) {
	return x.one(ctx, sel, func() (uint32, bool) {
		slot, ok := x.byRef[ref]
		return slot, ok
	})
}

// ByUID is ByRef by uid.
func (x *Index) ByUID(ctx context.Context, uid string, sel store.Selection) ([]byte, error) {
	return x.one(ctx, sel, func() (uint32, bool) {
		slots := x.uidLine.slots
		i, ok := sort.Find(len(slots), func(i int) int { return strings.Compare(uid, x.uids[slots[i]]) })
		if !ok {
			return 0, false
		}
		return slots[i], true
	})
}

func (x *Index) one(ctx context.Context, sel store.Selection, slot func() (uint32, bool)) ([]byte, error) {
	k := keyOf(sel, nil)
	docs, err := x.find(ctx, sel.Keys(), func() []wanted {
		if s, ok := slot(); ok && (k.everything() || x.matches(k).has(s)) {
			return []wanted{x.wantedOf(s)}
		}
		return nil
	})
	if err == nil && len(docs) == 0 {
		err = db.ErrNoRows
	}
	if err != nil {
		return nil, err
	}
	return docs[0], nil
}

// ByRefs returns the bytes of those of refs that sel has, by reference.
func (x *Index) ByRefs(ctx context.Context, refs []string, sel store.Selection) (map[string][]byte, error) {
	k := keyOf(sel, nil)
	var found []string
	docs, err := x.find(ctx, sel.Keys(), func() []wanted {
		m := x.matches(k)
		found = make([]string, 0, len(refs))
		list := make([]wanted, 0, len(refs))
		for _, ref := range refs {
			if slot, ok := x.byRef[ref]; ok && m.has(slot) {
				list, found = append(list, x.wantedOf(slot)), append(found, ref)
			}
		}
		return list
	})
	if err != nil {
		return nil, err
	}
	out := make(map[string][]byte, len(found))
	for i, ref := range found {
		out[ref] = docs[i]
	}
	return out, nil
}

// Page returns the rows of a page, and the length of the list that it is of.
func (x *Index) Page(ctx context.Context, p store.PageQuery) (rows []store.PageRow, total int, err error) {
	k := keyOf(p.Selection, p.Order)
	keys := p.Selection.Keys()
	if p.Order != nil {
		keys = append(keys, p.Order.Key)
	}
	docs, err := x.find(ctx, keys, func() []wanted {
		m := x.matches(k)
		total = m.count
		list := x.pick(m, p)
		rows = make([]store.PageRow, len(list))
		out := make([]wanted, len(list))
		for i, at := range list {
			out[i] = x.wantedOf(at.slot)
			rows[i].UID = x.uids[at.slot]
			if p.Order != nil {
				rows[i].Value = x.column(p.Order.Key).value(at.place)
			}
		}
		return out
	})
	if err != nil {
		return nil, 0, err
	}
	for i := range rows {
		rows[i].Entity = docs[i]
	}
	if p.Backward {
		slices.Reverse(rows)
	}
	return rows, total, nil
}

// A standing is an entity, and where it stands in the order of a list.
type standing struct {
	slot  uint32
	place uint32
}

// lineOf is the order that a list has.
func (x *Index) lineOf(order *store.Order) line {
	if order == nil {
		return x.uidLine
	}
	col := x.column(order.Key)
	col.place()
	if order.Desc {
		return line{col.rows, col.last}
	}
	return line{col.rows, col.first}
}

// pick chooses the entities of a page in the direction in which they are asked for.
func (x *Index) pick(m match, p store.PageQuery) []standing {
	if p.Limit <= 0 || m.count == 0 {
		return nil
	}
	l := x.lineOf(p.Order)
	down := p.Backward
	if p.Order != nil {
		down = p.Order.Desc != p.Backward
	}
	from, to := 0, len(l.slots)
	if p.After != nil {
		boundary, exact := x.boundary(p)
		if down {
			to = boundary
		} else if from = boundary; exact {
			from++
		}
	}
	// Walking the line finds an entity every so many steps; sorting the matches looks at
	// each of them.
	if need := p.Limit + p.Offset; m.count < 64 || float64(need)*float64(len(l.slots)) > 4*float64(m.count)*float64(m.count) {
		return pickSorted(m, l, from, to, down, p)
	}
	var out []standing
	skip := p.Offset
	visit := func(place int) bool {
		slot := l.slots[place]
		if !m.has(slot) || l.place[slot] != uint32(place) {
			return true
		}
		if skip > 0 {
			skip--
			return true
		}
		out = append(out, standing{slot, uint32(place)})
		return len(out) < p.Limit
	}
	if down {
		for place := to - 1; place >= from && visit(place); place-- {
		}
	} else {
		for place := from; place < to && visit(place); place++ {
		}
	}
	return out
}

func pickSorted(m match, l line, from, to int, down bool, p store.PageQuery) []standing {
	list := make([]standing, 0, min(m.count, 1024))
	m.each(func(slot uint32) bool {
		if place := l.place[slot]; int(place) >= from && int(place) < to {
			list = append(list, standing{slot, place})
		}
		return true
	})
	slices.SortFunc(list, func(a, b standing) int {
		if down {
			a, b = b, a
		}
		return int(a.place) - int(b.place)
	})
	list = list[min(p.Offset, len(list)):]
	return list[:min(p.Limit, len(list))]
}

// boundary is the first place at or behind the position of a page, and whether an entity
// stands exactly there.
func (x *Index) boundary(p store.PageQuery) (place int, exact bool) {
	slots := x.uidLine.slots
	first := 0
	if p.Order != nil {
		col := x.column(p.Order.Key)
		v, ok := slices.BinarySearch(col.values, p.After.Value)
		first = int(col.start[v])
		if !ok {
			return first, false
		}
		slots = col.rows[first:col.start[v+1]]
	}
	i, ok := sort.Find(len(slots), func(i int) int { return strings.Compare(p.After.UID, x.uids[slots[i]]) })
	return first + i, ok
}

// Facets counts the values of keys among the entities of a selection.
func (x *Index) Facets(ctx context.Context, keys []string, sel store.Selection) (out []store.Facet, err error) {
	k := keyOf(sel, nil)
	err = x.at(ctx, sel.Keys(keys...), func() error {
		for _, key := range keys {
			col := x.column(key)
			var counts []Count
			if k.everything() {
				counts = col.all()
			} else {
				m := x.matches(k)
				counts = x.results.tally(k.text+"#"+key, func() []Count { return col.tally(m.set) })
			}
			for _, c := range counts {
				out = append(out, store.Facet{Key: key, Value: c.Value, Count: c.Count})
			}
		}
		return nil
	})
	return out, err
}

// List yields all entities of a selection, ordered by uid or by a key, whose values all
// of them have then. What has changed since the list began is left to recheck, which
// returns the bytes of those of ids that the selection still has.
func (x *Index) List(ctx context.Context, sel store.Selection, order *store.Order, recheck func(ids []int64) (map[int64][]byte, error)) (iter.Seq2[[]byte, error], error) {
	k := keyOf(sel, order)
	keys := sel.Keys()
	if order != nil {
		keys = append(keys, order.Key)
	}
	var list []wanted
	err := x.at(ctx, keys, func() error {
		m := x.matches(k)
		standings := x.pick(m, store.PageQuery{Selection: sel, Order: order, Limit: m.count})
		list = make([]wanted, len(standings))
		for i, s := range standings {
			list[i] = x.wantedOf(s.slot)
		}
		return nil
	})
	return x.stream(ctx, list, recheck), err
}

// ListPage yields limit entities of a selection from offset on; a negative limit is
// none. They are ordered by the value of a key, those without one last, and then by uid
// going up; without an order by reference. more says whether there are others behind
// them. Several orders are left to the database.
func (x *Index) ListPage(ctx context.Context, sel store.Selection, orders []store.Order, limit, offset int, recheck func(ids []int64) (map[int64][]byte, error)) (seq iter.Seq2[[]byte, error], more bool, err error) {
	if len(orders) > 1 {
		return nil, false, ErrUnready
	}
	keys := sel.Keys()
	var valued keyed
	if len(orders) == 1 {
		keys = append(keys, orders[0].Key)
		valued = keyOf(sel, &orders[0])
	}
	var list []wanted
	err = x.at(ctx, keys, func() error {
		m := x.matches(keyOf(sel, nil))
		count := max(m.count-offset, 0)
		if limit >= 0 {
			more, count = count > limit, min(count, limit)
		}
		list = make([]wanted, 0, count)
		skip := offset
		add := func(slot uint32) bool {
			if skip > 0 {
				skip--
			} else if len(list) < count {
				list = append(list, x.wantedOf(slot))
			}
			return len(list) < count
		}
		if count == 0 {
			return nil
		}
		if len(orders) == 0 {
			walk(x.refLine.slots, m.set, add)
			return nil
		}
		col, with := x.column(orders[0].Key), x.matches(valued)
		if x.walkValues(col, with.set, orders[0].Desc, add) {
			rest := newSet(len(x.ids))
			copy(rest, m.set)
			rest.without(with.set)
			walk(x.uidLine.slots, rest, add)
		}
		return nil
	})
	return x.stream(ctx, list, recheck), more, err
}

// walk calls fn for those of slots that are in s, until it returns false.
func walk(slots []uint32, s set, fn func(slot uint32) bool) {
	for _, slot := range slots {
		if s.has(slot) && !fn(slot) {
			return
		}
	}
}

// walkValues is walk in the order of the values of a column, and of uids within a value.
// It says whether fn wants more.
func (x *Index) walkValues(col *column, s set, desc bool, fn func(slot uint32) bool) bool {
	col.place()
	place := col.first
	if desc {
		place = col.last
	}
	for i := range col.values {
		v := i
		if desc {
			v = len(col.values) - 1 - i
		}
		for row := col.start[v]; row < col.start[v+1]; row++ {
			if slot := col.rows[row]; s.has(slot) && place[slot] == row && !fn(slot) {
				return false
			}
		}
	}
	return true
}

// listBatch is how many entities of a list are in memory beside the cache.
const listBatch = 100

// stream yields entities that were found.
func (x *Index) stream(ctx context.Context, list []wanted, recheck func(ids []int64) (map[int64][]byte, error)) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for batch := range slices.Chunk(list, listBatch) {
			docs, changed, err := x.documents(ctx, batch, true)
			var again map[int64][]byte
			if err == nil && changed {
				var ids []int64
				for i, w := range batch {
					if docs[i] == nil {
						ids = append(ids, w.id)
					}
				}
				again, err = recheck(ids)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for i, d := range docs {
				if d == nil {
					d = again[batch[i].id]
				}
				if d != nil && !yield(d, nil) {
					return
				}
			}
		}
	}
}
