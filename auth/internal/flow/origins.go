package flow

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// Origins are those whose pages may sign users in (contract/auth.md section 2.6): the
// app's, and those that match a pattern. They are compared as parsed, never as prefixes.
type Origins struct {
	app      string
	more     []string
	patterns []*regexp.Regexp
}

// NewOrigins returns the origins for app.baseUrl, which may be empty, and further patterns.
func NewOrigins(appURL string, patterns []string) (*Origins, error) {
	o := &Origins{}
	if appURL != "" {
		app, err := Origin(appURL)
		if err != nil {
			return nil, fmt.Errorf("app.baseUrl: %w", err)
		}
		o.app = app
	}
	for _, p := range patterns {
		re, err := OriginPattern(p)
		if err != nil {
			return nil, err
		}
		o.patterns = append(o.patterns, re)
	}
	return o, nil
}

// Add allows one more origin, as Origin returns it. It is called before any other method.
func (o *Origins) Add(origin string) { o.more = append(o.more, origin) }

// App is the origin of the app; empty if app.baseUrl is not set.
func (o *Origins) App() string { return o.app }

// Allowed reports whether an origin, as Origin returns it, may sign users in.
func (o *Origins) Allowed(origin string) bool {
	if origin == "" || origin == "null" {
		return false
	}
	if origin == o.app || slices.Contains(o.more, origin) {
		return true
	}
	for _, p := range o.patterns {
		if p.MatchString(origin) {
			return true
		}
	}
	return false
}

// Check returns the origin of a URL that a request names. A text that is no URL is an
// apierr.Input, and an origin that may not sign users in an apierr.NotAllowed.
func (o *Origins) Check(what, raw string) (string, error) {
	origin, err := Origin(raw)
	if err != nil {
		return "", apierr.Input.New("%s is not a URL of a web page: %s", what, err)
	}
	if !o.Allowed(origin) {
		return "", apierr.NotAllowed.New("Origin '%s' is not allowed", origin)
	}
	return origin, nil
}

// Origin reduces an absolute http or https URL to scheme, host and port, in lower case and
// without the port that is the scheme's own. What browsers read differently than url.Parse
// is refused: backslashes, control characters and spaces, names before an @, and hosts with
// anything but ASCII, as to browsers "。" is a dot and "Ｋ" a k. They send such names as xn--.
func Origin(raw string) (string, error) {
	for _, r := range raw {
		if r == '\\' || r <= ' ' || r == 0x7f {
			return "", errors.New("it has a backslash, a space or a control character")
		}
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return "", errors.New("it cannot be read")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "":
		return "", errors.New("it does not begin with http:// or https:// and a host")
	case u.User != nil:
		return "", errors.New("it has a user name")
	case strings.ContainsFunc(u.Host, func(r rune) bool { return !inHost(r) && !strings.ContainsRune(":[]", r) }):
		return "", errors.New("its host has other characters than a-z, 0-9, - and dots; names in other scripts are written as browsers send them, such as xn--bcher-kva.example")
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" && port != map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		host += ":" + port
	}
	return u.Scheme + "://" + host, nil
}

// inHost reports whether a character of a host means itself to every browser.
func inHost(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_'
}

// OriginPattern reads a pattern for origins: scheme, host and port, in which a star stands
// for part of one label of the host or for a port, a question mark for one character, and
// {a,b} for alternatives.
func OriginPattern(pattern string) (*regexp.Regexp, error) {
	pattern = strings.TrimSuffix(pattern, "/")
	scheme, rest, ok := strings.Cut(pattern, "://")
	if !ok || scheme != "http" && scheme != "https" && scheme != "{http,https}" {
		return nil, errors.New("does not begin with http:// or https://")
	}
	if rest == "" || strings.ContainsAny(rest, "/\\@ ()[]!+|^$") {
		return nil, errors.New("is not scheme, host and port; a star stands for one part of the host: https://*.preview.acme.com")
	}
	for _, r := range rest {
		if !inHost(r) && !strings.ContainsRune("*?{},:", r) {
			return nil, fmt.Errorf("has the character %q, which no browser sends in a host; names in other scripts are written as xn--", r)
		}
	}
	var re strings.Builder
	re.WriteString("(?i)^")
	depth := 0
	for _, r := range pattern {
		switch {
		case r == '*':
			re.WriteString("[a-z0-9_-]*")
		case r == '?':
			re.WriteString("[a-z0-9_-]")
		case r == '{':
			depth++
			re.WriteString("(?:")
		case r == '}' && depth > 0:
			depth--
			re.WriteString(")")
		case r == ',' && depth > 0:
			re.WriteString("|")
		default:
			re.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	re.WriteString("$")
	if depth != 0 {
		return nil, errors.New("has a brace that is not closed")
	}
	return regexp.Compile(re.String())
}
