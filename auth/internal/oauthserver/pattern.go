package oauthserver

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// A Pattern says which URLs are meant: scheme://host[:port][/path]. A star in the host
// stands for characters of one label, a star in the path for any characters of the path.
// The port ":*" is any port or none. The scheme is written out. Each part of a URL is
// compared with its own part of the pattern, so that no part can pass for another.
type Pattern struct {
	text               string
	scheme, host, path string
	port               string // "*" for any
}

// ParsePattern reads a pattern.
func ParsePattern(text string) (Pattern, error) {
	p := Pattern{text: text}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || scheme == "" || strings.Contains(scheme, "*") {
		return p, fmt.Errorf("%q has no scheme, such as https://", text)
	}
	authority, path, hasPath := strings.Cut(rest, "/")
	if authority == "" {
		return p, fmt.Errorf("%q has no host", text)
	}
	if strings.ContainsAny(text, "@\\?# \t\r\n%") || !printable(text) {
		return p, fmt.Errorf("%q has characters that no pattern needs: only letters, digits and -._~:/[]* stand for themselves", text)
	}
	p.scheme, p.host = strings.ToLower(scheme), authority
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		p.host, p.port = authority[:i], authority[i+1:]
		if p.port == "" || p.port != "*" && strings.Trim(p.port, "0123456789") != "" {
			return p, fmt.Errorf("%q has the port %q; write a number or *", text, p.port)
		}
	}
	p.host = strings.ToLower(p.host)
	if hasPath {
		p.path = "/" + path
	}
	if dotSegments(p.path) {
		return p, fmt.Errorf("%q has dot segments", text)
	}
	return p, nil
}

func (p Pattern) String() string { return p.text }

// exact reports whether the pattern means one host that it names itself.
func (p Pattern) exact() bool { return !strings.Contains(p.host, "*") }

// match reports whether u, which parseURL has read, is one of those that are meant.
func (p Pattern) match(u *url.URL) bool {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	want := p.path
	if want == "" {
		want = "/"
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return p.scheme == strings.ToLower(u.Scheme) &&
		glob(p.host, host, '.') &&
		(p.port == "*" || portOf(p.scheme, p.port) == portOf(p.scheme, u.Port())) &&
		glob(want, path, 0)
}

func portOf(scheme, port string) string {
	switch {
	case port == "" && scheme == "https":
		return "443"
	case port == "" && scheme == "http":
		return "80"
	}
	return port
}

// glob matches a pattern whose stars stand for any characters but not.
func glob(pattern, s string, not byte) bool {
	parts := strings.Split(pattern, "*")
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for i, part := range parts[1:] {
		if i == len(parts)-2 { // the last part is the end
			return strings.HasSuffix(s, part) && free(s[:len(s)-len(part)], not)
		}
		at := strings.Index(s, part)
		if at < 0 || !free(s[:at], not) {
			return false
		}
		s = s[at+len(part):]
	}
	return s == ""
}

func free(s string, not byte) bool { return not == 0 || strings.IndexByte(s, not) < 0 }

func matchAny(patterns []Pattern, u *url.URL) bool {
	for _, p := range patterns {
		if p.match(u) {
			return true
		}
	}
	return false
}

func printable(s string) bool {
	for _, r := range s {
		if r <= ' ' || r > '~' {
			return false
		}
	}
	return true
}

// dotSegments reports whether a path has . or .. as a segment, also in percent-encoding,
// which some servers and browsers take for the same.
func dotSegments(path string) bool {
	for s := range strings.SplitSeq(path, "/") {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "%2e", "."), "%2E", ".")
		if s == "." || s == ".." {
			return true
		}
	}
	return false
}

// scripts are schemes that a browser runs instead of going there.
var scripts = map[string]bool{"javascript": true, "data": true, "vbscript": true, "blob": true, "file": true, "about": true, "filesystem": true, "view-source": true}

// parseURL reads a URL that a client gives. It takes only those that every parser reads
// alike: with a scheme and a host of visible ASCII, without a user, a backslash, a fragment,
// or dot segments (SEC-29).
func parseURL(text string) (*url.URL, error) {
	if len(text) > 2000 {
		return nil, errors.New("is longer than 2000 characters")
	}
	if !printable(text) || strings.ContainsAny(text, "\\#\"<>`{}|^") {
		return nil, errors.New("has characters that a URL cannot have, or a fragment")
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || scheme == "" {
		return nil, errors.New("is not an absolute URL")
	}
	authority, _, _ := strings.Cut(rest, "/")
	authority, _, _ = strings.Cut(authority, "?")
	if authority == "" || strings.ContainsAny(authority, "@%*,;!$&'()+=") {
		return nil, errors.New("has no host, or a user in front of it")
	}
	u, err := url.Parse(text)
	if err != nil || u.Host != authority || u.User != nil || u.Opaque != "" || strings.HasSuffix(u.Host, ":") {
		return nil, errors.New("cannot be read")
	}
	if scripts[strings.ToLower(u.Scheme)] {
		return nil, fmt.Errorf("has the scheme %s", u.Scheme)
	}
	if strings.HasSuffix(u.Hostname(), ".") || strings.Contains(u.Hostname(), "..") {
		return nil, errors.New("has a host with empty labels")
	}
	if dotSegments(u.EscapedPath()) {
		return nil, errors.New("has dot segments")
	}
	return u, nil
}

// parseRedirect reads a redirect URI. Without TLS it leads to the user's own machine only
// (RFC 8252, 7.3 and 8.3).
func parseRedirect(text string) (*url.URL, error) {
	u, err := parseURL(text)
	if err != nil {
		return nil, err
	}
	if strings.EqualFold(u.Scheme, "http") && !loopback(u) {
		return nil, errors.New("is not https")
	}
	return u, nil
}

// loopback reports whether u leads to the machine of the browser.
func loopback(u *url.URL) bool {
	if strings.EqualFold(u.Hostname(), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

// sameRedirect reports whether a redirect URI is the registered one. Those that lead to
// the user's machine may have any port, as programs take one that is free (RFC 8252, 7.3).
func sameRedirect(registered, given string) bool {
	if registered == given {
		return true
	}
	r, err := parseRedirect(registered)
	if err != nil || r.Scheme != "http" || !loopback(r) {
		return false
	}
	g, err := parseRedirect(given)
	if err != nil || !strings.EqualFold(r.Hostname(), g.Hostname()) {
		return false
	}
	r.Host, g.Host = "x", "x"
	return r.String() == g.String()
}
