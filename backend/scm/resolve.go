package scm

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// absoluteRef matches a reference that has a scheme of its own.
var absoluteRef = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)

// resolveBelow resolves ref against the file below root, both escaped: "/x" is x
// below root, anything else is relative to the directory of file. The query of
// base is retained, a fragment comes from ref. The result never leaves root: a
// reference that climbs above it is an error, and so is one that hides a dot
// segment behind percent-encoding.
func resolveBelow(base *url.URL, root, file, ref string) (string, error) {
	path, fragment, hasFragment := strings.Cut(ref, "#")
	path, _, _ = strings.Cut(path, "?")
	joined, err := joinRelative(file, path)
	if err != nil {
		return "", apierr.Input.New("cannot resolve %q against %q: %v", ref, base, err)
	}
	var out strings.Builder
	out.WriteString(base.Scheme + "://" + base.Host + root)
	if joined != "" || ref != "" {
		out.WriteString("/" + joined)
	}
	if base.RawQuery != "" {
		out.WriteString("?" + base.RawQuery)
	}
	if hasFragment && fragment != "" {
		out.WriteString("#" + fragment)
	}
	return out.String(), nil
}

// resolvePlain resolves ref against a URL of no integration.
func resolvePlain(base *url.URL, ref string) (string, error) {
	return resolveBelow(base, "", base.EscapedPath(), ref)
}

// resolveInRepository resolves ref for hosts that carry repository, ref and file
// in the URL's path.
func resolveInRepository(f forms, base *url.URL, ref string) (string, error) {
	if err := checkSegments(base.String(), base.EscapedPath()); err != nil {
		return "", err
	}
	p, err := f.parse(base)
	if err != nil {
		return "", err
	}
	return resolveBelow(base, p.root, p.file, ref)
}

// joinRelative walks ref from the directory of the escaped path below. Both and
// the result are slash-separated; the result has no leading slash.
func joinRelative(below, ref string) (string, error) {
	if strings.Contains(ref, `\`) {
		return "", apierr.Input.New("it has a backslash")
	}
	var stack []string
	if !strings.HasPrefix(ref, "/") {
		stack = segments(below)
		if ref == "" {
			return strings.Join(stack, "/"), nil
		}
		if len(stack) > 0 {
			stack = stack[:len(stack)-1] // the file, or the empty segment after a trailing slash
		}
	}
	ref = escapePath(strings.TrimLeft(ref, "/"))
	directory := ref == ""
	for segment := range strings.SplitSeq(ref, "/") {
		directory = false
		switch segment {
		case "", ".":
			directory = true
		case "..":
			if len(stack) == 0 {
				return "", apierr.Input.New("it leaves the repository")
			}
			stack = stack[:len(stack)-1]
			directory = true
		default:
			if err := checkSegments(segment, segment); err != nil {
				return "", apierr.Input.New("it has an encoded dot segment")
			}
			stack = append(stack, segment)
		}
	}
	joined := strings.Join(stack, "/")
	if directory && joined != "" {
		joined += "/"
	}
	return joined, nil
}
