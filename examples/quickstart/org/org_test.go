// Package org holds the sample organisation that the quickstart serves: Acme, an
// invented online retailer, laid out as its repositories would be. The tests here
// read the files as a person would follow them, without the catalog, and hold what
// the documentation says of them.
package org

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// An object is one YAML document, with the file it stands in.
type object struct {
	file string
	body map[string]any
}

func (o object) str(keys ...string) string {
	s, _ := o.get(keys...).(string)
	return s
}

func (o object) get(keys ...string) any {
	var v any = o.body
	for _, k := range keys {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

func (o object) list(keys ...string) []string {
	items, _ := o.get(keys...).([]any)
	var out []string
	for _, item := range items {
		out = append(out, fmt.Sprint(item))
	}
	return out
}

func (o object) ref() string {
	return strings.ToLower(o.str("kind")) + ":default/" + o.str("metadata", "name")
}

// documents parses every YAML document of a file.
func documents(t *testing.T, file string) []object {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []object
	for d := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var body map[string]any
		err := d.Decode(&body)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, object{file, body})
	}
}

// organisation follows the Locations from all.yaml and returns every entity by its ref.
func organisation(t *testing.T) map[string]object {
	t.Helper()
	all := map[string]object{}
	queue := []string{"all.yaml"}
	for len(queue) > 0 {
		file := queue[0]
		queue = queue[1:]
		for _, o := range documents(t, file) {
			if other, twice := all[o.ref()]; twice {
				t.Errorf("%s stands in %s and in %s", o.ref(), other.file, file)
			}
			all[o.ref()] = o
			if o.str("kind") == "Location" {
				for _, target := range o.list("spec", "targets") {
					queue = append(queue, path.Join(path.Dir(file), target))
				}
			}
		}
	}
	return all
}

func TestTheOrganisationHasAllNineKindsAndAtLeastSixtyEntities(t *testing.T) {
	count := map[string]int{}
	total := 0
	for _, o := range organisation(t) {
		count[o.str("kind")]++
		total++
	}
	for _, kind := range []string{"API", "Component", "Domain", "Group", "Location", "Resource", "System", "Template", "User"} {
		if count[kind] == 0 {
			t.Errorf("there is no %s", kind)
		}
	}
	if len(count) != 9 || total < 60 {
		t.Errorf("%d entities of %d kinds, want at least 60 of 9: %v", total, len(count), count)
	}
	t.Logf("%d entities: %v", total, count)
}

func TestEveryCatalogFileIsReachedFromTheRoot(t *testing.T) {
	reached := map[string]bool{}
	for _, o := range organisation(t) {
		reached[o.file] = true
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

// references lists the fields that refer to entities, with the kind that a short
// reference means (contract/catalog.md section 2.5; empty: the kind is mandatory).
var references = []struct{ field, kind string }{
	{"owner", "group"}, {"system", "system"}, {"domain", "domain"}, {"subdomainOf", "domain"},
	{"subcomponentOf", "component"}, {"providesApis", "api"}, {"consumesApis", "api"},
	{"dependsOn", ""}, {"memberOf", "group"}, {"parent", "group"}, {"children", "group"},
}

func TestNoReferenceDangles(t *testing.T) {
	all := organisation(t)
	for ref, o := range all {
		for _, r := range references {
			targets := o.list("spec", r.field)
			if one := o.str("spec", r.field); one != "" {
				targets = []string{one}
			}
			for _, target := range targets {
				if full, err := complete(target, r.kind); err != nil {
					t.Errorf("%s: spec.%s: %v", ref, r.field, err)
				} else if _, ok := all[full]; !ok {
					t.Errorf("%s: spec.%s: there is no %s", ref, r.field, full)
				}
			}
		}
	}
}

// complete spells a reference out: kind:namespace/name.
func complete(ref, kind string) (string, error) {
	if k, rest, ok := strings.Cut(ref, ":"); ok {
		kind, ref = k, rest
	}
	if kind == "" {
		return "", fmt.Errorf("%q has no kind", ref)
	}
	if !strings.Contains(ref, "/") {
		ref = "default/" + ref
	}
	return strings.ToLower(kind + ":" + ref), nil
}

func TestParentsAndChildrenAgree(t *testing.T) {
	all := organisation(t)
	for ref, o := range all {
		if o.str("kind") != "Group" {
			continue
		}
		if parent := o.str("spec", "parent"); parent != "" {
			if !slices.Contains(all["group:default/"+parent].list("spec", "children"), o.str("metadata", "name")) {
				t.Errorf("%s has the parent %s, which does not list it", ref, parent)
			}
		} else if ref != "group:default/acme" {
			t.Errorf("%s has no parent and is not the organisation itself", ref)
		}
		for _, child := range o.list("spec", "children") {
			if got := all["group:default/"+child].str("spec", "parent"); got != o.str("metadata", "name") {
				t.Errorf("%s lists the child %s, whose parent is %q", ref, child, got)
			}
		}
	}
}

func TestEveryPlaceholderNamesAFileThatParses(t *testing.T) {
	used := map[string]int{}
	for ref, o := range organisation(t) {
		eachPlaceholder(o.body, func(name, target string) {
			used[name]++
			file := path.Join(path.Dir(o.file), target)
			raw, err := os.ReadFile(file)
			if err == nil && len(bytes.TrimSpace(raw)) == 0 {
				err = errors.New("the file is empty")
			}
			var v any
			switch ext := path.Ext(file); {
			case err != nil:
			case ext == ".json":
				err = json.Unmarshal(raw, &v)
			case ext == ".yaml":
				err = yaml.Unmarshal(raw, &v)
			}
			if err != nil {
				t.Errorf("%s: %s: %s: %v", ref, name, target, err)
			}
		})
	}
	for _, name := range []string{"$text", "$json", "$yaml"} {
		if used[name] == 0 {
			t.Errorf("no entity uses %s", name)
		}
	}
}

// eachPlaceholder calls found for every object in v whose only key starts with "$".
func eachPlaceholder(v any, found func(name, target string)) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			eachPlaceholder(item, found)
		}
	case map[string]any:
		for key, value := range v {
			if s, ok := value.(string); ok && len(v) == 1 && strings.HasPrefix(key, "$") {
				found(key, s)
				return
			}
			eachPlaceholder(value, found)
		}
	}
}

func TestEveryKindOfAPIDefinitionIsThere(t *testing.T) {
	got := map[string]int{}
	for _, o := range organisation(t) {
		if o.str("kind") == "API" {
			got[o.str("spec", "type")]++
		}
	}
	for _, typ := range []string{"openapi", "asyncapi", "graphql", "grpc"} {
		if got[typ] == 0 {
			t.Errorf("there is no API of type %s", typ)
		}
	}
}

func TestTheGuidesDescriptorIsUnchanged(t *testing.T) {
	const want = "e84898ce70d1afbbf3ae0347e61ab6116ac4a796eb133c8b16278920e289a15a"
	raw, err := os.ReadFile("checkout-api/catalog-info.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(raw)); got != want {
		t.Errorf("checkout-api/catalog-info.yaml has SHA-256 %s, want %s: it is the founding guide's file and stays as it is", got, want)
	}
	// What it refers to belongs to the teams and systems that the guide speaks of.
	all := organisation(t)
	for ref, owner := range map[string]string{
		"component:default/checkout-api":   "group:default/payments-team",
		"api:default/checkout-rest-v2":     "group:default/payments-team",
		"api:default/fraud-grpc":           "group:default/fraud-team",
		"resource:default/checkout-pg-db":  "group:default/payments-team",
		"component:default/shared-lib":     "group:default/payments-team",
		"system:default/checkout":          "group:default/payments-team",
		"system:default/fraud-prevention":  "group:default/fraud-team",
		"domain:default/payments":          "group:default/payments-and-risk",
		"template:default/go-service":      "group:default/platform-team",
		"resource:default/event-backbone":  "group:default/data-team",
		"component:default/go-service-kit": "group:default/platform-team",
	} {
		if got := all[ref].str("spec", "owner"); got != owner {
			t.Errorf("%s is owned by %q, want %s", ref, got, owner)
		}
	}
}
