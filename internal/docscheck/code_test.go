package docscheck

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// A block of Go that has a package clause is compiled; any other has to be quoted from
// a Go file of the repository, such as an Example function that runs as a test.
func TestGoCodeInDocumentsCompilesOrIsQuoted(t *testing.T) {
	var sources []string
	for _, name := range files(t) {
		if path.Ext(name) == ".go" {
			sources = append(sources, flat(read(t, name)))
		}
	}
	var whole []snippet
	for name, page := range documents(t) {
		for _, b := range page.Blocks {
			where := fmt.Sprintf("%s:%d", name, b.Line)
			switch {
			case b.Lang != "go":
			case hasPackageClause(b.Text):
				whole = append(whole, snippet{where, b.Text})
			case !quoted(b.Text, sources):
				t.Errorf("%s: this Go code is in no Go file of the repository; quote it from an Example function, or make it a whole file", where)
			}
		}
	}
	for _, problem := range compile(t, whole) {
		t.Error(problem)
	}
}

type snippet struct{ where, text string }

func hasPackageClause(code string) bool {
	for line := range strings.Lines(code) {
		if strings.HasPrefix(line, "package ") {
			return true
		}
	}
	return false
}

// quoted reports whether the lines of code follow each other in one of the sources,
// whatever their indentation.
func quoted(code string, sources []string) bool {
	for _, source := range sources {
		if strings.Contains(source, flat(code)) {
			return true
		}
	}
	return false
}

// flat drops indentation and empty lines.
func flat(code string) string {
	var b strings.Builder
	b.WriteString("\n")
	for line := range strings.Lines(code) {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// compile compiles each snippet as a package of this module, in directories that exist in
// an overlay only, and returns what the go command says.
func compile(t *testing.T, snippets []snippet) []string {
	t.Helper()
	abs, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	var problems []string
	for i, s := range snippets {
		dir := t.TempDir()
		source := filepath.Join(dir, "snippet.go")
		if err := os.WriteFile(source, []byte(s.text), 0o600); err != nil {
			t.Fatal(err)
		}
		pkg := fmt.Sprintf("snippet%d", i)
		overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(abs, pkg, "snippet.go"): source}})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "overlay.json")
		if err := os.WriteFile(file, overlay, 0o600); err != nil {
			t.Fatal(err)
		}
		// Listing export data compiles, and does not link.
		if out, err := exec.Command("go", "list", "-export", "-overlay", file, "./"+pkg).CombinedOutput(); err != nil {
			problems = append(problems, fmt.Sprintf("%s: this Go code does not compile:\n%s", s.where, strings.ReplaceAll(string(out), source, "snippet.go")))
		}
	}
	return problems
}

func TestCodeThatDoesNotCompileIsReported(t *testing.T) {
	got := compile(t, []snippet{
		{"good.md:1", "package main\n\nfunc main() { println(1) }\n"},
		{"bad.md:7", "package main\n\nfunc main() { nobody() }\n"},
	})
	if len(got) != 1 || !strings.HasPrefix(got[0], "bad.md:7: ") || !strings.Contains(got[0], "undefined: nobody") {
		t.Errorf("reported %q, want one problem that names bad.md:7 and the undefined function", got)
	}
}

func TestWhatCountsAsQuoted(t *testing.T) {
	source := flat("func ExampleX() {\n\tx := 1\n\n\tfmt.Println(x)\n\t// Output: 1\n}\n")
	for code, want := range map[string]bool{
		"x := 1\nfmt.Println(x)\n":   true,
		"  x := 1\n":                 true,
		"x := 1\n// Output: 1\n":     false,
		"x := 2\n":                   false,
		"mt.Println(x)\n":            false,
		"fmt.Println(x)\n// Outpu\n": false,
	} {
		if got := quoted(code, []string{source}); got != want {
			t.Errorf("quoted(%q) = %v, want %v", code, got, want)
		}
	}
}
