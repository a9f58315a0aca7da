package permission

import (
	"encoding/json"
	"slices"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// Limits of criteria that come from outside.
const (
	MaxCriteriaDepth = 32
	MaxCriteriaNodes = 10_000
)

type criteriaOp uint8

const (
	opRule criteriaOp = iota
	opAll
	opAny
	opNot
)

// Criteria say which resources a conditional decision allows: a rule with parameters, or
// criteria put together by AllOf, AnyOf and Not. They are immutable. The zero value
// matches nothing and has no JSON form.
type Criteria struct {
	op                 criteriaOp
	of                 []Criteria
	rule, resourceType string
	params             map[string]any
}

// Is is the criterion that a rule of a resource type holds. Parameters are texts,
// numbers, booleans, nil, or slices ([]any, []string) of them; params must not be changed
// any more. Rule.With is the same for those who have the rule in Go.
func Is(rule, resourceType string, params map[string]any) Criteria {
	return Criteria{rule: rule, resourceType: resourceType, params: params}
}

// AllOf matches what all of its parts match.
func AllOf(first Criteria, more ...Criteria) Criteria {
	return Criteria{op: opAll, of: append([]Criteria{first}, more...)}
}

// AnyOf matches what one of its parts matches.
func AnyOf(first Criteria, more ...Criteria) Criteria {
	return Criteria{op: opAny, of: append([]Criteria{first}, more...)}
}

// Not matches what c does not match. A resource that does not exist is matched by nothing.
func Not(c Criteria) Criteria { return Criteria{op: opNot, of: []Criteria{c}} }

// Rules calls fn for every rule in c, in the order of the text, until fn returns false.
func (c Criteria) Rules(fn func(rule, resourceType string, params map[string]any) bool) bool {
	if c.op == opRule {
		return fn(c.rule, c.resourceType, c.params)
	}
	for _, of := range c.of {
		if !of.Rules(fn) {
			return false
		}
	}
	return true
}

// Size counts the nodes of c, and how deep they nest: 1 for a single rule.
func (c Criteria) Size() (nodes, depth int) {
	nodes = 1
	for _, of := range c.of {
		n, d := of.Size()
		nodes, depth = nodes+n, max(depth, d)
	}
	return nodes, depth + 1
}

// Map returns c with the parameters that fn returns for those of each rule. fn must not
// change what it gets.
func (c Criteria) Map(fn func(params map[string]any) map[string]any) Criteria {
	if c.op == opRule {
		c.params = fn(c.params)
		return c
	}
	of := make([]Criteria, len(c.of))
	for i, one := range c.of {
		of[i] = one.Map(fn)
	}
	c.of = of
	return c
}

// MarshalJSON writes the criteria as the API has them.
func (c Criteria) MarshalJSON() ([]byte, error) {
	switch c.op {
	case opAll:
		return json.Marshal(map[string]any{"allOf": c.of})
	case opAny:
		return json.Marshal(map[string]any{"anyOf": c.of})
	case opNot:
		return json.Marshal(map[string]any{"not": c.of[0]})
	}
	if c.rule == "" {
		return nil, apierr.Input.New("criteria without a rule have no JSON form")
	}
	return json.Marshal(struct {
		Rule         string         `json:"rule"`
		ResourceType string         `json:"resourceType"`
		Params       map[string]any `json:"params,omitzero"`
	}{c.rule, c.resourceType, c.params})
}

// UnmarshalJSON reads criteria and checks their form: exactly one of allOf, anyOf, not
// and rule, and nothing that exceeds the limits. Whether the rules exist is known to
// their plugin only. Errors are an apierr.Input.
func (c *Criteria) UnmarshalJSON(data []byte) error {
	left := MaxCriteriaNodes
	out, err := parseCriteria(data, 1, &left)
	if err == nil {
		*c = out
	}
	return err
}

func parseCriteria(data []byte, depth int, left *int) (c Criteria, err error) {
	if *left--; *left < 0 || depth > MaxCriteriaDepth {
		return c, apierr.Input.New("expected at most %d conditions, nested at most %d deep", MaxCriteriaNodes, MaxCriteriaDepth)
	}
	var w struct {
		AllOf, AnyOf       *[]json.RawMessage
		Not                json.RawMessage
		Rule, ResourceType *string
		Params             map[string]any
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return c, apierr.Input.New("expected conditions to be an object with allOf, anyOf, not, or a rule with resourceType and params")
	}
	var parts []json.RawMessage
	forms := 0
	for _, f := range []struct {
		op   criteriaOp
		list *[]json.RawMessage
	}{{opAll, w.AllOf}, {opAny, w.AnyOf}} {
		if f.list != nil {
			forms++
			c.op, parts = f.op, *f.list
		}
	}
	if w.Not != nil {
		forms++
		c.op, parts = opNot, []json.RawMessage{w.Not}
	}
	if w.Rule != nil {
		forms++
	}
	switch {
	case forms != 1:
		return c, apierr.Input.New("expected a condition to have exactly one of allOf, anyOf, not and rule")
	case w.Rule == nil && len(parts) == 0:
		return c, apierr.Input.New("expected allOf and anyOf to have at least one condition")
	case w.Rule != nil:
		return parseRule(*w.Rule, w.ResourceType, w.Params)
	}
	for _, part := range parts {
		one, err := parseCriteria(part, depth+1, left)
		if err != nil {
			return c, err
		}
		c.of = append(c.of, one)
	}
	return c, nil
}

func parseRule(rule string, resourceType *string, params map[string]any) (Criteria, error) {
	if rule == "" || resourceType == nil || *resourceType == "" {
		return Criteria{}, apierr.Input.New("expected a rule to have a name and a resourceType")
	}
	for name, v := range params {
		list, isList := v.([]any)
		if !isList {
			list = []any{v}
		}
		if slices.ContainsFunc(list, func(v any) bool {
			switch v.(type) {
			case nil, string, float64, bool:
				return false
			}
			return true
		}) {
			return Criteria{}, apierr.Input.New("parameter %s of rule %s must be a text, a number, a boolean, null, or an array of them", name, rule)
		}
	}
	return Is(rule, *resourceType, params), nil
}

// Widest is the most parts that an AllOf or AnyOf in c has; 0 for a single rule.
func (c Criteria) Widest() int {
	n := 0
	if c.op == opAll || c.op == opAny {
		n = len(c.of)
	}
	for _, of := range c.of {
		n = max(n, of.Widest())
	}
	return n
}
