package entity

import (
	"slices"
	"strings"
)

// CheckKeys finds keys that differ only in case and would be one key of the search
// index, such as spec.foo and spec.Foo (contract catalog.md, 5.2). Objects in
// arrays count with their array: steps.input.repoUrl of one step clashes with
// steps.input.repourl of another. Each group is one ValidationError that names all
// spellings.
func CheckKeys(e Entity) error {
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
