package scm

import (
	"net/url"
	"strings"
)

// githubForms knows https://HOST/OWNER/REPO/(blob|tree|raw|edit)/REF/PATH. A ref
// is one segment: branches with a slash need a ref in the form of a commit or tag.
type githubForms struct{ c *GitHubConfig }

func newGitHubForms(c *GitHubConfig) (string, forms) { return c.Host, githubForms{c} }

func (f githubForms) matches(u *url.URL) bool { return sameHostName(u, f.c.Host) }

func (f githubForms) parse(u *url.URL) (Place, error) {
	const expected = "https://HOST/OWNER/REPO/blob/REF/PATH"
	parts := segments(strings.TrimRight(u.EscapedPath(), "/"))
	if len(parts) < 2 || parts[0] == "" || parts[1] == "" {
		return Place{}, incorrectURL(u, expected)
	}
	repository := parts[0] + "/" + strings.TrimSuffix(parts[1], ".git")
	if len(parts) == 2 {
		p := place(repository, "", FormRoot, parts, 2)
		p.root += "/tree/HEAD"
		return p, nil
	}
	form := Form(parts[2])
	if len(parts) < 4 || !isGitForm(form) || parts[3] == "" {
		return Place{}, incorrectURL(u, expected)
	}
	return place(repository, parts[3], form, segments(u.EscapedPath()), 4), nil
}

func isGitForm(f Form) bool {
	return f == FormBlob || f == FormTree || f == FormRaw || f == FormEdit
}

func (f githubForms) resolve(base *url.URL, ref string) (string, error) {
	return resolveInRepository(githubTree{f}, base, ref)
}

// githubTree is githubForms whose places lie below tree URLs, which is where the
// contract wants every resolved URL.
type githubTree struct{ githubForms }

func (f githubTree) parse(u *url.URL) (Place, error) {
	p, err := f.githubForms.parse(u)
	if err == nil && p.Form != FormRoot {
		p.root = replaceSegment(p.root, 2, "tree")
	}
	return p, err
}

func (f githubForms) edit(u *url.URL) string {
	p, err := f.parse(u)
	if err != nil || p.Form == FormRoot {
		return u.String()
	}
	return withPath(u, replaceSegment(u.EscapedPath(), 2, "edit"))
}

// replaceSegment replaces the n-th segment of an escaped path.
func replaceSegment(escaped string, n int, with string) string {
	parts := segments(escaped)
	parts[n] = with
	return joinRoot(parts)
}

// withPath is u with another escaped path.
func withPath(u *url.URL, escaped string) string {
	c := *u
	c.Path, c.RawPath = unescape(escaped), escaped
	return c.String()
}
