package index

import (
	"slices"
	"sort"
)

// replace returns the column in which the slots of changed have the entries of now, and
// no others. Entries are in no order. Few of many rows change, and what lies between is
// copied as a whole.
func (c *column) replace(changed set, now []entry, slots int, rank []uint32, uids []string) *column {
	var before []entry
	var drop, dropOf []int // rows, and the values that they are of
	for row, v := 0, 0; row < len(c.rows); row++ {
		if !changed.has(c.rows[row]) {
			continue
		}
		for int(c.start[v+1]) <= row {
			v++
		}
		before, drop, dropOf = append(before, c.at(v, row)), append(drop, row), append(dropOf, v)
	}
	nulls := make([]uint32, 0, len(c.nulls))
	for _, slot := range c.nulls {
		if changed.has(slot) {
			before = append(before, entry{slot: slot, null: true})
		} else {
			nulls = append(nulls, slot)
		}
	}
	slices.SortFunc(now, compare(rank))
	if slices.Equal(before, now) {
		return c
	}
	out := &column{id: c.id, any: newSet(slots), valued: newSet(slots), nulls: nulls}
	copy(out.any, c.any)
	copy(out.valued, c.valued)
	out.any.without(changed)
	out.valued.without(changed)
	put := now
	for i, e := range now {
		out.any.add(e.slot)
		if !e.null {
			out.valued.add(e.slot)
			continue
		}
		if len(put) == len(now) {
			put = now[:i]
		}
		out.nulls = append(out.nulls, e.slot)
	}
	at := make([]place, len(put))
	for i, e := range put {
		at[i] = c.placeOf(e, uids)
	}
	out.splice(c, drop, put, at)
	out.group(c, dropOf, put, at)
	return out
}

// A place is where an entry goes into a column: before a row, and to a value, or before
// it if the column does not have the entry's.
type place struct {
	row, value int
	known      bool
}

func (c *column) placeOf(e entry, uids []string) place {
	v, ok := slices.BinarySearch(c.values, e.value)
	p := place{int(c.start[v]), v, ok}
	if ok {
		rows := c.rows[c.start[v]:c.start[v+1]]
		p.row += sort.Search(len(rows), func(i int) bool { return uids[rows[i]] >= uids[e.slot] })
	}
	return p
}

// splice makes the rows of old without some and with others.
func (c *column) splice(old *column, drop []int, put []entry, at []place) {
	n := len(old.rows) - len(drop) + len(put)
	c.rows = make([]uint32, 0, n)
	if old.original != nil || slices.ContainsFunc(put, func(e entry) bool { return e.original != "" }) {
		c.original = make([]string, 0, n)
	}
	from := 0
	keep := func(to int) {
		c.rows = append(c.rows, old.rows[from:to]...)
		switch {
		case old.original != nil:
			c.original = append(c.original, old.original[from:to]...)
		case c.original != nil:
			c.original = c.original[:len(c.original)+to-from] // which are empty
		}
		from = to
	}
	for len(drop) > 0 || len(put) > 0 {
		if len(put) > 0 && (len(drop) == 0 || at[0].row <= drop[0]) {
			keep(at[0].row)
			c.rows = append(c.rows, put[0].slot)
			if c.original != nil {
				c.original = append(c.original, put[0].original)
			}
			put, at = put[1:], at[1:]
			continue
		}
		keep(drop[0])
		from++
		drop = drop[1:]
	}
	keep(len(old.rows))
}

// group makes the values of old, with their rows, as splice has changed these.
func (c *column) group(old *column, dropOf []int, put []entry, at []place) {
	c.values = make([]string, 0, len(old.values)+len(put))
	c.start = make([]uint32, 0, len(old.start)+len(put))
	from, rows := 0, 0 // the next value of old, and how many rows those so far have
	keep := func(to int) {
		shift := uint32(rows) - old.start[from]
		c.values = append(c.values, old.values[from:to]...)
		for _, s := range old.start[from:to] {
			c.start = append(c.start, s+shift)
		}
		rows += int(old.start[to] - old.start[from])
		from = to
	}
	add := func(value string, count int) {
		if count > 0 {
			c.values, c.start = append(c.values, value), append(c.start, uint32(rows))
			rows += count
		}
	}
	for len(dropOf) > 0 || len(put) > 0 {
		v := len(old.values)
		if len(dropOf) > 0 {
			v = dropOf[0]
		}
		if len(put) > 0 {
			v = min(v, at[0].value)
		}
		keep(v)
		take := func(known bool) (n int) {
			for value := ""; len(put) > 0 && at[0].value == v && at[0].known == known && (n == 0 || put[0].value == value); n++ {
				value, put, at = put[0].value, put[1:], at[1:]
			}
			return n
		}
		for len(put) > 0 && at[0].value == v && !at[0].known {
			value := put[0].value
			add(value, take(false))
		}
		if v == len(old.values) {
			continue
		}
		count := int(old.start[v+1]-old.start[v]) + take(true)
		for len(dropOf) > 0 && dropOf[0] == v {
			count, dropOf = count-1, dropOf[1:]
		}
		add(old.values[v], count)
		from = v + 1
	}
	keep(len(old.values))
	c.seal()
}
