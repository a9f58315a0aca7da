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

func TestValidate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("good.yaml", yamlComponent("y", "1"))
		w.file("broken.yaml", "kind: [")
		loc := entity.Location{Type: "url", Target: fileURL("a.yaml")}
		incomplete, misnamed := component("x", "", "").Entity, component("x", "", "").Entity
		incomplete.Set("", "spec", "lifecycle")
		misnamed.Set("b a d", "metadata", "name")
		unknown := component("x", "", "").Entity
		unknown["kind"] = "Componnent"
		for _, tt := range []struct {
			what               string
			e                  entity.Entity
			name, cause, about string
		}{
			{what: "a good Component", e: component("x", "", "").Entity},
			{what: "a Location whose target is good", e: location("root", "good.yaml").Entity},
			{what: "a Location whose target is missing", e: location("root", "missing.yaml").Entity, name: "NotFoundError", about: "missing.yaml"},
			{what: "a Location whose target is broken", e: location("root", "broken.yaml").Entity, name: "InputError", about: "broken.yaml:1"},
			{what: "a Component without lifecycle", e: incomplete, name: "InputError", cause: "TypeError", about: "/spec/lifecycle"},
			{what: "a name with spaces", e: misnamed, name: "InputError", cause: "Error", about: "/metadata/name"},
			{what: "a kind that nobody knows", e: unknown, name: "InputError", about: "did you mean Component?"},
			{what: "an entity without a kind", e: entity.Entity{"apiVersion": "v1"}, name: "TypeError", about: "/kind"},
		} {
			got, err := w.engine.Validate(t.Context(), tt.e, loc)
			switch {
			case err != nil:
				t.Errorf("%s: %v", tt.what, err)
			case tt.name == "":
				if len(got) != 0 {
					t.Errorf("%s: %v", tt.what, got)
				}
			case len(got) != 1 || got[0].Name != tt.name || !strings.Contains(got[0].Message, tt.about):
				t.Errorf("%s: %+v", tt.what, got)
			case (got[0].Cause == nil) != (tt.cause == "") || got[0].Cause != nil && got[0].Cause.Name != tt.cause:
				t.Errorf("%s: cause %+v, want %s", tt.what, got[0].Cause, tt.cause)
			}
		}
		w.settle()
		w.expect()
	})
}

// TestSEC51_ValidateReadsNoFiles: an entity to be checked cannot say that it comes from
// a file, to have the files beside it read.
func TestSEC51_ValidateReadsNoFiles(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("a.yaml", yamlComponent("y", "1"))
		e := location("root", "a.yaml").Entity
		e.SetAnnotation(entity.AnnotationManagedBy, "file:/etc/catalog-info.yaml")
		got, err := w.engine.Validate(t.Context(), e, entity.Location{Type: "url", Target: fileURL("b.yaml")})
		if err != nil || len(got) != 0 || w.reads != 0 {
			t.Errorf("%v, %v, %d reads", got, err, w.reads)
		}
	})
}
