package filter

import (
	"slices"
	"strings"
)

// ParseQuery reads the values of the query parameter filter (contract catalog.md,
// 1.2): statements separated by commas hold all, one of the parameters holds. ok is
// false when they say nothing, so that there is no filter. Errors are of type *Error.
func ParseQuery(params []string, limits Limits) (p Predicate, ok bool, err error) {
	b := limits.budget()
	var alternatives []Predicate
	for _, param := range params {
		conditions, err := b.parameter(param)
		if err != nil {
			return Predicate{}, false, err
		}
		if len(conditions) > 0 {
			alternatives = append(alternatives, AllOf(conditions...))
		}
	}
	if len(alternatives) == 0 {
		return Predicate{}, false, nil
	}
	return AnyOf(alternatives...), true, nil
}

func (b *budget) parameter(param string) ([]Predicate, error) {
	if err := b.size(len(param)); err != nil {
		return nil, err
	}
	var conditions []Predicate
	index := map[string]int{} // of the condition for a key
	for statement := range strings.SplitSeq(param, ",") {
		statement = strings.TrimSpace(statement)
		if statement == "" {
			continue
		}
		key, value, hasValue := strings.Cut(statement, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if err := checkKey("filter", key); err != nil {
			return nil, err
		}
		if err := b.value("filter"); err != nil {
			return nil, err
		}
		i, seen := index[key]
		if !seen {
			if err := b.condition("filter"); err != nil {
				return nil, err
			}
			i = len(conditions)
			index[key] = i
			conditions = append(conditions, KeyExists(key))
		}
		// Values win over the bare key: that it exists is implied.
		if c := &conditions[i]; hasValue {
			c.Op = In
			if !slices.Contains(c.Values, value) {
				c.Values = append(c.Values, value)
			}
		}
	}
	return conditions, nil
}
