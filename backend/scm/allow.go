package scm

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// An AllowEntry is one entry of backend.reading.allow.
//
// Host is a name, "*.example.com" for all names below example.com, or an
// address, with an optional ":port" or ":from-to". Without a port it only
// matches URLs without one (the scheme's default port counts as none). Paths
// restricts the entry to these paths and what lies below them, at a segment
// boundary: "/public" matches /public and /public/a, but not /publications. All
// paths if empty.
type AllowEntry struct {
	Host  string   `config:"host,required" doc:"host name, with a port if it has one"`
	Paths []string `config:"paths" doc:"paths that may be read, exactly or as prefixes at a segment boundary; all if absent"`
}

// Validate refuses entries that would never match.
func (e *AllowEntry) Validate() error {
	if _, err := parseAllow(*e); err != nil {
		return err
	}
	return nil
}

// allowRule is an AllowEntry made ready for matching.
type allowRule struct {
	host     string // lower case; ".example.com" for a wildcard
	wildcard bool
	from, to int        // the ports; both 0 for URLs without an explicit one
	paths    [][]string // decoded segments
}

func parseAllow(e AllowEntry) (allowRule, error) {
	var r allowRule
	host, port := e.Host, ""
	if strings.ContainsAny(host, "/@?# ") {
		return r, fmt.Errorf("host %q: a scheme and a path do not belong here: expected a host name, *.DOMAIN or an address, with an optional :PORT or :FROM-TO", e.Host)
	}
	switch i := strings.LastIndexByte(host, ':'); {
	case i >= 0 && !strings.HasSuffix(host, "]") && strings.Count(host, ":") > 1 && !strings.Contains(host, "]"):
		return r, fmt.Errorf("host %q: write an IPv6 address in brackets", e.Host)
	case i >= 0 && !strings.HasSuffix(host, "]"):
		host, port = host[:i], host[i+1:]
		if port == "" {
			return r, fmt.Errorf("host %q: the port is empty", e.Host)
		}
	}
	r.host = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if rest, ok := strings.CutPrefix(r.host, "*."); ok {
		r.wildcard, r.host = true, "."+rest
	}
	if strings.Trim(r.host, ".") == "" || strings.Contains(r.host, "*") {
		return r, fmt.Errorf("host %q: expected a host name, *.DOMAIN or an address, with an optional :PORT or :FROM-TO", e.Host)
	}
	if port != "" {
		from, to, isRange := strings.Cut(port, "-")
		if !isRange {
			to = from
		}
		var err1, err2 error
		r.from, err1 = strconv.Atoi(from)
		r.to, err2 = strconv.Atoi(to)
		if err1 != nil || err2 != nil || r.from < 1 || r.to > 65535 || r.from > r.to {
			return r, fmt.Errorf("host %q: expected a port or a range from 1 to 65535", e.Host)
		}
	}
	for _, p := range e.Paths {
		if !strings.HasPrefix(p, "/") {
			return r, fmt.Errorf("path %q of host %q does not start with a slash", p, e.Host)
		}
		if hasDotSegment(unescape(p)) {
			return r, fmt.Errorf("path %q of host %q has a dot segment", p, e.Host)
		}
		r.paths = append(r.paths, pathSegments(p))
	}
	return r, nil
}

// pathSegments decodes each segment on its own, so that an encoded slash is not
// taken for a boundary.
func pathSegments(escaped string) []string {
	parts := segments(escaped)
	for i := range parts {
		parts[i] = unescape(parts[i])
	}
	return parts
}

// allowList decides which plain URLs may be read.
type allowList []allowRule

func newAllowList(entries []AllowEntry) (allowList, error) {
	var list allowList
	for i, e := range entries {
		r, err := parseAllow(e)
		if err != nil {
			return nil, fmt.Errorf("backend.reading.allow[%d]: %w", i, err)
		}
		list = append(list, r)
	}
	return list, nil
}

// allows reports whether an entry matches u. Only http and https are read, never
// with user information; a path that hides a dot segment matches nothing.
func (l allowList) allows(u *url.URL) bool {
	if (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.Hostname() == "" {
		return false
	}
	if checkSegments(u.String(), u.EscapedPath()) != nil {
		return false
	}
	path := pathSegments(u.EscapedPath())
	for _, r := range l {
		if r.matchesHost(u.Hostname()) && r.matchesPort(u) && r.matchesPath(path) {
			return true
		}
	}
	return false
}

// names reports whether an entry names host and port itself, not through a
// wildcard. The operator who wrote it knows where that host is, so it may have a
// private address. The scheme's default ports count as none.
func (l allowList) names(host string, port int) bool {
	for _, r := range l {
		if r.wildcard || !r.matchesHost(host) {
			continue
		}
		if r.from == 0 && (port == 80 || port == 443) || r.from <= port && port <= r.to {
			return true
		}
	}
	return false
}

func (r allowRule) matchesHost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if r.wildcard {
		return strings.HasSuffix(host, r.host) && len(host) > len(r.host)
	}
	if a, err := netip.ParseAddr(r.host); err == nil {
		b, err := netip.ParseAddr(host)
		return err == nil && a == b
	}
	return host == r.host
}

func (r allowRule) matchesPort(u *url.URL) bool {
	port := effectivePort(u)
	if r.from == 0 {
		return u.Port() == "" || (u.Scheme == "https" && port == 443) || (u.Scheme == "http" && port == 80)
	}
	return r.from <= port && port <= r.to
}

// effectivePort is the port that a request to u goes to; 0 if it has no valid one.
func effectivePort(u *url.URL) int {
	if p := u.Port(); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil {
			return 0
		}
		return n
	}
	if u.Scheme == "http" {
		return 80
	}
	return 443
}

func (r allowRule) matchesPath(path []string) bool {
	if len(r.paths) == 0 {
		return true
	}
	for _, want := range r.paths {
		if hasPathPrefix(path, want) {
			return true
		}
	}
	return false
}

// hasPathPrefix compares segment by segment. A wanted path with a trailing
// slash, whose last segment is empty, does not match the path without it.
func hasPathPrefix(path, want []string) bool {
	if n := len(want); n > 0 && want[n-1] == "" {
		want = want[:n-1]
		if len(path) <= len(want) {
			return false
		}
	}
	if len(path) < len(want) {
		return false
	}
	for i := range want {
		if path[i] != want[i] {
			return false
		}
	}
	return true
}
