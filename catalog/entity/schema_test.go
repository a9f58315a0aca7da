package entity

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write golden files anew")

func TestSchemaIsUpToDate(t *testing.T) {
	t.Parallel()
	want, err := buildSchema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("entity.schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(Schema(), want) {
		t.Fatal("entity.schema.json does not say what the rules say; run go generate ./catalog/entity")
	}
}

func compileSchema(t *testing.T, name string, data []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shapeOnly is what a JSON Schema can say of the rules.
func shapeOnly(m *Model, e Entity) error {
	var errs []string
	_, kindErr := m.CheckKind(e)
	for _, err := range []error{m.CheckEnvelope(e), m.CheckRootFields(e), m.CheckFormats(e), kindErr} {
		if err != nil {
			errs = append(errs, err.Error())
		}
	}
	if errs == nil {
		return nil
	}
	return fmt.Errorf("%s", strings.Join(errs, "\n"))
}

// The contract's schema, our schema and the rules in Go agree on generated entities,
// most of which are one or two mutations away from a right one.
func TestRulesAgreeWithTheSchemas(t *testing.T) {
	t.Parallel()
	contract, err := os.ReadFile(filepath.Join("testdata", "contract.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	schemas := map[string]*jsonschema.Schema{
		"contract.schema.json": compileSchema(t, "urn:test:contract", contract),
		"entity.schema.json":   compileSchema(t, "urn:test:own", Schema()),
	}
	m := NewModel(ModelOptions{})
	r := rand.New(rand.NewPCG(1, 2))
	samples, valid := sampleEntities(), 0
	const count = 5000
	for i := range count {
		e := randomEntity(r, samples, i)
		rules := shapeOnly(m, e)
		if rules == nil {
			valid++
		}
		for name, s := range schemas {
			if err := s.Validate(map[string]any(e)); (err == nil) != (rules == nil) {
				data, _ := e.MarshalStable()
				t.Fatalf("%s: the rules and %s disagree\nrules: %v\nschema: %v", data, name, rules, err)
			}
		}
	}
	if valid < count/10 || valid > count*9/10 {
		t.Fatalf("%d of %d generated entities are valid, which tests only one side", valid, count)
	}
}

func randomEntity(r *rand.Rand, samples []Entity, i int) Entity {
	e := samples[i%len(samples)].Clone()
	for range r.IntN(3) {
		mutate(r, map[string]any(e))
	}
	return e
}

// mutate changes one value somewhere: removes it, adds one, or makes it another.
func mutate(r *rand.Rand, v any) {
	switch v := v.(type) {
	case map[string]any:
		keys := sortedKeys(v)
		if len(keys) == 0 {
			return
		}
		key := keys[r.IntN(len(keys))]
		switch child := v[key]; {
		case r.IntN(3) > 0 && isContainer(child):
			mutate(r, child)
		case r.IntN(4) == 0:
			delete(v, key)
		case r.IntN(6) == 0:
			v[randomText(r)] = randomValue(r)
		default:
			v[key] = randomValue(r)
		}
	case []any:
		if len(v) > 0 {
			i := r.IntN(len(v))
			if isContainer(v[i]) && r.IntN(3) > 0 {
				mutate(r, v[i])
			} else {
				v[i] = randomValue(r)
			}
		}
	}
}

func isContainer(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return len(v) > 0
	case []any:
		return len(v) > 0
	}
	return false
}

func randomValue(r *rand.Rand) any {
	switch r.IntN(12) {
	case 0:
		return nil
	case 1:
		return true
	case 2:
		return 3.5
	case 3:
		return map[string]any{}
	case 4:
		return []any{}
	case 5:
		return []any{randomText(r)}
	case 6:
		return map[string]any{randomText(r): randomText(r)}
	case 7:
		return []any{map[string]any{randomText(r): randomValue(r)}}
	}
	return randomText(r)
}

func randomText(r *rand.Rand) string {
	texts := []string{
		"", " ", "a", "A", "-a", "a-", "a--b", "a_b", "a.b", "a b", "a/b", "a/b/c", "/a", "a/", "example.com/tier", "Example.com/tier", "a..b/c",
		"component:default/x", "x:y", ":x", "x:", "a/b:c", "team-a", "ü", "c++", "c#", "a:b", "https://example.com/x?y=z", "http://", "mailto:x@example.com",
		"optional", "required", "service", "url", "name", "type", "owner", "spec", "relations", "if", "text", "links", "title", "tags",
		"backstage.io/v1alpha1", "backstage.io/v1beta1", "scaffolder.backstage.io/v1beta3", "v1", "Component", "API", "Template", "Location", "User", "component",
		strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a", 64) + "/b",
	}
	return texts[r.IntN(len(texts))]
}

// sampleEntities has one valid entity of each builtin kind that uses every field, and
// one of a kind that is not builtin.
func sampleEntities() []Entity {
	meta := func() map[string]any {
		return map[string]any{
			"name": "Petstore", "namespace": "default", "title": "Pet store", "description": "", "uid": "u", "etag": "e", "free": []any{1.0},
			"labels": map[string]any{"example.com/tier": "1", "empty": ""}, "annotations": map[string]any{"github.com/project-slug": "acme/petstore", "x": ""},
			"tags":  []any{"java", "c++"},
			"links": []any{map[string]any{"url": "https://example.com/dash", "title": "Dashboard", "icon": "dash", "type": "x", "more": 1.0}},
		}
	}
	make := func(version, kind string, spec map[string]any) Entity {
		return Entity{"apiVersion": version, "kind": kind, "metadata": meta(), "spec": spec}
	}
	const core = "backstage.io/v1alpha1"
	refs := []any{"a", "ns/b"}
	qualified := []any{"component:a", "resource:ns/b"}
	profile := map[string]any{"displayName": "Jane", "email": "jane@example.com", "picture": "https://example.com/p", "x": 1.0}
	return []Entity{
		make(core, "Component", map[string]any{"type": "service", "lifecycle": "production", "owner": "team-a", "system": "shop", "subcomponentOf": "x",
			"providesApis": refs, "consumesApis": refs, "dependsOn": qualified, "dependencyOf": qualified, "free": true}),
		make("backstage.io/v1beta1", "API", map[string]any{"type": "openapi", "lifecycle": "production", "owner": "team-a", "definition": "x", "system": "shop"}),
		make(core, "Resource", map[string]any{"type": "db", "owner": "team-a", "system": "s", "dependsOn": qualified, "dependencyOf": qualified}),
		make(core, "System", map[string]any{"owner": "team-a", "domain": "d", "type": "x"}),
		make(core, "Domain", map[string]any{"owner": "team-a", "subdomainOf": "d", "type": "x"}),
		make(core, "Group", map[string]any{"type": "team", "children": []any{}, "profile": profile, "parent": "p", "members": refs}),
		make(core, "User", map[string]any{"memberOf": refs, "profile": profile}),
		make(core, "Location", map[string]any{"type": "url", "target": "x", "targets": refs, "presence": "optional"}),
		make("scaffolder.backstage.io/v1beta3", "Template", map[string]any{
			"type": "service", "owner": "team-a", "lifecycle": "production",
			"parameters":   []any{map[string]any{"title": "x", "backstage:permissions": map[string]any{"tags": []any{"a"}}}},
			"secrets":      map[string]any{"schema": map[string]any{}},
			"presentation": map[string]any{"buttonLabels": map[string]any{"backButtonText": "b", "createButtonText": "c", "reviewButtonText": ""}},
			"steps": []any{
				map[string]any{"id": "a", "name": "A", "action": "debug:log", "input": map[string]any{"x": 1.0}, "if": true, "backstage:permissions": map[string]any{"tags": []any{""}}},
				map[string]any{"action": "x", "if": "${{ true }}"},
			},
			"output": map[string]any{"links": []any{map[string]any{"if": true, "url": "u", "entityRef": "e", "title": "t", "icon": "i"}},
				"text": []any{map[string]any{"if": "x", "title": "t", "icon": "i", "content": ""}}, "other": "x"},
			"formDecorators":              []any{map[string]any{"id": "a", "input": map[string]any{}}},
			"EXPERIMENTAL_formDecorators": []any{map[string]any{"id": "a"}},
			"EXPERIMENTAL_recovery":       map[string]any{"EXPERIMENTAL_strategy": "x"},
		}),
		make("example.com/v1", "Widget", map[string]any{"anything": "goes"}),
	}
}
