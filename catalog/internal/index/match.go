package index

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/callboard-dev/callboard/catalog/internal/filter"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// A match is the entities that a selection has, and how many.
type match struct {
	set
	count int
}

// results remembers what was found since the last change: pages of one list, and the
// lists that many people look at, are found once.
type results struct {
	mu      sync.Mutex
	matches map[string]match
	tallies map[string][]Count
	bytes   int
}

// maxResults bounds the memory of results.
const maxResults = 8 << 20

func (r *results) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.matches, r.tallies, r.bytes = nil, nil, 0
}

// room makes sure that there is some for an entry. The caller holds mu.
func (r *results) room(size int) {
	if r.bytes += size; r.bytes > maxResults || r.matches == nil {
		r.matches, r.tallies, r.bytes = map[string]match{}, map[string][]Count{}, size
	}
}

func (r *results) match(key string, find func() match) match {
	r.mu.Lock()
	m, ok := r.matches[key]
	r.mu.Unlock()
	if ok {
		return m
	}
	m = find()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.room(8*len(m.set) + len(key) + 100)
	r.matches[key] = m
	return m
}

func (r *results) tally(key string, find func() []Count) []Count {
	r.mu.Lock()
	t, ok := r.tallies[key]
	r.mu.Unlock()
	if ok {
		return t
	}
	t = find()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.room(60*len(t) + len(key) + 100)
	r.tallies[key] = t
	return t
}

// keyed is a selection, with everything that its matches depend on written down.
type keyed struct {
	store.Selection
	order string // only entities with a value for this key; empty: all
	text  string
}

func keyOf(sel store.Selection, order *store.Order) keyed {
	var b strings.Builder
	for _, p := range []*filter.Predicate{sel.Where, sel.Auth} {
		if p != nil {
			writeKey(&b, *p)
		}
		b.WriteByte('&')
	}
	if sel.Text != "" {
		quote(&b, sel.Text)
		for _, key := range sel.TextKeys {
			quote(&b, key)
		}
	}
	k := keyed{Selection: sel}
	if order != nil {
		b.WriteByte('^')
		quote(&b, order.Key)
		k.order = order.Key
	}
	k.text = b.String()
	return k
}

func quote(b *strings.Builder, s string) {
	b.WriteString(strconv.Itoa(len(s)))
	b.WriteByte(':')
	b.WriteString(s)
}

func writeKey(b *strings.Builder, p filter.Predicate) {
	fmt.Fprintf(b, "%d(", p.Op)
	quote(b, p.Key)
	for _, v := range p.Values {
		quote(b, v)
	}
	b.WriteByte(';')
	for _, of := range p.Of {
		writeKey(b, of)
	}
	b.WriteByte(')')
}

// everything says whether k excludes nobody.
func (k keyed) everything() bool {
	return k.Where == nil && k.Auth == nil && k.Text == "" && k.order == ""
}

// matches finds the entities of k. The caller holds mu, and the columns are there.
func (x *Index) matches(k keyed) match {
	if k.everything() {
		return match{x.live, len(x.uidLine.slots)}
	}
	return x.results.match(k.text, func() match {
		s := newSet(len(x.ids))
		copy(s, x.live)
		for _, p := range []*filter.Predicate{k.Where, k.Auth} {
			if p != nil {
				s.and(x.eval(*p))
			}
		}
		if k.Text != "" {
			found := newSet(len(x.ids))
			for _, key := range k.TextKeys {
				x.column(key).containing(k.Text, found)
			}
			s.and(found)
		}
		if k.order != "" {
			s.and(x.column(k.order).valued)
		}
		return match{s, s.count()}
	})
}

// eval is the entities for which p holds, in a set of its own.
func (x *Index) eval(p filter.Predicate) set {
	out := newSet(len(x.ids))
	switch p.Op {
	case filter.All:
		copy(out, x.live)
		for _, of := range p.Of {
			out.and(x.eval(of))
		}
	case filter.Any:
		for _, of := range p.Of {
			out.or(x.eval(of))
		}
	case filter.Not:
		copy(out, x.live)
		out.without(x.eval(p.Of[0]))
	case filter.Exists:
		out.or(x.column(p.Key).any)
	case filter.In:
		for _, v := range p.Values {
			out.addAll(x.column(p.Key).of(v))
		}
	case filter.Prefix:
		out.addAll(x.column(p.Key).beginning(p.Values[0]))
	}
	return out
}
