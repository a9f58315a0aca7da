package scm

import (
	"net/url"
	"slices"
	"strings"
)

// gerritForms knows Gitiles URLs: GITILES/[a/]PROJECT/+/REF/PATH, where REF is
// refs/heads/BRANCH, refs/tags/TAG, or one segment that is a branch or a commit.
type gerritForms struct {
	c       *GerritConfig
	gitiles *url.URL
	prefix  []string
}

func newGerritForms(c *GerritConfig) (string, forms) {
	u, err := url.Parse(c.GitilesBaseURL)
	if err != nil {
		u = &url.URL{}
	}
	return c.Host, gerritForms{c, u, basePrefix(c.GitilesBaseURL)}
}

func (f gerritForms) matches(u *url.URL) bool {
	return sameHostName(u, f.c.Host) || sameHostName(u, hostOf(f.gitiles))
}

func (f gerritForms) parse(u *url.URL) (Place, error) {
	const expected = "GITILES/PROJECT/+/refs/heads/BRANCH/PATH"
	parts := segments(u.EscapedPath())
	skip := len(f.prefix)
	if len(parts) < skip || !slices.Equal(parts[:skip], f.prefix) {
		return Place{}, incorrectURL(u, "a path below "+f.c.GitilesBaseURL)
	}
	if len(parts) > skip && parts[skip] == "a" {
		skip++ // the authenticated form of the same place
	}
	plus := slices.Index(parts, "+")
	if plus < 0 {
		project := strings.TrimRight(strings.Join(parts[skip:], "/"), "/")
		if project == "" {
			return Place{}, incorrectURL(u, expected)
		}
		p := place(project, "", FormRoot, parts, len(parts))
		p.root = strings.TrimRight(p.root, "/") + "/+/HEAD"
		return p, nil
	}
	if plus <= skip || slices.Contains(parts[skip:plus], "") {
		return Place{}, incorrectURL(u, expected)
	}
	project := strings.Join(parts[skip:plus], "/")
	head := plus + 2
	if len(parts) > plus+1 && parts[plus+1] == "refs" {
		head = plus + 4
		if len(parts) < head || (parts[plus+2] != "heads" && parts[plus+2] != "tags") {
			return Place{}, incorrectURL(u, expected)
		}
	}
	if len(parts) < head || parts[head-1] == "" {
		return Place{}, incorrectURL(u, expected)
	}
	return place(project, parts[head-1], FormBlob, parts, head), nil
}

func (f gerritForms) resolve(base *url.URL, ref string) (string, error) {
	return resolveInRepository(f, base, ref)
}

func (f gerritForms) edit(u *url.URL) string {
	p, err := f.parse(u)
	if f.c.DisableEditURL || err != nil || p.Form == FormRoot || p.Path == "" {
		return u.String()
	}
	return f.c.BaseURL + "/admin/repos/edit/repo/" + escapePath(p.Repository) +
		"/branch/refs/heads/" + escapePath(p.Ref) + "/file/" + p.file
}
