package query_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/filter"
	"github.com/callboard-dev/callboard/catalog/internal/query"
)

// TestSEC52_FilterFormsAgree holds that a condition in SQL and the same one in memory
// choose the same entities, in lists, counts, single reads and facets.
func TestSEC52_FilterFormsAgree(t *testing.T) {
	t.Parallel()
	each(t, random(rand.New(rand.NewPCG(1, 2)), 120), nil, nil, func(t *testing.T, q *query.Query, all []served) {
		r := rand.New(rand.NewPCG(3, 4))
		for i := range 400 {
			p := randomPredicate(r, 3)
			lower := p.Lower()
			var want []string
			for _, s := range all {
				if lower.Match(s.rows) {
					want = append(want, s.ref)
				}
			}
			slices.Sort(want)
			text, _ := p.MarshalJSON()
			var got []string
			for doc, err := range q.List(t.Context(), query.ListRequest{Where: &p}) {
				if err != nil {
					t.Fatalf("%d %s: %v", i, text, err)
				}
				e, err := entity.Decode(doc)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e.Ref().String())
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("%s\nin SQL    %v\nin memory %v", text, got, want)
			}
			page, err := q.Page(t.Context(), query.PageRequest{Limit: pointer(5), Auth: query.Auth{Where: &p}})
			if err != nil || page.Total != len(want) || len(page.Items) != min(5, len(want)) {
				t.Fatalf("%s: page of %d, total %d, %v; want %d", text, len(page.Items), page.Total, err, len(want))
			}
			facets, err := q.Facets(t.Context(), []string{"metadata.name"}, &p, query.Auth{})
			if err != nil || len(facets["metadata.name"]) != len(want) {
				t.Fatalf("%s: %d facet values, %v; want %d", text, len(facets["metadata.name"]), err, len(want))
			}
			one := all[r.IntN(len(all))]
			ref, _ := entity.ParseRef(one.ref)
			_, err = q.ByRef(t.Context(), ref, query.Auth{Where: &p})
			if visible := slices.Contains(want, one.ref); visible != (err == nil) {
				t.Fatalf("%s: %s is visible %v, by ref: %v", text, one.ref, visible, err)
			}
		}
	})
}

// TestPages walks every list forward and back again, in both orders, and holds that it
// sees each entity once and in order.
func TestPages(t *testing.T) {
	t.Parallel()
	each(t, random(rand.New(rand.NewPCG(5, 6)), 53), nil, nil, func(t *testing.T, q *query.Query, all []served) {
		for _, order := range []query.Order{{}, {Field: "metadata.name"}, {Field: "metadata.title"}, {Field: "metadata.title", Desc: true}, {Field: "METADATA.tags"}, {Field: "metadata.tags", Desc: true}} {
			for _, limit := range []int{1, 7, 100} {
				t.Run(fmt.Sprintf("%s %v by %d", order.Field, order.Desc, limit), func(t *testing.T) {
					req := query.PageRequest{Limit: &limit, FullText: &query.FullText{}}
					if order.Field != "" {
						req.Order = []query.Order{order}
					}
					want := expected(all, order)
					var got []string
					var pages [][]string
					var last *query.Cursor
					for {
						page, err := q.Page(t.Context(), req)
						if err != nil {
							t.Fatal(err)
						}
						if page.Total != len(want) {
							t.Fatalf("total %d, want %d", page.Total, len(want))
						}
						got = append(got, names(page.Items)...)
						pages = append(pages, names(page.Items))
						last = page.Prev
						if page.Next == nil {
							break
						}
						req.Cursor = reread(t, page.Next)
					}
					if !slices.Equal(got, want) {
						t.Fatalf("forward: %v\nwant:    %v", got, want)
					}
					for i := len(pages) - 2; i >= 0; i-- {
						if last == nil {
							t.Fatalf("no way back from page %d", i+1)
						}
						req.Cursor = reread(t, last)
						page, err := q.Page(t.Context(), req)
						if err != nil {
							t.Fatal(err)
						}
						if !slices.Equal(names(page.Items), pages[i]) {
							t.Fatalf("back to page %d: %v, want %v", i, names(page.Items), pages[i])
						}
						if page.Next == nil {
							t.Fatalf("no way forward from page %d", i)
						}
						last = page.Prev
					}
					if last != nil {
						t.Error("the first page has a page before it")
					}
				})
			}
		}
	})
}

func reread(t *testing.T, c *query.Cursor) *query.Cursor {
	t.Helper()
	out, err := query.ParseCursor(c.String())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// expected is the order of the contract (1.5, CB): by the first value in the order, then
// by uid in the same direction; entities without a value are not in the list.
func expected(all []served, order query.Order) []string {
	type row struct{ value, uid, name string }
	var rows []row
	for _, s := range all {
		var values []string
		if order.Field == "" {
			values = []string{""}
		}
		for _, r := range s.rows {
			if r.Key == entity.SearchText(order.Field) && r.Value != nil {
				values = append(values, *r.Value)
			}
		}
		if len(values) == 0 {
			continue
		}
		slices.Sort(values)
		value := values[0]
		if order.Desc {
			value = values[len(values)-1]
		}
		ref, _ := entity.ParseRef(s.ref)
		rows = append(rows, row{value, s.uid, ref.Name})
	}
	slices.SortFunc(rows, func(a, b row) int {
		c := strings.Compare(a.value, b.value)
		if c == 0 {
			c = strings.Compare(a.uid, b.uid)
		}
		if order.Desc {
			return -c
		}
		return c
	})
	var out []string
	for _, r := range rows {
		out = append(out, r.name)
	}
	return out
}

// TestReads holds the rules of single reads, lists, full text, facets and ancestry.
func TestReads(t *testing.T) {
	t.Parallel()
	list := []entity.Entity{
		component("web", map[string]any{"type": "Website", "owner": "team-a"}, map[string]any{"title": "50% off_web"}),
		component("api", map[string]any{"type": "service"}, map[string]any{"tags": []any{"java", "Kafka"}}),
		component("job", map[string]any{"type": "Service"}, map[string]any{"title": "Nightly"}),
	}
	root := entity.NewLocationEntity(entity.Location{Type: "url", Target: "https://example.com/all.yaml"}, entity.Location{}, entity.Location{}, "")
	list = append(list, root)
	relations := map[string][]entity.Relation{"component:default/web": {{Source: "component:default/web", Type: "ownedBy", Target: "group:default/team-a"}}}
	emit := map[string][]string{"component:default/web": {root.Ref().String(), "component:default/api"}, "component:default/api": {"component:default/web"}}
	each(t, list, relations, emit, func(t *testing.T, q *query.Query, all []served) {
		ctx := t.Context()
		ref := entity.Ref{Kind: "Component", Namespace: "DEFAULT", Name: "Web"}
		if doc, err := q.ByRef(ctx, ref, query.Auth{}); err != nil || string(doc) != string(all[0].json) {
			t.Errorf("by ref in another case: %s, %v", doc, err)
		}
		if doc, err := q.ByUID(ctx, all[1].uid, query.Auth{}); err != nil || string(doc) != string(all[1].json) {
			t.Errorf("by uid: %s, %v", doc, err)
		}
		for name, err := range map[string]error{
			"a denied reader by ref": second(q.ByRef(ctx, ref, query.Auth{Deny: true})),
			"an unknown ref":         second(q.ByRef(ctx, entity.Ref{Kind: "api", Namespace: "default", Name: "none"}, query.Auth{})),
			"a ref with NUL":         second(q.ByRef(ctx, entity.Ref{Kind: "api", Namespace: "default", Name: "a\x00b"}, query.Auth{})),
			"no uid":                 second(q.ByUID(ctx, "garbage", query.Auth{})),
			"a uid with NUL":         second(q.ByUID(ctx, "\x00", query.Auth{})),
		} {
			if !errors.Is(err, apierr.NotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		items, err := q.ByRefs(ctx, []string{"Component:Default/WEB", "component:web", "nonsense::", "component:default/none", "component:default/web", "web", "default/web", "component:web\x00", ""}, nil, query.Auth{})
		if err != nil || len(items) != 9 || items[0] == nil || items[1] == nil || items[2] != nil || items[3] != nil || items[4] == nil || slices.ContainsFunc(items[5:], func(m json.RawMessage) bool { return m != nil }) {
			t.Errorf("by refs: %v, %v", items, err)
		}

		service := filter.KeyIn("spec.type", "service")
		for _, tt := range []struct {
			name string
			req  query.PageRequest
			want string
		}{
			{"a filter", query.PageRequest{Where: &service, Order: []query.Order{{Field: "metadata.name"}}}, "api job"},
			{"a percent sign is no wildcard", query.PageRequest{FullText: &query.FullText{Term: "50%", Fields: []string{"metadata.title"}}}, "web"},
			{"nor is an underscore", query.PageRequest{FullText: &query.FullText{Term: "f_w", Fields: []string{"metadata.title"}}}, "web"},
			{"which would match here", query.PageRequest{FullText: &query.FullText{Term: "n_g", Fields: []string{"metadata.title"}}}, ""},
			{"in any case and several fields", query.PageRequest{FullText: &query.FullText{Term: " NIGHT ", Fields: []string{"metadata.name", "metadata.title"}}}, "job"},
			{"in the order field by default", query.PageRequest{Order: []query.Order{{Field: "metadata.title"}}, FullText: &query.FullText{Term: "night"}}, "job"},
			{"in the uid without one", query.PageRequest{FullText: &query.FullText{Term: "night"}}, ""},
			{"an offset", query.PageRequest{Order: []query.Order{{Field: "metadata.name"}}, Offset: 1, Limit: pointer(1), Where: &service}, "job"},
			{"an unknown order", query.PageRequest{Order: []query.Order{{Field: "metadata.nothing"}}}, ""},
			{"a limit of none", query.PageRequest{Limit: pointer(0)}, ""},
			{"a denied reader", query.PageRequest{Auth: query.Auth{Deny: true}}, ""},
		} {
			page, err := q.Page(ctx, tt.req)
			if got := strings.Join(names(page.Items), " "); err != nil || got != tt.want {
				t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
			}
		}

		facets, err := q.Facets(ctx, []string{"spec.type", "METADATA.tags", "none"}, nil, query.Auth{})
		if text, _ := json.Marshal(facets); err != nil || string(text) != `{"METADATA.tags":[{"value":"Kafka","count":1},{"value":"java","count":1}],"none":[],"spec.type":[{"value":"Service","count":1},{"value":"Website","count":1},{"value":"service","count":1},{"value":"url","count":1}]}` {
			t.Errorf("facets: %s, %v", text, err)
		}

		at, ancestors, err := q.Ancestry(ctx, ref, query.Auth{})
		if err != nil || at != "component:default/web" || len(ancestors) != 3 || len(ancestors[0].Parents) != 2 {
			t.Errorf("ancestry: %s, %d items, %v", at, len(ancestors), err)
		}
		components := filter.KeyIn("kind", "Component")
		if _, ancestors, err = q.Ancestry(ctx, ref, query.Auth{Where: &components}); err != nil || len(ancestors) != 2 || len(ancestors[0].Parents) != 2 {
			t.Errorf("ancestry of a reader who may not see locations: %d items, %v", len(ancestors), err)
		}
		locations := filter.KeyIn("kind", "Location")
		if _, _, err := q.Ancestry(ctx, ref, query.Auth{Where: &locations}); !errors.Is(err, apierr.NotAllowed) {
			t.Errorf("ancestry of what the reader may not see: %v", err)
		}

		page, more, err := q.ListPage(ctx, query.ListRequest{Order: []query.Order{{Field: "Metadata.Title"}, {Field: "metadata.name"}}, Limit: pointer(3)})
		if got := strings.Join(names(taken(t, page)), " "); err != nil || !more || !strings.HasPrefix(got, "web job api") {
			t.Errorf("a page with a missing value last: %q, %v, %v", got, more, err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// TestCursorsFromOutside holds that whatever is not a cursor is a bad request.
func TestCursorsFromOutside(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "nonsense", "e30=", "bnVsbA==", "W10=",
		encode(`{"orderFields":[{"field":"a","order":"sideways"}]}`),
		encode(`{"orderFields":[{"field":"","order":"asc"}]}`),
		encode(`{"orderFields":[],"orderFieldValues":["a","b"]}`),
		encode(`{"orderFields":[{"field":"a","order":"asc"}],"orderFieldValues":["a"]}`),
		encode(`{"orderFields":[{"field":"a","order":"asc"}],"orderFieldValues":[null,"x"]}`),
		encode(`{"orderFields":[],"orderFieldValues":["\u0000"]}`),
		encode(`{"orderFields":[],"query":{"$nope":1}}`),
		encode(`{"orderFields":[],"totalItems":-1}`),
		encode(`{"orderFields":[],"isPrevious":"yes"}`),
		encode(`{"orderFields":[],"limit":5}`),
		encode(`{"orderFields":[],"filter":{"key":"kind","values":["x"]}}`),
		encode(`{"orderFields":[{"field":"a","order":"asc","nulls":"last"}]}`),
		encode(`{"orderFields":[],"fullTextFilter":{"term":"a","like":true}}`),
		encode(`{"orderFields":[]} {}`), encode(`{"orderFields":[]}]`),
	} {
		if _, err := query.ParseCursor(s); !errors.Is(err, apierr.Input) {
			t.Errorf("%q: %v, want an input error", s, err)
		}
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add(encode(`{"orderFields":[{"field":"metadata.name","order":"asc"}],"isPrevious":true,"query":{"kind":"x"},"orderFieldValues":["a","b"],"totalItems":3}`))
	f.Fuzz(func(t *testing.T, s string) {
		c, err := query.ParseCursor(s)
		if err != nil {
			return
		}
		again, err := query.ParseCursor(c.String())
		if err != nil || again.String() != c.String() {
			t.Errorf("%q reads back as %v, %v", c.String(), again, err)
		}
	})
}
