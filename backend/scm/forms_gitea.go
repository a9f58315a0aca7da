package scm

import (
	"net/url"
	"slices"
	"strings"
)

// giteaForms knows BASE/OWNER/REPO/(src|raw|_edit)/(branch|tag|commit)/REF/PATH.
type giteaForms struct {
	c      *GiteaConfig
	prefix []string
}

func newGiteaForms(c *GiteaConfig) (string, forms) {
	return c.Host, giteaForms{c, basePrefix(c.BaseURL)}
}

func (f giteaForms) matches(u *url.URL) bool { return sameHostName(u, f.c.Host) }

func (f giteaForms) parse(u *url.URL) (Place, error) {
	const expected = "https://HOST/OWNER/REPO/src/branch/REF/PATH"
	parts := segments(u.EscapedPath())
	skip := len(f.prefix)
	if len(parts) < skip+2 || !slices.Equal(parts[:skip], f.prefix) || parts[skip] == "" || parts[skip+1] == "" {
		return Place{}, incorrectURL(u, expected)
	}
	repository := parts[skip] + "/" + strings.TrimSuffix(parts[skip+1], ".git")
	rest := parts[skip+2:]
	if len(rest) == 0 || (len(rest) == 1 && rest[0] == "") {
		p := place(repository, "", FormRoot, parts, skip+2)
		p.file, p.Path = "", ""
		p.root += "/src/branch/HEAD"
		return p, nil
	}
	form, known := map[string]Form{"src": FormBlob, "raw": FormRaw, "_edit": FormEdit}[rest[0]]
	if !known || len(rest) < 2 {
		return Place{}, incorrectURL(u, expected)
	}
	head := skip + 5
	if form == FormEdit && !slices.Contains([]string{"branch", "tag", "commit"}, rest[1]) {
		head = skip + 4 // _edit/BRANCH/PATH
	} else if !slices.Contains([]string{"branch", "tag", "commit"}, rest[1]) {
		return Place{}, incorrectURL(u, expected)
	}
	if len(parts) < head || parts[head-1] == "" {
		return Place{}, incorrectURL(u, expected)
	}
	return place(repository, parts[head-1], form, parts, head), nil
}

func (f giteaForms) resolve(base *url.URL, ref string) (string, error) {
	return resolveInRepository(f, base, ref)
}

// edit returns the editor's page, which takes the branch's name alone.
func (f giteaForms) edit(u *url.URL) string {
	p, err := f.parse(u)
	if err != nil || p.Form == FormRoot || p.Path == "" {
		return u.String()
	}
	parts := segments(u.EscapedPath())[:len(f.prefix)+2]
	return withPath(u, joinRoot(parts)+"/_edit/"+escapePath(p.Ref)+"/"+p.file)
}

// harnessForms knows
// https://HOST/ng/account/ACCOUNT/module/code/[orgs/ORG/[projects/PROJECT/]]repos/REPO/(files|edit)/REF/~/PATH.
type harnessForms struct{ c *HarnessConfig }

func newHarnessForms(c *HarnessConfig) (string, forms) { return c.Host, harnessForms{c} }

func (f harnessForms) matches(u *url.URL) bool { return sameHostName(u, f.c.Host) }

func (f harnessForms) parse(u *url.URL) (Place, error) {
	const expected = "https://HOST/ng/account/ACCOUNT/module/code/orgs/ORG/projects/PROJECT/repos/REPO/files/REF/~/PATH"
	parts := segments(u.EscapedPath())
	repos := slices.Index(parts, "repos")
	if len(parts) < 7 || parts[0] != "ng" || parts[1] != "account" || repos < 5 || len(parts) < repos+2 || parts[2] == "" || parts[repos+1] == "" {
		return Place{}, incorrectURL(u, expected)
	}
	scope := []string{parts[2]}
	for i := 5; i < repos; i += 2 {
		if i+1 >= repos || (parts[i] != "orgs" && parts[i] != "projects") {
			return Place{}, incorrectURL(u, expected)
		}
		scope = append(scope, parts[i+1])
	}
	repository := strings.Join(append(scope, parts[repos+1]), "/")
	if len(parts) == repos+2 || (len(parts) == repos+3 && parts[repos+2] == "") {
		p := place(repository, "", FormRoot, parts, repos+2)
		p.file, p.Path = "", ""
		p.root += "/files/HEAD/~"
		return p, nil
	}
	tilde := slices.Index(parts, "~")
	if (parts[repos+2] != "files" && parts[repos+2] != "edit") || len(parts) < repos+4 {
		return Place{}, incorrectURL(u, expected)
	}
	form := FormBlob
	if parts[repos+2] == "edit" {
		form = FormEdit
	}
	if tilde < 0 { // the root directory of a ref
		p := place(repository, strings.TrimRight(strings.Join(parts[repos+3:], "/"), "/"), form, parts, len(parts))
		p.root = strings.TrimRight(p.root, "/") + "/~"
		return p, nil
	}
	if tilde <= repos+3 {
		return Place{}, incorrectURL(u, expected)
	}
	return place(repository, strings.Join(parts[repos+3:tilde], "/"), form, parts, tilde+1), nil
}

func (f harnessForms) resolve(base *url.URL, ref string) (string, error) {
	return resolveInRepository(f, base, ref)
}

func (f harnessForms) edit(u *url.URL) string {
	p, err := f.parse(u)
	if err != nil || p.Form == FormRoot || p.Path == "" {
		return u.String()
	}
	parts := segments(u.EscapedPath())
	return withPath(u, replaceSegment(u.EscapedPath(), slices.Index(parts, "repos")+2, "edit"))
}
