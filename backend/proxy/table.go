package proxy

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/config"
)

// A table is the endpoints in force. It never changes: a new configuration makes a new one.
type table struct {
	routes []*route // those with more segments first
}

// A route is an endpoint that is ready to be used.
type route struct {
	path      string // as it was configured
	segments  []string
	endpoint  Endpoint
	scheme    string
	host      string
	base      string // the target's path as it is sent, without a slash at its end
	methods   []string
	requests  map[string]bool // headers that pass to the target, in canonical form
	answers   map[string]bool // and from it
	set       []header
	rewrites  []rewriting
	rewriting bool
	transport *transport
}

// A header is set on every request to the target. Its value is asked for each time, because it
// may come from a file that changes.
type header struct {
	name  string
	value config.Secret
}

// newTable prepares endpoints that have passed Validate. Endpoints that are as they were keep
// their connections.
func newTable(endpoints map[string]Endpoint, transports *transports) (*table, error) {
	t := &table{}
	for _, path := range sortedKeys(endpoints) {
		r, err := newRoute(path, endpoints[path])
		if err != nil {
			return nil, err
		}
		r.transport = transports.of(r.endpoint)
		t.routes = append(t.routes, r)
	}
	slices.SortStableFunc(t.routes, func(a, b *route) int { return cmp.Compare(len(b.segments), len(a.segments)) })
	return t, nil
}

func newRoute(path string, e Endpoint) (*route, error) {
	segments, err := segmentsOf(path)
	if err != nil {
		return nil, err
	}
	u, err := parseTarget(e.Target)
	if err != nil {
		return nil, err
	}
	r := &route{path: path, segments: segments, endpoint: e, scheme: u.Scheme, host: u.Host,
		base: strings.TrimRight(u.EscapedPath(), "/"), requests: map[string]bool{}, answers: map[string]bool{}, rewriting: e.PathRewrite != nil}
	for _, m := range e.AllowedMethods {
		r.methods = append(r.methods, strings.ToUpper(m))
	}
	for _, name := range usualHeaders() {
		r.requests[name], r.answers[name] = true, true
	}
	for _, name := range e.AllowedHeaders {
		if name = http.CanonicalHeaderKey(name); !cookies(name) {
			r.requests[name], r.answers[name] = true, true
		}
	}
	// The encoding belongs to the body, which passes as it is.
	r.answers["Content-Encoding"] = true
	r.requests["Authorization"] = e.Credentials == CredentialsForward
	for _, name := range sortedKeys(e.Headers) {
		r.set = append(r.set, header{http.CanonicalHeaderKey(name), e.Headers[name]})
	}
	for _, rule := range e.PathRewrite {
		w, err := rule.compile()
		if err != nil {
			return nil, err
		}
		r.rewrites = append(r.rewrites, w)
	}
	return r, nil
}

// find returns the endpoint for the segments of a path: the longest one that it lies below.
func (t *table) find(segments []string) *route {
	for _, r := range t.routes {
		if len(segments) >= len(r.segments) && slices.Equal(segments[:len(r.segments)], r.segments) {
			return r
		}
	}
	return nil
}

// lookup returns the endpoint for a path as it was sent, and whether every reader of that path
// would say so.
func (t *table) lookup(path string) (r *route, certain bool) {
	sent, decoded := readings(path)
	r = t.find(sent)
	return r, t.find(decoded) == r
}

// request returns the request to the target for one with that path; false if it does not lead
// below the target's path.
func (r *route) request(in *http.Request, path string) (*http.Request, bool) {
	to, query, below := r.destination(path, in.URL.RawQuery)
	if !below {
		return nil, false
	}
	return r.outgoing(in, to, query)
}

// destination returns path and query at the target, for those of a request; false if they do
// not lead below the target's path.
func (r *route) destination(path, query string) (string, string, bool) {
	if !r.rewriting {
		path = after(path, len(r.segments))
	} else {
		path = mount + path
		for _, w := range r.rewrites {
			if next, ok := w.apply(path); ok {
				path = next
				break
			}
		}
		if before, added, ok := strings.Cut(path, "?"); ok {
			path = before
			query = strings.Trim(added+"&"+query, "&")
		}
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		if path = encoded(path); !sound(path) {
			return "", "", false
		}
	}
	return r.base + path, query, true
}

// allows reports whether a method passes.
func (r *route) allows(method string) bool {
	if neverMethod(method) {
		return false
	}
	return len(r.methods) == 0 && r.endpoint.AllowedMethods == nil || slices.Contains(r.methods, method)
}

// neverMethod: CONNECT is not for a proxy that has targets of its own, and the answer to TRACE
// is the request with the secrets that were put into it.
func neverMethod(method string) bool {
	return method == http.MethodConnect || method == http.MethodTrace
}
