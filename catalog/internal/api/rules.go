package api

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/filter"
)

// A rule is one of the six by which policies describe entities (contract 1.7).
type rule struct {
	name, description string
	params            []param
	predicate         func(params) filter.Predicate
	// matches replaces evaluating the predicate, where comparing is not by the index.
	matches func(entity.Entity, params) bool
}

// A param is a parameter of a rule. Lists are arrays of texts, the others texts; lists
// and the first parameter are needed.
type param struct {
	name, description string
	list, optional    bool
}

// params are the values of a rule's parameters.
type params map[string][]string

func (p params) text(name string) string { return p[name][0] }

// under is a rule about a key below prefix, and its value if that is given.
func under(prefix, name string) func(params) filter.Predicate {
	return func(p params) filter.Predicate {
		key := prefix + p.text(name)
		if value, ok := p["value"]; ok {
			return filter.KeyIn(key, value...)
		}
		return filter.KeyExists(key)
	}
}

func ruleTable() []rule {
	value := func(of string) param {
		return param{name: "value", description: "The value that the " + of + " must have; any if left out", optional: true}
	}
	return []rule{
		{
			name: "HAS_ANNOTATION", description: "Entities that have an annotation",
			params:    []param{{name: "annotation", description: "The name of the annotation"}, value("annotation")},
			predicate: under("metadata.annotations.", "annotation"),
		},
		{
			name: "HAS_LABEL", description: "Entities that have a label",
			params:    []param{{name: "label", description: "The name of the label"}, value("label")},
			predicate: under("metadata.labels.", "label"),
		},
		{
			name: "HAS_METADATA", description: "Entities that have a metadata field",
			params:    []param{{name: "key", description: "The path of the field below metadata"}, value("field")},
			predicate: under("metadata.", "key"),
		},
		{
			name: "HAS_SPEC", description: "Entities that have a spec field",
			params:    []param{{name: "key", description: "The path of the field below spec"}, value("field")},
			predicate: under("spec.", "key"),
		},
		{
			name: "IS_ENTITY_KIND", description: "Entities of one of some kinds",
			params:    []param{{name: "kinds", description: "The kinds", list: true}},
			predicate: func(p params) filter.Predicate { return filter.KeyIn("kind", p["kinds"]...) },
		},
		{
			name: "IS_ENTITY_OWNER", description: "Entities that one of some owners owns",
			params:    []param{{name: "claims", description: "References of the owners", list: true}},
			predicate: func(p params) filter.Predicate { return filter.KeyIn("relations.ownedBy", p["claims"]...) },
			matches: func(e entity.Entity, p params) bool {
				return slices.ContainsFunc(relationsOf(e), func(r entity.Relation) bool {
					return r.Type == entity.OwnedBy && slices.Contains(p["claims"], r.Target)
				})
			},
		},
	}
}

// ruleMetadata is a rule as the permission backend and policy authors are told of it.
type ruleMetadata struct {
	Name         string         `json:"name"`
	Description  string         `json:"description"`
	ResourceType string         `json:"resourceType"`
	ParamsSchema map[string]any `json:"paramsSchema"`
}

func (r rule) metadata() ruleMetadata {
	properties, required := map[string]any{}, []string{}
	for _, p := range r.params {
		schema := map[string]any{"type": "string", "description": p.description}
		if p.list {
			schema["type"], schema["items"] = "array", map[string]any{"type": "string"}
		}
		properties[p.name] = schema
		if !p.optional {
			required = append(required, p.name)
		}
	}
	return ruleMetadata{r.name, r.description, resourceEntity, map[string]any{
		"$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
		"properties": properties, "required": required, "additionalProperties": false,
	}}
}

// read checks parameters against the rule's closed schema.
func (r rule) read(raw json.RawMessage) (params, error) {
	bad := func(format string, args ...any) (params, error) {
		return nil, apierr.Input.New("parameters of rule "+r.name+": "+format, args...)
	}
	var given map[string]json.RawMessage
	if json.Unmarshal(raw, &given) != nil || given == nil {
		return bad("expected an object")
	}
	out := params{}
	for name, value := range given {
		i := slices.IndexFunc(r.params, func(p param) bool { return p.name == name })
		if i < 0 {
			return bad("there is none with the name %q", name)
		}
		var list []*string
		if r.params[i].list {
			if json.Unmarshal(value, &list) != nil || list == nil || slices.Contains(list, nil) {
				return bad("%s must be an array of strings", name)
			}
		} else {
			list = make([]*string, 1)
			if json.Unmarshal(value, &list[0]) != nil || list[0] == nil {
				return bad("%s must be a string", name)
			}
		}
		texts := make([]string, len(list))
		for i, s := range list {
			texts[i] = *s
		}
		if !allText(texts) {
			return nil, errNotText
		}
		out[name] = texts
	}
	for _, p := range r.params {
		if _, ok := out[p.name]; !ok && !p.optional {
			return bad("%s is missing", p.name)
		}
	}
	return out, nil
}

// relationsOf reads the relations that a served entity carries.
func relationsOf(e entity.Entity) []entity.Relation {
	list, _ := e["relations"].([]any)
	var out []entity.Relation
	for _, one := range list {
		if r, ok := one.(map[string]any); ok {
			typ, _ := r["type"].(string)
			target, _ := r["targetRef"].(string)
			out = append(out, entity.Relation{Source: e.Ref().String(), Type: typ, Target: target})
		}
	}
	return out
}

// Limits of conditions, which come from policies, but through the network.
const (
	maxConditions     = 1000
	maxConditionDepth = 32
)

// A Condition is what a policy answers instead of yes or no: a tree of rules.
type Condition struct {
	op   filter.Op // All, Any, Not; Exists stands for the rule
	of   []Condition
	rule rule
	with params
}

// ParseCondition reads the conditions of a decision on entities. What is wrong with
// them, also a rule that nobody knows, is an apierr.Input.
func ParseCondition(raw json.RawMessage) (Condition, error) {
	left := maxConditions
	return parseCondition(raw, 0, &left)
}

func parseCondition(raw json.RawMessage, depth int, left *int) (c Condition, err error) {
	if *left--; *left < 0 || depth > maxConditionDepth {
		return c, apierr.Input.New("expected at most %d conditions, nested at most %d deep", maxConditions, maxConditionDepth)
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil || members == nil {
		return c, apierr.Input.New("expected conditions to be an object")
	}
	for name, op := range map[string]filter.Op{"allOf": filter.All, "anyOf": filter.Any, "not": filter.Not} {
		value, ok := members[name]
		if !ok {
			continue
		}
		if len(members) > 1 {
			return c, apierr.Input.New("expected %s to be alone in its object", name)
		}
		list := []json.RawMessage{value}
		if op != filter.Not && (json.Unmarshal(value, &list) != nil || len(list) == 0) {
			return c, apierr.Input.New("expected %s to be an array of conditions", name)
		}
		c.op = op
		for _, one := range list {
			of, err := parseCondition(one, depth+1, left)
			if err != nil {
				return c, err
			}
			c.of = append(c.of, of)
		}
		return c, nil
	}
	return parseRule(raw, members)
}

func parseRule(raw json.RawMessage, members map[string]json.RawMessage) (c Condition, err error) {
	var one struct {
		Rule, ResourceType string
		Params             json.RawMessage
	}
	if err := json.Unmarshal(raw, &one); err != nil || one.Rule == "" {
		return c, apierr.Input.New("expected a condition to have a rule, or one of allOf, anyOf and not")
	}
	if one.ResourceType != resourceEntity {
		return c, apierr.Input.New("rule %s: expected resourceType %s, found %q", one.Rule, resourceEntity, one.ResourceType)
	}
	rules := ruleTable()
	i := slices.IndexFunc(rules, func(r rule) bool { return r.name == one.Rule })
	if i < 0 {
		names := make([]string, len(rules))
		for i, r := range rules {
			names[i] = r.name
		}
		return c, apierr.Input.New("there is no rule %q; there are %s", one.Rule, strings.Join(names, ", "))
	}
	if _, ok := members["params"]; !ok {
		one.Params = json.RawMessage("{}")
	}
	c.op, c.rule = filter.Exists, rules[i]
	c.with, err = c.rule.read(one.Params)
	return c, err
}

// Predicate is the condition as one on the search index, for queries.
func (c Condition) Predicate() filter.Predicate {
	if c.op == filter.Exists {
		return c.rule.predicate(c.with)
	}
	of := make([]filter.Predicate, len(c.of))
	for i, one := range c.of {
		of[i] = one.Predicate()
	}
	switch c.op {
	case filter.Any:
		return filter.AnyOf(of...)
	case filter.Not:
		return filter.NotOf(of[0])
	}
	return filter.AllOf(of...)
}

// Match evaluates the condition on a served entity.
func (c Condition) Match(e entity.Entity) bool {
	return c.match(e, entity.Flatten(e, relationsOf(e)))
}

func (c Condition) match(e entity.Entity, rows []entity.SearchRow) bool {
	holds := func(of Condition) bool { return of.match(e, rows) }
	switch c.op {
	case filter.Any:
		return slices.ContainsFunc(c.of, holds)
	case filter.Not:
		return !holds(c.of[0])
	case filter.All:
		return !slices.ContainsFunc(c.of, func(of Condition) bool { return !holds(of) })
	}
	if c.rule.matches != nil {
		return c.rule.matches(e, c.with)
	}
	return c.rule.predicate(c.with).Lower().Match(rows)
}
