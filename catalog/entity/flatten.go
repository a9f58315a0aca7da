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
	f := flattener{
		rows:  make([]flatRow, 0, 64+len(relations)),
		arena: make([]byte, 0, 4096),
		path:  make([]byte, 0, 256),
	}
	f.members(map[string]any(e))
	meta := e.Metadata()
	f.add("metadata.name", meta["name"])
	f.add("metadata.namespace", e.Namespace())
	f.add("metadata.uid", meta["uid"])
	typ, key := "", span{}
	for _, r := range relations {
		if r.Type != typ || key == (span{}) {
			typ = r.Type
			key = f.key(append(append(f.path[:0], "relations."...), typ...))
		}
		f.put(key, r.Target)
	}
	return f.result()
}

// A flatRow is a row before its texts have addresses. Keys and what had to be
// lower-cased lie in one arena, so that a row costs no allocation.
type flatRow struct {
	key, value span
	original   string
	kind       rowKind
	// Set by result.
	keyText, valueText string
}

type rowKind uint8

const (
	nullRow    rowKind = iota
	lowered            // value is in the arena, original is another text
	asWritten          // the value is the original
	arenaValue         // value is in the arena, and is the original too
)

// A span is a part of the arena.
type span struct{ start, end int }

type flattener struct {
	rows  []flatRow
	arena []byte
	path  []byte // of the value being visited, in its own case
	at    span   // of the key for path, once a row needed it
	made  bool
}

func (f *flattener) members(m map[string]any) {
	base := len(f.path)
	var small [16]string
	for _, key := range appendKeys(small[:0], m) {
		if base == 0 && skipSubtree(key) {
			continue
		}
		if base > 0 {
			f.path = append(f.path, '.')
		}
		f.path = append(f.path, key...)
		f.made = false
		if !f.skipLeaf() {
			f.visit(m[key])
		}
		f.path = f.path[:base]
		f.made = false
	}
}

// skipLeaf keeps out what Flatten adds itself, and the etag.
func (f *flattener) skipLeaf() bool {
	switch string(f.path) {
	case "metadata.name", "metadata.namespace", "metadata.uid", "metadata.etag":
		return true
	}
	return false
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
		f.at, f.made = f.key(f.path), true
	}
	f.put(f.at, v)
}

// element adds that the array at the current path contains s.
func (f *flattener) element(s string) {
	base := len(f.path)
	f.path = append(append(f.path, '.'), s...)
	if len(f.path) <= 3*MaxSearchText {
		f.put(f.key(f.path), true)
	}
	f.path = f.path[:base]
}

func (f *flattener) add(key string, v any) { f.put(f.key(append(f.path[:0], key...)), v) }

// key puts the lower-cased path into the arena.
func (f *flattener) key(path []byte) span {
	start := len(f.arena)
	for _, c := range path {
		switch {
		case c >= utf8.RuneSelf || c == 0:
			f.arena = append(f.arena[:start], SearchText(string(path))...)
			return span{start, len(f.arena)}
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		f.arena = append(f.arena, c)
	}
	return span{start, len(f.arena)}
}

func (f *flattener) put(key span, v any) {
	if key.end-key.start > MaxSearchText && utf16Length(string(f.arena[key.start:key.end])) > MaxSearchText {
		return
	}
	row := flatRow{key: key}
	switch v := v.(type) {
	case nil:
	case string:
		f.putText(&row, v)
	case bool:
		row.kind, row.original = asWritten, "false"
		if v {
			row.original = "true"
		}
	default:
		if n, ok := number(v); ok {
			start := len(f.arena)
			f.arena = append(f.arena, Lower(string(appendNumber(nil, n)))...)
			row.kind, row.value = arenaValue, span{start, len(f.arena)}
		}
	}
	f.rows = append(f.rows, row)
}

func (f *flattener) putText(row *flatRow, s string) {
	if len(s) > 3*MaxSearchText {
		return // too long even if each character takes three bytes
	}
	s = clean(s)
	if utf16Length(s) > MaxSearchText {
		return
	}
	start := len(f.arena)
	f.arena = appendLower(f.arena, s)
	row.kind, row.original, row.value = lowered, s, span{start, len(f.arena)}
	if string(f.arena[start:]) == s {
		row.kind, f.arena = asWritten, f.arena[:start]
	}
}

// result gives the texts addresses, sorts, and drops duplicates of key and value, of
// which the first original stays.
func (f *flattener) result() []SearchRow {
	arena := string(f.arena)
	for i := range f.rows {
		row := &f.rows[i]
		row.keyText = arena[row.key.start:row.key.end]
		switch row.kind {
		case lowered:
			row.valueText = arena[row.value.start:row.value.end]
		case asWritten:
			row.valueText = row.original
		case arenaValue:
			row.valueText = arena[row.value.start:row.value.end]
			row.original = row.valueText
		}
	}
	// Rows are large and mostly in order already, so their numbers are sorted.
	order := make([]int32, len(f.rows))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		if c := f.rows[a].compare(&f.rows[b]); c != 0 {
			return c
		}
		return int(a - b)
	})
	order = slices.CompactFunc(order, func(a, b int32) bool { return f.rows[a].compare(&f.rows[b]) == 0 })
	texts := make([]string, 0, 2*len(order))
	out := make([]SearchRow, len(order))
	for i, at := range order {
		row := &f.rows[at]
		out[i].Key = row.keyText
		if row.kind == nullRow {
			continue
		}
		texts = append(texts, row.valueText)
		out[i].Value = &texts[len(texts)-1]
		out[i].Original = out[i].Value
		if row.original != row.valueText {
			texts = append(texts, row.original)
			out[i].Original = &texts[len(texts)-1]
		}
	}
	return out
}

// compare orders by key and value, nulls first.
func (r *flatRow) compare(other *flatRow) int {
	if c := strings.Compare(r.keyText, other.keyText); c != 0 {
		return c
	}
	if null := r.kind == nullRow; null != (other.kind == nullRow) {
		if null {
			return -1
		}
		return 1
	}
	return strings.Compare(r.valueText, other.valueText)
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
