package query_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/query"
)

// first is the value that an entity is ordered by; false if it has none.
func (s served) first(order query.Order) (string, bool) {
	var values []string
	for _, r := range s.rows {
		if r.Key == entity.SearchText(order.Field) && r.Value != nil {
			values = append(values, *r.Value)
		}
	}
	if len(values) == 0 {
		return "", false
	}
	if order.Desc {
		return slices.Max(values), true
	}
	return slices.Min(values), true
}

func (s served) name() string { return s.ref[strings.LastIndex(s.ref, "/")+1:] }

// TestLegacyLists holds the two orders of GET /entities (contract 1.5): everything at
// once drops what has no value for the first order, pages have it last.
func TestLegacyLists(t *testing.T) {
	t.Parallel()
	each(t, random(rand.New(rand.NewPCG(11, 12)), 60), nil, nil, func(t *testing.T, q *query.Query, all []served) {
		for _, orders := range [][]query.Order{
			nil,
			{{Field: "metadata.title"}},
			{{Field: "Metadata.TITLE", Desc: true}},
			{{Field: "metadata.tags", Desc: true}},
			{{Field: "spec.type"}, {Field: "metadata.title", Desc: true}},
			{{Field: "spec.none"}},
		} {
			t.Run(fmt.Sprint(orders), func(t *testing.T) {
				paged := slices.Clone(all)
				slices.SortFunc(paged, func(a, b served) int {
					if len(orders) == 0 {
						return cmp.Compare(a.ref, b.ref)
					}
					for _, o := range orders {
						x, hasX := a.first(o)
						y, hasY := b.first(o)
						switch {
						case hasX != hasY && hasX:
							return -1
						case hasX != hasY:
							return 1
						case x != y && o.Desc:
							return cmp.Compare(y, x)
						case x != y:
							return cmp.Compare(x, y)
						}
					}
					return cmp.Compare(a.uid, b.uid)
				})
				var want, got []string
				for _, s := range paged {
					want = append(want, s.name())
				}
				for offset := 0; ; offset += 7 {
					items, more, err := q.ListPage(t.Context(), query.ListRequest{Order: orders, Limit: pointer(7), Offset: &offset})
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, names(taken(t, items))...)
					if !more {
						break
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("in pages %v\nwant     %v", got, want)
				}

				order := query.Order{}
				if len(orders) > 0 {
					order = orders[0]
				}
				want, got = expected(all, order), nil
				for item, err := range q.List(t.Context(), query.ListRequest{Order: orders}) {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, names([]json.RawMessage{item})...)
				}
				if !slices.Equal(got, want) {
					t.Errorf("at once %v\nwant    %v", got, want)
				}
			})
		}
	})
}

// TestFullTextFindsSubstrings holds that a term in SQL finds what strings.Contains finds
// in the index, wildcards and case included.
func TestFullTextFindsSubstrings(t *testing.T) {
	t.Parallel()
	each(t, random(rand.New(rand.NewPCG(13, 14)), 120), nil, nil, func(t *testing.T, q *query.Query, all []served) {
		fields := [][]string{{"spec.type"}, {"SPEC.lifecycle", "metadata.title"}, {"spec.none"}, {"spec.none", "metadata.name"}, {"metadata.tags"}}
		for _, term := range []string{"%", "_", `\`, `\%`, "a_b", "100%", "0%", "aXb", "Serv", "ÄRGER", "rger", " java ", "c00", "1", "true", "null", "x", "'", `"`} {
			for _, in := range fields {
				text := strings.TrimSpace(entity.SearchText(term))
				want := 0
				for _, s := range all {
					if slices.ContainsFunc(s.rows, func(r entity.SearchRow) bool {
						return r.Value != nil && strings.Contains(*r.Value, text) && slices.ContainsFunc(in, func(f string) bool { return entity.SearchText(f) == r.Key })
					}) {
						want++
					}
				}
				for _, orders := range [][]query.Order{nil, {{Field: "metadata.name", Desc: true}}} {
					page, err := q.Page(t.Context(), query.PageRequest{Order: orders, FullText: &query.FullText{Term: term, Fields: in}})
					if err != nil || page.Total != want || len(page.Items) != want {
						t.Errorf("%q in %v by %v: %d items, a total of %d, %v; want %d", term, in, orders, len(page.Items), page.Total, err, want)
					}
				}
			}
		}
	})
}
