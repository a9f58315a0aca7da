package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A Validator checks rules that span several keys of one struct. Decode calls it
// on every value that has it and prefixes what it returns with the value's path;
// [At] names a key below. It is not called on parts of a struct that the configuration
// does not mention. Where a part of the value could not be decoded it is called all the
// same, with that part as it was before, and what it returns about that part, or about
// the value as a whole, does not count.
type Validator interface{ Validate() error }

// An Unmarshaler reads itself from the part of the configuration that c is. Use it
// on a type whose value comes in several forms. To decode one of them with Decode,
// convert the receiver to a type without this method:
//
//	type plain Providers
//	return c.Decode("", (*plain)(p))
type Unmarshaler interface{ UnmarshalConfig(c *Config) error }

// A Defaulter fills in the values of keys that the file does not have. Decode calls
// it on values that are still zero: the elements of maps and lists, which defaults
// given to Decode cannot reach.
type Defaulter interface{ SetDefaults() }

// Decode fills out, a pointer to a value whose structs have `config` tags, from the
// subtree at path. Keys that are absent leave what out already has, so out starts as
// the defaults; keys that no field names are ignored, see [Config.UnknownKeys].
//
// It understands structs, pointers, maps with string keys, slices, strings, numbers,
// booleans, any, [Duration] and time.Duration, [Secret], [Schedule], [Cadence], and
// types with UnmarshalConfig or UnmarshalText. What number and boolean keys accept
// stands in contract/backend.md section 3.5.
//
// It reports every offending key, not only the first; each error in the join is a
// *[KeyError]. When there is an error, out has what could be decoded, so that further
// checks can be made; [Covered] leaves out what they find about the same keys.
func (c *Config) Decode(path string, out any) error {
	v := reflect.ValueOf(out)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return &KeyError{Path: path, Err: fmt.Errorf("decode needs a pointer, got %T", out)}
	}
	if _, ok := parsePath(path); !ok {
		return &KeyError{Path: path, Err: errors.New("path is not valid: write a.b[0] or a[\"b.c\"]")}
	}
	p, n, nearest := c.find(path)
	d := decoder{c: c}
	switch {
	case n.present():
		d.value(v.Elem(), n, p, field{})
	case n != nil && n.reported:
	case v.Elem().Kind() == reflect.Struct:
		// A section that is not in the file still has required keys.
		if n == nil {
			n = &node{}
			if nearest != c.tree.root {
				n.pos = nearest.place()
			}
		}
		d.absentSection(v.Elem(), n, p, c.misspelt(p))
	}
	return errors.Join(d.errs...)
}

type decoder struct {
	c      *Config
	errs   []error
	levels []level // the structs around the value at hand
}

// A level is a struct being decoded.
type level struct {
	at     path
	node   *node
	fields []field
}

func (d *decoder) fail(p path, pos position, format string, args ...any) *KeyError {
	e := errAt(p, pos, format, args...)
	e.whole = true
	d.errs = append(d.errs, e)
	return e
}

func (d *decoder) expected(want string, n *node, p path) {
	e := d.fail(p, n.pos, "expected %s, got %s", want, n.describe(hidden(p, n)))
	switch {
	case want == "a list" && n.kind != object && !hidden(p, n):
		e.fix = fmt.Sprintf("put it in brackets: [%s]", scalarText(n.value))
	case n.file != nil && (want == "a list" || want == "an object"):
		e.fix = fmt.Sprintf("a $file is always text: put %s into a .yaml file and use $include", want)
	case n.file != nil:
		e.fix = fmt.Sprintf("write %s into the file that $file names", want)
	case len(n.vars) > 0:
		e.fix = fmt.Sprintf("give the environment variable %s a value that is %s", strings.Join(n.vars, ", "), want)
	default:
		e.fix = fmt.Sprintf("make the value %s", want)
	}
}

// absentFix says how to add a key that is not there.
func absentFix(name string, p path, pos position) string {
	where := "at the top of the file"
	if len(p) > 0 {
		where = "below " + p.String()
	}
	if pos.known() {
		where += " in " + pos.file
	}
	return fmt.Sprintf("set %s %s", name, where)
}

// unsetFix says how to give a value to what came through variables.
func unsetFix(vars []string) string {
	if len(vars) == 0 {
		return ""
	}
	return fmt.Sprintf("set %s in the environment, or give it a default: ${%s:-value}", strings.Join(vars, ", "), vars[0])
}

// value decodes n into v and validates the result.
func (d *decoder) value(v reflect.Value, n *node, p path, f field) {
	before := len(d.errs)
	if v.Kind() == reflect.Pointer {
		// A new value, so that the pointer in the caller's defaults is left alone.
		fresh := reflect.New(v.Type().Elem())
		if !v.IsNil() {
			fresh.Elem().Set(v.Elem())
		}
		d.value(fresh.Elem(), n, p, f)
		v.Set(fresh)
		return
	}
	if def, ok := v.Addr().Interface().(Defaulter); ok && v.IsZero() {
		def.SetDefaults()
	}
	whole := true
	if !d.special(v, n, p, f) {
		d.kind(v, n, p, f)
	} else {
		whole = len(d.errs) == before
	}
	if whole {
		d.validate(v, n, p, before)
	}
}

// special decodes the types that know how to read themselves.
func (d *decoder) special(v reflect.Value, n *node, p path, f field) bool {
	switch out := v.Addr().Interface().(type) {
	case *Duration:
		if dur, ok := d.duration(n, p, f); ok {
			*out = dur
		}
	case *time.Duration:
		if dur, ok := d.duration(n, p, f); ok {
			*out = dur.Std()
		}
	case *Secret:
		s, want := asString(n, f.allowEmpty)
		if want != "" {
			d.expectedText(want, n, p)
			return true
		}
		*out = Secret{v: s, file: n.file}
		if d.c.tree.fixed {
			out.file = nil
		}
		d.c.tree.texts.note(p)
	case Unmarshaler:
		err := out.UnmarshalConfig(&Config{tree: d.c.tree, at: p, root: n})
		for _, problem := range Problems(err) {
			d.adopt(problem, n, p)
		}
	case encoding.TextUnmarshaler:
		s, want := asString(n, f.allowEmpty)
		if want != "" {
			d.expectedText(want, n, p)
			return true
		}
		switch err := out.UnmarshalText([]byte(s)); {
		case err != nil && hidden(p, n):
			// The error may quote a part of the value.
			d.fail(p, n.pos, "expected %s, got %s", typeName(v.Type()), n.describe(true))
		case err != nil:
			d.fail(p, n.pos, "%w", err)
		}
	default:
		return false
	}
	return true
}

// validated calls Validate. A panic in it, as on a value that is only partly decoded, is a
// problem like others.
func validated(v Validator) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the check of this value panicked: %v", r)
		}
	}()
	return v.Validate()
}

func (d *decoder) duration(n *node, p path, f field) (Duration, bool) {
	dur, err := durationOf(n, p, f.millis)
	if err != nil {
		d.adopt(err, n, p)
	}
	return dur, err == nil
}

// kind leaves v as it is where n does not fit.
func (d *decoder) kind(v reflect.Value, n *node, p path, f field) {
	want := ""
	switch v.Kind() {
	case reflect.String:
		var s string
		if s, want = asString(n, f.allowEmpty); want != "" {
			d.expectedText(want, n, p)
			return
		}
		if len(f.oneOf) > 0 && !slices.Contains(f.oneOf, s) {
			d.notOneOf(s, f.oneOf, n, p)
			return
		}
		v.SetString(s)
	case reflect.Bool:
		var b bool
		b, want = asBool(n)
		if want == "" {
			v.SetBool(b)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var i int64
		i, want = asInt(n, v.Type().Bits())
		if want == "" {
			v.SetInt(i)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		var u uint64
		u, want = asUint(n, v.Type().Bits())
		if want == "" {
			v.SetUint(u)
		}
	case reflect.Float32, reflect.Float64:
		var x float64
		x, want = asFloat(n)
		if want == "" {
			v.SetFloat(x)
		}
	case reflect.Struct:
		want = d.object(v, n, p)
	case reflect.Map:
		want = d.mapping(v, n, p, f)
	case reflect.Slice:
		want = d.list(v, n, p, f)
	case reflect.Interface:
		if v.NumMethod() > 0 {
			d.fail(p, n.pos, "%s cannot be decoded: declare a type with UnmarshalConfig", v.Type())
			return
		}
		if plain := n.plain(); plain != nil {
			v.Set(reflect.ValueOf(plain))
		} else {
			v.SetZero()
		}
	default:
		d.fail(p, n.pos, "%s cannot be decoded: declare a type with UnmarshalConfig", v.Type())
	}
	if want != "" {
		d.expected(want, n, p)
	}
}

// expectedText explains an empty text that a variable or a file left behind.
func (d *decoder) expectedText(want string, n *node, p path) {
	switch {
	case n.value == "" && len(n.vars) > 0:
		d.fail(p, n.pos, "environment variable %s is empty", strings.Join(n.vars, ", "))
	case n.value == "" && n.file != nil:
		d.fail(p, n.pos, "the $file is empty")
	default:
		d.expected(want, n, p)
	}
}

func (d *decoder) notOneOf(s string, allowed []string, n *node, p path) {
	hint := ""
	if !hidden(p, n) {
		hint = suggestion(s, allowed, "; did you mean %q?")
	}
	d.fail(p, n.pos, "expected one of %s, got %s%s", strings.Join(allowed, ", "), n.describe(hidden(p, n)), hint)
}

func (d *decoder) object(v reflect.Value, n *node, p path) string {
	if n.kind != object {
		return "an object"
	}
	fields := fieldsOf(v.Type())
	d.levels = append(d.levels, level{p, n, fields})
	for _, f := range fields {
		child := n.fields[f.name]
		if child.present() {
			d.value(v.FieldByIndex(f.index), child, p.key(f.name), f)
		} else if f.required {
			d.missing(n, child, f.name, p)
		}
	}
	d.levels = d.levels[:len(d.levels)-1]
	return ""
}

// absentSection reports the required keys of a section that is not there at all.
func (d *decoder) absentSection(v reflect.Value, n *node, p path, hint string) {
	if def, ok := v.Addr().Interface().(Defaulter); ok && v.IsZero() {
		def.SetDefaults()
	}
	fields := fieldsOf(v.Type())
	d.levels = append(d.levels, level{p, n, fields})
	for _, f := range fields {
		if f.required && n.why == "" && hint != "" {
			d.fail(p.key(f.name), n.pos, "required key is missing; %s", hint)
		} else if f.required {
			d.missing(n, nil, f.name, p)
		}
	}
	d.validate(v, n, p, 0)
}

// missing reports a required key, with the reason if it has become undefined. What
// is not there at all is looked for close by.
func (d *decoder) missing(parent, child *node, name string, p path) {
	switch {
	case child != nil && child.reported || child == nil && parent.reported:
	case child != nil && child.kind == null:
		d.fail(p.key(name), child.pos, "required key is null").fix = "give " + name + " a value"
	case child != nil:
		d.fail(p.key(name), child.pos, "%s", child.why).fix = unsetFix(child.vars)
	case parent.kind == absent && parent.why != "":
		d.fail(p.key(name), parent.pos, "required key is missing: %s", parent.why).fix = unsetFix(parent.vars)
	default:
		stray := d.strayed(name)
		e := d.fail(p.key(name), parent.place(), "required key is missing%s", stray)
		if stray == "" {
			e.fix = absentFix(name, p, parent.place())
		}
	}
}

func (d *decoder) mapping(v reflect.Value, n *node, p path, f field) string {
	if n.kind != object {
		return "an object"
	}
	if v.Type().Key().Kind() != reflect.String {
		d.fail(p, n.pos, "%s cannot be decoded: its keys are no strings", v.Type())
		return ""
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.keys))
	for it := v.MapRange(); it.Next(); { // the defaults
		out.SetMapIndex(it.Key(), it.Value())
	}
	for _, name := range n.keys {
		key := reflect.ValueOf(name).Convert(v.Type().Key())
		child := n.fields[name]
		if !child.present() {
			if child.kind == null {
				out.SetMapIndex(key, reflect.Value{})
			}
			continue
		}
		elem := reflect.New(v.Type().Elem()).Elem()
		if old := out.MapIndex(key); old.IsValid() {
			elem.Set(old)
		}
		d.value(elem, child, p.key(name), field{millis: f.millis, allowEmpty: f.allowEmpty, oneOf: f.oneOf})
		out.SetMapIndex(key, elem)
	}
	v.Set(out)
	return ""
}

func (d *decoder) list(v reflect.Value, n *node, p path, f field) string {
	if n.kind != list {
		return "a list"
	}
	out := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		d.value(out.Index(i), item, p.at(i), field{millis: f.millis, allowEmpty: f.allowEmpty, oneOf: f.oneOf})
	}
	v.Set(out)
	return ""
}

// validate asks v, also where a part of it could not be decoded: what a Validator finds
// is left out only if it is about that part, or about the whole of v. The problems of v's
// parts are those from before on.
func (d *decoder) validate(v reflect.Value, n *node, p path, before int) {
	val, ok := v.Addr().Interface().(Validator)
	if !ok {
		return
	}
	known := d.errs[before:len(d.errs):len(d.errs)]
	for _, problem := range Problems(validated(val)) {
		if d.adopt(problem, n, p); coveredBy(known, d.errs[len(d.errs)-1]) {
			d.errs = d.errs[:len(d.errs)-1]
		}
	}
}

// adopt completes an error of a Validator, an Unmarshaler or a nested Decode with
// path and position, and takes hidden values out of its text.
func (d *decoder) adopt(err error, n *node, p path) {
	if key, ok := err.(*KeyError); ok {
		if key.whole || key.Pos != "" {
			d.errs = append(d.errs, err)
			return
		}
		if rel, ok := parsePath(key.Path); ok {
			found, nearest := n.find(rel)
			if found != nil {
				nearest = found
			}
			n, p = nearest, p.join(rel)
		}
		err = key.Err
	}
	d.errs = append(d.errs, complete(err, n, p))
}

// complete makes the error for p, where n is, or where the nearest thing to it is. What is
// not there because of a variable is about the variable.
func complete(err error, n *node, p path) *KeyError {
	pos := n.pos
	if n.kind == object {
		pos = n.place()
	}
	if n.kind == absent && n.why != "" {
		e := errAt(p, pos, "%s", n.why)
		e.whole, e.fix = true, unsetFix(n.vars)
		return e
	}
	e := errAt(p, pos, "%w", scrub(err, n, p))
	e.whole = true
	return e
}

// typeName says which type text should have been of, for readers of a file.
func typeName(t reflect.Type) string {
	return "a valid " + t.Name()
}
