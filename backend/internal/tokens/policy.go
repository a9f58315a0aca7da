package tokens

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/callboard-dev/callboard/backend/httpx"
)

// policies are the path policies of one plugin: each widens the access to a path and
// everything below it. They are looked up in the path as the router sees it, undecoded
// and not cleaned, so that the two can never disagree about which route is meant.
type policies []policy

type policy struct {
	segments []string // empty matches every path
	access   httpx.Access
}

// add reads a path such as "/static", "/v1/{id}/assets" or ":id", "/" or "*".
func (p *policies) add(path string, access httpx.Access) error {
	if access != httpx.AllowUnauthenticated && access != httpx.AllowUserCookie {
		return fmt.Errorf("auth policy for %q: unknown access %d, use AllowUnauthenticated or AllowUserCookie", path, access)
	}
	pol := policy{access: access}
	if path != "*" && path != "/" {
		if !strings.HasPrefix(path, "/") {
			return fmt.Errorf("auth policy for %q: the path must begin with a slash", path)
		}
		pol.segments = strings.Split(strings.Trim(path, "/"), "/")
		for _, s := range pol.segments {
			if s == "" || strings.Contains(s, "%") {
				return fmt.Errorf("auth policy for %q: segment %q cannot be matched", path, s)
			}
		}
	}
	*p = append(*p, pol)
	return nil
}

// access returns the widest access that a policy gives to the path of r.
func (p policies) access(r *http.Request) httpx.Access {
	var a httpx.Access
	if len(p) == 0 {
		return a
	}
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	for _, pol := range p {
		if pol.matches(path) {
			a = httpx.Wider(a, pol.access)
		}
	}
	return a
}

func (p policy) matches(path string) bool {
	path = strings.TrimPrefix(path, "/")
	more := true
	for _, want := range p.segments {
		if !more {
			return false
		}
		var seg string
		seg, path, more = strings.Cut(path, "/")
		variable := strings.HasPrefix(want, ":") || strings.HasPrefix(want, "{")
		if seg == "" || !variable && !strings.EqualFold(seg, want) {
			return false
		}
	}
	return true
}
