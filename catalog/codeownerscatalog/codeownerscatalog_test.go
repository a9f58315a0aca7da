package codeownerscatalog_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/backend/scm/scmtest"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/catalogtest"
	"github.com/callboard-dev/callboard/catalog/codeownerscatalog"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// host is a fake of GitHub with some repositories, and the processor that reads it.
func host(t *testing.T) (*codeownerscatalog.Processor, *scmtest.Network) {
	t.Helper()
	store, network := scmtest.NewStore(), scmtest.NewNetwork()
	store.Commit("acme/shop", "main", map[string]string{"CODEOWNERS": "* @acme/shop\n/apps/ @jane\n", "docs/CODEOWNERS": "* @acme/docs\n"})
	store.Commit("acme/hidden", "main", map[string]string{".github/CODEOWNERS": "* dev@acme.example\n", "CODEOWNERS": "* @acme/other\n"})
	store.Commit("acme/bare", "main", map[string]string{"README.md": ""})
	github := scmtest.NewGitHub(store)
	for _, name := range []string{"api.github.com", "raw.githubusercontent.com"} {
		network.Handle(name, github)
	}
	integrations, err := scm.NewIntegrations(scm.Config{GitHub: []scm.GitHubConfig{{Host: "github.com"}}})
	if err != nil {
		t.Fatal(err)
	}
	reader, err := scm.NewReader(integrations, scm.Options{Clients: scm.NewClients(scm.ClientOptions{Transport: network}), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return codeownerscatalog.New(integrations, reader), network
}

func at(repo, file string, kind ...string) entity.Entity {
	e := entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": map[string]any{"name": "x"},
		"spec": map[string]any{"type": "service", "lifecycle": "production"}}
	for _, k := range kind {
		e["kind"] = k
	}
	e.SetAnnotation(entity.AnnotationManagedBy, "url:https://github.com/acme/"+repo+"/blob/main/"+file)
	e.SetAnnotation(entity.AnnotationManagedByOrigin, "url:https://github.com/acme/"+repo+"/blob/main/"+file)
	return e
}

func TestConformance(t *testing.T) {
	t.Parallel()
	catalogtest.RunProcessor(t, func(t *testing.T) catalog.Processor { p, _ := host(t); return p }, at("shop", "catalog-info.yaml"), at("shop", "apps/catalog-info.yaml"))
}

func TestOwners(t *testing.T) {
	t.Parallel()
	p, network := host(t)
	owned := at("shop", "catalog-info.yaml")
	owned.Set("group:other", "spec", "owner")
	elsewhere := at("shop", "catalog-info.yaml")
	elsewhere.SetAnnotation(entity.AnnotationManagedBy, "url:https://example.com/catalog-info.yaml")
	file := at("shop", "catalog-info.yaml")
	file.SetAnnotation(entity.AnnotationManagedBy, "file:/srv/catalog-info.yaml")
	for _, tt := range []struct {
		name string
		e    entity.Entity
		want string // empty: the entity fails for want of an owner
	}{
		{"a team", at("shop", "catalog-info.yaml"), "shop"},
		{"a person", at("shop", "apps/cart/catalog-info.yaml"), "user:jane"},
		{"an address, from the place that goes before", at("hidden", "catalog-info.yaml"), "dev"},
		{"a Domain", at("shop", "catalog-info.yaml", "Domain"), "shop"},
		{"one that is named", owned, "group:other"},
		{"no file", at("bare", "catalog-info.yaml"), ""},
		{"no repository", elsewhere, ""},
		{"no URL", file, ""},
	} {
		got := catalog.Try(t.Context(), tt.e, nil, p)
		switch {
		case tt.want == "" && (len(got.Errors) != 1 || !strings.Contains(got.Errors[0].Message, "/spec/owner")):
			t.Errorf("%s: %v", tt.name, got.Errors)
		case tt.want != "" && (len(got.Errors) > 0 || got.Entity.SpecString("owner") != tt.want):
			t.Errorf("%s: %v, %v", tt.name, got.Entity, got.Errors)
		}
	}
	group := at("shop", "catalog-info.yaml", "Group")
	group["spec"] = map[string]any{"type": "team", "children": []any{}}
	before := len(network.Requests())
	if got := catalog.Try(t.Context(), group, nil, p); len(got.Errors) > 0 || got.Entity.SpecString("owner") != "" || len(network.Requests()) != before {
		t.Errorf("a Group: %+v", got)
	}
}

// TestKeepsWhatItFound: the second run asks one question, and reads nothing.
func TestKeepsWhatItFound(t *testing.T) {
	t.Parallel()
	p, network := host(t)
	first := catalog.Try(t.Context(), at("shop", "catalog-info.yaml"), nil, p)
	asked := len(network.Requests())
	again := catalog.Try(t.Context(), at("shop", "catalog-info.yaml"), first.Again, p)
	if n := len(network.Requests()) - asked; n != 1 || asked <= 1 {
		t.Errorf("%d questions in the first run, %d in the second", asked, n)
	}
	if again.Entity.SpecString("owner") != "shop" || len(again.RefreshKeys) != 1 || again.RefreshKeys[0] != first.RefreshKeys[0] {
		t.Errorf("first %+v, again %+v", first, again)
	}
}
