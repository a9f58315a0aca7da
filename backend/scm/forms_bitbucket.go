package scm

import (
	"net/url"
	"slices"
	"strings"
)

// bitbucketCloudForms knows https://bitbucket.org/WORKSPACE/REPO/(src|raw)/REF/PATH,
// where a query ?at=REF names a branch whose name has a slash.
type bitbucketCloudForms struct{ c *BitbucketCloudConfig }

const bitbucketCloudHost = "bitbucket.org"

func newBitbucketCloudForms(c *BitbucketCloudConfig) (string, forms) {
	return bitbucketCloudHost, bitbucketCloudForms{c}
}

func (f bitbucketCloudForms) matches(u *url.URL) bool { return sameHostName(u, bitbucketCloudHost) }

func (f bitbucketCloudForms) parse(u *url.URL) (Place, error) {
	const expected = "https://bitbucket.org/WORKSPACE/REPO/src/REF/PATH"
	parts := segments(u.EscapedPath())
	if n := len(parts); n > 2 && parts[n-1] == "" && n == 3 {
		parts = parts[:2]
	}
	if len(parts) < 2 || parts[0] == "" || parts[1] == "" {
		return Place{}, incorrectURL(u, expected)
	}
	repository := parts[0] + "/" + strings.TrimSuffix(parts[1], ".git")
	if len(parts) == 2 {
		p := place(repository, "", FormRoot, parts, 2)
		p.root += "/src/HEAD"
		return p, nil
	}
	if len(parts) < 4 || parts[3] == "" || (parts[2] != "src" && parts[2] != "raw") {
		return Place{}, incorrectURL(u, expected)
	}
	form := FormBlob
	if parts[2] == "raw" {
		form = FormRaw
	}
	p := place(repository, parts[3], form, parts, 4)
	if at := queryValue(u, "at"); at != "" {
		p.Ref = at
	}
	return p, nil
}

func (f bitbucketCloudForms) resolve(base *url.URL, ref string) (string, error) {
	return resolveInRepository(f, base, ref)
}

func (f bitbucketCloudForms) edit(u *url.URL) string {
	p, err := f.parse(u)
	if err != nil || p.Form == FormRoot {
		return u.String()
	}
	return withQuery(u, [2]string{"mode", "edit"}, [2]string{"at", p.Ref})
}

// bitbucketServerForms knows
// https://HOST[/CONTEXT]/projects/KEY/repos/REPO/(browse|raw)/PATH?at=REF and the
// same below /users/NAME, whose project key is ~NAME.
type bitbucketServerForms struct{ c *BitbucketServerConfig }

func newBitbucketServerForms(c *BitbucketServerConfig) (string, forms) {
	return c.Host, bitbucketServerForms{c}
}

func (f bitbucketServerForms) matches(u *url.URL) bool { return sameHostName(u, f.c.Host) }

func (f bitbucketServerForms) parse(u *url.URL) (Place, error) {
	const expected = "https://HOST/projects/KEY/repos/REPO/browse/PATH?at=REF"
	parts := segments(u.EscapedPath())
	repos := slices.Index(parts, "repos")
	if repos < 2 || len(parts) < repos+2 || parts[repos+1] == "" {
		return Place{}, incorrectURL(u, expected)
	}
	key := parts[repos-1]
	switch parts[repos-2] {
	case "projects":
	case "users":
		key = "~" + key
	default:
		return Place{}, incorrectURL(u, expected)
	}
	repository := key + "/" + parts[repos+1]
	ref := shortRef(queryValue(u, "at"))
	if len(parts) == repos+2 || (len(parts) == repos+3 && parts[repos+2] == "") {
		p := place(repository, "", FormRoot, parts, repos+2)
		p.Ref, p.file, p.Path = ref, "", ""
		p.root += "/browse"
		return p, nil
	}
	var form Form
	switch parts[repos+2] {
	case "browse":
		form = FormBlob
	case "raw":
		form = FormRaw
	default:
		return Place{}, incorrectURL(u, expected)
	}
	p := place(repository, "", form, parts, repos+3)
	p.Ref = ref
	return p, nil
}

// shortRef cuts the namespace of branches off a full ref name.
func shortRef(ref string) string { return strings.TrimPrefix(ref, "refs/heads/") }

func (f bitbucketServerForms) resolve(base *url.URL, ref string) (string, error) {
	return resolveInRepository(f, base, ref)
}

func (f bitbucketServerForms) edit(u *url.URL) string {
	p, err := f.parse(u)
	if err != nil || p.Form == FormRoot {
		return u.String()
	}
	return withQuery(u, [2]string{"mode", "edit"}, [2]string{"spa", "0"}, [2]string{"at", p.Ref})
}

// withQuery sets parameters of u, keeping the order and the rest of its query.
func withQuery(u *url.URL, set ...[2]string) string {
	c := *u
	c.RawQuery = setQuery(u.RawQuery, set...)
	return c.String()
}

// setQuery sets parameters in a raw query as a browser's URLSearchParams does:
// in place, appending new ones, everything re-encoded as a form. Values that are
// empty are left out.
func setQuery(raw string, set ...[2]string) string {
	var pairs [][2]string
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		pairs = append(pairs, [2]string{unescapeForm(key), unescapeForm(value)})
	}
	for _, s := range set {
		if s[1] == "" {
			continue
		}
		at := slices.IndexFunc(pairs, func(p [2]string) bool { return p[0] == s[0] })
		if at < 0 {
			pairs = append(pairs, s)
		} else {
			pairs[at] = s
		}
	}
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(escapeForm(p[0]) + "=" + escapeForm(p[1]))
	}
	return b.String()
}

// queryValue is the first value of a parameter. Unlike url.Values it does not
// drop a pair with a broken escape, which a host may read in its own way.
func queryValue(u *url.URL, name string) string {
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		if key, value, _ := strings.Cut(pair, "="); unescapeForm(key) == name {
			return unescapeForm(value)
		}
	}
	return ""
}

func unescapeForm(s string) string { return unescape(strings.ReplaceAll(s, "+", " ")) }

var formDifferences = strings.NewReplacer("~", "%7E", "%2A", "*")

func escapeForm(s string) string { return formDifferences.Replace(url.QueryEscape(s)) }
