package docscheck

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// root is the root of the repository as seen from this package.
const root = "../.."

// files lists what is committed or about to be, as slash-separated paths from the root.
func files(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	var out []string
	for name := range strings.SplitSeq(strings.TrimRight(string(raw), "\x00"), "\x00") {
		if info, err := os.Lstat(filepath.Join(root, name)); err == nil && info.Mode().IsRegular() {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		t.Fatal("git lists no files")
	}
	return out
}

func read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// documents are the Markdown files that people read: not test data, and not what the
// sample organisation's templates are made of.
func documents(t *testing.T) map[string]Page {
	t.Helper()
	pages := map[string]Page{}
	for _, name := range files(t) {
		if path.Ext(name) == ".md" && !strings.Contains(name, "testdata/") && !strings.HasPrefix(name, "examples/quickstart/org/") {
			pages[name] = Parse(read(t, name))
		}
	}
	if _, ok := pages["README.md"]; !ok {
		t.Fatal("there is no README.md")
	}
	return pages
}
