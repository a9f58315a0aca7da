// Package org holds the sample organisation that the quickstart serves: Acme, an
// invented online retailer, laid out as its repositories would be. The tests here
// follow the files from all.yaml as the catalog would, with its model of entities and
// without the rest of it, and hold what the documentation says of them.
package org

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"

	"github.com/callboard-dev/callboard/catalog/entity"
)

// organisation is every entity by its reference, with the file it stands in.
type organisation struct {
	entities map[string]entity.Entity
	files    map[string]string
	used     map[string]int // placeholders, by name
}

// read follows the Locations from all.yaml. Each entity is complete: its placeholders
// are resolved and the model accepts it.
func read(t *testing.T) organisation {
	t.Helper()
	org := organisation{map[string]entity.Entity{}, map[string]string{}, map[string]int{}}
	model := entity.NewModel(entity.ModelOptions{})
	queue := []string{"all.yaml"}
	for len(queue) > 0 {
		file := queue[0]
		queue = queue[1:]
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for doc, err := range entity.ParseDocuments(file, raw, entity.Limits{}) {
			if err != nil {
				t.Fatal(err)
			}
			e, err := entity.ResolvePlaceholders(t.Context(), doc.Entity, org.resolver(path.Dir(file)))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			ref := e.Ref().String()
			if err := model.Validate(entity.WithDefaultNamespace(e)); err != nil {
				t.Errorf("%s: %s: %v", file, ref, err)
			}
			if other, twice := org.files[ref]; twice {
				t.Errorf("%s stands in %s and in %s", ref, other, file)
			}
			org.entities[ref], org.files[ref] = e, file
			if e.Kind() == "Location" {
				for _, target := range e.SpecStrings("targets") {
					queue = append(queue, path.Join(path.Dir(file), target))
				}
			}
		}
	}
	return org
}

// resolver reads what $text, $json and $yaml name, next to the file that names it.
func (org organisation) resolver(dir string) func(context.Context, entity.Placeholder) (any, bool, error) {
	return func(_ context.Context, p entity.Placeholder) (any, bool, error) {
		target, ok := p.Value.(string)
		if !ok {
			return nil, false, nil
		}
		file := path.Join(dir, target)
		raw, err := os.ReadFile(file)
		if err == nil && len(bytes.TrimSpace(raw)) == 0 {
			err = errors.New("the file is empty")
		}
		var value any = string(raw)
		// Definitions are passed on as text; those in a format that this package can
		// read are read all the same, so that the sample shows no broken ones.
		if err == nil && slices.Contains([]string{".yaml", ".json"}, path.Ext(file)) {
			var parsed any
			if parsed, err = entity.ParseValue(file, raw, entity.Limits{}); p.Name != "text" {
				value = parsed
			}
		}
		org.used[p.Name]++
		return value, slices.Contains([]string{"text", "json", "yaml"}, p.Name), err
	}
}

func TestTheOrganisationHasAllNineKindsAndAtLeastSixtyEntities(t *testing.T) {
	t.Parallel()
	org := read(t)
	count := map[string]int{}
	for _, e := range org.entities {
		count[e.Kind()]++
	}
	for _, kind := range []string{"API", "Component", "Domain", "Group", "Location", "Resource", "System", "Template", "User"} {
		if count[kind] == 0 {
			t.Errorf("there is no %s", kind)
		}
	}
	if len(count) != 9 || len(org.entities) < 60 {
		t.Errorf("%d entities of %d kinds, want at least 60 of 9: %v", len(org.entities), len(count), count)
	}
	t.Logf("%d entities: %v", len(org.entities), count)
}

func TestEveryDescriptorIsReachedFromTheRoot(t *testing.T) {
	t.Parallel()
	reached := map[string]bool{}
	for _, file := range read(t).files {
		reached[file] = true
	}
	err := filepath.WalkDir(".", func(file string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "skeleton" || d.Name() == "manifest") {
			return filepath.SkipDir
		}
		name := filepath.ToSlash(file)
		if slices.Contains([]string{"catalog-info.yaml", "template.yaml"}, d.Name()) && !reached[name] {
			t.Errorf("%s is not the target of any Location", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNoReferenceDangles(t *testing.T) {
	t.Parallel()
	org := read(t)
	model := entity.NewModel(entity.ModelOptions{})
	total := 0
	for ref, e := range org.entities {
		relations, err := model.RelationsOf(e)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
		}
		for _, r := range relations {
			total++
			if _, ok := org.entities[r.Target]; !ok {
				t.Errorf("%s %s %s, which does not exist", r.Source, r.Type, r.Target)
			}
		}
		if kind := e.Kind(); kind != "User" && kind != "Group" && kind != "Location" && e.SpecString("owner") == "" {
			t.Errorf("%s has no owner", ref)
		}
	}
	if total < 2*len(org.entities) {
		t.Errorf("%d relations between %d entities: not much to look around in", total, len(org.entities))
	}
}

func TestParentsAndChildrenAgree(t *testing.T) {
	t.Parallel()
	org := read(t)
	for ref, e := range org.entities {
		if e.Kind() != "Group" {
			continue
		}
		if parent := e.SpecString("parent"); parent != "" {
			if !slices.Contains(org.entities["group:default/"+parent].SpecStrings("children"), e.Name()) {
				t.Errorf("%s has the parent %s, which does not list it", ref, parent)
			}
		} else if ref != "group:default/acme" {
			t.Errorf("%s has no parent and is not the organisation itself", ref)
		}
		for _, child := range e.SpecStrings("children") {
			if got := org.entities["group:default/"+child].SpecString("parent"); got != e.Name() {
				t.Errorf("%s lists the child %s, whose parent is %q", ref, child, got)
			}
		}
	}
}

func TestEveryKindOfPlaceholderAndOfDefinitionIsThere(t *testing.T) {
	t.Parallel()
	org := read(t)
	for _, name := range []string{"text", "json", "yaml"} {
		if org.used[name] == 0 {
			t.Errorf("no entity uses $%s", name)
		}
	}
	types := map[string]int{}
	for _, e := range org.entities {
		if e.Kind() == "API" {
			types[e.SpecString("type")]++
		}
	}
	for _, typ := range []string{"openapi", "asyncapi", "graphql", "grpc"} {
		if types[typ] == 0 {
			t.Errorf("there is no API of type %s", typ)
		}
	}
}

func TestTheGuidesDescriptorIsUnchanged(t *testing.T) {
	t.Parallel()
	const file, want = "checkout-api/catalog-info.yaml", "e84898ce70d1afbbf3ae0347e61ab6116ac4a796eb133c8b16278920e289a15a"
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(raw)); got != want {
		t.Errorf("%s has SHA-256 %s, want %s: it is the founding guide's file and stays as it is", file, got, want)
	}
	// What it refers to belongs to the teams that the guide speaks of.
	org := read(t)
	for ref, owner := range map[string]string{
		"component:default/checkout-api":  "group:default/payments-team",
		"api:default/checkout-rest-v2":    "group:default/payments-team",
		"api:default/fraud-grpc":          "group:default/fraud-team",
		"resource:default/checkout-pg-db": "group:default/payments-team",
		"component:default/shared-lib":    "group:default/payments-team",
		"system:default/checkout":         "group:default/payments-team",
	} {
		if got := org.entities[ref].SpecString("owner"); got != owner {
			t.Errorf("%s is owned by %q, want %s", ref, got, owner)
		}
	}
}
