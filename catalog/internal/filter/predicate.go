package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/catalog/entity"
)

// Parse reads a predicate on entities (contract catalog.md, 1.3) from JSON. Errors
// are of type *Error.
func Parse(data []byte, limits Limits) (Predicate, error) {
	v, b, err := decode(data, limits)
	if err != nil {
		return Predicate{}, err
	}
	return (&parser{budget: b}).predicate("query", v, 0)
}

// ParseValue is Parse for JSON that was decoded already, as part of a request body or
// cursor: objects as map[string]any, numbers as float64.
func ParseValue(v any, limits Limits) (Predicate, error) {
	return (&parser{budget: limits.budget()}).predicate("query", v, 0)
}

// ParseLocation reads a predicate on registered locations, whose keys are id, type,
// target and entityRef in any case. Here $all of nothing holds never, $contains
// neither, and ids in $in compare exactly.
func ParseLocation(v any, limits Limits) (Predicate, error) {
	return (&parser{budget: limits.budget(), location: true}).predicate("query", v, 0)
}

// ParseLocationJSON is ParseLocation for JSON text.
func ParseLocationJSON(data []byte, limits Limits) (Predicate, error) {
	v, b, err := decode(data, limits)
	if err != nil {
		return Predicate{}, err
	}
	return (&parser{budget: b, location: true}).predicate("query", v, 0)
}

func decode(data []byte, limits Limits) (any, *budget, error) {
	b := limits.budget()
	if err := b.size(len(data)); err != nil {
		return nil, nil, fail("query", "expected at most %d bytes", b.limits.Bytes)
	}
	if tooDeep(data, 4*b.limits.Depth) {
		return nil, nil, fail("query", "expected at most %d levels of groups", b.limits.Depth)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, nil, fail("query", "expected JSON: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, fail("query", "expected one JSON value")
	}
	return v, b, nil
}

// tooDeep looks for nesting without decoding it.
func tooDeep(data []byte, limit int) bool {
	depth, inText := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

type parser struct {
	*budget
	location bool
}

func (p *parser) predicate(path string, v any, depth int) (Predicate, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return Predicate{}, fail(path, "expected an object, found %s", kindOf(v))
	}
	for key := range m {
		if strings.HasPrefix(key, "$") {
			if len(m) > 1 {
				return Predicate{}, fail(path, "expected %s to be the only key of its object", quote(key))
			}
			return p.operator(path+"/"+shorten(key), key, m[key], depth)
		}
	}
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	if len(keys) > 1 {
		if err := p.group(path, depth); err != nil {
			return Predicate{}, err
		}
	}
	list := make([]Predicate, 0, len(keys))
	for _, key := range keys {
		at := path + "/" + shorten(key)
		if err := checkKey(path, key); err != nil {
			return Predicate{}, err
		}
		if err := p.condition(path); err != nil {
			return Predicate{}, err
		}
		test, err := p.test(at, key, m[key])
		if err != nil {
			return Predicate{}, err
		}
		list = append(list, test)
	}
	return AllOf(list...), nil
}

func (p *parser) operator(path, name string, v any, depth int) (Predicate, error) {
	switch name {
	case "$not":
		if err := p.group(path, depth); err != nil {
			return Predicate{}, err
		}
		of, err := p.predicate(path, v, depth+1)
		if err != nil {
			return Predicate{}, err
		}
		return NotOf(of), nil
	case "$all", "$any":
	default:
		return Predicate{}, fail(path, "expected $all, $any or $not")
	}
	items, ok := v.([]any)
	if !ok {
		return Predicate{}, fail(path, "expected an array of predicates, found %s", kindOf(v))
	}
	if err := p.group(path, depth); err != nil {
		return Predicate{}, err
	}
	if len(items) == 0 && p.location {
		return Nothing(), nil
	}
	list := make([]Predicate, 0, len(items))
	for i, item := range items {
		of, err := p.predicate(fmt.Sprintf("%s/%d", path, i), item, depth+1)
		if err != nil {
			return Predicate{}, err
		}
		list = append(list, of)
	}
	if name == "$all" {
		return AllOf(list...), nil
	}
	return AnyOf(list...), nil
}

// test reads what a key is tested for.
func (p *parser) test(path, key string, v any) (Predicate, error) {
	if p.location {
		folded := strings.ToLower(key)
		if !slices.Contains([]string{"id", "type", "target", "entityref"}, folded) {
			return Predicate{}, fail(path, "expected one of id, type, target and entityRef")
		}
		key = folded
	}
	m, ok := v.(map[string]any)
	if !ok {
		value, err := p.primitive(path, v)
		return KeyIn(key, value), err
	}
	if len(m) != 1 {
		return Predicate{}, fail(path, "expected a value, or an object with one of $exists, $in, $hasPrefix and $contains")
	}
	for name, arg := range m {
		path += "/" + shorten(name)
		switch name {
		case "$exists":
			want, ok := arg.(bool)
			if !ok {
				return Predicate{}, fail(path, "expected true or false, found %s", kindOf(arg))
			}
			if !want {
				return NotOf(KeyExists(key)), nil
			}
			return KeyExists(key), nil
		case "$in":
			values, err := p.list(path, arg)
			return Predicate{Op: In, Key: key, Values: values, Exact: p.location && key == "id"}, err
		case "$hasPrefix":
			prefix, ok := arg.(string)
			if !ok {
				return Predicate{}, fail(path, "expected a string, found %s", kindOf(arg))
			}
			if err := p.value(path); err != nil {
				return Predicate{}, err
			}
			return Predicate{Op: Prefix, Key: key, Values: []string{prefix}}, nil
		case "$contains":
			return p.contains(path, key, arg)
		}
	}
	return Predicate{}, fail(path, "expected one of $exists, $in, $hasPrefix and $contains")
}

// contains reads $contains. The index has the elements of arrays under the key of
// the array, and relations under relations.<type>, so no operation of its own is
// needed.
func (p *parser) contains(path, key string, v any) (Predicate, error) {
	m, isObject := v.(map[string]any)
	if !isObject {
		value, err := p.primitive(path, v)
		if p.location {
			return KeyIn(key), err
		}
		return KeyIn(key, value), err
	}
	if p.location {
		return KeyIn(key), nil
	}
	if !strings.EqualFold(key, "relations") {
		return Predicate{}, fail(path, "expected a string, number or boolean: only the key relations is searched for objects")
	}
	var typ string
	var targets []string
	hasTarget := false
	for name, arg := range m {
		at := path + "/" + shorten(name)
		switch entity.Lower(name) {
		case "type":
			s, ok := arg.(string)
			if !ok || s == "" {
				return Predicate{}, fail(at, "expected the type of a relation, found %s", kindOf(arg))
			}
			typ = s
		case "targetref":
			hasTarget = true
			var err error
			if targets, err = p.targets(at, arg); err != nil {
				return Predicate{}, err
			}
		default:
			return Predicate{}, fail(at, "expected type or targetRef")
		}
	}
	if typ == "" {
		return Predicate{}, fail(path, "expected the type of a relation, found nothing")
	}
	if !hasTarget {
		return KeyExists("relations." + typ), nil
	}
	return KeyIn("relations."+typ, targets...), nil
}

func (p *parser) targets(path string, v any) ([]string, error) {
	if s, ok := v.(string); ok {
		return []string{s}, p.value(path)
	}
	m, ok := v.(map[string]any)
	if !ok || len(m) != 1 || m["$in"] == nil {
		return nil, fail(path, `expected an entity reference or {"$in": [...]}, found %s`, kindOf(v))
	}
	items, ok := m["$in"].([]any)
	if !ok || len(items) == 0 {
		return nil, fail(path, "expected at least one entity reference")
	}
	var out []string
	for _, item := range items {
		s, ok := item.(string)
		if !ok {
			return nil, fail(path, "expected entity references, found %s", kindOf(item))
		}
		if err := p.value(path); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (p *parser) list(path string, v any) ([]string, error) {
	items, ok := v.([]any)
	if !ok {
		return nil, fail(path, "expected an array of strings, numbers and booleans, found %s", kindOf(v))
	}
	out := make([]string, 0, min(len(items), 64))
	for _, item := range items {
		s, err := p.primitive(path, item)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// primitive is the text by which the index knows a value.
func (p *parser) primitive(path string, v any) (string, error) {
	if err := p.value(path); err != nil {
		return "", err
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case bool, float64:
		b, err := entity.AppendJSON(nil, v)
		return string(b), err
	}
	return "", fail(path, "expected a string, number or boolean, found %s", kindOf(v))
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case float64:
		return "a number"
	case []any:
		return "an array"
	}
	return "an object"
}

func quote(s string) string { return fmt.Sprintf("%q", shorten(s)) }

func shorten(s string) string {
	if len(s) <= 60 {
		return s
	}
	return strings.ToValidUTF8(s[:60], "") + "..."
}
