package query

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/internal/filter"
)

// A Cursor is a position in an ordered list, with all that the list was made of except
// the limit (contract catalog.md, 1.5). The JavaScript client decodes it, so that it is
// plain JSON in standard base64. What the caller may see is never part of it.
type Cursor struct {
	Orders    []Order
	Where     *filter.Predicate
	FullText  *FullText
	At        []string // [value, uid], or [uid]
	First     []string // the same of the first entity of the list
	Backward  bool
	Total     int
	hasTotal  bool
	skipTotal bool
}

type wireOrder struct {
	Field string `json:"field"`
	Order string `json:"order"`
}

// wireCursor is the JSON of a cursor, its members in the order of the reference.
type wireCursor struct {
	OrderFields          []wireOrder     `json:"orderFields"`
	IsPrevious           bool            `json:"isPrevious"`
	Query                json.RawMessage `json:"query,omitempty"`
	FullTextFilter       *FullText       `json:"fullTextFilter,omitempty"`
	OrderFieldValues     []*string       `json:"orderFieldValues,omitempty"`
	FirstSortFieldValues []*string       `json:"firstSortFieldValues,omitempty"`
	TotalItems           *int            `json:"totalItems,omitempty"`
}

func pointers(list []string) []*string {
	out := make([]*string, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	return out
}

// String is the text that ParseCursor reads.
func (c *Cursor) String() string {
	w := wireCursor{
		OrderFields: []wireOrder{}, IsPrevious: c.Backward, FullTextFilter: c.FullText,
		OrderFieldValues: pointers(c.At), FirstSortFieldValues: pointers(c.First), TotalItems: &c.Total,
	}
	for _, o := range c.Orders {
		direction := "asc"
		if o.Desc {
			direction = "desc"
		}
		w.OrderFields = append(w.OrderFields, wireOrder{o.Field, direction})
	}
	if c.Where != nil {
		w.Query, _ = c.Where.MarshalJSON() // conditions came from JSON or from text
	}
	b, _ := json.Marshal(w) // nothing in it can fail
	return base64.StdEncoding.EncodeToString(b)
}

// maxCursor bounds what is decoded; a cursor holds the whole query.
const maxCursor = 2 << 20

// ParseCursor reads a cursor of this version or of an older one that wrote the same
// members, and no others. Whatever is wrong with it is an apierr.Input.
func ParseCursor(s string) (*Cursor, error) {
	bad := func(why string) error { return apierr.Input.New("malformed cursor: %s", why) }
	if len(s) > maxCursor {
		return nil, bad("too long")
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		if b, err = base64.RawStdEncoding.DecodeString(s); err != nil {
			return nil, bad("not base64")
		}
	}
	var w wireCursor
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return nil, bad("not the JSON of a cursor")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, bad("more than one JSON value")
	}
	if w.OrderFields == nil {
		return nil, bad("orderFields is missing")
	}
	c := &Cursor{Backward: w.IsPrevious, FullText: w.FullTextFilter}
	for _, o := range w.OrderFields {
		if o.Field == "" || !slices.Contains([]string{"asc", "desc"}, o.Order) {
			return nil, bad("orderFields needs field, and order asc or desc")
		}
		c.Orders = append(c.Orders, Order{o.Field, o.Order == "desc"})
	}
	if len(w.Query) > 0 && string(w.Query) != "null" {
		p, err := filter.Parse(w.Query, filter.Limits{})
		if err != nil {
			return nil, apierr.Input.Wrap(err, "malformed cursor")
		}
		c.Where = &p
	}
	want := 1
	if len(c.Orders) > 0 {
		want = 2
	}
	var ok bool
	if c.At, ok = texts(w.OrderFieldValues, want); !ok {
		return nil, bad("orderFieldValues does not fit orderFields")
	}
	if c.First, ok = texts(w.FirstSortFieldValues, want); !ok {
		return nil, bad("firstSortFieldValues does not fit orderFields")
	}
	if w.TotalItems != nil {
		if *w.TotalItems < 0 {
			return nil, bad("totalItems is negative")
		}
		c.Total, c.hasTotal = *w.TotalItems, true
	}
	return c, nil
}

// texts takes n values, or none: a cursor without a position stands at the start.
func texts(list []*string, n int) ([]string, bool) {
	if len(list) == 0 {
		return nil, true
	}
	if len(list) != n {
		return nil, false
	}
	out := make([]string, n)
	for i, s := range list {
		if s == nil || strings.Contains(*s, "\x00") { // which PostgreSQL has no text for
			return nil, false
		}
		out[i] = *s
	}
	return out, true
}
