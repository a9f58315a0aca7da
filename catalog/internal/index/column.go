package index

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"sync"
)

// A column is the index rows of one key, ordered by value and then by the uid of the
// entity. It is never changed: a change makes another one that shares what it can.
type column struct {
	id     int32    // of the key
	values []string // distinct, ascending
	start  []uint32 // the rows of values[i] are start[i] up to start[i+1]
	rows   []uint32 // slots
	// original is the text of a row in the case of the entity, where it differs from the
	// value; nil if it nowhere does.
	original []string
	nulls    []uint32 // slots with a row that has no value

	any    set // slots with a row
	valued set // slots with a row that has a value

	places sync.Once
	first  []uint32 // the first row of a slot; only where valued
	last   []uint32 // the last row; first itself if no entity has several

	joined sync.Once
	text   string   // all values in a row, for searches in it
	begins []uint32 // where each begins

	counted sync.Once
	counts  []Count
}

// A Count is a value as entities write it, and how many have it.
type Count struct {
	Value string
	Count int
}

// An entry is a row of a column that is being made.
type entry struct {
	slot     uint32
	null     bool
	value    string
	original string // empty: the same
}

// weight is about how many bytes a column takes.
func (c *column) weight() int {
	n := 60*len(c.values) + 8*64*len(c.valued) + 4*len(c.rows) + 4*len(c.nulls) + 16*len(c.original) + 16*(len(c.any)+len(c.valued))
	return n
}

// newColumn makes a column of entries, whose order is that of compare.
func newColumn(id int32, slots int, entries []entry) *column {
	c := &column{id: id, any: newSet(slots), valued: newSet(slots), start: make([]uint32, 0, 16), rows: make([]uint32, 0, len(entries))}
	for _, e := range entries {
		c.push(e)
	}
	c.seal()
	return c
}

func (c *column) push(e entry) {
	c.any.add(e.slot)
	if e.null {
		c.nulls = append(c.nulls, e.slot)
		return
	}
	c.valued.add(e.slot)
	if n := len(c.values); n == 0 || c.values[n-1] != e.value {
		c.values = append(c.values, e.value)
		c.start = append(c.start, uint32(len(c.rows)))
	}
	if e.original != "" && c.original == nil {
		c.original = make([]string, len(c.rows), cap(c.rows))
	}
	if c.original != nil {
		c.original = append(c.original, e.original)
	}
	c.rows = append(c.rows, e.slot)
}

func (c *column) seal() { c.start = append(c.start, uint32(len(c.rows))) }

// compare orders entries as columns have them; rank is the place of a slot by uid.
func compare(rank []uint32) func(a, b entry) int {
	return func(a, b entry) int {
		switch {
		case a.null != b.null:
			if a.null {
				return 1
			}
			return -1
		case a.null:
			return cmp.Compare(a.slot, b.slot)
		}
		if n := strings.Compare(a.value, b.value); n != 0 {
			return n
		}
		return cmp.Compare(rank[a.slot], rank[b.slot])
	}
}

// at is row i as an entry.
func (c *column) at(value, row int) entry {
	e := entry{slot: c.rows[row], value: c.values[value]}
	if c.original != nil {
		e.original = c.original[row]
	}
	return e
}

// of is the slots that have a value.
func (c *column) of(value string) []uint32 {
	i, ok := slices.BinarySearch(c.values, value)
	if !ok {
		return nil
	}
	return c.rows[c.start[i]:c.start[i+1]]
}

// beginning is the rows of the values with a prefix.
func (c *column) beginning(prefix string) []uint32 {
	from := sort.SearchStrings(c.values, prefix)
	to := from + sort.Search(len(c.values)-from, func(i int) bool { return !strings.HasPrefix(c.values[from+i], prefix) })
	return c.rows[c.start[from]:c.start[to]]
}

// containing adds the slots that have a value in which text occurs.
func (c *column) containing(text string, to set) {
	c.joined.Do(func() {
		n := 0
		for _, v := range c.values {
			n += len(v) + 1
		}
		var b strings.Builder
		b.Grow(n)
		c.begins = make([]uint32, 0, len(c.values))
		for _, v := range c.values {
			c.begins = append(c.begins, uint32(b.Len()))
			b.WriteString(v)
			b.WriteByte(0) // which no text has
		}
		c.text = b.String()
	})
	for at := 0; at < len(c.text); {
		i := strings.Index(c.text[at:], text)
		if i < 0 {
			return
		}
		// The last value that begins at or before the hit.
		v := sort.Search(len(c.begins), func(n int) bool { return int(c.begins[n]) > at+i }) - 1
		to.addAll(c.rows[c.start[v]:c.start[v+1]])
		if v+1 == len(c.begins) {
			return
		}
		at = int(c.begins[v+1])
	}
}

// place finds where entities stand when they are ordered by the column: at their first
// value going up, and at their last one going down.
func (c *column) place() {
	c.places.Do(func() {
		c.first = make([]uint32, 64*len(c.valued))
		seen := newSet(len(c.first))
		several := false
		for row, slot := range c.rows {
			if seen.has(slot) {
				several = true
				continue
			}
			seen.add(slot)
			c.first[slot] = uint32(row)
		}
		c.last = c.first
		if several {
			c.last = make([]uint32, len(c.first))
			for row, slot := range c.rows {
				c.last[slot] = uint32(row)
			}
		}
	})
}

// value is the value of a row.
func (c *column) value(row uint32) string {
	i := sort.Search(len(c.values), func(i int) bool { return c.start[i+1] > row })
	return c.values[i]
}

// tally counts the values that the slots of in have, ordered by what is counted.
func (c *column) tally(in set) []Count {
	var out []Count
	var different map[string]int
	for v, value := range c.values {
		n := 0
		for row := c.start[v]; row < c.start[v+1]; row++ {
			switch {
			case !in.has(c.rows[row]):
			case c.original == nil || c.original[row] == "":
				n++
			default:
				if different == nil {
					different = map[string]int{}
				}
				different[c.original[row]]++
			}
		}
		if n > 0 {
			out = append(out, Count{value, n})
		}
		for original, n := range different {
			out = append(out, Count{original, n})
		}
		clear(different)
	}
	slices.SortFunc(out, func(a, b Count) int { return strings.Compare(a.Value, b.Value) })
	return out
}

// all is tally for all slots, made once.
func (c *column) all() []Count {
	c.counted.Do(func() { c.counts = c.tally(c.valued) })
	return c.counts
}
