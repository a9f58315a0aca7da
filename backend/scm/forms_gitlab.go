package scm

import (
	"net/url"
	"slices"
	"strings"
)

// gitlabForms knows https://HOST/GROUP/…/PROJECT/-/(blob|tree|raw|edit)/REF/PATH,
// the older form without "-", and job artifacts at
// https://HOST/GROUP/…/PROJECT/-/jobs/artifacts/REF/raw/PATH?job=NAME.
// GitLab may live below a path of its host, which baseUrl tells.
type gitlabForms struct {
	c      *GitLabConfig
	prefix []string // segments of the path of baseUrl
}

func newGitLabForms(c *GitLabConfig) (string, forms) {
	return c.Host, gitlabForms{c, basePrefix(c.BaseURL)}
}

// basePrefix returns the path segments of a base URL that Validate accepted.
func basePrefix(base string) []string {
	u, err := url.Parse(base)
	if err != nil {
		return nil
	}
	return segments(u.EscapedPath())
}

func (f gitlabForms) matches(u *url.URL) bool { return sameHostName(u, f.c.Host) }

func (f gitlabForms) parse(u *url.URL) (Place, error) {
	const expected = "https://HOST/GROUP/PROJECT/-/blob/REF/PATH"
	parts := segments(u.EscapedPath())
	skip := len(f.prefix)
	if len(parts) < skip || !slices.Equal(parts[:skip], f.prefix) {
		return Place{}, incorrectURL(u, "a path below "+f.c.BaseURL)
	}
	// The dash separates the project from what GitLab shows of it; without one,
	// the first form word after group and project does.
	end, rest := slices.Index(parts[skip:], "-"), 0
	if end >= 0 {
		end += skip
		rest = end + 1
	} else {
		for i := skip + 2; i < len(parts); i++ {
			if isGitForm(Form(parts[i])) {
				end, rest = i, i
				break
			}
		}
	}
	if end < 0 {
		project := strings.TrimSuffix(strings.TrimRight(strings.Join(parts[skip:], "/"), "/"), ".git")
		if strings.Count(project, "/") < 1 {
			return Place{}, incorrectURL(u, expected)
		}
		p := place(project, "", FormRoot, parts, len(parts))
		p.root = strings.TrimRight(p.root, "/") + "/-/tree/HEAD"
		return p, nil
	}
	project := strings.Join(parts[skip:end], "/")
	if end-skip < 2 || slices.Contains(parts[skip:end], "") {
		return Place{}, incorrectURL(u, expected)
	}
	if len(parts) >= rest+5 && parts[rest] == "jobs" && parts[rest+1] == "artifacts" && parts[rest+3] == "raw" {
		return place(project, parts[rest+2], FormRaw, parts, rest+4), nil
	}
	if len(parts) < rest+2 || !isGitForm(Form(parts[rest])) || parts[rest+1] == "" {
		return Place{}, incorrectURL(u, expected)
	}
	return place(project, parts[rest+1], Form(parts[rest]), parts, rest+2), nil
}

func (f gitlabForms) resolve(base *url.URL, ref string) (string, error) {
	return resolveInRepository(f, base, ref)
}

func (f gitlabForms) edit(u *url.URL) string {
	p, err := f.parse(u)
	if err != nil || p.Form == FormRoot || isArtifact(u) {
		return u.String()
	}
	n := len(segments(p.root)) - 2
	if n < 0 {
		return u.String()
	}
	return withPath(u, replaceSegment(u.EscapedPath(), n, "edit"))
}

// isArtifact reports whether u is the URL of a file that a job produced.
func isArtifact(u *url.URL) bool { return strings.Contains(u.EscapedPath(), "/-/jobs/artifacts/") }
