package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/callboard-dev/callboard/catalog/entity"
)

// A Selection says which entities, and what of them.
type Selection struct {
	// Filter is a list of alternatives, each a list of conditions separated by commas:
	// "kind=component,spec.type=service" (contract catalog.md, 1.2). Empty: everything.
	Filter []string
	// Fields are the paths to return, such as "metadata.name"; empty: everything.
	Fields []string
	// Order is a field to order by; entities without it are left out. Empty: by uid.
	Order string
	Desc  bool
}

func (s Selection) values() url.Values {
	q := url.Values{}
	for _, f := range s.Filter {
		q.Add("filter", f)
	}
	if len(s.Fields) > 0 {
		q.Set("fields", strings.Join(s.Fields, ","))
	}
	if s.Order != "" {
		direction := "asc:"
		if s.Desc {
			direction = "desc:"
		}
		q.Set("order", direction+s.Order)
	}
	return q
}

// Entities yields all entities of a selection as they arrive, however many there are. A
// sequence that ends early ends with an error.
func (c *Client) Entities(ctx context.Context, s Selection) iter.Seq2[entity.Entity, error] {
	return func(yield func(entity.Entity, error) bool) {
		resp, err := c.send(ctx, http.MethodGet, "/entities", s.values(), nil, http.StatusOK)
		if err != nil {
			yield(nil, err)
			return
		}
		defer resp.Body.Close()
		dec := json.NewDecoder(resp.Body)
		broken := func(err error) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			yield(nil, fmt.Errorf("catalog: the list of entities broke off: %w", err))
		}
		if t, err := dec.Token(); err != nil || t != json.Delim('[') {
			broken(errors.Join(err, errors.New("not a list")))
			return
		}
		for dec.More() {
			var doc json.RawMessage
			err := dec.Decode(&doc)
			var e entity.Entity
			if err == nil {
				e, err = entity.Decode(doc)
			}
			if err != nil {
				broken(err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		if _, err := dec.Token(); err != nil {
			broken(err)
		}
	}
}

// A Predicate is a condition as JSON: {"kind": "component", "spec.type": {"$in": [...]}}
// (contract catalog.md, 1.3).
type Predicate map[string]any

// A QueryRequest asks for one page of entities. With a Cursor all but Limit and Fields
// is ignored.
type QueryRequest struct {
	Query        Predicate
	OrderBy      []Order
	Text         *FullText
	Fields       []string
	Limit        int // 0: what the catalog thinks fit, 200
	Offset       int
	Cursor       string
	WithoutTotal bool // spares the catalog counting
}

// An Order is a field to order by. Entities without it are left out.
type Order struct {
	Field string
	Desc  bool
}

// MarshalJSON writes the form of the API.
func (o Order) MarshalJSON() ([]byte, error) {
	direction := "asc"
	if o.Desc {
		direction = "desc"
	}
	return json.Marshal(map[string]string{"field": o.Field, "order": direction})
}

// FullText is a text that the value of one of Fields contains; default is the field of
// the order.
type FullText struct {
	Term   string   `json:"term"`
	Fields []string `json:"fields,omitempty"`
}

// A Page is one page of entities. Next and Prev are the cursors of its neighbours,
// empty where there is none.
type Page struct {
	Items      []entity.Entity
	Total      int
	Next, Prev string
}

// Query returns one page.
func (c *Client) Query(ctx context.Context, r QueryRequest) (Page, error) {
	body := map[string]any{}
	set := func(name string, given bool, value any) {
		if given {
			body[name] = value
		}
	}
	set("cursor", r.Cursor != "", r.Cursor)
	set("query", r.Query != nil, r.Query)
	set("orderBy", len(r.OrderBy) > 0, r.OrderBy)
	set("fullTextFilter", r.Text != nil, r.Text)
	set("fields", len(r.Fields) > 0, r.Fields)
	set("limit", r.Limit > 0, r.Limit)
	set("offset", r.Offset > 0, r.Offset)
	set("totalItems", r.WithoutTotal, "exclude")
	var answer struct {
		Items    []json.RawMessage `json:"items"`
		Total    int               `json:"totalItems"`
		PageInfo struct {
			Next string `json:"nextCursor"`
			Prev string `json:"prevCursor"`
		} `json:"pageInfo"`
	}
	if err := c.call(ctx, http.MethodPost, "/entities/by-query", nil, body, http.StatusOK, &answer); err != nil {
		return Page{}, err
	}
	items, err := decodeAll(answer.Items)
	return Page{items, answer.Total, answer.PageInfo.Next, answer.PageInfo.Prev}, err
}

// Pages yields the entities of all pages from the one that r asks for, in chunks of
// r.Limit.
func (c *Client) Pages(ctx context.Context, r QueryRequest) iter.Seq2[entity.Entity, error] {
	return func(yield func(entity.Entity, error) bool) {
		for {
			page, err := c.Query(ctx, r)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, e := range page.Items {
				if !yield(e, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			r.Cursor = page.Next
		}
	}
}

func decodeAll(docs []json.RawMessage) ([]entity.Entity, error) {
	out := make([]entity.Entity, len(docs))
	for i, doc := range docs {
		if len(doc) == 0 || string(doc) == "null" {
			continue
		}
		e, err := entity.Decode(doc)
		if err != nil {
			return nil, fmt.Errorf("catalog: entity %d of the answer: %w", i, err)
		}
		out[i] = e
	}
	return out, nil
}

func byName(ref entity.Ref) string {
	ref = ref.Lower()
	return "/entities/by-name" + segments(ref.Kind, ref.Namespace, ref.Name)
}

// ByRef returns one entity; the error is an apierr.NotFound if there is none.
func (c *Client) ByRef(ctx context.Context, ref entity.Ref) (entity.Entity, error) {
	var doc json.RawMessage
	if err := c.call(ctx, http.MethodGet, byName(ref), nil, nil, http.StatusOK, &doc); err != nil {
		return nil, err
	}
	return entity.Decode(doc)
}

// Limits of one request for references, which every catalog of this API accepts.
const (
	maxRefs     = 1000
	maxRefBytes = 90 << 10
)

// ByRefs returns the entities with the given references, such as
// component:default/petstore: as many as there are refs and in their order, nil where
// there is none. It takes as many requests as it needs.
func (c *Client) ByRefs(ctx context.Context, refs []string, fields ...string) ([]entity.Entity, error) {
	out := make([]entity.Entity, 0, len(refs))
	for len(refs) > 0 {
		n, size := 0, 0
		for n < len(refs) && n < maxRefs && (n == 0 || size+len(refs[n])+3 <= maxRefBytes) {
			size += len(refs[n]) + 3 // quotes and comma
			n++
		}
		body := map[string]any{"entityRefs": refs[:n]}
		if len(fields) > 0 {
			body["fields"] = fields
		}
		var answer struct {
			Items []json.RawMessage `json:"items"`
		}
		if err := c.call(ctx, http.MethodPost, "/entities/by-refs", nil, body, http.StatusOK, &answer); err != nil {
			return nil, err
		}
		if len(answer.Items) != n {
			return nil, fmt.Errorf("catalog: asked for %d entities, got %d", n, len(answer.Items))
		}
		items, err := decodeAll(answer.Items)
		if err != nil {
			return nil, err
		}
		out, refs = append(out, items...), refs[n:]
	}
	return out, nil
}

// ByUID returns one entity by the id that the catalog gave it; the error is an
// apierr.NotFound if there is none.
func (c *Client) ByUID(ctx context.Context, uid string) (entity.Entity, error) {
	var doc json.RawMessage
	if err := c.call(ctx, http.MethodGet, "/entities/by-uid"+segments(uid), nil, nil, http.StatusOK, &doc); err != nil {
		return nil, err
	}
	return entity.Decode(doc)
}

// RemoveEntity deletes an entity by its uid. One that still has a source comes back
// with another uid. That there is no such entity is no error.
func (c *Client) RemoveEntity(ctx context.Context, uid string) error {
	return c.call(ctx, http.MethodDelete, "/entities/by-uid"+segments(uid), nil, nil, http.StatusNoContent, nil)
}

// A FacetValue is a value of a facet, and how many entities have it.
type FacetValue struct {
	Value string `json:"value"`
	Count int    `json:"count"`
}

// Facets counts the values of each facet, which is a path such as spec.type, over the
// entities that the predicate selects; nil selects all.
func (c *Client) Facets(ctx context.Context, query Predicate, facets ...string) (map[string][]FacetValue, error) {
	body := map[string]any{"facets": facets}
	if query != nil {
		body["query"] = query
	}
	var answer struct {
		Facets map[string][]FacetValue `json:"facets"`
	}
	err := c.call(ctx, http.MethodPost, "/entity-facets", nil, body, http.StatusOK, &answer)
	return answer.Facets, err
}

// An Ancestor is an entity, and the references of those that emit it.
type Ancestor struct {
	Entity  entity.Entity
	Parents []string
}

// Ancestors returns an entity, which comes first, and all that emit it, directly and
// through others.
func (c *Client) Ancestors(ctx context.Context, ref entity.Ref) ([]Ancestor, error) {
	var answer struct {
		Items []struct {
			Entity  json.RawMessage `json:"entity"`
			Parents []string        `json:"parentEntityRefs"`
		} `json:"items"`
	}
	if err := c.call(ctx, http.MethodGet, byName(ref)+"/ancestry", nil, nil, http.StatusOK, &answer); err != nil {
		return nil, err
	}
	out := make([]Ancestor, len(answer.Items))
	for i, item := range answer.Items {
		e, err := entity.Decode(item.Entity)
		if err != nil {
			return nil, fmt.Errorf("catalog: ancestor %d: %w", i, err)
		}
		out[i] = Ancestor{e, item.Parents}
	}
	return out, nil
}

// Refresh makes the catalog process an entity, and the locations that it comes from,
// soon.
func (c *Client) Refresh(ctx context.Context, ref entity.Ref) error {
	return c.call(ctx, http.MethodPost, "/refresh", nil, map[string]string{"entityRef": ref.String()}, http.StatusOK, nil)
}

// A Problem is one thing that is wrong with an entity.
type Problem struct {
	Name    string   `json:"name"`
	Message string   `json:"message"`
	Cause   *Problem `json:"cause,omitempty"`
}

// An InvalidError says why the catalog would not take an entity.
type InvalidError struct{ Problems []Problem }

func (e *InvalidError) Error() string {
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.Message
	}
	return "the catalog would not take the entity: " + strings.Join(texts, "; ")
}

// Validate asks whether the catalog would take an entity from a location, which is of
// type url. It returns an *InvalidError if not.
func (c *Client) Validate(ctx context.Context, e entity.Entity, from entity.Location) error {
	resp, err := c.do(ctx, http.MethodPost, "/validate-entity", nil, map[string]any{"entity": e, "location": from.String()})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		return orError(resp, http.StatusOK, "/validate-entity")
	}
	doc, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("catalog: the answer cannot be read: %w", err)
	}
	var answer struct {
		Errors []Problem `json:"errors"`
	}
	if json.Unmarshal(doc, &answer) == nil && len(answer.Errors) > 0 {
		return &InvalidError{answer.Errors}
	}
	resp.Body = io.NopCloser(strings.NewReader(string(doc)))
	return orError(resp, http.StatusOK, "/validate-entity")
}
