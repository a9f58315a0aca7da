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
