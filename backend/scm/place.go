package scm

import (
	"net/url"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// A Form is what a repository URL shows.
type Form string

// The forms that the hosts' URLs distinguish. FormRoot is a repository without
// a path in it; a bucket has no forms other than FormBlob.
const (
	FormRoot Form = "root"
	FormBlob Form = "blob"
	FormTree Form = "tree"
	FormRaw  Form = "raw"
	FormEdit Form = "edit"
)

// A Place is a repository URL taken apart. All fields are decoded.
type Place struct {
	// Repository identifies the repository on its host: "owner/name",
	// "group/subgroup/name", "organization/project/name", or a bucket.
	Repository string
	// Ref is a branch, a tag or a commit, as the URL names it; empty if the URL
	// leaves it to the host's default branch.
	Ref string
	// Path is the file or directory below the repository root, without a leading
	// slash; empty for the root itself. A trailing slash is kept.
	Path string
	// Form is how the URL shows it.
	Form Form

	// root is the escaped URL path that stands for the root of the repository at
	// Ref, without a trailing slash: what relative references cannot leave. file
	// is the escaped Path below it. Hosts that carry the path in the query
	// (Azure DevOps) have neither.
	root, file string
}

// Owner is the part of the repository before its last slash.
func (p Place) Owner() string {
	if i := strings.LastIndexByte(p.Repository, '/'); i >= 0 {
		return p.Repository[:i]
	}
	return ""
}

// Name is the last element of the repository.
func (p Place) Name() string {
	return p.Repository[strings.LastIndexByte(p.Repository, '/')+1:]
}

// parseAbsolute parses a URL that must have an http(s) scheme and a host.
func parseAbsolute(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, apierr.Input.New("invalid URL %q: %v", raw, unwrapURLError(err))
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return nil, apierr.Input.New("invalid URL %q: expected http:// or https:// and a host", raw)
	}
	return u, nil
}

// unwrapURLError drops the URL that package url repeats in its errors, because
// our own messages already have it.
func unwrapURLError(err error) error {
	if e, ok := err.(*url.Error); ok {
		return e.Err
	}
	return err
}

// maxDecodeRounds bounds the repeated decoding of paths. A path that still
// changes after so many rounds is refused: no file has such a name.
const maxDecodeRounds = 8

// checkSegments refuses a path with a "." or ".." segment, however often it is
// percent-encoded and whichever slash separates it (SEC-27): a host that decodes
// once more than we do would otherwise serve another API endpoint under the
// integration's credentials. An escape that cannot be decoded ends the decoding.
func checkSegments(rawURL, escaped string) error {
	path := escaped
	for range maxDecodeRounds {
		if hasDotSegment(path) {
			return apierr.Input.New("URL %q is refused: its path has a \".\" or \"..\" segment", rawURL)
		}
		if strings.ContainsAny(path, "\x00\r\n") {
			return apierr.Input.New("URL %q is refused: its path has a control character", rawURL)
		}
		decoded := lenientUnescape(path)
		if decoded == path {
			return nil
		}
		path = decoded
	}
	return apierr.Input.New("URL %q is refused: its path is percent-encoded more than %d times", rawURL, maxDecodeRounds)
}

func hasDotSegment(path string) bool {
	for segment := range strings.FieldsFuncSeq(path, isSlash) {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

func isSlash(r rune) bool { return r == '/' || r == '\\' }

// lenientUnescape decodes every valid %XX and leaves the rest as it is, so that
// one broken escape cannot hide a dot segment next to it.
func lenientUnescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi >= 0 && lo >= 0 {
				b.WriteByte(byte(hi<<4 | lo))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// escapePath percent-encodes what may not stand in a URL path and leaves valid
// escapes alone. It encodes as browsers do, which is less than
// url.PathEscape: names of generated Locations are hashes of these URLs, so
// every byte counts.
func escapePath(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		broken := c == '%' && (i+2 >= len(s) || unhex(s[i+1]) < 0 || unhex(s[i+2]) < 0)
		if broken || c <= ' ' || c >= 0x7f || strings.IndexByte("\"#<>?`{}", c) >= 0 {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// segments splits an escaped URL path at its slashes, without the leading one.
// A trailing slash yields a last empty segment.
func segments(escaped string) []string {
	trimmed := strings.TrimPrefix(escaped, "/")
	if trimmed == "" {
		return nil
	}
	return strings.Split(trimmed, "/")
}

// unescape decodes a path or a segment once; what is not an escape stays.
func unescape(s string) string { return lenientUnescape(s) }

// incorrectURL is the error for a URL of a known host in no known form.
func incorrectURL(u *url.URL, expected string) error {
	return apierr.Input.New("Incorrect URL: %s, expected %s", u, expected)
}

// place makes the Place of a URL path that is made of segments: the first `head`
// of them, already interpreted, stand for the repository and the ref.
func place(repository, ref string, form Form, parts []string, head int) Place {
	file := strings.Join(parts[head:], "/")
	return Place{
		Repository: unescapeSegments(repository), Ref: unescape(ref), Path: unescape(file), Form: form,
		root: joinRoot(parts[:head]), file: file,
	}
}

// unescapeSegments decodes each segment of a repository's name, except one that
// would become several: "a%2Fb" must not be taken for two segments of an API
// address (SEC-27).
func unescapeSegments(escaped string) string {
	parts := strings.Split(escaped, "/")
	for i, part := range parts {
		if decoded := unescape(part); !strings.ContainsAny(decoded, `/\`) {
			parts[i] = decoded
		}
	}
	return strings.Join(parts, "/")
}

// apiPath escapes a decoded path for use in an API's address, slashes excepted.
func apiPath(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/")
}

// sameHostName compares a URL's host with a configured one, which is in lower
// case; the scheme's default port counts as none.
func sameHostName(u *url.URL, host string) bool { return hostOf(u) == host }

// hostOf is the host of u in lower case, with its port unless that is the
// scheme's default.
func hostOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		return strings.TrimSuffix(host, ":443")
	case "http":
		return strings.TrimSuffix(host, ":80")
	}
	return host
}

// joinRoot is the escaped prefix "/a/b/c" of the given segments.
func joinRoot(parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	return "/" + strings.Join(parts, "/")
}
