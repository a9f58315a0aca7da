package index

import (
	"context"
	"slices"
	"sort"
	"strings"

	"github.com/callboard-dev/callboard/catalog/internal/store"
)

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
