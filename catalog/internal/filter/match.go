package filter

import (
	"strings"

	"github.com/callboard-dev/callboard/catalog/entity"
)

// Match says whether p holds for the entity with these search rows. p has to be in
// lower case (Lower), as the rows are. Rows without a value satisfy Exists only.
func (p Predicate) Match(rows []entity.SearchRow) bool {
	switch p.Op {
	case All:
		for _, of := range p.Of {
			if !of.Match(rows) {
				return false
			}
		}
		return true
	case Any:
		for _, of := range p.Of {
			if of.Match(rows) {
				return true
			}
		}
		return false
	case Not:
		return !p.Of[0].Match(rows)
	}
	for _, row := range rows {
		if row.Key == p.Key && p.test(row.Value) {
			return true
		}
	}
	return false
}

func (p Predicate) test(value *string) bool {
	if p.Op == Exists {
		return true
	}
	if value == nil {
		return false
	}
	for _, want := range p.Values {
		if *value == want || p.Op == Prefix && strings.HasPrefix(*value, want) {
			return true
		}
	}
	return false
}
