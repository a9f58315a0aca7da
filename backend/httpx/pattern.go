package httpx

import (
	"fmt"
	"strings"
)

// segment is one part of a pattern between slashes.
type segment struct {
	text string // the literal, or the name of the wildcard
	kind segmentKind
}

type segmentKind int

const (
	literal  segmentKind = iota
	wildcard             // {name}: one segment that is not empty
	rest                 // {name...} or a trailing slash: everything that follows, also nothing
)

// parsePattern reads "[METHOD ]/path". The path consists of literals, {name}, and at
// its end {name...}, {$}, or a slash, with the meanings that net/http gives them.
func parsePattern(pattern string) (method string, segs []segment, err error) {
	path := pattern
	if before, after, ok := strings.Cut(pattern, " "); ok {
		method, path = before, strings.TrimLeft(after, " ")
		if method == "" || strings.ToUpper(method) != method {
			return "", nil, fmt.Errorf("route %q: the method must be in upper case", pattern)
		}
	}
	if !strings.HasPrefix(path, "/") {
		return "", nil, fmt.Errorf("route %q: the path must begin with a slash", pattern)
	}
	parts := strings.Split(path[1:], "/")
	seen := map[string]bool{}
	for i, part := range parts {
		last := i == len(parts)-1
		switch {
		case part == "" && last:
			segs = append(segs, segment{kind: rest})
		case part == "":
			return "", nil, fmt.Errorf("route %q: the path has an empty segment", pattern)
		case part == "{$}":
			if !last {
				return "", nil, fmt.Errorf("route %q: {$} must be at the end", pattern)
			}
		case strings.HasPrefix(part, "{") && strings.HasSuffix(part, "}"):
			s := segment{text: part[1 : len(part)-1], kind: wildcard}
			if name, ok := strings.CutSuffix(s.text, "..."); ok {
				if !last {
					return "", nil, fmt.Errorf("route %q: %s must be at the end", pattern, part)
				}
				s = segment{text: name, kind: rest}
			}
			if !isIdentifier(s.text) || seen[s.text] {
				return "", nil, fmt.Errorf("route %q: %s is not a name, or used twice", pattern, part)
			}
			seen[s.text] = true
			segs = append(segs, s)
		case strings.ContainsAny(part, "{}%"):
			return "", nil, fmt.Errorf("route %q: segment %q must be a literal or one {name}", pattern, part)
		default:
			segs = append(segs, segment{text: part})
		}
	}
	return method, segs, nil
}

func isIdentifier(s string) bool {
	for i, c := range s {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
