package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/filter"
	"github.com/callboard-dev/callboard/permission"
)

func rulesEntity() entity.Entity {
	return entity.Entity{
		"apiVersion": "backstage.io/v1alpha1", "kind": "Component",
		"metadata": map[string]any{
			"name": "petstore", "namespace": "default", "uid": "7ffd4d10-0b32-4cf1-83e8-2ee9e34f77d4",
			"labels":      map[string]any{"example.com/Tier": "Gold"},
			"annotations": map[string]any{"github.com/project-slug": "Acme/Petstore"},
			"tags":        []any{"java", "kafka"},
		},
		"spec":      map[string]any{"type": "service", "owner": "team-a", "nothing": nil, "deep": map[string]any{"flag": true}},
		"relations": []any{map[string]any{"type": "ownedBy", "targetRef": "group:default/team-a"}, map[string]any{"type": "partOf", "targetRef": "group:default/team-b"}},
	}
}

func ruleJSON(name, params string) string {
	return `{"rule":"` + name + `","resourceType":"catalog-entity","params":` + params + `}`
}

// evaluate applies a condition in memory, and returns it as a predicate.
func evaluate(e entity.Entity, condition string) (matches bool, p filter.Predicate, err error) {
	x := &permission.Extensions{}
	permission.AddResource(x, Resource(nil))
	var c permission.Criteria
	if err := c.UnmarshalJSON([]byte(condition)); err != nil {
		return false, p, err
	}
	if matches, err = permission.Match(x, resourceEntity, c, e); err != nil {
		return false, p, err
	}
	p, err = permission.QueryOf(x, resourceEntity, c, predicates)
	return matches, p, err
}

// TestRules has the rows of contract catalog.md 1.7 in memory, and as the predicate that
// queries use.
func TestRules(t *testing.T) {
	t.Parallel()
	kind := func(k string) string { return ruleJSON("IS_ENTITY_KIND", `{"kinds":["`+k+`"]}`) }
	for _, tt := range []struct {
		condition string
		want      bool
	}{
		{condition: ruleJSON("HAS_ANNOTATION", `{"annotation":"github.com/project-slug"}`), want: true},
		{condition: ruleJSON("HAS_ANNOTATION", `{"annotation":"GitHub.com/Project-Slug"}`), want: true},
		{condition: ruleJSON("HAS_ANNOTATION", `{"annotation":"github.com/project-slug","value":"acme/PETSTORE"}`), want: true},
		{condition: ruleJSON("HAS_ANNOTATION", `{"annotation":"github.com/project-slug","value":"acme/other"}`)},
		{condition: ruleJSON("HAS_ANNOTATION", `{"annotation":"github.com/other"}`)},
		{condition: ruleJSON("HAS_LABEL", `{"label":"example.com/tier"}`), want: true},
		{condition: ruleJSON("HAS_LABEL", `{"label":"example.com/tier","value":"gold"}`), want: true},
		{condition: ruleJSON("HAS_LABEL", `{"label":"example.com/tier","value":"silver"}`)},
		{condition: ruleJSON("HAS_METADATA", `{"key":"tags"}`), want: true},
		{condition: ruleJSON("HAS_METADATA", `{"key":"tags","value":"Kafka"}`), want: true},
		{condition: ruleJSON("HAS_METADATA", `{"key":"tags.java"}`), want: true},
		{condition: ruleJSON("HAS_METADATA", `{"key":"title"}`)},
		{condition: ruleJSON("HAS_SPEC", `{"key":"type","value":"Service"}`), want: true},
		{condition: ruleJSON("HAS_SPEC", `{"key":"deep.flag","value":"true"}`), want: true},
		{condition: ruleJSON("HAS_SPEC", `{"key":"nothing"}`), want: true},
		{condition: ruleJSON("HAS_SPEC", `{"key":"nothing","value":"null"}`)},
		{condition: kind("component"), want: true},
		{condition: kind("API")},
		{condition: ruleJSON("IS_ENTITY_KIND", `{"kinds":[]}`)},
		{condition: ruleJSON("IS_ENTITY_OWNER", `{"claims":["user:default/x","group:default/team-a"]}`), want: true},
		{condition: ruleJSON("IS_ENTITY_OWNER", `{"claims":["group:default/team-b"]}`)},
		{condition: ruleJSON("IS_ENTITY_OWNER", `{"claims":["Group:default/Team-A"]}`), want: true},
		{condition: ruleJSON("IS_ENTITY_OWNER", `{"claims":[]}`)},
		{condition: `{"not":` + kind("API") + `}`, want: true},
		{condition: `{"allOf":[` + kind("Component") + `,` + kind("API") + `]}`},
		{condition: `{"anyOf":[` + kind("API") + `,` + kind("Component") + `]}`, want: true},
		{condition: `{"not":{"anyOf":[` + kind("API") + `,{"allOf":[` + kind("Component") + `]}]}}`},
	} {
		e := rulesEntity()
		got, predicate, err := evaluate(e, tt.condition)
		if err != nil {
			t.Errorf("%s: %v", tt.condition, err)
			continue
		}
		if got != tt.want {
			t.Errorf("%s: %v, want %v", tt.condition, got, tt.want)
		}
		if got := predicate.Lower().Match(entity.Flatten(e, relationsOf(e))); got != tt.want {
			t.Errorf("%s: as a predicate %v, want %v", tt.condition, got, tt.want)
		}
	}
}

func TestConditionsThatAreRefused(t *testing.T) {
	t.Parallel()
	ok := ruleJSON("IS_ENTITY_KIND", `{"kinds":["api"]}`)
	for _, condition := range []string{
		`[]`, `null`, `"x"`, `{}`, `{"rule":""}`,
		`{"allOf":[]}`, `{"anyOf":{}}`, `{"not":[]}`, `{"not":` + ok + `,"allOf":[` + ok + `]}`,
		`{"rule":"IS_ENTITY_KIND","resourceType":"other","params":{"kinds":[]}}`,
		`{"rule":"IS_ENTITY_KIND","resourceType":"catalog-entity"}`,
		ruleJSON("IS_NOBODYS_RULE", `{}`),
		ruleJSON("IS_ENTITY_KIND", `null`), ruleJSON("IS_ENTITY_KIND", `{}`), ruleJSON("IS_ENTITY_KIND", `{"kinds":"api"}`),
		ruleJSON("IS_ENTITY_KIND", `{"kinds":[1]}`), ruleJSON("IS_ENTITY_KIND", `{"kinds":[null]}`), ruleJSON("IS_ENTITY_KIND", `{"kinds":["a"],"more":1}`),
		ruleJSON("HAS_LABEL", `{"value":"x"}`), ruleJSON("HAS_LABEL", `{"label":1}`), ruleJSON("HAS_LABEL", `{"label":"a\u0000"}`),
		strings.Repeat(`{"not":`, 40) + ok + strings.Repeat(`}`, 40),
		`{"anyOf":[` + strings.TrimSuffix(strings.Repeat(ok+",", permission.MaxCriteriaNodes), ",") + `]}`,
	} {
		if _, _, err := evaluate(rulesEntity(), condition); apierr.StatusOf(err) != 400 {
			t.Errorf("%.100s: %v, want an InputError", condition, err)
		}
	}
}

// TestRuleSchemasSayWhatIsRead: the published schema and the reading of parameters
// agree on which are needed.
func TestRuleSchemasSayWhatIsRead(t *testing.T) {
	t.Parallel()
	for _, r := range ruleTable() {
		schema := r.schema()
		needed := map[string]any{}
		for name, p := range schema["properties"].(map[string]any) {
			value := any("x")
			if p.(map[string]any)["type"] == "array" {
				value = []string{"x"}
			}
			for _, n := range schema["required"].([]string) {
				if n == name {
					needed[name] = value
				}
			}
		}
		doc, _ := json.Marshal(needed)
		if _, err := r.read(doc); err != nil {
			t.Errorf("%s refuses what its schema requires: %v", r.name, err)
		}
		for name := range needed {
			without := map[string]any{}
			for k, v := range needed {
				if k != name {
					without[k] = v
				}
			}
			doc, _ := json.Marshal(without)
			if _, err := r.read(doc); err == nil {
				t.Errorf("%s does without %s, which its schema requires", r.name, name)
			}
		}
	}
}
