package scm

import (
	"net/url"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// azureForms knows https://HOST/ORGANIZATION/PROJECT/_git/REPO?path=/PATH&version=GBREF.
// On a server of one's own, any number of segments may stand in front of the
// project. A repository named like its project may leave the project out.
type azureForms struct{ c *AzureConfig }

func newAzureForms(c *AzureConfig) (string, forms) { return c.Host, azureForms{c} }

func (f azureForms) matches(u *url.URL) bool { return sameHostName(u, f.c.Host) }

func (f azureForms) parse(u *url.URL) (Place, error) {
	const expected = "https://HOST/ORGANIZATION/PROJECT/_git/REPO?path=/PATH"
	parts := segments(strings.TrimRight(u.EscapedPath(), "/"))
	git := slices.Index(parts, "_git")
	if git < 1 || len(parts) != git+2 || slices.Contains(parts, "") {
		return Place{}, incorrectURL(u, expected)
	}
	scope, repo := parts[:git], parts[git+1]
	if git == 1 {
		scope = append(slices.Clone(scope), repo)
	}
	path := queryValue(u, "path")
	if err := checkSegments(u.String(), path); err != nil {
		return Place{}, err
	}
	p := Place{
		Repository: unescapeSegments(strings.Join(scope, "/") + "/" + repo),
		Path:       strings.TrimLeft(path, "/"),
		Form:       FormBlob,
	}
	if p.Path == "" {
		p.Form = FormRoot
	}
	if version := queryValue(u, "version"); version != "" {
		if azureVersionType(version) == "" || len(version) == 2 {
			return Place{}, apierr.Input.New("Incorrect URL: %s, expected a version that starts with GB (branch), GT (tag) or GC (commit)", u)
		}
		p.Ref = version[2:]
	}
	return p, nil
}

// azureVersionType is the API's name for what the first two letters of a
// version say it is.
func azureVersionType(version string) string {
	switch {
	case strings.HasPrefix(version, "GB"):
		return "branch"
	case strings.HasPrefix(version, "GT"):
		return "tag"
	case strings.HasPrefix(version, "GC"):
		return "commit"
	}
	return ""
}

// resolve works on the query's path; the repository stays as it is.
func (f azureForms) resolve(base *url.URL, ref string) (string, error) {
	if err := checkSegments(base.String(), base.EscapedPath()); err != nil {
		return "", err
	}
	p, err := f.parse(base)
	if err != nil {
		return "", err
	}
	path, fragment, _ := strings.Cut(ref, "#")
	path, _, _ = strings.Cut(path, "?")
	joined, err := joinRelative(escapePath(p.Path), path)
	if err != nil {
		return "", apierr.Input.New("cannot resolve %q against %q: %v", ref, base, err)
	}
	c := *base
	c.RawQuery = setQuery(base.RawQuery, [2]string{"path", "/" + unescape(joined)})
	c.Fragment = fragment
	return c.String(), nil
}

// edit returns u: the host's editor has no address of its own.
func (f azureForms) edit(u *url.URL) string { return u.String() }
