package codeownerscatalog

import (
	"strings"
	"testing"
)

func TestOwnersOfFiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, path, want string }{
		{"all", "* @acme/all", "catalog-info.yaml", "@acme/all"},
		{"the last match counts", "* @a\n*.yaml @b\n", "catalog-info.yaml", "@b"},
		{"a rule without owners takes them away", "* @a\n*.yaml\n", "catalog-info.yaml", ""},
		{"several owners", "* @a @acme/b c@acme.example", "x", "@a @acme/b c@acme.example"},
		{"no rule", "docs/ @a", "catalog-info.yaml", ""},
		{"a comment", "# * @a\n* @b # @c\n", "x", "@b"},
		{"a directory anywhere", "apps/ @a", "x/apps/y/catalog-info.yaml", "@a"},
		{"a directory at the root", "/apps/ @a", "x/apps/catalog-info.yaml", ""},
		{"a directory without its slash", "/apps @a", "apps/y/catalog-info.yaml", "@a"},
		{"files in a directory and not below", "docs/* @a", "docs/y/catalog-info.yaml", ""},
		{"files in a directory", "docs/* @a", "docs/catalog-info.yaml", "@a"},
		{"any directories", "docs/**/x.yaml @a", "docs/a/b/x.yaml", "@a"},
		{"no directory is any too", "docs/**/x.yaml @a", "docs/x.yaml", "@a"},
		{"all below", "/docs/** @a", "docs/a/b/x.yaml", "@a"},
		{"a name is matched whole", "catalog-info.yaml @a", "my-catalog-info.yaml", ""},
		{"a question mark", "?.yaml @a", "a.yaml", "@a"},
		{"a name with a space", `my\ docs/ @a`, "my docs/x", "@a"},
		{"a dot is a dot", "a.yaml @a", "aXyaml", ""},
		{"brackets are themselves", "[id].yaml @a", "i.yaml", ""},
		{"a negation is no pattern", "* @a\n!*.yaml @b\n", "x.yaml", "@a"},
		{"a section gives owners", "[Docs team] @docs\n*.md\n*.yaml @y\n", "x.md", "@docs"},
		{"an optional section with approvals", "^[Docs][2] @docs\n*.md\n", "x.md", "@docs"},
		{"words that are no owners", "* me @a 2\n", "x", "@a"},
		{"an empty file", "", "x", ""},
	} {
		if got := strings.Join(parse([]byte(tt.file)).of(tt.path), " "); got != tt.want {
			t.Errorf("%s: %q has %s owned by %q, want %q", tt.name, tt.file, tt.path, got, tt.want)
		}
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	for owner, want := range map[string]string{
		"@acme/payments": "payments", "@acme/platform/payments": "payments", "@jane": "user:jane", "jane@acme.example": "jane",
	} {
		if got := reference(owner); got != want {
			t.Errorf("%s is %s, want %s", owner, got, want)
		}
	}
}

func FuzzOwners(f *testing.F) {
	f.Add("* @a\n/docs/** @b\n[s][1] @c\n*.md", "docs/a.md")
	f.Add("\\ \\#x @a", "\xff")
	f.Fuzz(func(t *testing.T, file, path string) {
		for _, o := range parse([]byte(file)).of(path) {
			if reference(o) == o && strings.HasPrefix(o, "@") {
				t.Errorf("%q stays what it is", o)
			}
		}
	})
}
