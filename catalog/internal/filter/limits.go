package filter

import (
	"fmt"
	"strings"
)

// Limits bound what a query may ask for, so that a crafted one is refused before it
// costs anything (SEC-11). A zero field stands for its default.
type Limits struct {
	Bytes      int // of the filter or predicate; default 1 MiB
	Conditions int // conditions on a key, and as many groups of them; default 1,000
	Values     int // values compared with, over all conditions; default 5,000
	Depth      int // nesting of groups; default 32
}

func (l Limits) budget() *budget {
	for _, p := range []struct {
		own *int
		def int
	}{{&l.Bytes, 1 << 20}, {&l.Conditions, 1000}, {&l.Values, 5000}, {&l.Depth, 32}} {
		if *p.own <= 0 {
			*p.own = p.def
		}
	}
	return &budget{limits: l, left: l, groups: l.Conditions}
}

// An Error says what is wrong with a query, and where. Routes answer 400 with it.
type Error struct {
	Path    string // of the part, such as query/$all/0; "filter" for query parameters
	Message string
}

func (e *Error) Error() string { return e.Path + ": " + e.Message }

func fail(path, format string, args ...any) error {
	return &Error{Path: path, Message: fmt.Sprintf(format, args...)}
}

// A budget is what is left of the limits.
type budget struct {
	limits, left Limits
	groups       int
}

func (b *budget) size(n int) error {
	if b.left.Bytes -= n; b.left.Bytes < 0 {
		return fail("filter", "expected at most %d bytes", b.limits.Bytes)
	}
	return nil
}

func (b *budget) condition(path string) error {
	if b.left.Conditions--; b.left.Conditions < 0 {
		return fail(path, "expected at most %d conditions", b.limits.Conditions)
	}
	return nil
}

// group counts what MarshalJSON writes as a group, so that what was accepted once is
// accepted again from a cursor.
func (b *budget) group(path string, depth int) error {
	if depth >= b.limits.Depth {
		return fail(path, "expected at most %d levels of groups", b.limits.Depth)
	}
	if b.groups--; b.groups < 0 {
		return fail(path, "expected at most %d groups of conditions", b.limits.Conditions)
	}
	return nil
}

func (b *budget) value(path string) error {
	if b.left.Values--; b.left.Values < 0 {
		return fail(path, "expected at most %d values", b.limits.Values)
	}
	return nil
}

func checkKey(path, key string) error {
	switch {
	case key == "":
		return fail(path, "expected a key, found nothing")
	case key[0] == '$':
		return fail(path, "key %q begins with $, as no key of an entity does", shorten(key))
	case key == "__proto__" || strings.HasPrefix(key, "__proto__.") || strings.HasSuffix(key, ".__proto__") || strings.Contains(key, ".__proto__."):
		return fail(path, "__proto__ is no part of an entity")
	}
	return nil
}
