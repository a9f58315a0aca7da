package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The counter reads what the go command writes, not only what it is documented to write.
func TestCountingWhatGoTestReallyPrints(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":            "module example.com/m\n\ngo 1.26\n",
		"good/a_test.go":    "package good\nimport \"testing\"\nfunc TestA(t *testing.T) { t.Run(\"sub\", func(*testing.T) {}) }\nfunc TestB(t *testing.T) { t.Skip(\"why not\") }\n",
		"bad/a_test.go":     "package bad\nimport \"testing\"\nfunc TestA(t *testing.T) { t.Error(\"it is wrong\") }\n",
		"dies/a_test.go":    "package dies\nimport (\"os\"; \"testing\")\nfunc TestA(t *testing.T) { println(\"last words\"); os.Exit(3) }\n",
		"broken/a_test.go":  "package broken\nimport \"testing\"\nfunc TestA(t *testing.T) { nobody() }\n",
		"silent/a.go":       "package silent\n",
		"panics/a_test.go":  "package panics\nimport \"testing\"\nfunc TestA(t *testing.T) { panic(\"at the disco\") }\nfunc TestB(*testing.T) {}\n",
		"nomain/a_test.go":  "package nomain\nimport (\"os\"; \"testing\")\nfunc TestMain(*testing.M) { println(\"no server\"); os.Exit(1) }\nfunc TestA(*testing.T) {}\n",
		"good/b/c_test.go":  "package b\nimport \"testing\"\nfunc TestC(*testing.T) {}\nfunc FuzzD(f *testing.F) { f.Add(1); f.Fuzz(func(*testing.T, int) {}) }\n",
		"good/b/example.go": "package b\n",
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	c := newCounter(&out)
	cmd := exec.Command("go", "test", "-vet=off", "-json", "./...")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, c, c
	if err := cmd.Run(); err == nil {
		t.Error("go test succeeded")
	}
	// Passed: good A and A/sub; b C, D and D's seed. Failed: bad A, dies, broken,
	// panics A, nomain.
	if got, want := c.finish(), (counts{Passed: 5, Failed: 5, Skipped: 1}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
	for _, part := range []string{
		"ok    example.com/m/good ", "skip  example.com/m/good TestB", "it is wrong", "last words",
		"undefined: nobody", "at the disco", "no server",
	} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("the output lacks %q", part)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}
