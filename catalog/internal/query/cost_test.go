package query_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/filter"
	"github.com/callboard-dev/callboard/catalog/internal/index"
	"github.com/callboard-dev/callboard/catalog/internal/query"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// TestStatements counts what each read costs: the number does not grow with what is asked
// for, and index keys are looked up once.
func TestStatements(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	count := db.WithObserver(func(context.Context, string, string) func(error) { n.Add(1); return nil })
	for name, d := range map[string]db.DB{"SQLite": dbtest.SQLite(t, store.Migrations(), count), "PostgreSQL": dbtest.Postgres(t, store.Migrations(), count)} {
		all := fill(t, d, random(rand.New(rand.NewPCG(7, 8)), 120), nil, nil)
		q := query.New(store.New(d), index.Options{})
		var refs []string
		for _, s := range all[:100] {
			refs = append(refs, s.ref)
		}
		ref, _ := entity.ParseRef(refs[0])
		kind, typ := filter.KeyIn("kind", "component", "api"), filter.KeyIn("spec.type", "service")
		both := filter.AllOf(kind, typ)
		order := []query.Order{{Field: "metadata.name"}}
		first, err := q.Page(t.Context(), query.PageRequest{Where: &kind, Order: order, Limit: pointer(5)})
		if err != nil || first.Next == nil {
			t.Fatalf("%s: a first page without a second one, %v", name, err)
		}
		uncounted, err := q.Page(t.Context(), query.PageRequest{Where: &kind, Order: order, Limit: pointer(5), SkipTotal: true})
		if err != nil || uncounted.Next == nil {
			t.Fatalf("%s: a first page without a second one, %v", name, err)
		}
		for _, tt := range []struct {
			name string
			most int64
			read func(ctx context.Context) error
		}{
			{"an entity", 1, func(ctx context.Context) error { return second(q.ByRef(ctx, ref, query.Auth{})) }},
			{"100 entities", 1, func(ctx context.Context) error { return second(q.ByRefs(ctx, refs, nil, query.Auth{})) }},
			{"an ordered page with two filters and its count", 2, func(ctx context.Context) error {
				return second(q.Page(ctx, query.PageRequest{Where: &both, Order: order, Limit: pointer(20)}))
			}},
			{"a page without a count", 1, func(ctx context.Context) error {
				return second(q.Page(ctx, query.PageRequest{Where: &both, Order: order, SkipTotal: true}))
			}},
			{"a further page, with the count of the first", 1, func(ctx context.Context) error {
				page, err := q.Page(ctx, query.PageRequest{Cursor: reread(t, first.Next), Limit: pointer(5)})
				if err == nil && page.Total != first.Total {
					err = fmt.Errorf("a total of %d, want %d", page.Total, first.Total)
				}
				return err
			}},
			{"a further page of a list that was not counted", 1, func(ctx context.Context) error {
				page, err := q.Page(ctx, query.PageRequest{Cursor: reread(t, uncounted.Next), Limit: pointer(5)})
				if err == nil && page.Total != 0 {
					err = fmt.Errorf("a total of %d, want 0", page.Total)
				}
				return err
			}},
			{"a limit of none, which counts", 1, func(ctx context.Context) error {
				page, err := q.Page(ctx, query.PageRequest{Where: &kind, Order: order, Limit: pointer(0)})
				if err == nil && (page.Total != first.Total || len(page.Items) != 0) {
					err = fmt.Errorf("%d items and a total of %d, want 0 and %d", len(page.Items), page.Total, first.Total)
				}
				return err
			}},
			{"a condition on keys that no entity has, which are looked up", 2, func(ctx context.Context) error {
				none := filter.AllOf(filter.KeyExists("spec.none"), filter.KeyIn("spec.never", "x"))
				page, err := q.Page(ctx, query.PageRequest{Where: &none})
				if err == nil && page.Total != 0 {
					err = fmt.Errorf("a total of %d, want 0", page.Total)
				}
				return err
			}},
			{"five facets under a filter", 1, func(ctx context.Context) error {
				return second(q.Facets(ctx, []string{"kind", "spec.type", "metadata.tags", "spec.lifecycle", "spec.owner"}, &kind, query.Auth{}))
			}},
			{"everything, in a batch after its ids", 2, func(ctx context.Context) error {
				for _, err := range q.List(ctx, query.ListRequest{Where: &kind}) {
					if err != nil {
						return err
					}
				}
				return nil
			}},
		} {
			if err := tt.read(t.Context()); err != nil { // the keys are known from now on
				t.Fatalf("%s, %s: %v", name, tt.name, err)
			}
			before := n.Load()
			if err := tt.read(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := n.Load() - before; got > tt.most {
				t.Errorf("%s, %s: %d statements, want at most %d", name, tt.name, got, tt.most)
			}
		}
	}
}

// TestStatementsFromMemory holds that a read from memory sends one statement, the question
// for changes, once the bytes of what it finds are there.
func TestStatementsFromMemory(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	count := db.WithObserver(func(context.Context, string, string) func(error) { n.Add(1); return nil })
	for name, d := range map[string]db.DB{"SQLite": dbtest.SQLite(t, store.Migrations(), count), "PostgreSQL": dbtest.Postgres(t, store.Migrations(), count)} {
		all := fill(t, d, random(rand.New(rand.NewPCG(7, 8)), 400), nil, nil)
		q := query.New(store.New(d), index.Options{})
		load(t, d, q)
		var refs []string
		for _, s := range all {
			refs = append(refs, s.ref)
		}
		ref, _ := entity.ParseRef(refs[0])
		kind := filter.KeyIn("kind", "component", "api")
		auth := query.Auth{Where: &kind}
		order := []query.Order{{Field: "metadata.name"}}
		for _, tt := range []struct {
			name string
			most int64
			read func(ctx context.Context) error
		}{
			{"an entity", 1, func(ctx context.Context) error { return second(q.ByRef(ctx, ref, query.Auth{})) }},
			{"400 entities of a restricted reader", 1, func(ctx context.Context) error { return second(q.ByRefs(ctx, refs, nil, auth)) }},
			{"an ordered page with its count", 1, func(ctx context.Context) error {
				return second(q.Page(ctx, query.PageRequest{Where: &kind, Order: order, Limit: pointer(20), Auth: auth}))
			}},
			{"full text", 1, func(ctx context.Context) error {
				return second(q.Page(ctx, query.PageRequest{FullText: &query.FullText{Term: "a"}, Order: []query.Order{{Field: "metadata.title"}}}))
			}},
			{"five facets under a filter", 1, func(ctx context.Context) error {
				return second(q.Facets(ctx, []string{"kind", "spec.type", "metadata.tags", "spec.lifecycle", "spec.owner"}, &kind, query.Auth{}))
			}},
			{"everything", 1, func(ctx context.Context) error {
				for _, err := range q.List(ctx, query.ListRequest{Where: &kind}) {
					if err != nil {
						return err
					}
				}
				return nil
			}},
			{"a key that no entity has, which is looked up", 2, func(ctx context.Context) error {
				none := filter.KeyExists("spec.none")
				return second(q.Page(ctx, query.PageRequest{Where: &none}))
			}},
			{"an ancestry", 2, func(ctx context.Context) error {
				_, _, err := q.Ancestry(ctx, ref, query.Auth{})
				return err
			}},
		} {
			if err := tt.read(t.Context()); err != nil {
				t.Fatalf("%s, %s: %v", name, tt.name, err)
			}
			before := n.Load()
			if err := tt.read(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := n.Load() - before; got > tt.most {
				t.Errorf("%s, %s: %d statements, want at most %d", name, tt.name, got, tt.most)
			}
		}
	}
}

// Benchmarks over 10,000 entities, on both databases, which answer themselves and from memory.
func BenchmarkReads(b *testing.B) {
	for name, open := range map[string]func() db.DB{
		"SQLite":     func() db.DB { return dbtest.SQLite(b, store.Migrations()) },
		"PostgreSQL": func() db.DB { return dbtest.Postgres(b, store.Migrations()) },
	} {
		d := open()
		all := fill(b, d, random(rand.New(rand.NewPCG(7, 8)), 10_000), nil, nil)
		if _, err := d.Exec(b.Context(), db.Same("ANALYZE")); err != nil {
			b.Fatal(err)
		}
		database, memory := query.New(store.New(d), index.Options{}), query.New(store.New(d), index.Options{})
		load(b, d, memory)
		kind, typ := filter.KeyIn("kind", "component"), filter.KeyIn("spec.type", "service")
		both := filter.AllOf(kind, typ)
		ref, _ := entity.ParseRef(all[77].ref)
		for _, bb := range []struct {
			name string
			read func(q *query.Query) error
		}{
			{"ByRef", func(q *query.Query) error { return second(q.ByRef(b.Context(), ref, query.Auth{})) }},
			{"Page", func(q *query.Query) error {
				return second(q.Page(b.Context(), query.PageRequest{Where: &both, Order: []query.Order{{Field: "metadata.name"}}, Limit: pointer(20)}))
			}},
			{"FullText", func(q *query.Query) error {
				return second(q.Page(b.Context(), query.PageRequest{FullText: &query.FullText{Term: "eta", Fields: []string{"metadata.title"}}, Limit: pointer(20)}))
			}},
			{"Facets", func(q *query.Query) error {
				return second(q.Facets(b.Context(), []string{"kind", "spec.type"}, nil, query.Auth{}))
			}},
			{"FacetsUnderFilter", func(q *query.Query) error {
				return second(q.Facets(b.Context(), []string{"spec.type"}, &kind, query.Auth{}))
			}},
		} {
			for from, q := range map[string]*query.Query{"database": database, "memory": memory} {
				b.Run(fmt.Sprintf("%s/%s/%s", bb.name, name, from), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if err := bb.read(q); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}
