package permission

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// A Rule is one criterion that resources of type R can be filtered by, both one
// resource in memory, and in the store as a Q.
//
// P is a struct whose fields are the parameters: texts, numbers, booleans, and slices of
// them, with the tags json (the name, and omitempty for what may be left out) and doc.
type Rule[R, P, Q any] struct {
	Name, Description, ResourceType string
	// Apply says whether the rule holds for a resource. It is called from any number of
	// goroutines.
	Apply func(resource R, params P) bool
	// Query is the same as a condition on the store. Without it, lists cannot be filtered by
	// the rule (see Resource.Lists).
	Query func(params P) Q

	// Schema and Read are for a P that is no such struct: the JSON Schema of the
	// parameters, and how they are read from a JSON object.
	Schema any
	Read   func(params json.RawMessage) (P, error)
}

// An AnyRule is a Rule for resources of type R.
type AnyRule[R any] interface {
	describe() RuleInfo
	// bind checks parameters.
	bind(params map[string]any) (func(R) bool, error)
	query(params map[string]any) (any, error)
	// queries is the type of what query returns, nil if there is none.
	queries() reflect.Type
}

// RuleInfo is a rule as the metadata of a plugin describes it.
type RuleInfo struct {
	Name         string `json:"name"`
	Description  string `json:"description"`
	ResourceType string `json:"resourceType"`
	ParamsSchema any    `json:"paramsSchema"`
}

// With is the criterion that the rule holds with these parameters.
func (r Rule[R, P, Q]) With(params P) Criteria {
	data, err := json.Marshal(params)
	var m map[string]any
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		panic(fmt.Errorf("parameters of rule %s: %w", r.Name, err)) // P is no struct of parameters
	}
	return Is(r.Name, r.ResourceType, m)
}

func (r Rule[R, P, Q]) describe() RuleInfo {
	info := RuleInfo{r.Name, r.Description, r.ResourceType, r.Schema}
	if info.ParamsSchema == nil {
		info.ParamsSchema = paramsSchema(reflect.TypeFor[P]())
	}
	return info
}

func (r Rule[R, P, Q]) bind(params map[string]any) (func(R) bool, error) {
	p, err := r.read(params)
	return func(resource R) bool { return r.Apply(resource, p) }, err
}

func (r Rule[R, P, Q]) queries() reflect.Type {
	if r.Query == nil {
		return nil
	}
	return reflect.TypeFor[Q]()
}

func (r Rule[R, P, Q]) query(params map[string]any) (any, error) {
	if r.Query == nil {
		return nil, fmt.Errorf("rule %s cannot filter lists", r.Name)
	}
	p, err := r.read(params)
	if err != nil {
		return nil, err
	}
	return r.Query(p), nil
}

func (r Rule[R, P, Q]) read(params map[string]any) (p P, err error) {
	if params == nil {
		params = map[string]any{}
	}
	data, err := json.Marshal(params)
	if err != nil {
		return p, err
	}
	if r.Read != nil {
		return r.Read(data)
	}
	return p, readParams(data, params, &p, r.Name)
}

func readParams(data []byte, params map[string]any, into any, rule string) error {
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(into); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return apierr.Input.New("parameters of rule %s: %s must be %s", rule, wrong.Field, kindName(wrong.Type))
		}
		return apierr.Input.New("parameters of rule %s: %v", rule, err)
	}
	for _, f := range paramFields(reflect.TypeOf(into).Elem()) {
		if v, ok := params[f.name]; (!ok || v == nil) && !f.optional {
			return apierr.Input.New("parameters of rule %s: %s is missing", rule, f.name)
		}
	}
	return nil
}

type paramField struct {
	name, doc string
	optional  bool
	typ       reflect.Type
}

func paramFields(t reflect.Type) (out []paramField) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		optional := strings.Contains(opts, "omitempty") || strings.Contains(opts, "omitzero") || f.Type.Kind() == reflect.Pointer
		out = append(out, paramField{name, f.Tag.Get("doc"), optional, f.Type})
	}
	return out
}

// paramsSchema is the draft-07 schema of a struct of parameters.
func paramsSchema(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, f := range paramFields(t) {
		schema := map[string]any{"type": kindName(f.typ)}
		if f.doc != "" {
			schema["description"] = f.doc
		}
		if f.typ.Kind() == reflect.Slice {
			schema["items"] = map[string]any{"type": kindName(f.typ.Elem())}
		}
		properties[f.name] = schema
		if !f.optional {
			required = append(required, f.name)
		}
	}
	return map[string]any{
		"$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
		"properties": properties, "required": required, "additionalProperties": false,
	}
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return kindName(t.Elem())
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Slice, reflect.Array:
		return "array"
	case reflect.Struct, reflect.Map:
		return "object"
	}
	return "number"
}
