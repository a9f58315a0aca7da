package entity

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A shape is the rule for a value and what is below it. The same tables check
// entities (here) and become the JSON Schema for editors (schema.go).
type shape struct {
	types valueTypes

	// Strings.
	nonEmpty bool
	nonBlank bool
	maxRunes int
	oneOf    []string
	form     *form

	// Objects: members by name, and the rule for all others.
	members []member
	rest    *shape

	// Arrays.
	items    *shape
	minItems int
}

type member struct {
	name     string
	shape    *shape
	required bool
}

// A form is a rule for strings that shapes refer to.
type form struct {
	valid   func(string) bool
	expect  string
	pattern string // for the JSON Schema; "" with a format
	format  string // for the JSON Schema
}

type valueTypes uint8

const (
	stringType valueTypes = 1 << iota
	boolType
	objectType
	arrayType
)

// A checker collects what is wrong below one value. It keeps the path as a stack, so
// that a value without problems costs no text.
type checker struct {
	path []step
	errs ValidationErrors
}

type step struct {
	key   string
	index int // of an array element if key is ""
	array bool
}

func (c *checker) down(key string)       { c.path = append(c.path, step{key: key}) }
func (c *checker) downIndex(i int)       { c.path = append(c.path, step{index: i, array: true}) }
func (c *checker) up()                   { c.path = c.path[:len(c.path)-1] }
func (c *checker) pointer() string       { return pointer(c.path) }
func (c *checker) err() error            { return c.errs.orNil() }
func (c *checker) add(e ValidationError) { c.errs = append(c.errs, e) }

func (c *checker) wrong(expected string, found any) {
	c.add(ValidationError{Path: c.pointer(), Expected: expected, Found: describe(found)})
}

func (c *checker) check(s *shape, v any) {
	switch v := v.(type) {
	case string:
		c.checkString(s, v)
		return
	case bool:
		if s.types&boolType != 0 {
			return
		}
	case []any:
		if s.types&arrayType != 0 {
			c.checkArray(s, v)
			return
		}
	default:
		if m := object(v); m != nil && s.types&objectType != 0 {
			c.checkObject(s, m)
			return
		}
	}
	c.wrong(s.expect(), v)
}

func (c *checker) checkString(s *shape, v string) {
	ok := s.types&stringType != 0 &&
		(!s.nonEmpty || v != "") &&
		(!s.nonBlank || strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsSpace(r) })) &&
		(s.maxRunes == 0 || utf8.RuneCountInString(v) <= s.maxRunes) &&
		(s.form == nil || s.form.valid(v))
	if ok && s.oneOf != nil {
		ok = false
		for _, one := range s.oneOf {
			ok = ok || one == v
		}
	}
	if !ok {
		c.wrong(s.expect(), v)
	}
}

func (c *checker) checkArray(s *shape, v []any) {
	if len(v) < s.minItems {
		c.wrong("an array of at least "+strconv.Itoa(s.minItems), v)
	}
	if s.items == nil {
		return
	}
	for i, item := range v {
		c.downIndex(i)
		c.check(s.items, item)
		c.up()
	}
}

func (c *checker) checkObject(s *shape, v map[string]any) {
	for _, m := range s.members {
		value, ok := v[m.name]
		if !ok && !m.required {
			continue
		}
		c.down(m.name)
		if ok {
			c.check(m.shape, value)
		} else {
			c.add(ValidationError{Path: c.pointer(), Expected: m.shape.expect(), Found: "nothing", Hint: s.misspelt(m.name, v)})
		}
		c.up()
	}
	if s.rest == nil {
		return
	}
	for _, key := range sortedKeys(v) {
		if s.knows(key) {
			continue
		}
		c.down(key)
		c.check(s.rest, v[key])
		c.up()
	}
}

func (s *shape) knows(key string) bool {
	for _, m := range s.members {
		if m.name == key {
			return true
		}
	}
	return false
}

// misspelt finds a key that the rules do not know and that may be the missing one.
func (s *shape) misspelt(missing string, v map[string]any) string {
	for _, key := range sortedKeys(v) {
		if !s.knows(key) && similar(key, missing) {
			return "did you mean " + missing + " where it says " + strconv.Quote(shorten(key)) + "?"
		}
	}
	return ""
}

// expect completes "expected ...".
func (s *shape) expect() string {
	switch {
	case s.form != nil:
		return s.form.expect
	case s.oneOf != nil:
		return oneOf(s.oneOf)
	}
	var names []string
	if s.types&stringType != 0 {
		switch {
		case s.maxRunes > 0:
			names = append(names, "a string of 1 to "+strconv.Itoa(s.maxRunes)+" characters")
		case s.nonBlank:
			names = append(names, "a string that is not blank")
		case s.nonEmpty:
			names = append(names, "a non-empty string")
		default:
			names = append(names, "a string")
		}
	}
	if s.types&boolType != 0 {
		names = append(names, "a boolean")
	}
	if s.types&objectType != 0 {
		names = append(names, "an object")
	}
	if s.types&arrayType != 0 {
		switch {
		case s.items != nil && s.items.types == stringType:
			names = append(names, "an array of strings")
		case s.items != nil && s.items.types == objectType:
			names = append(names, "an array of objects")
		default:
			names = append(names, "an array")
		}
	}
	return strings.Join(names, " or ")
}

func oneOf(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return strings.Join(values[:len(values)-1], ", ") + " or " + values[len(values)-1]
}

// Short spellings for the tables.
var (
	anyString = &shape{types: stringType}
	nonEmpty  = &shape{types: stringType, nonEmpty: true}
	nonBlank  = &shape{types: stringType, nonBlank: true}
	anyObject = &shape{types: objectType}
	condition = &shape{types: stringType | boolType}
)

func arrayOf(items *shape) *shape { return &shape{types: arrayType, items: items} }

func objectOf(members ...member) *shape { return &shape{types: objectType, members: members} }

func required(name string, s *shape) member { return member{name: name, shape: s, required: true} }
func optional(name string, s *shape) member { return member{name: name, shape: s} }
