package entity

import (
	"hash/maphash"
	"slices"
	"strings"
	"unicode/utf8"
)

// CheckKeys finds keys that differ only in case and would be one key of the search
// index, such as spec.foo and spec.Foo (contract catalog.md, 5.2). Objects in
// arrays count with their array: steps.input.repoUrl of one step clashes with
// steps.input.repourl of another. Each group is one ValidationError that names all
// spellings.
func CheckKeys(e Entity) error {
	// Almost no entity has clashes, so paths are spelt out only when one is likely.
	quick := quickKeys{seed: maphash.MakeSeed(), spelling: make(map[uint64]uint64, 64)}
	if !quick.clash(map[string]any(e), 0) {
		return nil
	}
	w := keyWalk{spellings: map[string]spelling{}}
	w.object(map[string]any(e), "")
	var errs ValidationErrors
	for _, lower := range w.clashes {
		s := w.spellings[lower]
		quoted := strings.Join(s.all, ", ")
		errs = append(errs, ValidationError{
			Path:     s.path,
			Expected: "keys that differ in more than upper and lower case",
			Found:    quoted,
			Hint:     "rename one, or write them alike",
		})
	}
	return errs.orNil()
}

// quickKeys finds clashes by hashes of paths, and may err on the side of finding one.
type quickKeys struct {
	seed        maphash.Seed
	path, lower []byte
	spelling    map[uint64]uint64 // hash of the path by hash of the lower-cased path
}

// clash visits v at the current path, which is depth objects deep.
func (q *quickKeys) clash(v any, depth int) bool {
	if items, ok := v.([]any); ok {
		for _, item := range items {
			if q.clash(item, depth) {
				return true
			}
		}
		return false
	}
	m := object(v)
	if m == nil {
		lower, path := maphash.Bytes(q.seed, q.lower), maphash.Bytes(q.seed, q.path)
		known, ok := q.spelling[lower]
		q.spelling[lower] = path
		return ok && known != path
	}
	base := len(q.path)
	for key, child := range m {
		if depth == 0 && skipSubtree(key) {
			continue
		}
		if depth > 0 {
			q.path, q.lower = append(q.path, '.'), append(q.lower, '.')
		}
		q.path = append(q.path, key...)
		for i := range len(key) {
			c := key[i]
			if c >= utf8.RuneSelf {
				return true // its lower case depends on what is around it
			}
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			q.lower = append(q.lower, c)
		}
		if q.clash(child, depth+1) {
			return true
		}
		q.path, q.lower = q.path[:base], q.lower[:base]
	}
	return false
}

type spelling struct {
	all  []string
	path string // pointer of the first spelling that differs from another
}

type keyWalk struct {
	path      []step
	spellings map[string]spelling // by lower-cased path
	clashes   []string            // in order of discovery
}

func (w *keyWalk) object(m map[string]any, dotted string) {
	for _, key := range sortedKeys(m) {
		at := key
		if dotted != "" {
			at = dotted + "." + key
		}
		if skipSubtree(at) {
			continue
		}
		w.path = append(w.path, step{key: key})
		w.value(m[key], at)
		w.path = w.path[:len(w.path)-1]
	}
}

func (w *keyWalk) value(v any, dotted string) {
	if m := object(v); m != nil {
		w.object(m, dotted)
		return
	}
	if items, ok := v.([]any); ok {
		for i, item := range items {
			w.path = append(w.path, step{index: i, array: true})
			w.value(item, dotted)
			w.path = w.path[:len(w.path)-1]
		}
		return
	}
	lower := Lower(dotted)
	s, ok := w.spellings[lower]
	if ok && slices.Contains(s.all, dotted) {
		return
	}
	if len(s.all) == 1 {
		s.path = pointer(w.path)
		w.clashes = append(w.clashes, lower)
	}
	s.all = append(s.all, dotted)
	w.spellings[lower] = s
}

// skipSubtree says what never reaches the search index.
func skipSubtree(dotted string) bool {
	return dotted == "attachments" || dotted == "relations" || dotted == "status"
}
