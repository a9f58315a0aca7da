package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/internal/testbed"
	"github.com/callboard-dev/callboard/internal/wiretest"
)

// needs returns the folder of a tool from npm, and skips the test where nobody asks for
// it to be there.
func needs(t *testing.T, tool string) string {
	t.Helper()
	dir, err := testbed.Find(tool)
	if err == nil {
		_, err = exec.LookPath("node")
	} else if !errors.Is(err, testbed.ErrMissing) {
		t.Fatal(err)
	}
	switch {
	case err == nil:
		return dir
	case os.Getenv(testbed.RequireEnv) == "1":
		t.Fatalf("%v; node is needed too", err)
	}
	t.Skipf("%v; node is needed too", err)
	return ""
}

// sample starts a portal with the sample organisation, and a site that has a descriptor
// of one Component at /NAME.yaml for every name but none.
func sample(t *testing.T, database string) (base, site string) {
	t.Helper()
	org, err := filepath.Abs("../quickstart/org/all.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/"), ".yaml")
		if !ok || name == "none" || strings.Contains(name, "/") {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: registered-%s}\nspec: {type: service, lifecycle: production, owner: team-payments}\n", name)
	}))
	t.Cleanup(files.Close)
	p := launch(t, write(t, "app-config.yaml", fmt.Sprintf(`
backend:
  baseUrl: http://localhost:7007
  listen: 127.0.0.1:0
  reading: {allow: [{host: %q}]}
  auth: {externalAccess: [{type: static, options: {token: %s, subject: test}}]}
catalog:
  rules: [{allow: [Component, System, API, Resource, Location, Domain, User, Group, Template]}]
  locations: [{type: file, target: %q}]
`, strings.TrimPrefix(files.URL, "http://"), wiretest.StaticToken, org)), write(t, "database.yaml", database))
	p.ready(t)
	settled(t, p.url, 122)
	return p.url, files.URL
}

// TestStockClients calls every method of the stock clients of the catalog: the newest
// one, and the oldest that is served of the line of release 1.2x.
func TestStockClients(t *testing.T) {
	packages := needs(t, "catalog-clients")
	databases(t, func(t *testing.T, database string) {
		base, site := sample(t, database)
		for _, name := range []string{"newest", "oldest"} {
			t.Run(name, func(t *testing.T) {
				cmd := exec.CommandContext(t.Context(), "node", "testdata/catalog-client.cjs")
				cmd.Env = append(os.Environ(), "PACKAGE="+filepath.Join(packages, "node_modules", name), "BASE="+base, "TOKEN="+wiretest.StaticToken, "SITE="+site)
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				if err != nil {
					t.Fatalf("node: %v\n%s", err, stderr.Bytes())
				}
				for d := json.NewDecoder(bytes.NewReader(out)); ; {
					var result struct{ Name, Error string }
					if err := d.Decode(&result); err == io.EOF {
						return
					} else if err != nil {
						t.Fatalf("%v in %s", err, out)
					}
					t.Run(result.Name, func(t *testing.T) {
						if result.Error != "" {
							t.Error(result.Error)
						}
					})
				}
			})
		}
	})
}
