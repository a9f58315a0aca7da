package entity

import (
	"fmt"
	"strings"
	"testing"
)

// One case per row of the table in contract catalog.md, 2.5.
func TestRelationTable(t *testing.T) {
	t.Parallel()
	m := NewModel(ModelOptions{})
	for _, tt := range []struct{ kind, field, value, forward, reverse, target string }{
		{"Component", "owner", "t", "ownedBy", "ownerOf", "group:ns/t"},
		{"API", "owner", "user:u", "ownedBy", "ownerOf", "user:ns/u"},
		{"Resource", "owner", "t", "ownedBy", "ownerOf", "group:ns/t"},
		{"System", "owner", "t", "ownedBy", "ownerOf", "group:ns/t"},
		{"Domain", "owner", "component:other/T", "ownedBy", "ownerOf", "component:other/t"},
		{"Template", "owner", "t", "ownedBy", "ownerOf", "group:ns/t"},
		{"Component", "subcomponentOf", "c", "partOf", "hasPart", "component:ns/c"},
		{"Component", "system", "s", "partOf", "hasPart", "system:ns/s"},
		{"API", "system", "s", "partOf", "hasPart", "system:ns/s"},
		{"Resource", "system", "other/s", "partOf", "hasPart", "system:other/s"},
		{"System", "domain", "d", "partOf", "hasPart", "domain:ns/d"},
		{"Domain", "subdomainOf", "d", "partOf", "hasPart", "domain:ns/d"},
		{"Component", "providesApis", "[a]", "providesApi", "apiProvidedBy", "api:ns/a"},
		{"Component", "consumesApis", "[a]", "consumesApi", "apiConsumedBy", "api:ns/a"},
		{"Component", "dependsOn", "['resource:r']", "dependsOn", "dependencyOf", "resource:ns/r"},
		{"Resource", "dependsOn", "['component:x/r']", "dependsOn", "dependencyOf", "component:x/r"},
		{"Component", "dependencyOf", "['resource:r']", "dependencyOf", "dependsOn", "resource:ns/r"},
		{"Resource", "dependencyOf", "['resource:r']", "dependencyOf", "dependsOn", "resource:ns/r"},
		{"User", "memberOf", "[g]", "memberOf", "hasMember", "group:ns/g"},
		{"Group", "parent", "g", "childOf", "parentOf", "group:ns/g"},
		{"Group", "children", "[g]", "parentOf", "childOf", "group:ns/g"},
		{"Group", "members", "[u]", "hasMember", "memberOf", "user:ns/u"},
	} {
		e := described(t, tt.kind, tt.field, tt.value)
		got, err := m.RelationsOf(e)
		self := e.Ref().String()
		want := []Relation{{self, tt.forward, tt.target}, {tt.target, tt.reverse, self}}
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s.%s: %v, %v, want %v", tt.kind, tt.field, got, err, want)
		}
	}
}

func described(t *testing.T, kind, field, value string) Entity {
	t.Helper()
	version := "backstage.io/v1alpha1"
	if kind == "Template" {
		version = "scaffolder.backstage.io/v1beta3"
	}
	text := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: Self, namespace: ns}\nspec: {%s: %s}", version, kind, field, value)
	v, err := ParseValue("x.yaml", []byte(text), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return Entity(v.(map[string]any))
}

func TestRelationErrors(t *testing.T) {
	t.Parallel()
	m := NewModel(ModelOptions{})
	_, err := m.RelationsOf(described(t, "Component", "dependsOn", "[a, 1, 'component:', component:b]"))
	const want = `/spec/dependsOn/0: expected an entity reference with a kind, found "a"; entity reference "a" has no kind; write <kind>:a
/spec/dependsOn/1: expected an entity reference with a kind, found the number 1
/spec/dependsOn/2: expected an entity reference with a kind, found "component:"; entity reference "component:" is malformed; expected [<kind>:][<namespace>/]<name>`
	if err == nil || err.Error() != want {
		t.Error(err)
	}
	if got, err := m.RelationsOf(described(t, "Widget", "owner", "x")); got != nil || err != nil {
		t.Error(got, err)
	}
}

func TestRelationsOfBigGroupsHaveNoDuplicates(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprintf("u%d, U%d", i%100, i%100))
	}
	got, err := NewModel(ModelOptions{}).RelationsOf(described(t, "Group", "members", "["+strings.Join(names, ", ")+"]"))
	if err != nil || len(got) != 200 {
		t.Error(len(got), err)
	}
}

func TestSortReferences(t *testing.T) {
	t.Parallel()
	m := NewModel(ModelOptions{})
	for _, field := range []string{"providesApis", "consumesApis", "dependsOn", "dependencyOf"} {
		e := described(t, "Component", field, "[b, a, B]")
		m.SortReferences(e)
		if got := e.SpecStrings(field); strings.Join(got, "") != "Bab" {
			t.Error(field, got)
		}
	}
	for kind, field := range map[string]string{"User": "memberOf", "Group": "children"} {
		e := described(t, kind, field, "[b, a]")
		m.SortReferences(e)
		if got := e.SpecStrings(field); strings.Join(got, "") != "ab" {
			t.Error(field, got)
		}
	}
	e := described(t, "Widget", "members", "[b, a]")
	m.SortReferences(e)
	if got := e.SpecStrings("members"); strings.Join(got, "") != "ba" {
		t.Error("a kind that is not builtin was sorted")
	}
}
