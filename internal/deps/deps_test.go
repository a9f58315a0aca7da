package deps

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/layers.golden")

func load(t *testing.T) Graph {
	t.Helper()
	g, err := Load(t.Context(), "../..")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestNoBoundaryIsCrossed(t *testing.T) {
	for _, broken := range Check(load(t), Boundaries, Arrows) {
		t.Error(broken)
	}
}

// A new arrow between two packages is a decision. It shows as a line in this file.
func TestLayersAreThoseOfTheGoldenFile(t *testing.T) {
	const golden = "testdata/layers.golden"
	g := load(t)
	var got bytes.Buffer
	fmt.Fprintln(&got, "# What each package imports of this module. Rewritten by: go test ./internal/deps -update")
	for _, pkg := range g.Own() {
		fmt.Fprintln(&got, pkg)
		for _, imported := range g.OwnImports(pkg) {
			fmt.Fprintln(&got, "\t"+imported)
		}
	}
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	gone, added := difference(string(want), got.String())
	for _, line := range gone {
		t.Errorf("%s lists %s, which is no more", golden, line)
	}
	for _, line := range added {
		t.Errorf("%s lacks %s", golden, line)
	}
	if t.Failed() {
		t.Log("if the new arrows are meant: go test ./internal/deps -update")
	}
}

// difference compares listings as sets of "package" and "package imports package".
func difference(want, got string) (gone, added []string) {
	arrows := func(listing string) map[string]bool {
		set := map[string]bool{}
		pkg := ""
		for line := range strings.Lines(listing) {
			line = strings.TrimRight(line, "\n")
			if imported, ok := strings.CutPrefix(line, "\t"); ok {
				set[pkg+" imports "+imported] = true
			} else if !strings.HasPrefix(line, "#") {
				pkg = line
				set[pkg] = true
			}
		}
		return set
	}
	w, g := arrows(want), arrows(got)
	return missing(w, g), missing(g, w)
}

// missing returns what is in a and not in b, sorted.
func missing(a, b map[string]bool) []string {
	var out []string
	for _, line := range slices.Sorted(maps.Keys(a)) {
		if !b[line] {
			out = append(out, line)
		}
	}
	return out
}

// graph makes a Graph of lines "package: imports". Paths of this module are written
// short; those with a dot before the first slash are other modules.
func graph(lines ...string) Graph {
	g := Graph{}
	full := func(p string) string {
		if first, _, _ := strings.Cut(p, "/"); strings.Contains(first, ".") || first == "std" || first == "testing" {
			return p
		}
		return Module + "/" + p
	}
	for _, line := range lines {
		pkg, imports, _ := strings.Cut(line, ":")
		p := &Package{ImportPath: full(pkg)}
		for _, imported := range strings.Fields(imports) {
			p.Imports = append(p.Imports, full(imported))
		}
		g[p.ImportPath] = p
	}
	return g
}

func TestWhatBreaksARule(t *testing.T) {
	for _, tt := range []struct {
		name string
		g    Graph
		want []string // parts of the only message; none: no message
	}{
		{
			name: "the AWS SDK below its own package",
			g:    graph("techdocs/s3techdocs: github.com/aws/aws-sdk-go-v2/service/s3"),
		},
		{
			name: "the AWS SDK through a package in between, with the chain",
			g: graph("techdocs: techdocs/internal/build", "techdocs/internal/build: example.com/storage",
				"example.com/storage: github.com/aws/aws-sdk-go-v2/service/s3", "backend/config:"),
			want: []string{
				"techdocs reaches github.com/aws/aws-sdk-go-v2/service/s3: who stores nothing on S3",
				Module + "/techdocs\n\t  imports " + Module + "/techdocs/internal/build\n\t  imports example.com/storage\n\t  imports github.com/aws",
			},
		},
		{
			name: "a program may reach what it adds",
			g:    graph("examples/full: techdocs/s3techdocs", "techdocs/s3techdocs: github.com/aws/aws-sdk-go-v2/config"),
		},
		{
			name: "the typed clientset, even below kubernetes",
			g:    graph("kubernetes/internal/fetch: k8s.io/client-go/kubernetes"),
			want: []string{"kubernetes/internal/fetch reaches k8s.io/client-go/kubernetes"},
		},
		{
			name: "SQLite is reached through backend/db by everybody, and imported by nobody else",
			g:    graph("backend/db: modernc.org/sqlite", "backend: backend/db", "catalog: backend modernc.org/sqlite"),
			want: []string{"catalog reaches modernc.org/sqlite"},
		},
		{
			name: "testing in a package that is not for tests",
			g:    graph("backend/httpx: testing", "backend/backendtest: testing"),
			want: []string{"backend/httpx reaches testing"},
		},
		{
			name: "fx in a leaf",
			g:    graph("catalog/entity: go.uber.org/fx"),
			want: []string{"catalog/entity reaches go.uber.org/fx: leaves and stores are plain Go"},
		},
		{
			name: "the host knows a plugin",
			g:    graph("backend/discovery: catalog/entity", "catalog/entity:"),
			want: []string{"backend/discovery imports catalog/entity: the host knows no plugin"},
		},
		{
			name: "the engine knows its façade",
			g:    graph("catalog/internal/ingest: catalog", "catalog: backend", "backend:"),
			want: []string{"catalog/internal/ingest imports catalog: the engine does not know its façade"},
		},
		{
			name: "a plugin imports another one's engine",
			g:    graph("search/catalogsearch: catalog", "catalog: catalog/entity", "catalog/entity:"),
			want: []string{"search/catalogsearch imports catalog: plugins reach each other through clients"},
		},
		{
			name: "a plugin uses another one's client",
			g:    graph("search/catalogsearch: catalog/client", "catalog/client: catalog/entity", "catalog/entity:"),
		},
		{
			name: "shipped code imports test support",
			g:    graph("catalog: backend/backendtest", "backend/backendtest: testing"),
			want: []string{"catalog imports backend/backendtest, which is for tests"},
		},
		{
			name: "a new top-level tree has no layer yet",
			g:    graph("billing:"),
			want: []string{"billing is in no layer"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var broken []string
			for _, b := range Check(tt.g, Boundaries, Arrows) {
				// What is reached through an import that is already reported.
				if len(tt.want) > 0 && !strings.Contains(b, tt.want[0]) {
					continue
				}
				broken = append(broken, b)
			}
			if len(tt.want) == 0 {
				if len(broken) > 0 {
					t.Errorf("reported %q, want nothing", broken)
				}
				return
			}
			if len(broken) != 1 {
				t.Fatalf("reported %q, want one that says %q; all: %q", broken, tt.want[0], Check(tt.g, Boundaries, Arrows))
			}
			for _, part := range tt.want {
				if !strings.Contains(broken[0], part) {
					t.Errorf("the report lacks %q:\n%s", part, broken[0])
				}
			}
		})
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, pkg string
		want         bool
	}{
		{"backend", "backend", true},
		{"backend", "backend/db", false},
		{"backend/...", "backend", true},
		{"backend/...", "backend/db/storetest", true},
		{"backend/...", "backendtest", false},
		{"*/internal/store", "catalog/internal/store", true},
		{"*/internal/store", "catalog/internal/store/sub", false},
		{"*/github*/...", "catalog/githubcatalog/internal", true},
		{"*/github*/...", "catalog/gitlabcatalog", false},
		{"*/*test/...", "backend/backendtest", true},
		{"*/*test/...", "backend/config", false},
		{"k8s.io/...", "k8s.io/client-go/rest", true},
		{"testing/...", "testing", true},
	} {
		if got := Match(tt.pattern, tt.pkg); got != tt.want {
			t.Errorf("Match(%q, %q) = %v", tt.pattern, tt.pkg, got)
		}
	}
}

func TestTheDifferenceOfTwoListings(t *testing.T) {
	gone, added := difference("# x\na\n\tb\nb\n", "# y\na\n\tc\nb\nc\n")
	if fmt.Sprint(gone) != "[a imports b]" || fmt.Sprint(added) != "[a imports c c]" {
		t.Errorf("gone %v, added %v", gone, added)
	}
}
