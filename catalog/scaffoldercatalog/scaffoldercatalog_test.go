package scaffoldercatalog_test

import (
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/catalogtest"
	"github.com/callboard-dev/callboard/catalog/client"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/scaffoldercatalog"
)

func template() entity.Entity {
	return entity.Entity{
		"apiVersion": "scaffolder.backstage.io/v1beta3", "kind": "Template", "metadata": map[string]any{"name": "service"},
		"spec": map[string]any{"type": "service", "owner": "platform", "steps": []any{map[string]any{"action": "debug:log", "if": true}}},
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	catalogtest.RunProcessor(t, func(*testing.T) catalog.Processor { return scaffoldercatalog.New() }, template())
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	set := func(value any, path ...string) entity.Entity {
		e := template()
		e.Set(value, path...)
		return e
	}
	unowned := template()
	unowned.Delete("spec", "owner")
	for _, tt := range []struct {
		name      string
		e         entity.Entity
		relations string
		wrong     string
	}{
		{name: "owned by a group", e: template(), relations: "template:default/service ownedBy group:default/platform, group:default/platform ownerOf template:default/service"},
		{name: "owned by a user", e: set("user:jane", "spec", "owner"), relations: "template:default/service ownedBy user:default/jane, user:default/jane ownerOf template:default/service"},
		{name: "owned by nobody", e: unowned},
		{name: "with parameters in pages", e: set([]any{map[string]any{"title": "Page", "properties": map[string]any{}}}, "spec", "parameters"), relations: "template:default/service ownedBy group:default/platform, group:default/platform ownerOf template:default/service"},
		{name: "without a type", e: set("", "spec", "type"), wrong: "/spec/type"},
		{name: "a step without an action", e: set([]any{map[string]any{"id": "a"}}, "spec", "steps"), wrong: "/spec/steps/0/action"},
		{name: "an owner that is none", e: set("user:", "spec", "owner"), wrong: "/spec/owner"},
		{name: "of an earlier version", e: set("backstage.io/v1beta2", "apiVersion"), wrong: "/apiVersion"},
	} {
		got := catalog.Try(t.Context(), tt.e, nil, scaffoldercatalog.New())
		var relations []string
		for _, r := range got.Relations {
			relations = append(relations, r.Source+" "+r.Type+" "+r.Target)
		}
		switch {
		case tt.wrong != "":
			if len(got.Errors) == 0 || !strings.Contains(got.Errors[0].Message, tt.wrong) {
				t.Errorf("%s: %v", tt.name, got.Errors)
			}
		case len(got.Errors) > 0:
			t.Errorf("%s: %v", tt.name, got.Errors)
		case strings.Join(relations, ", ") != tt.relations:
			t.Errorf("%s: %v", tt.name, relations)
		}
	}
}

// TestModule: a catalog takes templates with the module, and says what is missing
// without it.
func TestModule(t *testing.T) {
	t.Parallel()
	for _, with := range []bool{true, false} {
		features := []backend.Feature{catalog.Plugin(), catalogtest.Entities(template())}
		if with {
			features = append(features, scaffoldercatalog.Module())
		}
		b := backendtest.Start(t, "", features...)
		c := client.At(b.URL+"/api/catalog", b.As("user:default/alice"))
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			e, err := c.ByRef(t.Context(), entity.Ref{Kind: "template", Name: "service"})
			failed, ferr := c.Failed(t.Context(), "")
			relations, _ := e["relations"].([]any)
			if with && err == nil && len(relations) == 1 {
				break
			}
			if !with && ferr == nil && len(failed) == 1 && len(failed[0].Errors) == 1 {
				if text := failed[0].Errors[0].Message; !strings.Contains(text, "add scaffoldercatalog.Module()") {
					t.Errorf("without the module: %s", text)
				}
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("with the module %v: %v, %v; %+v, %v", with, e, err, failed, ferr)
			}
		}
	}
}
