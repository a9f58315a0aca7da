package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// visibility is what schemas say about one key, its own keywords and those it
// inherits together.
type visibility struct {
	own        map[string]bool // frontend, backend, secret
	deep       map[string]bool // frontend, secret
	deprecated string
}

// frontend reports whether the key is for the browser. An explicit backend takes a
// key out of what its parents show.
func (v visibility) frontend() bool {
	return v.own["frontend"] || v.deep["frontend"] && !v.own["backend"]
}

func (v visibility) secret() bool { return v.own["secret"] || v.deep["secret"] }

// read adds the keywords of one schema.
func (v *visibility) read(s Schema) {
	if word, ok := s["visibility"].(string); ok {
		if v.own == nil {
			v.own = map[string]bool{}
		}
		v.own[word] = true
	}
	if word, ok := s["deepVisibility"].(string); ok {
		v.deep = maps.Clone(v.deep)
		if v.deep == nil {
			v.deep = map[string]bool{}
		}
		v.deep[word] = true
	}
	if text, ok := s["deprecated"].(string); ok && v.deprecated == "" {
		v.deprecated = text
	}
}

// inherited is what a child starts with.
func (v visibility) inherited() visibility { return visibility{deep: v.deep} }

// A visibilityWalk goes through a tree and the schemas that apply to it.
type visibilityWalk struct{ schemas []Schema }

// An applied schema is a subschema with the document that its $ref point into.
type applied struct {
	schema Schema
	root   Schema
}

func (w visibilityWalk) walk(root *node, visit func(*node, path, visibility)) {
	if len(w.schemas) == 0 || root == nil {
		return
	}
	var top []applied
	for _, s := range w.schemas {
		top = append(top, applied{s, s})
	}
	w.node(root, nil, top, visibility{}, visit)
}

func (w visibilityWalk) node(n *node, p path, at []applied, v visibility, visit func(*node, path, visibility)) {
	if !n.present() {
		return
	}
	at = expand(at, n)
	for _, a := range at {
		v.read(a.schema)
	}
	visit(n, p, v)
	switch n.kind {
	case object:
		for _, key := range n.keys {
			w.node(n.fields[key], p.key(key), property(at, key), v.inherited(), visit)
		}
	case list:
		for i, item := range n.items {
			w.node(item, p.at(i), items(at, i), v.inherited(), visit)
		}
	}
}

// expand adds what allOf, $ref and, for the node n, anyOf, oneOf and if-then-else
// bring in. Of alternatives only those count that n may be an instance of, so that a
// branch for another provider does not make a key visible; without a node, none does.
func expand(at []applied, n *node) []applied {
	var out []applied
	seen := map[uintptr]bool{}
	var add func(a applied)
	add = func(a applied) {
		if seen[a.id()] {
			return // a $ref to what contains it
		}
		seen[a.id()] = true
		out = append(out, a)
		if ref, ok := a.schema["$ref"].(string); ok {
			if target := a.deref(ref); target != nil {
				add(applied{target, a.root})
			}
		}
		for _, branch := range a.branches(n) {
			add(applied{branch, a.root})
		}
	}
	for _, a := range at {
		add(a)
	}
	return out
}

// branches returns the subschemas that apply to the same value as a.
func (a applied) branches(n *node) []Schema {
	var out []Schema
	for _, word := range [...]string{"allOf", "anyOf", "oneOf"} {
		list, _ := a.schema[word].([]any)
		for _, b := range list {
			branch, ok := asSchema(b)
			if ok && (word == "allOf" || n != nil && plausible(branch, n)) {
				out = append(out, branch)
			}
		}
	}
	if condition, ok := asSchema(a.schema["if"]); ok && n != nil {
		word := "else"
		if plausible(condition, n) {
			word = "then"
		}
		if branch, ok := asSchema(a.schema[word]); ok {
			out = append(out, branch)
		}
	}
	return out
}

// id tells subschemas apart.
func (a applied) id() uintptr { return reflect.ValueOf(a.schema).Pointer() }

// deref follows a reference inside the document: #/definitions/x.
func (a applied) deref(ref string) Schema {
	rest, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil
	}
	at := a.root
	for part := range strings.SplitSeq(strings.TrimPrefix(rest, "/"), "/") {
		if part == "" {
			continue
		}
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		if at, ok = asSchema(at[part]); !ok {
			return nil
		}
	}
	return at
}

// plausible reports whether n may be an instance of s, as far as types, constants
// and required keys tell.
func plausible(s Schema, n *node) bool {
	if !typeFits(s["type"], n.kind) {
		return false
	}
	if c, ok := s["const"]; ok && n.kind != object && n.kind != list && !sameScalar(c, n.value) {
		return false
	}
	if enum, ok := s["enum"].([]any); ok && n.kind != object && n.kind != list &&
		!slices.ContainsFunc(enum, func(e any) bool { return sameScalar(e, n.value) }) {
		return false
	}
	if n.kind != object {
		return true
	}
	if required, ok := s["required"].([]any); ok {
		for _, key := range required {
			if name, ok := key.(string); ok && !n.fields[name].present() {
				return false
			}
		}
	}
	properties, _ := asSchema(s["properties"])
	for key, sub := range properties {
		if sub, ok := asSchema(sub); ok && n.fields[key].present() && !plausible(sub, n.fields[key]) {
			return false
		}
	}
	return true
}

// typeFits compares with the type keyword. A string may stand for a number or a
// boolean, as in ${PORT}.
func typeFits(want any, k kind) bool {
	switch want := want.(type) {
	case []any:
		return slices.ContainsFunc(want, func(t any) bool { return typeFits(t, k) })
	case string:
		switch k {
		case object:
			return want == "object"
		case list:
			return want == "array"
		case text:
			return want != "object" && want != "array" && want != "null"
		case number:
			return want == "number" || want == "integer"
		case boolean:
			return want == "boolean"
		}
	}
	return true
}

func sameScalar(schema, value any) bool {
	return schema == value || scalarText(schema) == scalarText(value)
}

// property returns the subschemas for a key of an object.
func property(at []applied, key string) []applied {
	var out []applied
	for _, a := range at {
		matched := false
		add := func(s any) {
			matched = true
			if sub, ok := asSchema(s); ok {
				out = append(out, applied{sub, a.root})
			}
		}
		if properties, ok := asSchema(a.schema["properties"]); ok && properties[key] != nil {
			add(properties[key])
		}
		patterns, _ := asSchema(a.schema["patternProperties"])
		for pattern, sub := range patterns {
			if re, err := regexp.Compile(pattern); err == nil && re.MatchString(key) {
				add(sub)
			}
		}
		if !matched {
			add(a.schema["additionalProperties"])
		}
	}
	return out
}

// items returns the subschemas for an element of a list.
func items(at []applied, i int) []applied {
	var out []applied
	for _, a := range at {
		s := a.schema["items"]
		if tuple, ok := s.([]any); ok {
			if i < len(tuple) {
				s = tuple[i]
			} else {
				s = a.schema["additionalItems"]
			}
		}
		if sub, ok := asSchema(s); ok {
			out = append(out, applied{sub, a.root})
		}
	}
	return out
}

func asSchema(v any) (Schema, bool) {
	switch s := v.(type) {
	case Schema:
		return s, true
	case map[string]any:
		return s, true
	}
	return nil, false
}

// CheckSchemas reports every key that schemas make both frontend-visible and secret,
// whether or not the configuration has it. Alternatives are left to [Config.Visible],
// which knows which one applies.
func CheckSchemas(schemas []Schema) error {
	var top []applied
	for _, s := range schemas {
		top = append(top, applied{s, s})
	}
	c := schemaCheck{seen: map[string]bool{}}
	c.check(top, nil, visibility{})
	return errors.Join(c.errs...)
}

type schemaCheck struct {
	seen map[string]bool // combinations that were checked, for schemas that contain themselves
	errs []error
}

func (c *schemaCheck) check(at []applied, p path, v visibility) {
	at = expand(at, nil)
	var id strings.Builder
	fmt.Fprint(&id, v.deep)
	for _, a := range at {
		v.read(a.schema)
		fmt.Fprint(&id, " ", a.id())
	}
	if len(at) == 0 || c.seen[id.String()] {
		return
	}
	c.seen[id.String()] = true
	if v.frontend() && v.secret() {
		c.errs = append(c.errs, conflict(p))
		return
	}
	keys := map[string]struct{}{}
	for _, a := range at {
		properties, _ := asSchema(a.schema["properties"])
		for key := range properties {
			keys[key] = struct{}{}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		c.check(property(at, key), p.key(key), v.inherited())
	}
	c.check(property(at, ""), p.key("*"), v.inherited())
	c.check(items(at, 0), p.at(0), v.inherited())
}
