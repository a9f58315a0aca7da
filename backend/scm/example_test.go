package scm_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/backend/scm/scmtest"
)

// Reading a file, a directory and whatever a glob matches of a repository.
func Example() {
	store := scmtest.NewStore()
	store.Commit("acme/shop", "main", map[string]string{
		"catalog-info.yaml": "kind: Component", "docs/index.md": "# Shop", "apps/cart/catalog-info.yaml": "kind: API",
	})
	github, network := scmtest.NewGitHub(store), scmtest.NewNetwork()
	for _, host := range []string{"api.github.com", "raw.githubusercontent.com", "codeload.github.com"} {
		network.Handle(host, github)
	}

	integrations, err := scm.NewIntegrations(scm.Config{}) // the public hosts
	if err != nil {
		log.Fatal(err)
	}
	reader, err := scm.NewReader(integrations, scm.Options{Clients: scm.NewClients(scm.ClientOptions{Transport: network})})
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	ctx := context.Background()

	response, err := reader.ReadURL(ctx, "https://github.com/acme/shop/blob/main/catalog-info.yaml", scm.ReadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	content, err := response.Bytes()
	fmt.Printf("%s, %v\n", content, err)

	tree, err := reader.ReadTree(ctx, "https://github.com/acme/shop/tree/main/docs", scm.TreeOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer tree.Close()
	for file, err := range tree.Files(ctx) {
		fmt.Println(file.Path, err)
	}

	found, err := reader.Search(ctx, "https://github.com/acme/shop/blob/main/**/catalog-info.yaml", scm.SearchOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for _, file := range found.Files {
		fmt.Println(file.URL)
	}
	// Output:
	// kind: Component, <nil>
	// index.md <nil>
	// https://github.com/acme/shop/blob/main/apps/cart/catalog-info.yaml
	// https://github.com/acme/shop/blob/main/catalog-info.yaml
}

// What the forms of a URL are good for: references, edit links, confinement.
func ExampleIntegrations() {
	cfg, err := config.Parse("app-config.yaml", []byte(`
integrations:
  github:
    - host: ghe.acme.example
      apiBaseUrl: https://ghe.acme.example/api/v3
`))
	if err != nil {
		log.Fatal(err)
	}
	settings, _, err := scm.ReadConfig(cfg)
	if err != nil {
		log.Fatal(err)
	}
	integrations, err := scm.NewIntegrations(settings)
	if err != nil {
		log.Fatal(err)
	}
	const descriptor = "https://ghe.acme.example/acme/shop/blob/main/apps/cart/catalog-info.yaml"
	api, err := integrations.ResolveURL(descriptor, "../api/openapi.yaml")
	fmt.Println(api, err)
	fmt.Println(integrations.EditURL(descriptor))
	_, err = integrations.ResolveURL(descriptor, "../../../../../secrets/vault/blob/main/key")
	fmt.Println(err)
	fmt.Println(integrations.SameRepository(descriptor, "https://ghe.acme.example/acme/other/blob/main/x"))
	// Output:
	// https://ghe.acme.example/acme/shop/tree/main/apps/api/openapi.yaml <nil>
	// https://ghe.acme.example/acme/shop/edit/main/apps/cart/catalog-info.yaml
	// cannot resolve "../../../../../secrets/vault/blob/main/key" against "https://ghe.acme.example/acme/shop/blob/main/apps/cart/catalog-info.yaml": it leaves the repository
	// false true
}

// wiki is a reader of a kind of host that this package does not know.
type wiki struct{ pages map[string]string }

var _ scm.Reader = (*wiki)(nil)

func (w *wiki) ReadURL(_ context.Context, rawURL string, opts scm.ReadOptions) (*scm.Response, error) {
	page := strings.NewReader(w.pages[path.Base(rawURL)])
	return scm.NewResponse(rawURL, "", time.Time{}, io.NopCloser(page), opts.MaxBytes), nil
}

func (w *wiki) ReadTree(_ context.Context, rawURL string, _ scm.TreeOptions) (*scm.Tree, error) {
	return nil, fmt.Errorf("the wiki at %s has no directories", rawURL)
}

func (w *wiki) Search(ctx context.Context, rawURL string, opts scm.SearchOptions) (*scm.SearchResult, error) {
	return scm.SearchExact(ctx, w, rawURL, opts)
}

// A reader of one's own joins as a factory. Its kind is not one of the
// constants, so it is asked before all others.
func ExampleReaderFactory() {
	factory := func(scm.Env) ([]scm.Route, error) {
		return []scm.Route{{
			Kind:   "wiki",
			Match:  func(u *url.URL) bool { return u.Host == "wiki.acme.example" },
			Reader: &wiki{pages: map[string]string{"home": "welcome"}},
		}}, nil
	}
	integrations, err := scm.NewIntegrations(scm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	reader, err := scm.NewReader(integrations, scm.Options{Factories: []scm.ReaderFactory{factory}})
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	response, err := reader.ReadURL(context.Background(), "https://wiki.acme.example/home", scm.ReadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	content, err := response.Bytes()
	fmt.Println(string(bytes.ToUpper(content)), err)
	// Output: WELCOME <nil>
}
