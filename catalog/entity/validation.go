package entity

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A ValidationError is one thing that is wrong with an entity.
type ValidationError struct {
	// Path is the JSON pointer of the value, such as /spec/owner or
	// /metadata/labels/example.com~1tier. Positions.At finds it in the source.
	Path     string
	Expected string // completes "expected ..."
	Found    string // completes "found ..."
	Hint     string // what to do about it, or ""
}

func (e ValidationError) Error() string {
	path := e.Path
	if path == "" {
		path = "/"
	}
	s := fmt.Sprintf("%s: expected %s, found %s", path, e.Expected, e.Found)
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// ValidationErrors are all the things that are wrong with an entity, in the order
// of its rules.
type ValidationErrors []ValidationError

func (e ValidationErrors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "\n")
}

// Unwrap lets errors.As find a ValidationError.
func (e ValidationErrors) Unwrap() []error {
	out := make([]error, len(e))
	for i, one := range e {
		out[i] = one
	}
	return out
}

func (e ValidationErrors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// describe completes "found ...".
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		if v == "" {
			return "an empty string"
		}
		return strconv.Quote(shorten(v))
	case bool:
		return strconv.FormatBool(v)
	case []any:
		if len(v) == 0 {
			return "an empty array"
		}
		return "an array"
	}
	if object(v) != nil {
		return "an object"
	}
	if f, ok := number(v); ok {
		return "the number " + string(appendNumber(nil, f))
	}
	return fmt.Sprintf("a Go value of type %T", v)
}

func pointer(path []step) string {
	var b strings.Builder
	for _, s := range path {
		b.WriteByte('/')
		if s.array {
			b.WriteString(strconv.Itoa(s.index))
		} else {
			b.WriteString(escapePointer(s.key))
		}
	}
	return b.String()
}

func escapePointer(key string) string {
	if !strings.ContainsAny(key, "~/") {
		return key
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// similar says whether a may be a misspelt b: equal but for case, or one or two
// letters added, missing, different or swapped.
func similar(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	limit := min(2, len(b)/3)
	if len(a) > len(b)+limit || len(b) > len(a)+limit {
		return false
	}
	return distance(a, b) <= limit
}

// distance is the optimal string alignment distance of two short words.
func distance(a, b string) int {
	before := make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
