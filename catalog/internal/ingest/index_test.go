package ingest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// index lists the index rows of an entity as key=value/original.
func (w *world) index(ref string) []string {
	w.t.Helper()
	rows, err := w.db.Query(w.t.Context(), db.Same(`SELECT k.key, s.value, s.original FROM search s JOIN search_keys k ON k.id = s.key_id
		JOIN final_entities f ON f.id = s.entity_id WHERE f.ref = $1`), ref)
	if err != nil {
		w.t.Fatal(err)
	}
	list, err := db.Collect(rows, func(r db.Row, line *string) error {
		var key string
		var value, original *string
		if err := r.Scan(&key, &value, &original); err != nil {
			return err
		}
		*line = key + "="
		if value == nil {
			*line += "null"
			return nil
		}
		*line += *value
		if original != nil {
			*line += "/" + *original
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func TestIndexFollowsTheEntity(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		doc := func(tags, more string) string {
			return "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: X, tags: [" + tags + "]}\nspec: {type: service, lifecycle: production, owner: Team" + more + "}\n"
		}
		w.file("a.yaml", doc("java, go", ", nothing: null, long: "+strings.Repeat("x", 201)))
		w.provide("p", location("root", "a.yaml"))
		w.settle()
		has := func(want ...string) {
			t.Helper()
			got := w.index("component:default/x")
			for _, line := range want {
				line, absent := strings.CutPrefix(line, "-")
				if slices.Contains(got, line) == absent {
					t.Errorf("the index has %v; wrong about %s", got, line)
				}
			}
		}
		has("kind=component/Component", "metadata.name=x/X", "metadata.namespace=default", "metadata.tags=java", "metadata.tags.go=true",
			"spec.owner=team/Team", "spec.nothing=null", "spec.long=null", "relations.ownedby=group:default/team", "apiversion=backstage.io/v1alpha1")
		w.file("a.yaml", doc("java", ", extra: Value"))
		w.round()
		has("metadata.tags=java", "-metadata.tags=go", "-metadata.tags.go=true", "-spec.long=null", "spec.extra=value/Value")
		w.file("a.yaml", doc("java", ", extra: VALUE"))
		w.round()
		has("spec.extra=value/VALUE", "-spec.extra=value/Value")
	})
}

func TestKeysThatDifferOnlyInCaseAreAnError(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("a.yaml", documents(yamlComponent("x", "1", "foo: 1"), yamlComponent("y", "1")))
		w.provide("p", location("root", "a.yaml"))
		w.settle()
		w.file("a.yaml", documents(yamlComponent("x", "2", "foo: 1", "Foo: 2"), yamlComponent("y", "2")))
		w.round()
		w.expect("component:default/x 1 (errors)", "component:default/y 2", "location:default/root")
	})
}

func TestDryRunTouchesNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("a.yaml", documents(yamlComponent("x", "1"), nested("n", "b.yaml")))
		w.file("b.yaml", yamlComponent("y", "1"))
		loc := entity.Location{Type: "url", Target: fileURL("a.yaml")}
		got, err := w.engine.DryRun(t.Context(), loc)
		if err != nil {
			t.Fatal(err)
		}
		var refs []string
		for _, e := range got {
			refs = append(refs, e.Ref().String())
			if e.UID() != "" || e["relations"] != nil {
				t.Errorf("%s has what only stored entities have", e.Ref())
			}
		}
		if len(refs) != 4 || !strings.HasPrefix(refs[0], "location:default/generated-") {
			t.Errorf("found %v", refs)
		}
		w.file("b.yaml", yamlComponent("x", "twice"))
		if _, err := w.engine.DryRun(t.Context(), loc); !errors.Is(err, apierr.Input) || !strings.Contains(err.Error(), "component:default/x occurs twice") {
			t.Errorf("an entity that occurs twice: %v", err)
		}
		w.file("b.yaml", "kind: [")
		if _, err := w.engine.DryRun(t.Context(), loc); !errors.Is(err, apierr.Input) || !strings.Contains(err.Error(), "b.yaml:1") {
			t.Errorf("a file that is no YAML: %v", err)
		}
		w.settle()
		w.expect()
	})
}

func TestValidateReadsNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		loc := entity.Location{Type: "url", Target: fileURL("a.yaml")}
		if err := w.engine.Validate(t.Context(), location("root", "missing.yaml").Entity, loc); err != nil {
			t.Errorf("a Location: %v", err)
		}
		bad := component("x", "", "").Entity
		bad.Set("", "spec", "lifecycle")
		if err := w.engine.Validate(t.Context(), bad, loc); err == nil || !strings.Contains(err.Error(), "/spec/lifecycle") {
			t.Errorf("a Component without lifecycle: %v", err)
		}
		if w.reads != 0 {
			t.Error("something was read")
		}
	})
}
