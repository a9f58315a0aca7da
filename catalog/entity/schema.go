package entity

import (
	_ "embed"
	"encoding/json"
	"maps"
	"slices"
)

// Schema is the JSON Schema (draft 07, which editors know) of descriptor files, for editors. It is made
// from the same tables that check entities; go generate writes it anew.
//
//go:generate go test -run TestSchemaIsUpToDate -update
//go:embed entity.schema.json
var schemaFile []byte

// Schema returns a copy of the JSON Schema of descriptors, with the default formats
// and the builtin kinds. Entities of other kinds are held against the envelope only.
func Schema() []byte { return slices.Clone(schemaFile) }

// Patterns of the default formats, within what RE2 knows.
const (
	dnsLabel      = `[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?`
	prefixPattern = `(?:` + dnsLabel + `(?:\.` + dnsLabel + `)*/)?`
	namePattern   = `[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?`
	tagPattern    = `[a-z0-9:+#]+(?:-[a-z0-9:+#]+)*`
)

// buildSchema makes the schema of the builtin kinds.
func buildSchema() ([]byte, error) {
	type obj = map[string]any
	anchored := func(pattern string) obj { return obj{"type": "string", "pattern": "^" + pattern + "$"} }
	prefixed := func(pattern string) obj {
		s := anchored(prefixPattern + pattern)
		s["not"] = obj{"pattern": "^[^/]{254,}/"}
		return s
	}
	root := envelope.schema()
	properties := root["properties"].(obj)
	properties["apiVersion"] = prefixed("[A-Za-z0-9]{1,63}")
	var kinds []any // for completion; others are allowed
	for _, kind := range builtinKinds() {
		kinds = append(kinds, kind.kind)
	}
	properties["kind"] = obj{"anyOf": []any{obj{"enum": kinds}, anchored("[A-Za-z][A-Za-z0-9]{0,62}")}}
	// What names an entity is in its own file.
	metadata := properties["metadata"].(obj)["anyOf"].([]any)[0].(obj)
	properties["metadata"] = metadata
	properties["spec"] = anyObject.schema()
	meta := metadata["properties"].(obj)
	for _, key := range []string{"uid", "etag"} {
		meta[key] = nonEmpty.schema()
	}
	meta["name"] = anchored(namePattern)
	meta["namespace"] = anchored(dnsLabel)
	meta["labels"] = orPlaceholder(obj{"type": "object", "propertyNames": prefixed(namePattern),
		"additionalProperties": obj{"type": "string", "pattern": "^(?:" + namePattern + ")?$"}})
	meta["annotations"] = orPlaceholder(obj{"type": "object", "propertyNames": prefixed(namePattern), "additionalProperties": obj{"type": "string"}})
	tag := anchored(tagPattern)
	tag["maxLength"] = 63.0
	meta["tags"] = orPlaceholder(obj{"type": "array", "items": tag})
	root["additionalProperties"] = false

	var rules []any
	for _, kind := range builtinKinds() {
		versions := make([]any, len(kind.apiVersions))
		for i, v := range kind.apiVersions {
			versions[i] = v
		}
		spec := kind.spec.schema()
		rules = append(rules, obj{
			"if": obj{"required": []any{"apiVersion", "kind"}, "properties": obj{
				"apiVersion": obj{"enum": versions}, "kind": obj{"const": kind.kind}}},
			"then": obj{"required": []any{"spec"}, "properties": obj{"spec": spec}},
		})
	}
	root["allOf"] = rules
	root["definitions"] = obj{"placeholder": placeholderSchema()}
	maps.Copy(root, obj{
		"$schema":     "http://json-schema.org/draft-07/schema#",
		"$id":         "urn:callboard:entity",
		"title":       "Callboard catalog entity",
		"description": "One document of a catalog descriptor file. Known kinds are checked by their rules, others by the envelope.",
	})
	var indented []byte
	compact, err := AppendJSON(nil, root)
	if err != nil {
		return nil, err
	}
	var v any
	if err := json.Unmarshal(compact, &v); err != nil {
		return nil, err
	}
	indented, err = json.MarshalIndent(v, "", "  ")
	return append(indented, '\n'), err
}

// orPlaceholder lets a value stand in another file: {$text: ./openapi.yaml}.
func orPlaceholder(schema map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{schema, map[string]any{"$ref": "#/definitions/placeholder"}}}
}

func placeholderSchema() map[string]any {
	return map[string]any{
		"type": "object", "minProperties": 1.0, "maxProperties": 1.0,
		"propertyNames":        map[string]any{"pattern": `^\$`},
		"additionalProperties": nonEmpty.schema(),
	}
}

// schema writes a shape as JSON Schema.
func (s *shape) schema() map[string]any {
	out := map[string]any{}
	var types []any
	for _, t := range []struct {
		bit  valueTypes
		name string
	}{{stringType, "string"}, {boolType, "boolean"}, {objectType, "object"}, {arrayType, "array"}} {
		if s.types&t.bit != 0 {
			types = append(types, t.name)
		}
	}
	if len(types) == 1 {
		out["type"] = types[0]
	} else {
		out["type"] = types
	}
	if s.nonEmpty {
		out["minLength"] = 1.0
	}
	if s.nonBlank {
		out["pattern"] = `\S`
	}
	if s.maxRunes > 0 {
		out["maxLength"] = float64(s.maxRunes)
	}
	if s.oneOf != nil {
		values := make([]any, len(s.oneOf))
		for i, v := range s.oneOf {
			values[i] = v
		}
		out["enum"] = values
	}
	if s.form != nil && s.form.pattern != "" {
		out["pattern"] = s.form.pattern
	}
	if s.form != nil && s.form.format != "" {
		out["format"] = s.form.format
	}
	s.objectSchema(out)
	if s.items != nil {
		out["items"] = s.items.schema()
	}
	if s.minItems > 0 {
		out["minItems"] = float64(s.minItems)
	}
	return out
}

func (s *shape) objectSchema(out map[string]any) {
	properties := map[string]any{}
	var required []any
	for _, m := range s.members {
		properties[m.name] = orPlaceholder(m.shape.schema())
		if m.required {
			required = append(required, m.name)
		}
	}
	if len(properties) > 0 {
		out["properties"] = properties
	}
	if required != nil {
		out["required"] = required
	}
	if s.rest != nil {
		out["additionalProperties"] = s.rest.schema()
	}
}
