package config

import (
	"reflect"
	"strings"
)

// A field is one key that a struct declares. The tags are
//
//	config:"name,options"   the key; options: required, millis (of a Duration: a plain
//	                        number counts milliseconds), allowEmpty (of a string)
//	oneof:"a|b"             the values a string may have
//	doc:"..."               one sentence for the reference and the JSON Schema
//	visibility:"frontend"   or secret; a Secret is secret without it
//	deepVisibility:"..."    the same, for everything below
//	deprecated:"..."        what to use instead
//
// A struct that is embedded without a name contributes its keys to the one around it.
type field struct {
	name           string
	index          []int
	typ            reflect.Type
	required       bool
	millis         bool
	allowEmpty     bool
	oneOf          []string
	doc            string
	visibility     string
	deepVisibility string
	deprecated     string
}

// fieldsOf lists the keys of a struct type in the order of its declaration.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, tagged := sf.Tag.Lookup("config")
		name, options, _ := strings.Cut(tag, ",")
		if sf.Anonymous && name == "" && sf.Type.Kind() == reflect.Struct {
			for _, f := range fieldsOf(sf.Type) {
				f.index = append([]int{i}, f.index...)
				out = append(out, f)
			}
			continue
		}
		if !tagged || name == "-" || name == "" || !sf.IsExported() {
			continue
		}
		f := field{
			name: name, index: []int{i}, typ: sf.Type,
			doc: sf.Tag.Get("doc"), deprecated: sf.Tag.Get("deprecated"),
			visibility: sf.Tag.Get("visibility"), deepVisibility: sf.Tag.Get("deepVisibility"),
		}
		if values := sf.Tag.Get("oneof"); values != "" {
			f.oneOf = strings.Split(values, "|")
		}
		for option := range strings.SplitSeq(options, ",") {
			switch option {
			case "required":
				f.required = true
			case "millis":
				f.millis = true
			case "allowEmpty":
				f.allowEmpty = true
			}
		}
		out = append(out, f)
	}
	return out
}

func names(fields []field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.name
	}
	return out
}
