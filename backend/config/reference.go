package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A Key is a row of the configuration reference.
type Key struct {
	Path       string   // catalog.providers.<name>.organization, catalog.rules[].allow
	Type       string   // text, secret, whole number, number, true or false, duration, any; list of ..., map of ...
	Default    string   // as JSON, empty if there is none
	OneOf      []string // the values it may have, nil for any
	Doc        string
	Required   bool
	Deprecated string // what to use instead
}

// Reference lists the keys of the section at path, in the order of the struct that
// defaults is, from its `config` and `doc` tags. A section or list of structs is a
// row only if it has a doc of its own.
func Reference(path string, defaults any) []Key {
	p, _ := parsePath(path)
	r := reference{}
	r.keys(p.String(), reflect.ValueOf(defaults), nil)
	return r.rows
}

type reference struct{ rows []Key }

func (r *reference) keys(at string, v reflect.Value, around []reflect.Type) {
	v = filled(v)
	for _, shape := range shapesOf(v.Type()) {
		if slices.Contains(around, shape) {
			continue // a type that contains itself
		}
		value := v
		if shape != v.Type() {
			value = filled(reflect.Zero(shape))
		}
		inner := append(slices.Clone(around), shape)
		switch shape.Kind() {
		case reflect.Map:
			r.keys(at+".<name>", reflect.Zero(shape.Elem()), inner)
		case reflect.Slice:
			r.keys(at+"[]", reflect.Zero(shape.Elem()), inner)
		case reflect.Struct:
			for _, f := range fieldsOf(shape) {
				r.field(strings.TrimPrefix(at+"."+f.name, "."), f, value.FieldByIndex(f.index), inner)
			}
		}
	}
}

func (r *reference) field(at string, f field, v reflect.Value, around []reflect.Type) {
	row := Key{Path: at, Type: typeWords(f.typ, f), OneOf: f.oneOf, Doc: f.doc, Required: f.required, Deprecated: f.deprecated}
	before := len(r.rows)
	row.Default = defaultText(v)
	r.rows = append(r.rows, row)
	r.keys(at, v, around)
	if len(r.rows) > before+1 && f.doc == "" {
		r.rows = slices.Delete(r.rows, before, before+1)
	}
}

// filled returns what a pointer points to, or a zero value with its SetDefaults.
func filled(v reflect.Value) reflect.Value {
	t := v.Type()
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
		if v.IsValid() && !v.IsNil() {
			v = v.Elem()
		} else {
			v = reflect.Value{}
		}
	}
	out := reflect.New(t)
	if v.IsValid() {
		out.Elem().Set(v)
	}
	if def, ok := out.Interface().(Defaulter); ok && out.Elem().IsZero() {
		def.SetDefaults()
	}
	return out.Elem()
}

// typeWords names a type for people who write YAML.
func typeWords(t reflect.Type, f field) string {
	t = deref(t)
	switch reflect.New(t).Interface().(type) {
	case *Duration, *time.Duration:
		if f.millis {
			return "duration or milliseconds"
		}
		return "duration"
	case *Secret:
		return "secret"
	case *Cadence:
		return "duration, {cron} or {trigger: manual}"
	case encoding.TextUnmarshaler:
		return "text"
	case Unmarshaler:
		return "see below"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Slice:
		return "list of " + typeWords(t.Elem(), f)
	case reflect.Map:
		return "map of " + typeWords(t.Elem(), f)
	case reflect.Struct:
		return "object"
	case reflect.Interface:
		return "any"
	}
	return "whole number"
}

// defaultText writes a default as it would stand in YAML; nothing for what is zero,
// as absent keys and zero values are one, and for objects, whose keys have their own.
func defaultText(v reflect.Value) string {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.IsZero() {
		return ""
	}
	switch x := v.Interface().(type) {
	case Secret:
		return mask
	case Cadence:
		return x.String()
	case time.Duration:
		return Duration(x).ISO()
	case encoding.TextMarshaler:
		if b, err := x.MarshalText(); err == nil {
			return string(b)
		}
	}
	switch v.Kind() {
	case reflect.Slice:
		var out []string
		for i := range v.Len() {
			if deref(v.Type().Elem()).Kind() == reflect.Struct {
				return ""
			}
			out = append(out, defaultText(v.Index(i)))
		}
		return "[" + strings.Join(out, ", ") + "]"
	case reflect.Struct, reflect.Map, reflect.Pointer, reflect.Interface:
		return ""
	}
	return fmt.Sprint(v.Interface())
}
