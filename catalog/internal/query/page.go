package query

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/callboard-dev/callboard/catalog/internal/filter"
	"github.com/callboard-dev/callboard/catalog/internal/index"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// A PageRequest is a request for a page of entities. With a Cursor, only Limit and Auth
// of the rest count.
type PageRequest struct {
	Where     *filter.Predicate
	Order     []Order // the first one counts
	FullText  *FullText
	Limit     *int // nil: DefaultLimit; at most MaxLimit
	Offset    int
	Cursor    *Cursor
	SkipTotal bool // do not count; Total is 0
	Auth      Auth
}

// A Page is one page, and the ways to its neighbours, nil where there is none.
type Page struct {
	Items []json.RawMessage
	Total int
	Next  *Cursor
	Prev  *Cursor
}

// Page returns a page of an ordered list. Entities without a value of the order are not
// in the list and not counted.
func (q *Query) Page(ctx context.Context, r PageRequest) (Page, error) {
	if r.Auth.Deny {
		return Page{Items: []json.RawMessage{}}, nil
	}
	c := r.Cursor
	offset := 0
	if c == nil {
		c = &Cursor{Orders: r.Order, Where: r.Where, FullText: r.FullText, skipTotal: r.SkipTotal}
		if len(c.Orders) > 1 {
			c.Orders = c.Orders[:1]
		}
		offset = r.Offset
	}
	limit := DefaultLimit
	if r.Limit != nil {
		limit = min(*r.Limit, MaxLimit)
	}
	var order *store.Order
	var first *Order
	if len(c.Orders) > 0 {
		o := c.Orders[0].store()
		order, first = &o, &c.Orders[0]
	}
	sel := selection(c.Where, r.Auth)
	c.FullText.add(&sel, first)

	ask := limit
	if !c.Backward && limit > 0 {
		ask++ // to see whether there is more
	}
	pq := store.PageQuery{Selection: sel, Order: order, After: position(c.At), Backward: c.Backward, Limit: ask, Offset: offset}
	rows, total, err := q.rows(ctx, c, pq)
	if err != nil {
		return Page{}, err
	}
	if c.hasTotal || c.skipTotal {
		total = c.Total
	}
	if limit == 0 {
		return Page{Items: []json.RawMessage{}, Total: total}, nil
	}
	return assemble(c, rows, limit, total), nil
}

// rows reads the rows of a page, and counts the list unless that has been done.
func (q *Query) rows(ctx context.Context, c *Cursor, pq store.PageQuery) (rows []store.PageRow, total int, err error) {
	if rows, total, err = q.index.Page(ctx, pq); !errors.Is(err, index.ErrUnready) {
		return rows, total, saying(err, "read a page of entities")
	}
	total = c.Total
	if !c.hasTotal && !c.skipTotal {
		if total, err = q.store.Count(ctx, pq.Selection, pq.Order); err != nil {
			return nil, 0, saying(err, "count entities")
		}
		if total == 0 {
			return nil, 0, nil // there is nothing to read
		}
	}
	if pq.Limit == 0 {
		return nil, total, nil
	}
	rows, err = q.store.Page(ctx, pq)
	return rows, total, saying(err, "read a page of entities")
}

// assemble cuts the page out of rows and makes the cursors.
func assemble(c *Cursor, rows []store.PageRow, limit, total int) Page {
	more := len(rows) > limit
	if more {
		rows = rows[:limit]
	}
	p := Page{Items: make([]json.RawMessage, len(rows)), Total: total}
	for i, row := range rows {
		p.Items[i] = row.Entity
	}
	if len(rows) == 0 {
		return p
	}
	values := func(row store.PageRow) []string {
		if len(c.Orders) == 0 {
			return []string{row.UID}
		}
		return []string{row.Value, row.UID}
	}
	start := c.First
	if start == nil {
		start = values(rows[0])
	}
	at := func(row store.PageRow, backward bool) *Cursor {
		return &Cursor{Orders: c.Orders, Where: c.Where, FullText: c.FullText, At: values(row), First: start, Backward: backward, Total: total}
	}
	if more || c.Backward {
		p.Next = at(rows[len(rows)-1], false)
	}
	if c.At != nil && !slices.Equal(values(rows[0]), start) {
		p.Prev = at(rows[0], true)
	}
	return p
}

func position(values []string) *store.Position {
	switch len(values) {
	case 1:
		return &store.Position{UID: values[0]}
	case 2:
		return &store.Position{Value: values[0], UID: values[1]}
	}
	return nil
}
