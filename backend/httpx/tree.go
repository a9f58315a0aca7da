package httpx

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// maxWildcards bounds the wildcards of one pattern, so that matching needs no memory.
const maxWildcards = 12

// node is a place in the tree of patterns. Its children are tried in this order:
// the literal, the wildcard, the rest. The tree is built before it is used, and
// read by any number of goroutines then.
type node struct {
	literals []edge
	wildcard *node
	rest     *node
	routes   []*route // by method; at most one for each
}

type edge struct {
	text string
	to   *node
}

type route struct {
	pattern string
	method  string   // empty: every method
	names   []string // of the wildcards, in order; empty for a trailing slash
	handler HandlerFunc
	access  Access
}

// insert adds a route. It fails if the same requests already have a route, and if a
// literal differs from an earlier one in nothing but case: paths match in any case, so
// the two would shadow each other.
func (n *node) insert(rt *route, segs []segment) error {
	if len(segs) > maxWildcards {
		count := 0
		for _, s := range segs {
			if s.kind != literal {
				count++
			}
		}
		if count > maxWildcards {
			return fmt.Errorf("route %q has more than %d wildcards", rt.pattern, maxWildcards)
		}
	}
	for _, s := range segs {
		switch s.kind {
		case literal:
			next, err := n.literal(s.text, rt.pattern)
			if err != nil {
				return err
			}
			n = next
		case wildcard:
			if n.wildcard == nil {
				n.wildcard = &node{}
			}
			n = n.wildcard
			rt.names = append(rt.names, s.text)
		case rest:
			if n.rest == nil {
				n.rest = &node{}
			}
			n = n.rest
			rt.names = append(rt.names, s.text)
		}
	}
	for _, other := range n.routes {
		if other.method == rt.method {
			return fmt.Errorf("route %q matches the same requests as route %q", rt.pattern, other.pattern)
		}
	}
	n.routes = append(n.routes, rt)
	return nil
}

func (n *node) literal(text, pattern string) (*node, error) {
	for _, e := range n.literals {
		if e.text == text {
			return e.to, nil
		}
		if strings.EqualFold(e.text, text) {
			return nil, fmt.Errorf("route %q: segment %q differs only by case from %q of an earlier route", pattern, text, e.text)
		}
	}
	to := &node{}
	n.literals = append(n.literals, edge{text, to})
	return to, nil
}

// values are the wildcards' texts as they stand in the path.
type values struct {
	text [maxWildcards]string
	n    int
}

// match returns the route for a path below n, or nil. The path is what follows the
// last slash: "" at the end, and in "a/" the slash is tolerated. Nothing is allocated.
func (n *node) match(method, path string, more bool, v *values) *route {
	if !more {
		if rt := n.forMethod(method); rt != nil {
			return rt
		}
		if n.rest != nil {
			return n.rest.bindRest(method, "", v)
		}
		return nil
	}
	seg, after, hasAfter := strings.Cut(path, "/")
	if seg != "" {
		for i := range n.literals {
			if e := &n.literals[i]; strings.EqualFold(e.text, seg) {
				if rt := e.to.match(method, after, hasAfter, v); rt != nil {
					return rt
				}
				break
			}
		}
		if n.wildcard != nil {
			mark := v.n
			v.text[v.n] = seg
			v.n++
			if rt := n.wildcard.match(method, after, hasAfter, v); rt != nil {
				return rt
			}
			v.n = mark
		}
	}
	if n.rest != nil {
		if rt := n.rest.bindRest(method, path, v); rt != nil {
			return rt
		}
	}
	if path == "" { // one trailing slash
		return n.forMethod(method)
	}
	return nil
}

func (n *node) bindRest(method, path string, v *values) *route {
	rt := n.forMethod(method)
	if rt != nil {
		v.text[v.n] = path
		v.n++
	}
	return rt
}

func (n *node) forMethod(method string) *route {
	var any, get *route
	for _, rt := range n.routes {
		switch rt.method {
		case method:
			return rt
		case "":
			any = rt
		case http.MethodGet:
			get = rt
		}
	}
	if method == http.MethodHead && get != nil {
		return get
	}
	return any
}

// bind makes the wildcards of rt available as path values. Each is decoded on its own,
// so that an encoded slash stays part of its segment.
func (v *values) bind(r *http.Request, rt *route, encoded bool) {
	for i, name := range rt.names {
		if name == "" {
			continue
		}
		text := v.text[i]
		if encoded {
			if dec, err := url.PathUnescape(text); err == nil {
				text = dec
			}
		}
		r.SetPathValue(name, text)
	}
}
