package query_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/filter"
	"github.com/callboard-dev/callboard/catalog/internal/index"
	"github.com/callboard-dev/callboard/catalog/internal/query"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// The largest queries that are accepted are answered, by both databases. Without care
// PostgreSQL plans two hundred conditions for minutes, which runs into the test's limit,
// and SQLite refuses a chain of a thousand and a pattern of 50,000 bytes.
func TestSEC11_TheLargestQueriesAreAnswered(t *testing.T) {
	t.Parallel()
	many := func(op string, n int) string {
		var parts []string
		for i := range n {
			parts = append(parts, fmt.Sprintf(`{%q:"v%d"}`, []string{"spec.type", "spec.lifecycle", "metadata.tags"}[i%3], i))
		}
		return `{"` + op + `":[` + strings.Join(parts, ",") + `]}`
	}
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		fill(t, d, random(rand.New(rand.NewPCG(3, 4)), 300), nil, nil)
		q := query.New(store.New(d), index.Options{})
		for _, in := range []string{
			many("$all", 200), many("$all", 990), many("$any", 990),
			strings.Repeat(`{"$not":{"$all":[{"kind":"api"},`, 14) + `{"spec.type":"b"}` + strings.Repeat(`]}}`, 14),
		} {
			p, err := filter.Parse([]byte(in), filter.Limits{})
			if err != nil {
				continue // refused is an answer too
			}
			if _, err := q.Page(t.Context(), query.PageRequest{Where: &p, Limit: pointer(1)}); err != nil {
				t.Errorf("%.60s…: %v", in, err)
			}
		}
		for _, n := range []int{1000, 60_000, 1_000_000} {
			page, err := q.Page(t.Context(), query.PageRequest{FullText: &query.FullText{Term: strings.Repeat("x", n)}, Limit: pointer(1)})
			if err != nil || page.Total != 0 {
				t.Errorf("a term of %d bytes: %d entities, %v", n, page.Total, err)
			}
		}
	})
}

// What a prefix selects in SQL is what it matches in memory, whatever follows it.
func TestSEC52_PrefixesEndWithTheLastCharacter(t *testing.T) {
	t.Parallel()
	values := []string{"x", "xa", "x\U0010FFFF", "x\U0010FFFFz", "y", "\uD7FF", "\uD7FFa", "\uE000", "w"}
	var list []entity.Entity
	for i, v := range values {
		list = append(list, entity.Entity{"apiVersion": "v1", "kind": "Component", "metadata": map[string]any{"name": fmt.Sprintf("n%d", i)}, "spec": map[string]any{"type": v}})
	}
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		all := fill(t, d, list, nil, nil)
		q := query.New(store.New(d), index.Options{})
		for _, prefix := range values {
			p := filter.Predicate{Op: filter.Prefix, Key: "spec.type", Values: []string{prefix}}
			for _, p := range []filter.Predicate{p, filter.NotOf(p)} {
				want := 0
				for _, e := range all {
					if p.Match(e.rows) {
						want++
					}
				}
				page, err := q.Page(t.Context(), query.PageRequest{Where: &p})
				if err != nil || page.Total != want {
					t.Errorf("%v %q: %d entities, want %d; %v", p.Op, prefix, page.Total, want, err)
				}
			}
		}
	})
}

// Lists that are read slowly do not keep others from reading.
func TestSlowReadersHoldNoConnection(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		all := fill(t, d, random(rand.New(rand.NewPCG(5, 6)), 500), nil, nil)
		q := query.New(store.New(d), index.Options{})
		ref, err := entity.ParseRef(all[0].ref)
		if err != nil {
			t.Fatal(err)
		}
		var read func(deep int)
		read = func(deep int) {
			if deep == 30 {
				if _, err := q.ByRef(t.Context(), ref, query.Auth{}); err != nil {
					t.Error(err)
				}
				return
			}
			n := 0
			q.List(t.Context(), query.ListRequest{})(func(e json.RawMessage, err error) bool {
				if err != nil {
					t.Error(err)
				}
				if n++; n == 1 {
					read(deep + 1)
				}
				return err == nil
			})
			if n != len(all) {
				t.Errorf("a list of %d entities has %d", len(all), n)
			}
		}
		read(0)
	})
}

// A page without a limit is a long list: it begins after one batch of entities, however
// many follow, and one with a limit has no more than MaxLimit.
func TestSEC11_PagesOfGETEntitiesAreStreamed(t *testing.T) {
	t.Parallel()
	const n = query.MaxLimit + 5
	list := make([]entity.Entity, n)
	for i := range list {
		list[i] = component(fmt.Sprintf("c%05d", i), nil, nil)
	}
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		fill(t, d, list, nil, nil)
		for _, from := range []string{"database", "memory"} {
			r := &recorder{DB: d}
			q := query.New(store.New(r), index.Options{})
			if from == "memory" {
				load(t, d, q)
			}
			r.sent = nil
			items, more, err := q.ListPage(t.Context(), query.ListRequest{Offset: pointer(3)})
			if err != nil || more {
				t.Fatalf("%s: %v, more %v", from, err, more)
			}
			got := 0
			for item, err := range items {
				if err != nil {
					t.Fatal(err)
				}
				if got++; got == 1 && (len(r.sent) != 2 || names([]json.RawMessage{item})[0] != "c00003") {
					t.Errorf("%s: the first of the list is %s, after %d statements, want c00003 after 2", from, item, len(r.sent))
				}
			}
			if got != n-3 {
				t.Errorf("%s: %d entities, want %d", from, got, n-3)
			}
			items, more, err = q.ListPage(t.Context(), query.ListRequest{Limit: pointer(n), Offset: pointer(2)})
			if got := len(taken(t, items)); err != nil || !more || got != query.MaxLimit {
				t.Errorf("%s: a page of %d for a limit of %d, more %v, %v", from, got, n, more, err)
			}
		}
	})
}
