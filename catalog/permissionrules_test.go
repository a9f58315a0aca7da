package catalog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/catalogtest"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/permission"
)

type ofLifecycles struct {
	Lifecycles []string `json:"lifecycles" doc:"values of spec.lifecycle"`
}

// inLifecycle is a rule of an adopter.
func inLifecycle() permission.Rule[entity.Entity, ofLifecycles, catalog.IndexQuery] {
	return permission.Rule[entity.Entity, ofLifecycles, catalog.IndexQuery]{
		Name: "IN_LIFECYCLE", Description: "Entities of some lifecycles", ResourceType: "catalog-entity",
		Apply: func(e entity.Entity, p ofLifecycles) bool {
			spec, _ := e["spec"].(map[string]any)
			for _, l := range p.Lifecycles {
				if spec["lifecycle"] == l {
					return true
				}
			}
			return false
		},
		Query: func(p ofLifecycles) catalog.IndexQuery {
			if len(p.Lifecycles) == 0 {
				return catalog.AnyIndexed()
			}
			return catalog.Indexed("spec.lifecycle", p.Lifecycles...)
		},
	}
}

// A module adds a rule for entities, which policies can name from then on.
func ExampleIndexQuery() {
	rule := inLifecycle()
	module := backend.NewModule("catalog", "lifecycles", fx.Invoke(func(x *permission.Extensions) {
		permission.AddRules[entity.Entity](x, rule)
	}))
	_ = module // backend.Add(catalog.Plugin(), module)

	text, _ := json.Marshal(rule.With(ofLifecycles{[]string{"experimental"}}))
	fmt.Println(string(text))
	// Output:
	// {"rule":"IN_LIFECYCLE","resourceType":"catalog-entity","params":{"lifecycles":["experimental"]}}
}

// TestRulesOfModules: a rule that a module adds filters lists and decides about single
// entities, and is part of the metadata.
func TestRulesOfModules(t *testing.T) {
	t.Parallel()
	component := func(name, lifecycle string) entity.Entity {
		return entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": map[string]any{"name": name, "namespace": "default"},
			"spec": map[string]any{"type": "service", "lifecycle": lifecycle, "owner": "team"}}
	}
	rule := inLifecycle()
	b := backendtest.Start(t, "permission: {enabled: true}", permission.Plugin(), catalog.Plugin(),
		catalogtest.Entities(component("new", "experimental"), component("old", "production")),
		backend.NewModule("catalog", "lifecycles", fx.Invoke(func(x *permission.Extensions) { permission.AddRules[entity.Entity](x, rule) })),
		backend.NewModule("permission", "experimental-only", fx.Invoke(func(x *permission.Extensions) {
			x.SetPolicy(permission.PolicyFunc(func(context.Context, permission.Query) (permission.Decision, error) {
				return permission.If("catalog", "catalog-entity", rule.With(ofLifecycles{[]string{"experimental"}})), nil
			}))
		})))
	get := func(path string, into any) int {
		t.Helper()
		res, err := b.As("user:default/alice").Get(b.URL + "/api/catalog" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if err := json.NewDecoder(res.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode
	}
	var list []entity.Entity
	for end := time.Now().Add(30 * time.Second); len(list) == 0 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		get("/entities", &list)
	}
	if len(list) != 1 || list[0].Ref().Name != "new" {
		t.Errorf("the list is %v", list)
	}
	var any entity.Entity
	for name, want := range map[string]int{"new": http.StatusOK, "old": http.StatusNotFound} {
		if got := get("/entities/by-name/component/default/"+name, &any); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	var meta permission.Metadata
	if get("/.well-known/backstage/permissions/metadata", &meta); len(meta.Rules) != 7 || meta.Rules[6].Name != "IN_LIFECYCLE" {
		t.Errorf("rules %+v", meta.Rules)
	}
}
