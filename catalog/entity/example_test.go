package entity_test

import (
	"context"
	"fmt"

	"github.com/callboard-dev/callboard/catalog/entity"
)

const descriptor = `apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: Petstore
spec:
  type: service
  lifecycle: production
  owner: team-a
---
apiVersion: backstage.io/v1alpha1
kind: componnent
metadata:
  name: shop
`

// A tool reads a descriptor file and reports everything that is wrong with it.
func ExampleParseDocuments() {
	model := entity.NewModel(entity.ModelOptions{})
	for doc, err := range entity.ParseDocuments("catalog-info.yaml", []byte(descriptor), entity.Limits{}) {
		if err != nil {
			fmt.Println(err)
			continue
		}
		if err := model.Validate(doc.Entity); err != nil {
			fmt.Println(doc.Err(err))
			continue
		}
		fmt.Println(doc.Entity.Ref())
	}
	// Output:
	// component:default/petstore
	// catalog-info.yaml:11:7: /kind: expected a kind of this catalog: Component, API, Resource, System, Domain, Group, User, Location or Template, found "componnent"; did you mean Component?
}

func ExampleParseRef() {
	ref, err := entity.ParseRef("Team-A", entity.Default{Kind: "Group"})
	fmt.Println(ref, err)
	_, err = entity.ParseRef("team-a")
	fmt.Println(err)
	// Output:
	// group:default/team-a <nil>
	// entity reference "team-a" has no kind; write <kind>:team-a
}

func ExampleModel_RelationsOf() {
	e := entity.Entity{
		"apiVersion": "backstage.io/v1alpha1",
		"kind":       "System",
		"metadata":   map[string]any{"name": "shop"},
		"spec":       map[string]any{"owner": "team-a"},
	}
	relations, err := entity.NewModel(entity.ModelOptions{}).RelationsOf(e)
	for _, r := range relations {
		fmt.Println(r.Source, r.Type, r.Target)
	}
	fmt.Println(err)
	// Output:
	// system:default/shop ownedBy group:default/team-a
	// group:default/team-a ownerOf system:default/shop
	// <nil>
}

func ExampleFields() {
	fields, err := entity.ParseFields("kind,metadata.annotations.github.com/project-slug")
	if err != nil {
		fmt.Println(err)
		return
	}
	stored := []byte(`{"kind":"API","metadata":{"annotations":{"github.com/project-slug":"acme/pets"},"name":"pets"},"spec":{}}`)
	out, err := fields.Append(nil, stored)
	fmt.Println(string(out), err)
	// Output:
	// {"kind":"API","metadata":{"annotations":{"github.com/project-slug":"acme/pets"}}} <nil>
}

func ExampleResolvePlaceholders() {
	e := entity.Entity{"spec": map[string]any{"definition": map[string]any{"$text": "./openapi.yaml"}}}
	out, err := entity.ResolvePlaceholders(context.Background(), e,
		func(_ context.Context, p entity.Placeholder) (any, bool, error) {
			return "the text of " + p.Value.(string), p.Name == "text", nil
		})
	fmt.Println(out.SpecString("definition"), err)
	// Output:
	// the text of ./openapi.yaml <nil>
}
