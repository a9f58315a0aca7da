package index

import (
	"context"
	"iter"
	"slices"

	"github.com/callboard-dev/callboard/catalog/internal/store"
)

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
