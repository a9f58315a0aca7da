package index

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/callboard-dev/callboard/catalog/internal/filter"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// big is an index of n entities with the columns that a portal's pages ask for.
func big(n int) *Index {
	r := rand.New(rand.NewPCG(1, 1))
	x := New(nil, Options{})
	list := make([]store.Served, n)
	for i := range list {
		list[i] = store.Served{ID: int64(i + 1), UID: fmt.Sprintf("%08x", r.Uint32()), Ref: fmt.Sprintf("component:default/svc-%06d", i), Seq: int64(i + 1)}
	}
	x.begin(list, int64(n))
	for id, key := range []string{"kind", "metadata.name", "metadata.title", "spec.type", "spec.lifecycle", "metadata.tags", "relations.ownedby", "spec.owner", "spec.system", "metadata.namespace"} {
		x.columns[key] = &held{column: newColumn(int32(id), n, nil)}
	}
	all := store.Changes{Seq: int64(n), Rows: map[int32][]store.ColumnRow{}}
	for _, s := range list {
		x.rows(&all, s.ID, int(s.ID))
		all.Changed = append(all.Changed, s)
	}
	x.apply(all)
	return x
}

// rows adds the index rows of an entity to changes.
func (x *Index) rows(c *store.Changes, id int64, seed int) {
	add := func(key, value string) {
		k := x.columns[key].id
		c.Rows[k] = append(c.Rows[k], store.ColumnRow{ID: id, Value: &value})
	}
	add("kind", []string{"component", "api", "component", "user", "component"}[seed%5])
	add("metadata.name", fmt.Sprintf("svc-checkout-%06d", id))
	add("metadata.title", fmt.Sprintf("svc %s %06d", []string{"checkout", "payment", "order"}[seed%3], id))
	add("spec.type", []string{"service", "website", "library"}[seed%3])
	add("spec.lifecycle", []string{"production", "experimental"}[seed%2])
	add("metadata.tags", fmt.Sprint("tag", seed%20))
	add("metadata.tags", fmt.Sprint("tag", 20+seed%7))
	add("relations.ownedby", fmt.Sprint("group:default/team-", seed%1000))
	add("spec.owner", fmt.Sprint("team-", seed%1000))
	add("spec.system", fmt.Sprint("system-", seed%500))
	add("metadata.namespace", "default")
}

// Benchmarks of what reads pay for: changes of a hundred entities to be taken over, and
// what is found for the first time since.
func BenchmarkIndex(b *testing.B) {
	for _, n := range []int{10_000, 200_000} {
		x := big(n)
		b.Run(fmt.Sprint("Apply/", n), func(b *testing.B) {
			seq := int64(n)
			for b.Loop() {
				c := store.Changes{Rows: map[int32][]store.ColumnRow{}}
				for range 100 {
					seq++
					slot := uint32(seq*7919) % uint32(n)
					c.Changed = append(c.Changed, store.Served{ID: x.ids[slot], UID: x.uids[slot], Ref: x.refs[slot], Seq: seq})
					x.rows(&c, x.ids[slot], int(seq))
				}
				c.Seq = seq
				x.apply(c)
			}
		})
		kind, typ := filter.KeyIn("kind", "component"), filter.KeyIn("spec.type", "service")
		both := filter.AllOf(kind, typ)
		order := &store.Order{Key: "metadata.name"}
		for name, sel := range map[string]store.Selection{
			"Filter": {Where: &both}, "FullText": {Where: &kind, Text: "payment", TextKeys: []string{"metadata.name", "metadata.title"}},
		} {
			b.Run(fmt.Sprint(name, "/", n), func(b *testing.B) {
				for b.Loop() {
					x.results.clear()
					m := x.matches(keyOf(sel, order))
					x.pick(m, store.PageQuery{Selection: sel, Order: order, Limit: 21})
				}
			})
		}
		b.Run(fmt.Sprint("Facets/", n), func(b *testing.B) {
			m := x.matches(keyOf(store.Selection{Where: &kind}, nil))
			for b.Loop() {
				x.column("metadata.tags").tally(m.set)
			}
		})
	}
}
