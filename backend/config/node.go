package config

import (
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// kind says what a node holds.
type kind uint8

const (
	absent  kind = iota // no value: a variable is not set, or the loader reported a problem here
	null                // an explicit null, which removes what lower sources say
	boolean             // value is a bool
	number              // value is an int64 or a float64
	text                // value is a string
	list                // items
	object              // keys and fields
)

// A node is one value of the tree. Nodes are not changed once their tree is built,
// and so may be shared between trees and goroutines.
type node struct {
	kind   kind
	value  any
	items  []*node
	keys   []string // of fields, in the order of the files
	fields map[string]*node

	pos    position // of the value
	keyPos position // of the key that names it, zero for list elements and roots

	why      string     // for absent: the reason, in the words of an error
	reported bool       // for absent: the loader has already returned an error for it
	external bool       // the text came from a variable or a file, so errors must not show it
	vars     []string   // the variables that text was made of
	file     *fileValue // the $file that text came from
}

// A position is a place in a file, or the name of an environment variable.
type position struct {
	file      string
	line, col int
}

func (p position) String() string {
	if p.line == 0 {
		return p.file
	}
	return p.file + ":" + strconv.Itoa(p.line) + ":" + strconv.Itoa(p.col)
}

func (p position) known() bool { return p.file != "" }

// present reports whether n holds a value; a null in an object is none.
func (n *node) present() bool { return n != nil && n.kind != absent && n.kind != null }

// place is where to look for n: its key if it has one, so that an error about what
// is missing in an object points at the word that opens the object.
func (n *node) place() position {
	if n.keyPos.known() {
		return n.keyPos
	}
	return n.pos
}

// set adds or replaces a field of an object.
func (n *node) set(key string, field *node) {
	if n.fields == nil {
		n.fields = map[string]*node{}
	}
	if _, ok := n.fields[key]; !ok {
		n.keys = append(n.keys, key)
	}
	n.fields[key] = field
}

// child returns the node that s leads to, nil if there is none.
func (n *node) child(s step) *node {
	switch {
	case n == nil:
		return nil
	case s.list:
		if n.kind != list || s.index >= len(n.items) {
			return nil
		}
		return n.items[s.index]
	case n.kind != object:
		return nil
	}
	return n.fields[s.key]
}

// find follows p and also returns the nearest node on the way that exists.
func (n *node) find(p path) (found, nearest *node) {
	nearest = n
	for _, s := range p {
		n = n.child(s)
		if n == nil {
			return nil, nearest
		}
		nearest = n
	}
	return n, nearest
}

// plain returns the JSON value of n: nil, bool, int64, float64, string, []any or
// map[string]any, all of them fresh copies.
func (n *node) plain() any {
	if n == nil {
		return nil
	}
	switch n.kind {
	case list:
		out := make([]any, 0, len(n.items))
		for _, item := range n.items {
			out = append(out, item.plain())
		}
		return out
	case object:
		out := make(map[string]any, len(n.keys))
		for _, key := range n.keys {
			if field := n.fields[key]; field.present() {
				out[key] = field.plain()
			}
		}
		return out
	}
	return n.value
}

// equal reports whether two trees hold the same values, wherever they came from.
func (n *node) equal(m *node) bool {
	if !n.present() || !m.present() {
		return n.present() == m.present()
	}
	if n.kind != m.kind || n.value != m.value || len(n.items) != len(m.items) {
		return false
	}
	for i := range n.items {
		if !n.items[i].equal(m.items[i]) {
			return false
		}
	}
	for key, field := range n.fields {
		if !field.equal(m.fields[key]) {
			return false
		}
	}
	for key, field := range m.fields {
		if field.present() && !n.fields[key].present() {
			return false
		}
	}
	return true
}

// describe says in an error what was found. With hide set, it only says of what
// kind that is.
func (n *node) describe(hide bool) string {
	switch {
	case n == nil || n.kind == absent:
		return "nothing"
	case n.kind == null:
		return "null"
	case n.kind == list:
		return "a list"
	case n.kind == object:
		return "an object"
	case n.kind == text && n.value == "":
		return "an empty string"
	case hide && n.kind == text:
		return "a string"
	case hide && n.kind == number:
		return "a number"
	case hide:
		return "a boolean"
	case n.kind == text:
		return quote(n.value.(string))
	}
	return scalarText(n.value)
}

// quote shortens what a message repeats from a file.
func quote(s string) string {
	const limit = 60
	if len(s) <= limit {
		return strconv.Quote(s)
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(s[:cut]) + "..."
}

// scalarText writes a number or a boolean as JSON would.
func scalarText(v any) string {
	if f, ok := v.(float64); ok {
		if f == math.Trunc(f) && math.Abs(f) < 1e21 {
			return strconv.FormatFloat(f, 'f', -1, 64)
		}
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return fmt.Sprint(v)
}
