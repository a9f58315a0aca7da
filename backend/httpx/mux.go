package httpx

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// Mux finds the handler for a request. Its patterns are those of net/http,
// "GET /entities/by-name/{kind}/{namespace}/{name}", without a host. It answers as
// the recorded API does, which differs from http.ServeMux:
//
//   - A path that has no route, and one that has none for this method, are 404 with an
//     empty body; never 405. HEAD is served by the route for GET.
//   - The path is never cleaned and never redirected: "..", "//", and "%2F" reach the
//     handler as they were sent. Path values are decoded segment by segment. One
//     trailing slash makes no difference.
//   - Literals match in any case, as do the access policies that are checked against
//     the same path. Two patterns that differ by case only are refused.
//   - "/static/{rest...}" and "/static/" also match "/static".
//
// A literal wins over {name}, and that over {name...}, segment by segment from the left.
//
// Handle is called while a program is put together; after that a Mux is used from any
// number of goroutines.
type Mux struct {
	// Guard lets requests through to the routes; nil lets all through. It runs before
	// the lookup's result is acted upon, so that whoever may not call the API cannot
	// tell which paths it has.
	Guard Guard
	// Errors writes what handlers return.
	Errors ErrorWriter
	// NotFound answers requests without a route; nil answers 404 with an empty body.
	NotFound HandlerFunc

	root   node
	routes []*route
}

// A Route is one entry of a Mux, as listed by Routes.
type Route struct {
	Pattern string
	Access  Access
}

// Handle adds a route; access widens who may call it. The error names the pattern,
// and the one that it collides with.
func (m *Mux) Handle(pattern string, h HandlerFunc, access ...Access) error {
	method, segs, err := parsePattern(pattern)
	if err != nil {
		return err
	}
	if h == nil {
		return fmt.Errorf("route %q has no handler", pattern)
	}
	rt := &route{pattern: pattern, method: method, handler: h}
	for _, a := range access {
		rt.access = Wider(rt.access, a)
	}
	if err := m.root.insert(rt, segs); err != nil {
		return err
	}
	m.routes = append(m.routes, rt)
	return nil
}

// Wider returns the one of two accesses that lets more callers in.
func Wider(a, b Access) Access {
	if a == AllowUnauthenticated || b == AllowUnauthenticated {
		return AllowUnauthenticated
	}
	return max(a, b)
}

// Routes lists the routes sorted by path, then method.
func (m *Mux) Routes() []Route {
	out := make([]Route, 0, len(m.routes))
	for _, rt := range m.routes {
		out = append(out, Route{rt.pattern, rt.access})
	}
	path := func(p string) string { return p[strings.Index(p, "/"):] }
	slices.SortFunc(out, func(a, b Route) int {
		if c := strings.Compare(path(a.Pattern), path(b.Pattern)); c != 0 {
			return c
		}
		return strings.Compare(a.Pattern, b.Pattern)
	})
	return out
}

// Pattern returns the pattern of the route that serves r; empty if none does.
func (m *Mux) Pattern(r *http.Request) string {
	var v values
	if rt, _ := m.find(r, &v); rt != nil {
		return rt.pattern
	}
	return ""
}

// find returns the route for r, and whether the path values are still encoded.
func (m *Mux) find(r *http.Request, v *values) (*route, bool) {
	// RawPath is set whenever the path as sent differs from the default encoding of
	// Path. Otherwise no segment of Path contains an encoded slash.
	path, encoded := r.URL.RawPath, true
	if path == "" {
		path, encoded = r.URL.Path, false
	}
	path, ok := strings.CutPrefix(path, "/")
	if !ok && path != "" { // "*"
		return nil, false
	}
	return m.root.match(r.Method, path, true, v), encoded
}

// ServeHTTP answers r: guard, route, and whatever error comes of it.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rw := &response{ResponseWriter: w, r: r}
	defer func() {
		if p := recover(); p != nil {
			m.recovered(rw, r, p)
		}
	}()
	if err := m.serve(rw, r); err != nil {
		m.fail(rw, r, err)
	}
}

func (m *Mux) serve(rw *response, r *http.Request) error {
	var v values
	rt, encoded := m.find(r, &v)
	if m.Guard != nil {
		var access Access
		if rt != nil {
			access = rt.access
		}
		admitted, err := m.Guard(r, access)
		if err != nil {
			return err
		}
		r, rw.r = admitted, admitted
	}
	if rt == nil {
		if m.NotFound != nil {
			return m.NotFound(rw, r)
		}
		return Empty(rw, http.StatusNotFound)
	}
	r.Pattern = rt.pattern
	v.bind(r, rt, encoded)
	return rt.handler(rw, r)
}

// fail answers with an error, or cuts the connection if an answer has begun.
func (m *Mux) fail(rw *response, r *http.Request, err error) {
	if rw.started {
		m.Errors.log(r, fmt.Errorf("answer cut off: %w", err), apierr.Rendered{Status: http.StatusInternalServerError})
		panic(http.ErrAbortHandler)
	}
	m.Errors.Write(rw, r, err)
}

// recovered answers for a handler that panicked. The panic's stack goes to the log.
func (m *Mux) recovered(rw *response, r *http.Request, p any) {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	m.fail(rw, r, Panicked(p))
}

// Panicked returns the error for a recovered panic. It is called while the panic's
// frames are on the stack, in the function that has recovered.
func Panicked(p any) error { return &PanicError{Value: p, Stack: debug.Stack()} }

// PanicError is the error of a handler that panicked. It has no kind, so that clients
// see status 500 and a log id.
type PanicError struct {
	Value any
	Stack []byte
}

// Error returns the value and the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// StripMount returns a handler that serves h with the first n bytes of the path taken
// away, as sent. The caller has checked that they are the mount's prefix, and that no
// byte of them was encoded.
func StripMount(r *http.Request, n int) *http.Request {
	u := *r.URL
	u.Path = u.Path[min(n, len(u.Path)):]
	if u.RawPath != "" {
		u.RawPath = u.RawPath[min(n, len(u.RawPath)):]
	}
	if u.Path == "" {
		u.Path = "/"
		u.RawPath = ""
	}
	c := *r
	c.URL = &u
	return &c
}
