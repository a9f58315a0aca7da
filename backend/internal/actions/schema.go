package actions

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// draft is the JSON Schema that schemas of actions are written in.
const draft = "http://json-schema.org/draft-07/schema#"

// A Schemer is a type that says itself what its JSON Schema is.
type Schemer interface{ JSONSchema() json.RawMessage }

// SchemaOf returns the JSON Schema of the JSON that a Go type has. Fields have their
// names from the tag json; those that may be left out there (omitempty, omitzero), and
// pointers, are not required. Further tags:
//
//	doc:"what it is"                  description
//	enum:"a,b"                        the values that there are
//	default:"10"                      what its absence means, as JSON if it is
//	format:"uri"  pattern:"^a"
//	minLength:"1" maxLength:"63"  minimum:"0" maximum:"100"  minItems:"1" maxItems:"9"
//
// Objects are closed, except for maps. The error names the field that has no JSON.
func SchemaOf(t reflect.Type) (json.RawMessage, error) {
	s := schemaWriter{root: t}
	n, err := s.node(t, "")
	if err != nil {
		return nil, err
	}
	if t.Kind() == reflect.Map && !t.Implements(schemer) { // any object
		n.set("properties", &node{})
		n.set("additionalProperties", true)
	}
	n.set("$schema", draft)
	return json.Marshal(n)
}

var (
	schemer = reflect.TypeFor[Schemer]()
	rawJSON = reflect.TypeFor[json.RawMessage]()
	instant = reflect.TypeFor[time.Time]()
)

// node is an object whose members keep their order.
type node struct {
	names  []string
	values []any
}

func (n *node) set(name string, value any) {
	for i, known := range n.names {
		if known == name {
			n.values[i] = value
			return
		}
	}
	n.names, n.values = append(n.names, name), append(n.values, value)
}

// MarshalJSON implements json.Marshaler.
func (n *node) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, name := range n.names {
		if i > 0 {
			out = append(out, ',')
		}
		value, err := json.Marshal(n.values[i])
		if err != nil {
			return nil, err
		}
		out = append(out, strconv.Quote(name)...)
		out = append(append(out, ':'), value...)
	}
	return append(out, '}'), nil
}

type schemaWriter struct {
	root reflect.Type
	open []reflect.Type // structs around the place
}

func (s *schemaWriter) node(t reflect.Type, at string) (*node, error) {
	n := &node{}
	switch {
	case t.Implements(schemer):
		return fromText(reflect.New(t).Elem().Interface().(Schemer).JSONSchema(), at)
	case t == rawJSON:
		return n, nil
	case t == instant:
		n.set("type", "string")
		n.set("format", "date-time")
		return n, nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.node(t.Elem(), at)
	case reflect.Interface:
		return n, nil
	case reflect.String:
		n.set("type", "string")
	case reflect.Bool:
		n.set("type", "boolean")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n.set("type", "integer")
	case reflect.Float32, reflect.Float64:
		n.set("type", "number")
	case reflect.Slice, reflect.Array:
		items, err := s.node(t.Elem(), at+"[]")
		if err != nil {
			return nil, err
		}
		n.set("type", "array")
		if len(items.names) > 0 {
			n.set("items", items)
		}
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return nil, fmt.Errorf("%s%s: a map with keys of type %s is no JSON object", s.root, at, t.Key())
		}
		values, err := s.node(t.Elem(), at+"[]")
		if err != nil {
			return nil, err
		}
		n.set("type", "object")
		n.set("additionalProperties", values)
	case reflect.Struct:
		return n, s.fields(n, t, at)
	default:
		return nil, fmt.Errorf("%s%s: %s has no JSON", s.root, at, t)
	}
	return n, nil
}

// fromText keeps a schema as it was written, and its members in order.
func fromText(text json.RawMessage, at string) (*node, error) {
	n := &node{}
	d := json.NewDecoder(strings.NewReader(string(text)))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("%s: its schema is no JSON object", at)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("%s: its schema: %w", at, err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, fmt.Errorf("%s: its schema: %w", at, err)
		}
		n.set(name.(string), value)
	}
	return n, nil
}

func (s *schemaWriter) fields(n *node, t reflect.Type, at string) error {
	for _, o := range s.open {
		if o == t {
			return fmt.Errorf("%s%s: %s contains itself; give it a JSONSchema method", s.root, at, t)
		}
	}
	s.open = append(s.open, t)
	defer func() { s.open = s.open[:len(s.open)-1] }()
	properties, required := &node{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		name, optional, ok := jsonName(f)
		if !ok {
			continue
		}
		p, err := s.node(f.Type, at+"."+name)
		if err != nil {
			return err
		}
		if err := annotate(p, f, at+"."+name); err != nil {
			return err
		}
		properties.set(name, p)
		if !optional {
			required = append(required, name)
		}
	}
	n.set("type", "object")
	n.set("properties", properties)
	if len(required) > 0 {
		n.set("required", required)
	}
	n.set("additionalProperties", false)
	return nil
}

// jsonName is how a field is called in JSON, and whether it may be left out.
func jsonName(f reflect.StructField) (name string, optional, ok bool) {
	tag, tagged := f.Tag.Lookup("json")
	if !f.IsExported() || tag == "-" || f.Anonymous && !tagged {
		return "", false, false // the fields of embedded structs are visible themselves
	}
	name, options, _ := strings.Cut(tag, ",")
	if name == "" {
		name = f.Name
	}
	optional = f.Type.Kind() == reflect.Pointer
	for o := range strings.SplitSeq(options, ",") {
		optional = optional || o == "omitempty" || o == "omitzero"
	}
	return name, optional, true
}

// annotate adds what a field's tags say.
func annotate(n *node, f reflect.StructField, at string) error {
	for _, name := range []string{"minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"} {
		if text, ok := f.Tag.Lookup(name); ok {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return fmt.Errorf("%s: tag %s is %q, which is no number", at, name, text)
			}
			n.set(name, v)
		}
	}
	for _, name := range []string{"format", "pattern"} {
		if text, ok := f.Tag.Lookup(name); ok {
			n.set(name, text)
		}
	}
	if text, ok := f.Tag.Lookup("enum"); ok {
		n.set("enum", strings.Split(text, ","))
	}
	if text, ok := f.Tag.Lookup("default"); ok {
		if json.Valid([]byte(text)) {
			n.set("default", json.RawMessage(text))
		} else {
			n.set("default", text)
		}
	}
	if text, ok := f.Tag.Lookup("doc"); ok {
		n.set("description", text)
	}
	return nil
}
