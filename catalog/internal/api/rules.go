package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/filter"
	"github.com/callboard-dev/callboard/catalog/internal/query"
	"github.com/callboard-dev/callboard/permission"
)

// A rule is one of the six by which policies describe entities (contract 1.7).
type rule struct {
	name, description string
	params            []param
	predicate         func(params) filter.Predicate
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
		},
	}
}

// schema is the closed JSON Schema of the parameters.
func (r rule) schema() map[string]any {
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
	return map[string]any{
		"$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
		"properties": properties, "required": required, "additionalProperties": false,
	}
}

// read checks parameters against the rule's closed schema.
func (r rule) read(raw json.RawMessage) (params, error) {
	bad := func(format string, args ...any) (params, error) {
		return nil, apierr.Input.New("parameters of rule "+r.name+": "+format, args...)
	}
	// wrong has what clients of the reference find of a parameter of another type.
	wrong := func(p param, received json.RawMessage) (params, error) {
		expected := "string"
		if p.list {
			expected = "array"
		}
		text := fmt.Sprintf("%s must be %s", p.name, expected)
		issue := map[string]any{"code": "invalid_type", "expected": expected, "received": typeName(received), "path": []string{p.name}, "message": text}
		cause := apierr.NewKind("ZodError", http.StatusBadRequest).New("%s", text).With("issues", []any{issue})
		return nil, apierr.Input.Wrap(cause, "parameters of rule %s are invalid", r.name)
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
				return wrong(r.params[i], value)
			}
		} else {
			list = make([]*string, 1)
			if json.Unmarshal(value, &list[0]) != nil || list[0] == nil {
				return wrong(r.params[i], value)
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
			return wrong(p, nil)
		}
	}
	return out, nil
}

// typeName is the JavaScript type of a JSON value; nil is one that is missing.
func typeName(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "undefined"
	}
	switch raw[0] {
	case '"':
		return "string"
	case '[':
		return "array"
	case '{':
		return "object"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
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

// Resource is what the permission framework is told of entities. Rules of others are
// about an entity.Entity, too; their queries are a filter.Predicate.
func Resource(q *query.Query) permission.Resource[entity.Entity] {
	r := permission.Resource[entity.Entity]{
		Type: resourceEntity, Lists: filter.Predicate{},
		// Whether who asks may see the entities does not matter: the answer is what the
		// policy says of them.
		Load: func(ctx context.Context, refs []string) (map[string]entity.Entity, error) {
			asked := slices.Clone(refs)
			for i, ref := range asked {
				if !db.IsText(ref) {
					asked[i] = ""
				}
			}
			docs, err := q.ByRefs(ctx, asked, nil, query.Auth{})
			if err != nil {
				return nil, err
			}
			out := make(map[string]entity.Entity, len(docs))
			for i, doc := range docs {
				if doc == nil {
					continue
				}
				if out[refs[i]], err = entity.Decode(doc); err != nil {
					return nil, fmt.Errorf("entity %s: %w", refs[i], err)
				}
			}
			return out, nil
		},
	}
	for _, rule := range ruleTable() {
		r.Rules = append(r.Rules, permission.Rule[entity.Entity, params, filter.Predicate]{
			Name: rule.name, Description: rule.description, ResourceType: resourceEntity,
			Schema: rule.schema(), Read: rule.read, Query: rule.predicate, Apply: rule.holds,
		})
	}
	return r
}

// holds evaluates the rule on a served entity.
func (r rule) holds(e entity.Entity, p params) bool {
	return r.predicate(p).Lower().Match(entity.Flatten(e, relationsOf(e)))
}

var predicates = permission.Combiner[filter.Predicate]{All: filter.AllOf, Any: filter.AnyOf, Not: filter.NotOf}
