package entity

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func rowTexts(rows []SearchRow) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		switch {
		case r.Value == nil && r.Original == nil:
			out[i] = r.Key + " null"
		case *r.Value == *r.Original:
			out[i] = fmt.Sprintf("%s=%s", r.Key, *r.Value)
		default:
			out[i] = fmt.Sprintf("%s=%s (%s)", r.Key, *r.Value, *r.Original)
		}
	}
	return out
}

// The example of contract catalog.md, 5.2.
func TestFlattenExample(t *testing.T) {
	t.Parallel()
	e := Entity{
		"apiVersion": "backstage.io/v1alpha1", "kind": "Component",
		"metadata": map[string]any{
			"name": "Petstore-Web", "uid": "u", "etag": "x",
			"annotations": map[string]any{"github.com/project-slug": "acme/petstore-web"},
			"tags":        []any{"react", "web"},
			"links":       []any{map[string]any{"url": "https://example.com/dash"}},
		},
		"spec":      map[string]any{"providesApis": []any{"web-api"}},
		"relations": []any{map[string]any{"type": "x", "targetRef": "y"}},
		"status":    map[string]any{"items": []any{"x"}},
	}
	got := rowTexts(Flatten(e, []Relation{
		{Type: "ownedBy", Target: "user:default/jane"}, {Type: "partOf", Target: "system:default/shop"}, {Type: "partOf", Target: "component:default/petstore"},
	}))
	want := []string{
		"apiversion=backstage.io/v1alpha1",
		"kind=component (Component)",
		"metadata.annotations.github.com/project-slug=acme/petstore-web",
		"metadata.links.url=https://example.com/dash",
		"metadata.name=petstore-web (Petstore-Web)",
		"metadata.namespace=default",
		"metadata.tags=react",
		"metadata.tags=web",
		"metadata.tags.react=true",
		"metadata.tags.web=true",
		"metadata.uid=u",
		"relations.ownedby=user:default/jane",
		"relations.partof=component:default/petstore",
		"relations.partof=system:default/shop",
		"spec.providesapis=web-api",
		"spec.providesapis.web-api=true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// One case per rule of contract catalog.md, 5.2: what spec gives below metadata.*.
func TestFlattenRules(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	for name, tt := range map[string]struct {
		spec any
		want []string
	}{
		"dotted keys":               {map[string]any{"a.b": map[string]any{"c/d": "X"}}, []string{"spec.a.b.c/d=x (X)"}},
		"arrays of objects":         {[]any{map[string]any{"a": 1.0}, map[string]any{"a": 2.0}}, []string{"spec.a=1", "spec.a=2"}},
		"arrays of arrays":          {[]any{[]any{"a"}, "b"}, []string{"spec=a", "spec=b", "spec.a=true", "spec.b=true"}},
		"numbers and booleans":      {map[string]any{"a": 1.5, "b": true, "c": false, "d": 1e21}, []string{"spec.a=1.5", "spec.b=true", "spec.c=false", "spec.d=1e+21"}},
		"null":                      {map[string]any{"a": nil}, []string{"spec.a null"}},
		"empty string":              {map[string]any{"a": ""}, []string{"spec.a="}},
		"empty object and array":    {map[string]any{"a": map[string]any{}, "b": []any{}}, []string{}},
		"empty string in an array":  {[]any{""}, []string{"spec=", "spec.=true"}},
		"a value of 200 characters": {long(200), []string{"spec=" + long(200)}},
		"a value of 201 characters": {long(201), []string{"spec null"}},
		"length counts UTF-16":      {map[string]any{"a": strings.Repeat("😀", 100), "b": strings.Repeat("😀", 101), "c": strings.Repeat("ü", 200)}, []string{"spec.a=" + strings.Repeat("😀", 100), "spec.b null", "spec.c=" + strings.Repeat("ü", 200)}},
		"a key of 200 characters":   {map[string]any{long(195): "v"}, []string{"spec." + long(195) + "=v"}},
		"a key of 201 characters":   {map[string]any{long(196): "v"}, []string{}},
		"a long array element":      {[]any{long(196)}, []string{"spec=" + long(196)}},
		"duplicates":                {[]any{"Java", "java", "JAVA"}, []string{"spec=java (Java)", "spec.java=true"}},
		"duplicate nulls":           {[]any{nil, long(300), nil}, []string{"spec null"}},
		"elements that are no text": {[]any{1.0, true}, []string{"spec=1", "spec=true"}},
		"case of other alphabets":   {map[string]any{"ÄΣ": "ΟΣ"}, []string{"spec.äς=ος (ΟΣ)"}},
		"what PostgreSQL refuses":   {map[string]any{"a\x00": "b\xff\x00"}, []string{"spec.a\ufffd=b\ufffd\ufffd"}},
		"a name below spec":         {map[string]any{"metadata.name": "x"}, []string{"spec.metadata.name=x"}},
	} {
		got := rowTexts(Flatten(Entity{"spec": tt.spec}, nil))
		got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "metadata.") })
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestFlattenSkipsWhatItAddsItself(t *testing.T) {
	t.Parallel()
	e := Entity{"metadata": map[string]any{"name": "N", "namespace": "Ns", "uid": "U", "etag": "E", "x": map[string]any{"name": "y"}}, "attachments": map[string]any{"a": "b"}}
	want := []string{"metadata.name=n (N)", "metadata.namespace=ns (Ns)", "metadata.uid=u (U)", "metadata.x.name=y"}
	if got := rowTexts(Flatten(e, nil)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestFlattenAllocatesPerEntityNotPerRow(t *testing.T) {
	e, relations := benchEntity()
	rows := 0
	allocs := testing.AllocsPerRun(100, func() { rows = len(Flatten(e, relations)) })
	if rows < 50 || allocs > 15 {
		t.Errorf("%d rows take %v allocations", rows, allocs)
	}
}

func BenchmarkFlatten(b *testing.B) {
	e, relations := benchEntity()
	b.ReportAllocs()
	for b.Loop() {
		_ = Flatten(e, relations)
	}
}

// benchEntity is a component as large as usual ones.
func benchEntity() (Entity, []Relation) {
	e := sampleEntities()[0]
	for i := range 8 {
		e.SetAnnotation(fmt.Sprintf("example.com/annotation-%d", i), fmt.Sprintf("https://example.com/some/Where/%d", i))
	}
	relations, err := NewModel(ModelOptions{}).RelationsOf(e)
	if err != nil {
		panic(err)
	}
	self := e.Ref().String()
	relations = slices.DeleteFunc(relations, func(r Relation) bool { return r.Source != self })
	return e, relations
}
