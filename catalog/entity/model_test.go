package entity

import (
	"errors"
	"strings"
	"testing"
)

func TestFieldFormats(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("a", n) }
	subdomain := long(61) + strings.Repeat("."+long(63), 3) // 253 characters
	for _, tt := range []struct {
		name     string
		valid    func(string) bool
		yes, not []string
	}{
		{"apiVersion", ValidAPIVersion,
			[]string{"v1", "backstage.io/v1alpha1", "a/B", subdomain + "/v1", "x/" + long(63)},
			[]string{"", "/v1", "a/", "a/b/c", "A/b", "v-1", "a..b/v1", "a" + subdomain + "/v1", "x/" + long(64), "a/v1\n"}},
		{"kind", ValidKind, []string{"Component", "a", "A1", long(63)}, []string{"", "1a", "a-b", "a_b", "ä", long(64)}},
		{"name", ValidName, []string{"a", "A-b_c.d", "a--b", "1", long(63)}, []string{"", "-a", "a-", "a.", "a b", "a/b", "ä", long(64), "a\n"}},
		{"namespace", ValidNamespace, []string{"a", "a-b", "a--b", "1", long(63)}, []string{"", "A", "-a", "a-", "a.b", "a_b", long(64)}},
		{"prefixed key", ValidPrefixedKey, []string{"a", "a.b/c", "a-b/A_b", subdomain + "/a"}, []string{"", "/a", "a/", "a/b/c", "A/b", "a_b/c", "a./b", "a" + subdomain + "/a", "a/" + long(64)}},
		{"label value", ValidLabelValue, []string{"", "a", "A.b"}, []string{" ", "a b", "-"}},
		{"tag", ValidTag, []string{"java", "c++", "c#", "a:b", "a-b", long(63)}, []string{"", "Java", "a--b", "-a", "a-", "a_b", "a b", "ä", long(64)}},
		{"url", validURL,
			[]string{"https://example.com", "http:example.com", "HTTPS://u:p@example.com:8080/a b?c#d", "mailto:a@b", "x:y", "https://[::1]/", " https://example.com/%zz ", "https://exämple.com"},
			[]string{"", "x", "/a", "//example.com", "https://", "https:", "http://?x", "https://a b/", "https://a:99999/", "https://a:x/", "1:x", "x:", "http://[::1/"}},
		{"qualified reference", qualifiedRef, []string{"a:b", "a:b/c", "a::"}, []string{"", "a", "a/b", ":a", "a:", "a/b:c"}},
	} {
		for _, s := range tt.yes {
			if !tt.valid(s) {
				t.Errorf("%s: %q is refused", tt.name, s)
			}
		}
		for _, s := range tt.not {
			if tt.valid(s) {
				t.Errorf("%s: %q is accepted", tt.name, s)
			}
		}
	}
}

func TestSamplesAreValid(t *testing.T) {
	t.Parallel()
	m := NewModel(ModelOptions{})
	for _, e := range sampleEntities() {
		if known, err := m.CheckKind(e); err != nil || known != (e.Kind() != "Widget") {
			t.Errorf("%s: %v %v", e.Kind(), known, err)
		}
		if e.Kind() == "Widget" {
			continue
		}
		if err := m.Validate(e); err != nil {
			t.Errorf("%s: %v", e.Kind(), err)
		}
	}
}

// Each case is a descriptor and all that is wrong with it.
func TestValidationNamesPathExpectationAndFinding(t *testing.T) {
	t.Parallel()
	m := NewModel(ModelOptions{})
	for in, want := range map[string]string{
		"{}": `/apiVersion: expected a non-empty string, found nothing
/kind: expected a non-empty string, found nothing
/metadata: expected an object, found nothing`,
		"apiVersion: backstage.io/v1alpha1\nkind: componnent\nmetadata: {name: a}\nspec: {}": `/kind: expected a kind of this catalog: Component, API, Resource, System, Domain, Group, User, Location or Template, found "componnent"; did you mean Component?`,
		"apiVersion: backstage.io/v1alpha1\nkind: component\nmetadata: {name: a}\nspec: {}":  `/kind: expected a kind of this catalog: Component, API, Resource, System, Domain, Group, User, Location or Template, found "component"; did you mean Component? case matters here`,
		"apiVersion: backstage.io/v2\nkind: API\nmetadata: {name: a}":                        `/apiVersion: expected backstage.io/v1alpha1 or backstage.io/v1beta1 for kind API, found "backstage.io/v2"`,
		"apiVersion: backstage.io/v1alpha1\nkind: Widget\nmetadata: {name: a}":               `/kind: expected a kind of this catalog: Component, API, Resource, System, Domain, Group, User, Location or Template, found "Widget"`,
		"apiVersion: backstage.io/v1alpha1\nkind: System\nmetadata: {name: a}\nspce: {owner: x}": `/spce: expected only apiVersion, kind, metadata, spec at the root, found "spce"; did you mean spec?
/spec: expected an object, found nothing; did you mean spec where it says "spce"?`,
		"apiVersion: backstage.io/v1alpha1\nkind: System\nmetadata: {name: a}\nspec: {ownr: x}\nrelations: []": `/relations: expected only apiVersion, kind, metadata, spec at the root, found "relations"; the catalog makes this member itself; remove it
/spec/owner: expected a non-empty string, found nothing; did you mean owner where it says "ownr"?`,
		"apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: a b, namespace: Default, labels: {a/b/c: x y, n: 1}, tags: [Java, 1, ''], links: [{url: x, title: ' '}], annotations: {x: null}}\nspec: {type: '', lifecycle: 1, owner: null, providesApis: x, dependsOn: [a]}": `/metadata/labels/n: expected a string, found the number 1
/metadata/annotations/x: expected a string, found null
/metadata/tags/1: expected a non-empty string, found the number 1
/metadata/tags/2: expected a non-empty string, found an empty string
/metadata/links/0/url: expected an absolute URL, found "x"
/metadata/links/0/title: expected a string that is not blank, found " "
/metadata/name: expected 1 to 63 of letters, digits, - _ and ., with a letter or digit at both ends, found "a b"
/metadata/namespace: expected 1 to 63 lower-case letters, digits and -, with a letter or digit at both ends, found "Default"
/metadata/labels/a~1b~1c: expected a key of 1 to 63 of letters, digits, - _ and ., with a letter or digit at both ends, optionally after a DNS subdomain and a slash, found "a/b/c"
/metadata/labels/a~1b~1c: expected an empty string, or 1 to 63 of letters, digits, - _ and ., with a letter or digit at both ends, found "x y"
/metadata/tags/0: expected 1 to 63 lower-case letters, digits and : + #, in groups with a single - between them, found "Java"
/spec/type: expected a non-empty string, found an empty string
/spec/lifecycle: expected a non-empty string, found the number 1
/spec/owner: expected a non-empty string, found null
/spec/providesApis: expected an array of strings, found "x"
/spec/dependsOn/0: expected an entity reference with a kind, found "a"`,
		"apiVersion: backstage.io/v1alpha1\nkind: System\nmetadata: {name: a}\nspec: {owner: 'group:', foo: 1, Foo: 2}": `/spec/owner: expected an entity reference, found "group:"; entity reference "group:" is malformed; expected [<kind>:][<namespace>/]<name>
/spec/foo: expected keys that differ in more than upper and lower case, found spec.Foo, spec.foo; rename one, or write them alike`,
		"apiVersion: scaffolder.backstage.io/v1beta3\nkind: Template\nmetadata: {name: a}\nspec: {type: x, steps: [{}, {action: a, if: 1}], parameters: x, output: {links: {}, other: 1}}": `/spec/steps/0/action: expected a string, found nothing
/spec/steps/1/if: expected a string or a boolean, found the number 1
/spec/parameters: expected an object or an array of objects, found "x"
/spec/output/links: expected an array of objects, found an object
/spec/output/other: expected a string, found the number 1`,
		"apiVersion: backstage.io/v1alpha1\nkind: Location\nmetadata: {name: a}\nspec: {presence: maybe}": `/spec/presence: expected required or optional, found "maybe"`,
	} {
		v, err := ParseValue("x.yaml", []byte(in), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		err = m.Validate(Entity(v.(map[string]any)))
		if err == nil || err.Error() != want {
			t.Errorf("%s\n got:\n%v\nwant:\n%s", in, err, want)
		}
		var one ValidationError
		if !errors.As(err, &one) {
			t.Errorf("%s: no ValidationError in %v", in, err)
		}
	}
}

func TestFormatsAreReplaceable(t *testing.T) {
	t.Parallel()
	e := Entity{"apiVersion": "v1", "kind": "A", "metadata": map[string]any{"name": "ä", "tags": []any{"Ü"}}}
	m := NewModel(ModelOptions{Formats: Formats{Tag: Format{Valid: func(s string) bool { return s == "Ü" }}}})
	err := m.CheckFormats(e)
	if err == nil || strings.Contains(err.Error(), "tags") || !strings.Contains(err.Error(), "/metadata/name") {
		t.Error(err)
	}
	e.Set([]any{"x"}, "metadata", "tags")
	if err := m.CheckFormats(e); !strings.Contains(err.Error(), `/metadata/tags/0: expected a value the configured rule accepts, found "x"`) {
		t.Error(err)
	}
}

func TestAIKindsAreOptIn(t *testing.T) {
	t.Parallel()
	plain, ai := NewModel(ModelOptions{}), NewModel(ModelOptions{AIKinds: true})
	make := func(kind string, spec map[string]any) Entity {
		spec["lifecycle"], spec["owner"] = "production", "team-a"
		return Entity{"apiVersion": "backstage.io/v1alpha1", "kind": kind, "metadata": map[string]any{"name": "a"}, "spec": spec}
	}
	for _, tt := range []struct {
		e    Entity
		want string // error with AI kinds
	}{
		{make("AiResource", map[string]any{"type": "skill", "disciplines": []any{"a"}, "compatibility": strings.Repeat("ä", 500)}), ""},
		{make("AiResource", map[string]any{"type": "skill", "compatibility": strings.Repeat("ä", 501)}), "/spec/compatibility: expected a string of 1 to 500 characters"},
		{make("AiResource", map[string]any{"type": "rule"}), "/spec/category: expected a non-empty string, found nothing\n/spec/rationale: expected a non-empty string, found nothing"},
		{make("AiResource", map[string]any{"type": "plugin", "skills": []any{"a"}}), ""},
		{make("AiResource", map[string]any{"type": "plugin"}), "/spec/skills: expected an array of strings, found nothing"},
		{make("AiResource", map[string]any{"type": "marketplace", "plugins": []any{}}), ""},
		{make("AiResource", map[string]any{"type": "other"}), ""},
		{make("API", map[string]any{"type": "mcp-server", "remotes": []any{map[string]any{"type": "sse", "url": "https://x"}}}), ""},
		{make("API", map[string]any{"type": "mcp-server", "remotes": []any{}}), "/spec/remotes: expected an array of at least 1, found an empty array"},
		{make("API", map[string]any{"type": "mcp-server", "definition": "x"}), "/spec/remotes: expected an array of objects, found nothing"},
		{make("API", map[string]any{"type": "openapi"}), "/spec/definition: expected a non-empty string, found nothing"},
	} {
		err := ai.Validate(tt.e)
		if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %s", tt.e, err, tt.want)
		}
		if tt.e.Kind() == "AiResource" {
			if known, _ := plain.CheckKind(tt.e); known {
				t.Error("AiResource is known without being switched on")
			}
		}
	}
	relations, err := ai.RelationsOf(make("AiResource", map[string]any{"type": "other", "system": "s"}))
	if err != nil || len(relations) != 4 {
		t.Error(relations, err)
	}
}

func TestDefaultNamespaceIsWrittenIntoACopy(t *testing.T) {
	t.Parallel()
	e := Entity{"metadata": map[string]any{"name": "a"}}
	got := WithDefaultNamespace(e)
	if _, ok := e.Get("metadata", "namespace"); ok || got.Namespace() != "default" {
		t.Error(e, got)
	}
	if v, ok := got.Get("metadata", "namespace"); !ok || v != "default" {
		t.Error(got)
	}
	other := Entity{"metadata": map[string]any{"namespace": "x"}}
	if WithDefaultNamespace(other).Namespace() != "x" {
		t.Error(other)
	}
}

func TestCaseClashesNameAllSpellings(t *testing.T) {
	t.Parallel()
	e := Entity{"spec": map[string]any{
		"Foo": map[string]any{"x": 1.0}, "foo": map[string]any{"x": 2.0}, "FOO": map[string]any{"X": 3.0},
		"steps": []any{map[string]any{"input": map[string]any{"repoUrl": "a"}}, map[string]any{"input": map[string]any{"repourl": "b"}}, map[string]any{"input": map[string]any{"repoUrl": "c"}}},
		"tags":  []any{"A", "a"},
	}, "status": map[string]any{"A": 1, "a": 2}, "relations": []any{map[string]any{"A": 1, "a": 2}}}
	err := CheckKeys(e)
	const want = `/spec/Foo/x: expected keys that differ in more than upper and lower case, found spec.FOO.X, spec.Foo.x, spec.foo.x; rename one, or write them alike
/spec/steps/1/input/repourl: expected keys that differ in more than upper and lower case, found spec.steps.input.repoUrl, spec.steps.input.repourl; rename one, or write them alike`
	if err == nil || err.Error() != want {
		t.Fatalf("%v", err)
	}
}
