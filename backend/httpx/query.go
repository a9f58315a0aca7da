package httpx

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// QueryReader reads the query parameters that a route declares by asking for them.
//
//	q := httpx.Query(r)
//	filter, limit := q.Strings("filter"), q.Int("limit", 0, httpx.AtLeast(0))
//	if err := q.Err(); err != nil {
//		return err
//	}
//
// The first thing that is wrong is remembered, and what is read after that does not
// matter. A QueryReader belongs to one request and one goroutine.
type QueryReader struct {
	params   []param
	declared []string
	err      error
}

type param struct{ name, value string }

// Query returns a reader of the query of r. Parameters are separated by "&" only; a
// percent sign that does not begin an escape stands for itself.
func Query(r *http.Request) *QueryReader {
	q := &QueryReader{}
	for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		q.params = append(q.params, param{unescape(name), unescape(value)})
	}
	return q
}

func unescape(s string) string {
	if dec, err := url.QueryUnescape(s); err == nil {
		return dec
	}
	return strings.ReplaceAll(s, "+", " ")
}

// Err returns the InputError for the first parameter that was wrong, or else for one
// that nobody has asked for. It is called after all parameters were read.
func (q *QueryReader) Err() error {
	if q.err != nil {
		return q.err
	}
	for _, p := range q.params {
		if !slices.Contains(q.declared, p.name) {
			return apierr.Input.New("Unknown query parameter '%s'", p.name)
		}
	}
	return nil
}

// Declare accepts parameters that the route does not use.
func (q *QueryReader) Declare(names ...string) { q.declared = append(q.declared, names...) }

// Has reports whether the parameter was given.
func (q *QueryReader) Has(name string) bool {
	q.Declare(name)
	return slices.ContainsFunc(q.params, func(p param) bool { return p.name == name })
}

// Strings returns all values of a parameter that may be repeated; nil if it is absent.
// Empty values are refused.
func (q *QueryReader) Strings(name string) []string {
	q.Declare(name)
	var out []string
	for _, p := range q.params {
		if p.name != name {
			continue
		}
		if p.value == "" {
			q.fail("Empty value found for query parameter '%s'", name)
		}
		out = append(out, p.value)
	}
	return out
}

// CSV returns the values of a parameter that is comma separated, repeated, or both.
// Spaces around the commas do not matter, and neither do empty elements between them.
func (q *QueryReader) CSV(name string) []string {
	var out []string
	for _, v := range q.Strings(name) {
		for el := range strings.SplitSeq(v, ",") {
			if el = strings.TrimSpace(el); el != "" {
				out = append(out, el)
			}
		}
	}
	return out
}

// String returns a parameter that may be given once, or def.
func (q *QueryReader) String(name, def string) string { return q.once(name, def, "string") }

// once reads a parameter that may be given once; kind is what it must be.
func (q *QueryReader) once(name, def, kind string) string {
	vs := q.Strings(name)
	switch len(vs) {
	case 0:
		return def
	case 1:
		return vs[0]
	}
	q.fail("request/query/%s must be %s", name, kind)
	return def
}

// Enum returns a parameter that is one of the given words, or def.
func (q *QueryReader) Enum(name, def string, words ...string) string {
	v := q.String(name, def)
	if v != def && !slices.Contains(words, v) {
		q.fail("request/query/%s must be equal to one of the allowed values: %s", name, strings.Join(words, ", "))
		return def
	}
	return v
}

// Bool returns a parameter that is "true" or "false", or def.
func (q *QueryReader) Bool(name string, def bool) bool {
	switch q.once(name, "", "boolean") {
	case "":
		return def
	case "true":
		return true
	case "false":
		return false
	}
	q.fail("request/query/%s must be boolean", name)
	return def
}

// An IntBound restricts the values of an integer parameter.
type IntBound struct{ min, max int }

// AtLeast accepts n and more.
func AtLeast(n int) IntBound { return IntBound{n, maxInt} }

// Between accepts low to high, both included.
func Between(low, high int) IntBound { return IntBound{low, high} }

const maxInt = int(^uint(0) >> 1)

// Int returns an integer parameter, or def.
func (q *QueryReader) Int(name string, def int, bounds ...IntBound) int {
	v := q.once(name, "", "integer")
	if v == "" {
		return def
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		q.fail("request/query/%s must be integer", name)
		return def
	}
	for _, b := range bounds {
		if n < b.min {
			q.fail("request/query/%s must be >= %d", name, b.min)
			return def
		}
		if n > b.max {
			q.fail("request/query/%s must be <= %d", name, b.max)
			return def
		}
	}
	return n
}

func (q *QueryReader) fail(format string, args ...any) {
	if q.err == nil {
		q.err = apierr.Input.New(format, args...)
	}
}
