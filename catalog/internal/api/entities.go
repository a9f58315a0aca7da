package api

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/catalog/internal/filter"
	"github.com/callboard-dev/callboard/catalog/internal/query"
)

// visible asks which entities the caller may read.
func (a *api) visible(r *http.Request) (query.Auth, error) {
	return a.Authorizer.Entities(r.Context(), httpx.CallerOf(r), entityRead)
}

// visiblePlain is visible for routes that have no parameters, which it refuses.
func (a *api) visiblePlain(r *http.Request) (query.Auth, error) {
	if err := plain(r); err != nil {
		return query.Auth{}, err
	}
	return a.visible(r)
}

// entities is GET /entities (contract 1.6.1): everything in one stream, or a page
// with a link to the next one.
func (a *api) entities(w http.ResponseWriter, r *http.Request) error {
	q := httpx.Query(r)
	filters, order, paths := q.Strings("filter"), q.Strings("order"), q.Strings("fields")
	after := q.String("after", "")
	limit, offset := optional(q, "limit", 1), optional(q, "offset", 0)
	if err := q.Err(); err != nil {
		return err
	}
	where, err := filterOf(filters)
	if err != nil {
		return err
	}
	orders, err := ordersOf(order, legacyOrder)
	if err != nil {
		return err
	}
	fields, err := fieldsOf(paths)
	if err != nil {
		return err
	}
	if after != "" {
		if limit, offset, err = window(after, limit, offset); err != nil {
			return err
		}
	}
	if limit != nil {
		*limit = min(*limit, query.MaxLimit) // the next page starts where this one ends
	}
	auth, err := a.visible(r)
	if err != nil {
		return err
	}
	req := query.ListRequest{Where: where, Order: orders, Limit: limit, Offset: offset, Auth: auth}
	if limit == nil && offset == nil && after == "" {
		return streamEntities(w, a.Query.List(r.Context(), req), fields)
	}
	if offset == nil {
		req.Offset = new(int)
	}
	items, more, err := a.Query.ListPage(r.Context(), req)
	if err != nil {
		return err
	}
	if more && limit != nil {
		next, err := httpx.EncodeCursor(afterCursor{limit, ptr(*req.Offset + *limit)})
		if err != nil {
			return err
		}
		httpx.AddNextLink(w, r, "after", next, "offset")
	}
	if limit == nil {
		return streamEntities(w, items, fields)
	}
	return writeEntities(w, "", items, fields, "")
}

func ptr[T any](v T) *T { return &v }

// optional reads an integer parameter; nil if it is absent.
func optional(q *httpx.QueryReader, name string, least int) *int {
	if !q.Has(name) {
		return nil
	}
	return ptr(q.Int(name, least, httpx.Between(least, maxCount)))
}

// An afterCursor is the parameter after.
type afterCursor struct {
	Limit  *int `json:"limit,omitempty"`
	Offset *int `json:"offset,omitempty"`
}

// window reads the parameter after, whose values win.
func window(after string, limit, offset *int) (*int, *int, error) {
	var c afterCursor
	if err := httpx.DecodeCursor(after, &c); err != nil {
		return nil, nil, err
	}
	if c.Limit != nil && (*c.Limit < 1 || *c.Limit > maxCount) || c.Offset != nil && (*c.Offset < 0 || *c.Offset > maxCount) {
		return nil, nil, apierr.Input.New("after: limit and offset are out of range")
	}
	if c.Limit != nil {
		limit = c.Limit
	}
	if c.Offset != nil {
		offset = c.Offset
	}
	return limit, offset, nil
}

// entitiesByQuery is GET /entities/by-query (contract 1.6.2).
func (a *api) entitiesByQuery(w http.ResponseWriter, r *http.Request) error {
	q := httpx.Query(r)
	filters, order, paths := q.Strings("filter"), q.Strings("orderField"), q.Strings("fields")
	cursor := q.String("cursor", "")
	term, termFields := q.String("fullTextFilterTerm", ""), q.CSV("fullTextFilterFields")
	limit, offset := optional(q, "limit", 0), optional(q, "offset", 0)
	total := q.Enum("totalItems", "include", "include", "exclude")
	if err := q.Err(); err != nil {
		return err
	}
	req := query.PageRequest{Limit: limit, SkipTotal: total == "exclude"}
	var err error
	if cursor != "" {
		req.Cursor, err = query.ParseCursor(cursor)
	} else {
		req.FullText = &query.FullText{Term: term, Fields: termFields}
		if offset != nil {
			req.Offset = *offset
		}
		if req.Where, err = filterOf(filters); err == nil {
			req.Order, err = ordersOf(order, fieldOrder)
		}
	}
	if err != nil {
		return err
	}
	return a.page(w, r, req, paths)
}

// entitiesByPredicate is POST /entities/by-query (contract 1.6.3).
func (a *api) entitiesByPredicate(w http.ResponseWriter, r *http.Request) error {
	b := readBody(r, maxBody, httpx.OptionalBody())
	cursor := b.text("cursor", b.has("cursor"))
	limit, offset := b.count("limit", 0), b.count("offset", 0)
	total := b.enum("totalItems", "include", "exclude")
	paths, predicate := b.texts("fields", maxTerms), b.raw("query")
	var orders []query.Order
	for _, o := range b.objects("orderBy", maxOrders) {
		field, needed := o.text("field", true), o.require("order")
		if direction := o.enum("order", "asc", "desc"); needed {
			orders = append(orders, query.Order{Field: field, Desc: direction == "desc"})
		}
		if b.err == nil {
			b.err = o.err
		}
	}
	var text *query.FullText
	if b.has("fullTextFilter") {
		c := b.child("fullTextFilter")
		text = &query.FullText{Term: c.text("term", false), Fields: c.texts("fields", maxTerms)}
		if b.err == nil {
			b.err = c.err
		}
	}
	if err := plain(r); err != nil {
		return err
	}
	if b.err != nil {
		return b.err
	}
	req := query.PageRequest{Order: orders, FullText: text, Limit: limit, SkipTotal: total == "exclude"}
	if offset != nil {
		req.Offset = *offset
	}
	var err error
	if cursor != "" {
		req.Cursor, err = query.ParseCursor(cursor)
	} else {
		req.Where, err = predicateOf(predicate)
	}
	if err != nil {
		return err
	}
	return a.page(w, r, req, paths)
}

// page answers with a page, whichever way it was asked for.
func (a *api) page(w http.ResponseWriter, r *http.Request, req query.PageRequest, paths []string) error {
	fields, err := fieldsOf(paths)
	if err != nil {
		return err
	}
	if !storablePage(req) {
		return errNotText
	}
	if req.Auth, err = a.visible(r); err != nil {
		return err
	}
	page, err := a.Query.Page(r.Context(), req)
	if err != nil {
		return err
	}
	var info struct {
		Next string `json:"nextCursor,omitempty"`
		Prev string `json:"prevCursor,omitempty"`
	}
	if page.Next != nil {
		info.Next = page.Next.String()
	}
	if page.Prev != nil {
		info.Prev = page.Prev.String()
	}
	around, err := marshal(info)
	if err != nil {
		return err
	}
	return writeEntities(w, `{"items":`, each(page.Items), fields, `,"totalItems":`+strconv.Itoa(page.Total)+`,"pageInfo":`+around+`}`)
}

// storablePage looks at what has not been looked at where it was read.
func storablePage(req query.PageRequest) bool {
	text := req.FullText
	if c := req.Cursor; c != nil {
		for _, o := range c.Orders {
			if !db.IsText(o.Field) {
				return false
			}
		}
		if !allText(c.At) || !allText(c.First) || c.Where != nil && !storablePredicate(*c.Where) {
			return false
		}
		text = c.FullText
	}
	return text == nil || db.IsText(text.Term) && allText(text.Fields) && len(text.Fields) <= maxTerms
}

// entityByUID is GET /entities/by-uid/{uid} (contract 1.6.4).
func (a *api) entityByUID(w http.ResponseWriter, r *http.Request) error {
	auth, err := a.visiblePlain(r)
	if err != nil {
		return err
	}
	e, err := a.Query.ByUID(r.Context(), r.PathValue("uid"), auth)
	if err != nil {
		return err
	}
	return streamJSON(w, e)
}

// entityByName is GET /entities/by-name/{kind}/{namespace}/{name} (contract 1.6.6).
func (a *api) entityByName(w http.ResponseWriter, r *http.Request) error {
	auth, err := a.visiblePlain(r)
	if err != nil {
		return err
	}
	e, err := a.Query.ByRef(r.Context(), refOf(r), auth)
	if err != nil {
		return err
	}
	return streamJSON(w, e)
}

// ancestry is GET .../ancestry (contract 1.6.7).
func (a *api) ancestry(w http.ResponseWriter, r *http.Request) error {
	auth, err := a.visiblePlain(r)
	if err != nil {
		return err
	}
	root, items, err := a.Query.Ancestry(r.Context(), refOf(r), auth)
	if err != nil {
		return err
	}
	return httpx.JSON(w, http.StatusOK, struct {
		Root  string               `json:"rootEntityRef"`
		Items []query.AncestryItem `json:"items"`
	}{root, items})
}

// entitiesByRefs is POST /entities/by-refs (contract 1.6.8).
func (a *api) entitiesByRefs(w http.ResponseWriter, r *http.Request) error {
	q := httpx.Query(r)
	filters := q.Strings("filter")
	if err := q.Err(); err != nil {
		return err
	}
	b := readBody(r, maxBody)
	b.require("entityRefs")
	refs, paths, predicate := b.texts("entityRefs", maxRefs), b.texts("fields", maxTerms), b.raw("query")
	if b.err != nil {
		return b.err
	}
	fields, err := fieldsOf(paths)
	if err != nil {
		return err
	}
	byParam, err := filterOf(filters)
	if err != nil {
		return err
	}
	byBody, err := predicateOf(predicate)
	if err != nil {
		return err
	}
	auth, err := a.visible(r)
	if err != nil {
		return err
	}
	items, err := a.Query.ByRefs(r.Context(), refs, and(byParam, byBody), auth)
	if err != nil {
		return err
	}
	return writeEntities(w, `{"items":`, each(items), fields, `}`)
}

// facets is GET /entity-facets (contract 1.6.9).
func (a *api) facets(w http.ResponseWriter, r *http.Request) error {
	q := httpx.Query(r)
	facets, filters := q.Strings("facet"), q.Strings("filter")
	if err := q.Err(); err != nil {
		return err
	}
	where, err := filterOf(filters)
	if err != nil {
		return err
	}
	return a.count(w, r, facets, where)
}

// facetsByPredicate is POST /entity-facets (contract 1.6.10).
func (a *api) facetsByPredicate(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	b := readBody(r, maxBody)
	b.require("facets")
	facets, predicate := b.texts("facets", maxTerms), b.raw("query")
	if b.err != nil {
		return b.err
	}
	where, err := predicateOf(predicate)
	if err != nil {
		return err
	}
	return a.count(w, r, facets, where)
}

func (a *api) count(w http.ResponseWriter, r *http.Request, facets []string, where *filter.Predicate) error {
	switch {
	case len(facets) == 0 || slices.Contains(facets, ""):
		return apierr.Input.New("expected at least one facet, none of them empty")
	case len(facets) > maxTerms:
		return apierr.Input.New("expected at most %d facets, got %d", maxTerms, len(facets))
	case !allText(facets):
		return errNotText
	}
	auth, err := a.visible(r)
	if err != nil {
		return err
	}
	counts, err := a.Query.Facets(r.Context(), facets, where, auth)
	if err != nil {
		return err
	}
	out := make(map[string][]query.FacetValue, len(facets))
	for _, facet := range facets {
		if out[facet] = counts[facet]; out[facet] == nil {
			out[facet] = []query.FacetValue{}
		}
	}
	return httpx.JSON(w, http.StatusOK, map[string]any{"facets": out})
}
