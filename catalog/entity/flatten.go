package entity

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxSearchText is how long a key or value of the search index may be. Like the
// reference, it counts the UTF-16 code units of JavaScript strings, so that both
// agree on which values can be searched.
const MaxSearchText = 200

// A SearchRow is one row of the search index, which defines what filters, facets,
// ordering and permission rules see of an entity.
type SearchRow struct {
	Key      string  // lower-cased path, such as spec.type or relations.ownedby
	Value    *string // lower-cased text; nil for null and for longer texts
	Original *string // text in its own case; nil exactly when Value is
}

// Flatten makes the search rows of a final entity (contract catalog.md, 5.2), sorted
// by key and value, without duplicates. The relations are those the entity is the
// source of; what e itself has as relations is ignored.
//
// Texts that a database cannot store, invalid UTF-8 and NUL, are replaced by U+FFFD.
// Rows may share memory with each other; nobody may write through their pointers.
func Flatten(e Entity, relations []Relation) []SearchRow {
	var f flattener
	f.rows = make([]flatRow, 0, 64+len(relations))
	f.members(map[string]any(e))
	meta := e.Metadata()
	f.put("metadata.name", meta["name"])
	f.put("metadata.namespace", e.Namespace())
	f.put("metadata.uid", meta["uid"])
	typ, key := "", ""
	for _, r := range relations {
		if r.Type != typ {
			typ, key = r.Type, Lower("relations."+r.Type)
		}
		f.put(key, r.Target)
	}
	return f.result()
}

// A flatRow is a row before its texts have addresses.
type flatRow struct {
	key, value, original string
	null                 bool
}

type flattener struct {
	rows []flatRow
	path []byte // of the value being visited, in its own case
	key  string // lower-cased path, made when the first row needs it
	made bool   // key is that of path
}

func (f *flattener) members(m map[string]any) {
	base := len(f.path)
	var small [16]string
	for _, key := range appendKeys(small[:0], m) {
		v := m[key]
		if base == 0 && skipSubtree(key) {
			continue
		}
		if base > 0 {
			f.path = append(f.path, '.')
		}
		f.path = append(f.path, key...)
		f.made = false
		if !f.skipLeaf() {
			f.visit(v)
		}
		f.path = f.path[:base]
		f.made = false
	}
}

// skipLeaf keeps out what Flatten adds itself, and the etag.
func (f *flattener) skipLeaf() bool {
	rest, ok := strings.CutPrefix(string(f.path), "metadata.")
	return ok && (rest == "name" || rest == "namespace" || rest == "uid" || rest == "etag")
}

func (f *flattener) visit(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			f.visit(item)
			if s, ok := item.(string); ok {
				f.element(s)
			}
		}
		return
	case nil, string, bool, float64:
	default:
		if m := object(v); m != nil {
			f.members(m)
			return
		}
	}
	if !f.made {
		f.key, f.made = SearchText(string(f.path)), true
	}
	f.put(f.key, v)
}

// element adds that the array at the current path contains s.
func (f *flattener) element(s string) {
	base, key := len(f.path), f.key
	f.path = append(append(f.path, '.'), s...)
	if len(f.path) <= 3*MaxSearchText {
		f.put(SearchText(string(f.path)), true)
	}
	f.path = f.path[:base]
	f.key, f.made = key, true
}

func (f *flattener) put(key string, v any) {
	if utf16Length(key) > MaxSearchText {
		return
	}
	row := flatRow{key: key}
	switch v := v.(type) {
	case nil:
		row.null = true
	case string:
		row.original = clean(v)
	case bool:
		row.original = "false"
		if v {
			row.original = "true"
		}
	default:
		n, ok := number(v)
		if !ok {
			row.null = true
			break
		}
		var digits [32]byte
		row.original = string(appendNumber(digits[:0], n))
	}
	if utf16Length(row.original) > MaxSearchText {
		row.null, row.original = true, ""
	}
	row.value = Lower(row.original)
	f.rows = append(f.rows, row)
}

// result sorts, drops duplicates of key and value, of which the first original stays,
// and gives the texts addresses in one array.
func (f *flattener) result() []SearchRow {
	slices.SortStableFunc(f.rows, func(a, b flatRow) int {
		if c := strings.Compare(a.key, b.key); c != 0 {
			return c
		}
		if a.null != b.null {
			if a.null {
				return -1
			}
			return 1
		}
		return strings.Compare(a.value, b.value)
	})
	f.rows = slices.CompactFunc(f.rows, func(a, b flatRow) bool {
		return a.key == b.key && a.null == b.null && a.value == b.value
	})
	texts := make([]string, 0, 2*len(f.rows))
	out := make([]SearchRow, len(f.rows))
	for i, row := range f.rows {
		out[i].Key = row.key
		if row.null {
			continue
		}
		texts = append(texts, row.value)
		out[i].Value = &texts[len(texts)-1]
		out[i].Original = out[i].Value
		if row.original != row.value {
			texts = append(texts, row.original)
			out[i].Original = &texts[len(texts)-1]
		}
	}
	return out
}

// SearchText is s as the search index has it: in lower case, and without what
// databases cannot store.
func SearchText(s string) string { return Lower(clean(s)) }

// clean replaces what PostgreSQL does not take as text.
func clean(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}

// utf16Length is the length of s in UTF-16 code units.
func utf16Length(s string) int {
	if len(s) <= MaxSearchText {
		return len(s) // never more units than bytes, and callers compare with the limit
	}
	n := 0
	for _, r := range s {
		n++
		if r > 0xFFFF {
			n++
		}
	}
	return n
}
