package api

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/filter"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// defaultLocations is the size of a page of locations if the request has none.
const defaultLocations = 1000

// locationCursor is a position in the list of locations, with all that the list was
// made of.
type locationCursor struct {
	Limit   int             `json:"limit"`
	AfterID string          `json:"afterId"`
	Query   json.RawMessage `json:"query,omitempty"`
}

// locationsByPredicate is POST /locations/by-query (contract 1.6.14). There are few
// registered locations, compared with entities: they are filtered in memory.
func (a *api) locationsByPredicate(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	b := readBody(r, maxBody)
	cursor := b.text("cursor", b.has("cursor"))
	limit, predicate := b.count("limit", 1), b.raw("query")
	if b.err != nil {
		return b.err
	}
	at := locationCursor{Limit: defaultLocations, Query: predicate}
	if limit != nil {
		at.Limit = *limit
	}
	if cursor != "" {
		at = locationCursor{}
		if err := httpx.DecodeCursor(cursor, &at); err != nil {
			return err
		}
		if at.Limit < 1 || at.Limit > maxCount {
			return apierr.Input.New("malformed cursor: limit is out of range")
		}
	}
	var where filter.Predicate
	if at.Query != nil {
		p, err := filter.ParseLocationJSON(at.Query, filter.Limits{})
		if err != nil {
			return badFilter(err)
		}
		where = p.Lower()
	}
	rows, err := a.registered(r)
	if err != nil {
		return err
	}
	items, total, more := []location{}, 0, false
	for _, row := range rows {
		if !matchesLocation(where, row) {
			continue
		}
		total++
		switch {
		case row.ID <= at.AfterID:
		case len(items) == at.Limit:
			more = true
		default:
			items = append(items, locationOf(row))
		}
	}
	var info struct {
		Next string `json:"nextCursor,omitempty"`
	}
	if more {
		at.AfterID = items[len(items)-1].ID
		if info.Next, err = httpx.EncodeCursor(at); err != nil {
			return err
		}
	}
	return httpx.JSON(w, http.StatusOK, struct {
		Items []location `json:"items"`
		Total int        `json:"totalItems"`
		Info  any        `json:"pageInfo"`
	}{items, total, info})
}

// matchesLocation evaluates a predicate in lower case. Ids are in lower case, so that
// they need no exact comparison of their own unless it is asked for.
func matchesLocation(p filter.Predicate, row store.Location) bool {
	if p.Exact {
		return p.Match([]entity.SearchRow{{Key: "id", Value: &row.ID}})
	}
	if len(p.Of) > 0 {
		some, all := false, true
		for _, of := range p.Of {
			holds := matchesLocation(of, row)
			some, all = some || holds, all && holds
		}
		switch p.Op {
		case filter.Any:
			return some
		case filter.Not:
			return !some
		}
		return all
	}
	var rows []entity.SearchRow
	for _, f := range []struct{ key, value string }{{"id", row.ID}, {"type", row.Type}, {"target", row.Target}, {"entityref", row.EntityRef}} {
		value := strings.ToLower(f.value)
		rows = append(rows, entity.SearchRow{Key: f.key, Value: &value})
	}
	return p.Match(rows)
}
