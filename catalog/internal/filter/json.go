package filter

import "github.com/callboard-dev/callboard/catalog/entity"

// MarshalJSON writes p in the grammar of predicates, as cursors carry it (contract
// catalog.md, 1.3, "Equivalence"): Parse reads back an equal one. A single value is
// written as equality, several as $in; conditions on different keys stay in $all.
func (p Predicate) MarshalJSON() ([]byte, error) { return entity.AppendJSON(nil, p.Value()) }

// Value is what decoding the JSON of p gives.
func (p Predicate) Value() map[string]any {
	switch p.Op {
	case Exists:
		return map[string]any{p.Key: map[string]any{"$exists": true}}
	case In:
		if len(p.Values) == 1 && !p.Exact {
			return map[string]any{p.Key: p.Values[0]}
		}
		values := make([]any, len(p.Values))
		for i, v := range p.Values {
			values[i] = v
		}
		return map[string]any{p.Key: map[string]any{"$in": values}}
	case Prefix:
		return map[string]any{p.Key: map[string]any{"$hasPrefix": p.Values[0]}}
	case Not:
		if of := p.Of[0]; of.Op == Exists {
			return map[string]any{of.Key: map[string]any{"$exists": false}}
		}
		return map[string]any{"$not": p.Of[0].Value()}
	}
	if p.Everything() {
		return map[string]any{} // on locations $all of nothing means something else
	}
	list := make([]any, len(p.Of))
	for i, of := range p.Of {
		list[i] = of.Value()
	}
	if p.Op == Any {
		return map[string]any{"$any": list}
	}
	return map[string]any{"$all": list}
}
