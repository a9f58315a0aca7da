package config

import (
	"encoding"
	"reflect"
	"slices"
	"strings"
)

// A Shaper is an [Unmarshaler] that says which forms it accepts, by one value of a
// type with `config` tags for each. Without it, a type with UnmarshalConfig counts
// as accepting every key, unless it is a struct with tags of its own.
type Shaper interface{ ConfigShapes() []any }

// UnknownKeys lists the keys at and below section that a value of type t does not have,
// with their positions and, where one comes to mind, the key that was meant. They
// are worth a warning and never an error: upstream's files contain keys of packages
// that are not here.
func (c *Config) UnknownKeys(section string, t reflect.Type) []*KeyError {
	p, n, _ := c.find(section)
	var w unknownWalk
	w.walk(n, p, t)
	return w.found
}

// UnsetKeys lists the keys at and below section that are as if they were not there because
// a variable is not set.
func (c *Config) UnsetKeys(section string) []*KeyError {
	p, n, _ := c.find(section)
	var out []*KeyError
	var walk func(n *node, p path)
	walk = func(n *node, p path) {
		if n == nil {
			return
		}
		if n.kind == absent && n.why != "" {
			e := errAt(p, n.pos, "%s: the key is as if it were not there", n.why)
			e.fix = unsetFix(n.vars)
			out = append(out, e)
		}
		for _, key := range n.keys {
			walk(n.fields[key], p.key(key))
		}
		for i, item := range n.items {
			walk(item, p.at(i))
		}
	}
	walk(n, p)
	return out
}

// DeprecatedKeys lists the keys at and below section that the tags of t call deprecated.
func (c *Config) DeprecatedKeys(section string, t reflect.Type) []*KeyError {
	p, n, _ := c.find(section)
	var out []*KeyError
	walkType(n, p, t, func(n *node, p path, f field) {
		if f.deprecated != "" {
			out = append(out, errAt(p, n.place(), "is deprecated: %s", f.deprecated))
		}
	})
	return out
}

// walkType visits every key of the tree that a struct type knows.
func walkType(n *node, p path, t reflect.Type, visit func(*node, path, field)) {
	if !n.present() {
		return
	}
	t = deref(t)
	for _, shape := range shapesOf(t) {
		switch {
		case shape.Kind() == reflect.Struct && n.kind == object:
			for _, f := range fieldsOf(shape) {
				if child := n.fields[f.name]; child.present() {
					visit(child, p.key(f.name), f)
					walkType(child, p.key(f.name), f.typ, visit)
				}
			}
		case shape.Kind() == reflect.Map && n.kind == object:
			for _, key := range n.keys {
				walkType(n.fields[key], p.key(key), shape.Elem(), visit)
			}
		case shape.Kind() == reflect.Slice && n.kind == list:
			for i, item := range n.items {
				walkType(item, p.at(i), shape.Elem(), visit)
			}
		}
	}
}

type unknownWalk struct {
	found  []*KeyError
	levels []typedLevel // the structs around the value at hand
}

type typedLevel struct {
	at  path
	typ reflect.Type
}

func (w *unknownWalk) walk(n *node, p path, t reflect.Type) {
	if !n.present() {
		return
	}
	// Of several forms, the one that fits best was meant.
	var best []*KeyError
	tried := false
	for _, shape := range shapesOf(deref(t)) {
		if isList := shape.Kind() == reflect.Slice; isList != (n.kind == list) {
			continue
		}
		try := unknownWalk{levels: slices.Clone(w.levels)}
		try.shape(n, p, shape)
		if !tried || len(try.found) < len(best) {
			best = try.found
		}
		tried = true
	}
	w.found = append(w.found, best...)
}

func (w *unknownWalk) shape(n *node, p path, t reflect.Type) {
	switch {
	case t.Kind() == reflect.Map && n.kind == object:
		for _, key := range n.keys {
			w.walk(n.fields[key], p.key(key), t.Elem())
		}
	case t.Kind() == reflect.Slice && n.kind == list:
		for i, item := range n.items {
			w.walk(item, p.at(i), t.Elem())
		}
	case t.Kind() == reflect.Struct && n.kind == object:
		w.levels = append(w.levels, typedLevel{p, t})
		fields := fieldsOf(t)
		for _, key := range n.keys {
			i := slices.IndexFunc(fields, func(f field) bool { return f.name == key })
			switch child := n.fields[key]; {
			case i >= 0:
				w.walk(child, p.key(key), fields[i].typ)
			case child.present():
				w.found = append(w.found, errAt(p.key(key), child.place(), "unknown key%s", w.hint(key, fields)))
			}
		}
		w.levels = w.levels[:len(w.levels)-1]
	}
}

// hint says what an unknown key was probably meant to be: a key that is spelt alike,
// or the same key at another level.
func (w *unknownWalk) hint(key string, fields []field) string {
	if near := Suggest(key, names(fields)); near != "" {
		return "; did you mean " + near + "?"
	}
	here := w.levels[len(w.levels)-1]
	if below := keyBelow(here.typ, key, 3); below != nil {
		return "; did you mean " + here.at.join(below).String() + "?"
	}
	for _, outer := range slices.Backward(w.levels[:len(w.levels)-1]) {
		if slices.Contains(keysOf(outer.typ), key) {
			return "; did you mean " + outer.at.key(key).String() + "?"
		}
	}
	return ""
}

// keyBelow finds a key in the structs that a struct contains.
func keyBelow(t reflect.Type, key string, depth int) path {
	if depth == 0 {
		return nil
	}
	for _, f := range fieldsOf(t) {
		inner := deref(f.typ)
		if inner.Kind() != reflect.Struct {
			continue
		}
		if slices.Contains(keysOf(inner), key) {
			return path{{key: f.name}, {key: key}}
		}
		if rest := keyBelow(inner, key, depth-1); rest != nil {
			return append(path{{key: f.name}}, rest...)
		}
	}
	return nil
}

// shapesOf returns the types whose keys and elements a value of type t accepts, none
// if it is a scalar or accepts anything.
func shapesOf(t reflect.Type) []reflect.Type {
	ptr := reflect.New(t).Interface()
	switch v := ptr.(type) {
	case Shaper:
		var out []reflect.Type
		for _, s := range v.ConfigShapes() {
			out = append(out, deref(reflect.TypeOf(s)))
		}
		return out
	case *Duration, *Secret, *Cadence, encoding.TextUnmarshaler:
		return nil
	case Unmarshaler:
		if t.Kind() == reflect.Struct && len(fieldsOf(t)) > 0 {
			return []reflect.Type{t}
		}
		return nil
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice:
		return []reflect.Type{t}
	}
	return nil
}

// keysOf lists the keys that a value of type t may have, nil if t is no struct.
func keysOf(t reflect.Type) []string {
	t = deref(t)
	if t.Kind() != reflect.Struct {
		return nil
	}
	return names(fieldsOf(t))
}

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// Warnings returns what UnknownKeys and DeprecatedKeys find, in the order of the
// paths.
func (c *Config) Warnings(section string, t reflect.Type) []*KeyError {
	out := append(c.UnknownKeys(section, t), c.DeprecatedKeys(section, t)...)
	slices.SortStableFunc(out, func(a, b *KeyError) int { return strings.Compare(a.Path, b.Path) })
	return out
}
