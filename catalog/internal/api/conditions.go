package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/filter"
	"github.com/callboard-dev/callboard/catalog/internal/query"
)

const (
	// maxTerms bounds lists of short words: fields, orders, facets.
	maxTerms = 100
	// maxOrders bounds the fields of an order, each of which is a join.
	maxOrders = 20
	// maxRefs bounds the references of one request; the JavaScript client sends 1,000.
	maxRefs = 10_000
)

// filterOf reads the parameter filter.
func filterOf(params []string) (*filter.Predicate, error) {
	p, ok, err := filter.ParseQuery(params, filter.Limits{})
	if err != nil || !ok {
		return nil, badFilter(err)
	}
	return searchable(p)
}

// predicateOf reads the member query of a body; nil if there is none.
func predicateOf(raw json.RawMessage) (*filter.Predicate, error) {
	if raw == nil {
		return nil, nil
	}
	p, err := filter.Parse(raw, filter.Limits{})
	if err != nil {
		return nil, badFilter(err)
	}
	return searchable(p)
}

func allText(list []string) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !db.IsText(s) })
}

func storablePredicate(p filter.Predicate) bool {
	return db.IsText(p.Key) && allText(p.Values) &&
		!slices.ContainsFunc(p.Of, func(of filter.Predicate) bool { return !storablePredicate(of) })
}

var errNotText = apierr.Input.New("text must be UTF-8 without NUL characters")

func searchable(p filter.Predicate) (*filter.Predicate, error) {
	if !storablePredicate(p) {
		return nil, errNotText
	}
	return &p, nil
}

func badFilter(err error) error {
	var bad *filter.Error
	if errors.As(err, &bad) {
		return apierr.Input.New("%s", bad.Error())
	}
	return err
}

// and is the conjunction of what is there.
func and(a, b *filter.Predicate) *filter.Predicate {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	both := filter.AllOf(*a, *b)
	return &both
}

func fieldsOf(values []string) (entity.Fields, error) {
	fields, err := entity.ParseFields(values...)
	if err != nil {
		return fields, apierr.Input.New("fields: %s", err.Error())
	}
	return fields, nil
}

// ordersOf reads orders: direction and field on the sides of a separator, in the order
// that split puts them in.
func ordersOf(params []string, split func(string) (field, direction string, ok bool)) ([]query.Order, error) {
	if len(params) > maxOrders {
		return nil, apierr.Input.New("expected at most %d order fields, got %d", maxOrders, len(params))
	}
	var out []query.Order
	for _, p := range params {
		field, direction, ok := split(p)
		field = strings.TrimSpace(field)
		if !ok || field == "" || !db.IsText(field) || direction != "asc" && direction != "desc" {
			return nil, apierr.Input.New("order %q is not a field with asc or desc", p)
		}
		out = append(out, query.Order{Field: field, Desc: direction == "desc"})
	}
	return out, nil
}

// legacyOrder reads asc:<field>.
func legacyOrder(s string) (field, direction string, ok bool) {
	direction, field, ok = strings.Cut(s, ":")
	return field, direction, ok
}

// fieldOrder reads <field>,<direction>; without a direction it is ascending.
func fieldOrder(s string) (field, direction string, ok bool) {
	field, direction, given := strings.Cut(s, ",")
	if !given {
		direction = "asc"
	}
	return field, direction, true
}

// refOf is the reference in a path.
func refOf(r *http.Request) entity.Ref {
	return entity.Ref{Kind: r.PathValue("kind"), Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
}

// plain says whether the query has no parameters; routes that have none refuse all.
func plain(r *http.Request) error { return httpx.Query(r).Err() }
