package config

import (
	"encoding"
	"reflect"
	"slices"
	"time"
)

// SchemaOf returns the JSON Schema (draft 7) of the section at path, a path of plain
// keys, from the struct that defaults is: for editors, and for [Config.Visible] and
// [Config.Secrets], since a [Secret] has the visibility secret. Text may stand for
// numbers and booleans, as in ${PORT}, and an object with $env, $file or $include for
// anything. No key is required in it: another file may have it.
func SchemaOf(path string, defaults any) Schema {
	p, _ := parsePath(path)
	out := schemaOf(filled(reflect.ValueOf(defaults)), field{}, nil)
	for _, s := range slices.Backward(p) {
		out = Schema{"type": "object", "properties": Schema{s.key: out}}
	}
	out["$schema"] = "http://json-schema.org/draft-07/schema#"
	return out
}

func schemaOf(v reflect.Value, f field, around []reflect.Type) Schema {
	out := typeSchema(v, f, around)
	if f.doc != "" {
		out["description"] = f.doc
	}
	if f.visibility != "" {
		out["visibility"] = f.visibility
	}
	if f.deepVisibility != "" {
		out["deepVisibility"] = f.deepVisibility
	}
	if f.deprecated != "" {
		out["deprecated"] = f.deprecated
	}
	return out
}

func typeSchema(v reflect.Value, f field, around []reflect.Type) Schema {
	t := v.Type()
	switch reflect.New(t).Interface().(type) {
	case *Secret:
		return Schema{"type": []any{"string", "object"}, "patternProperties": directives(), "additionalProperties": false, "visibility": "secret"}
	case *Duration, *time.Duration:
		return durationSchema(f)
	case *Cadence:
		out := durationSchema(field{})
		properties := out["properties"].(Schema)
		properties["cron"] = Schema{"type": "string"}
		properties["trigger"] = Schema{"type": "string", "enum": []any{"manual"}}
		return out
	}
	shapes := shapesOf(t)
	switch {
	case len(shapes) == 1 && shapes[0] == t:
		return keysSchema(v, f, around)
	case len(shapes) > 0:
		// The value itself may be what it is in its short form, so nothing is refused.
		any := []any{Schema{}}
		for _, shape := range shapes {
			if shape != t {
				any = append(any, typeSchema(filled(reflect.Zero(shape)), f, around))
			}
		}
		return Schema{"anyOf": any}
	}
	return scalarSchema(v, f)
}

func keysSchema(v reflect.Value, f field, around []reflect.Type) Schema {
	t := v.Type()
	if slices.Contains(around, t) {
		return Schema{} // a type that contains itself
	}
	around = append(slices.Clone(around), t)
	inner := field{millis: f.millis, oneOf: f.oneOf}
	switch t.Kind() {
	case reflect.Slice:
		return Schema{"type": []any{"array", "object"}, "items": schemaOf(filled(reflect.Zero(t.Elem())), inner, around)}
	case reflect.Map:
		return Schema{"type": "object", "patternProperties": directives(), "additionalProperties": schemaOf(filled(reflect.Zero(t.Elem())), inner, around)}
	}
	properties := Schema{}
	for _, f := range fieldsOf(t) {
		properties[f.name] = schemaOf(filled(v.FieldByIndex(f.index)), f, around)
	}
	return Schema{"type": "object", "properties": properties}
}

func scalarSchema(v reflect.Value, f field) Schema {
	var types []any
	switch _, isText := reflect.New(v.Type()).Interface().(encoding.TextUnmarshaler); {
	case isText || v.Kind() == reflect.String:
	case v.Kind() == reflect.Bool:
		types = []any{"boolean", "number"}
	case v.CanInt() || v.CanUint() || v.CanFloat():
		types = []any{"number"}
	default:
		return Schema{} // any, and types that read themselves
	}
	out := Schema{"type": append(types, "string", "object"), "patternProperties": directives(), "additionalProperties": false}
	if len(f.oneOf) > 0 {
		// A variable or a directive may stand for the value.
		options := []any{Schema{"type": "object"}, Schema{"type": "string", "pattern": `\$\{`}}
		values := make([]any, len(f.oneOf))
		for i, value := range f.oneOf {
			values[i] = value
		}
		out["anyOf"] = append(options, Schema{"enum": values})
	}
	if text := defaultText(v); text != "" && (v.Kind() == reflect.String || v.Kind() == reflect.Bool || v.CanInt() || v.CanUint() || v.CanFloat()) {
		out["default"] = v.Interface()
	}
	return out
}

func durationSchema(f field) Schema {
	properties := Schema{}
	for _, unit := range unitNames {
		properties[unit] = Schema{"type": []any{"number", "string"}}
	}
	types := []any{"string", "object"}
	if f.millis {
		types = append(types, "number")
	}
	return Schema{"type": types, "properties": properties, "patternProperties": directives(), "additionalProperties": false}
}

// directives are the objects that stand for a value.
func directives() Schema {
	return Schema{`^\$(env|file|include)$`: Schema{"type": "string"}}
}
