package docscheck

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What the documents tell people to type has to be there to be typed.
func TestCommandsInDocumentsExist(t *testing.T) {
	for name, page := range documents(t) {
		for _, b := range page.Blocks {
			if b.Lang != "sh" {
				continue
			}
			for _, cmd := range commandLines(b.Text) {
				if err := checkCommand(root, cmd); err != nil {
					t.Errorf("%s:%d: %s: %v", name, b.Line, cmd, err)
				}
			}
		}
	}
}

// commandLines returns the commands of a block: without comments, with continued lines
// joined, and split at "&&".
func commandLines(text string) []string {
	var out []string
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\\\n", " "), "\n") {
		line, _, _ = strings.Cut(" "+line, " #")
		for cmd := range strings.SplitSeq(line, "&&") {
			if cmd = strings.TrimSpace(cmd); cmd != "" {
				out = append(out, cmd)
			}
		}
	}
	return out
}

// outside are commands that are not this repository's to check.
var outside = []string{"git", "cd", "curl", "docker", "psql", "export"}

func checkCommand(root, cmd string) error {
	words := strings.Fields(cmd)
	for len(words) > 0 && regexp.MustCompile(`^[A-Z_]+=`).MatchString(words[0]) {
		words = words[1:]
	}
	switch {
	case len(words) == 0, slices.Contains(outside, words[0]):
		return nil
	case words[0] == "go" && len(words) > 1:
		return checkGo(root, words[1], words[2:])
	case strings.HasPrefix(words[0], "."):
		info, err := os.Stat(filepath.Join(root, words[0]))
		if err != nil {
			return err
		}
		if info.Mode()&0o111 == 0 {
			return fmt.Errorf("%s is not executable", words[0])
		}
		return nil
	default:
		return fmt.Errorf("no check is known for %q: write one, or list it as a command from outside", words[0])
	}
}

// checkGo checks that the packages that a go command names are there, and that what
// is run is a program.
func checkGo(root, verb string, args []string) error {
	for _, arg := range args {
		if !strings.HasPrefix(arg, "./") {
			continue
		}
		dir := filepath.Join(root, strings.TrimSuffix(arg, "..."))
		if _, err := os.Stat(dir); err != nil {
			return err
		}
		if verb == "run" {
			return checkProgram(dir)
		}
	}
	return nil
}

func checkProgram(dir string) error {
	sources, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return err
	}
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.PackageClauseOnly)
		if err != nil {
			return err
		}
		if f.Name.Name == "main" {
			return nil
		}
	}
	return fmt.Errorf("%s is not a program", dir)
}

func TestTheReadmeOpensWithAProgramAndTwoCommands(t *testing.T) {
	var program string
	var commands []string
	for _, b := range documents(t)["README.md"].Blocks {
		switch {
		case b.Lang == "go" && program == "":
			program = b.Text
		case b.Lang == "sh":
			commands = append(commands, commandLines(b.Text)...)
		}
	}
	if want := []string{"go run ./examples/quickstart", "./test.sh"}; len(commands) < 2 || !slices.Equal(commands[:2], want) {
		t.Errorf("the README's first commands are %q, want %q", commands, want)
	}
	// The program is examples/minimal, less its package comment.
	minimal := read(t, "examples/minimal/main.go")
	if _, after, _ := strings.Cut(minimal, "\npackage main"); "package main"+after != program {
		t.Errorf("the README's program is not the one in examples/minimal:\n%s", program)
	}
}

func TestTheGoVersionIsThatOfTheModule(t *testing.T) {
	m := regexp.MustCompile(`(?m)^go (1\.\d+)`).FindStringSubmatch(read(t, "go.mod"))
	if m == nil {
		t.Fatal("go.mod has no go line")
	}
	for name := range documents(t) {
		for _, found := range regexp.MustCompile(`\bGo (1\.\d+)`).FindAllStringSubmatch(read(t, name), -1) {
			if found[1] != m[1] && name != "CHANGELOG.md" {
				t.Errorf("%s speaks of %s, go.mod of go %s", name, found[0], m[1])
			}
		}
	}
}

func TestWhichCommandsAreRefused(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"run.sh": 0o755, "notes.txt": 0o644, "prog/main.go": 0o644, "lib/lib.go": 0o644} {
		text := "package lib\n"
		if name == "prog/main.go" {
			text = "package main\n"
		}
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	for cmd, want := range map[string]string{
		"./run.sh --flag":          "",
		"./notes.txt":              "not executable",
		"./gone.sh":                "no such file",
		"go run ./prog -x":         "",
		"go run ./lib":             "not a program",
		"CGO_ENABLED=0 go test ./": "",
		"go test ./lib/...":        "",
		"go test ./gone/...":       "no such file",
		"git clone URL":            "",
		"make all":                 "no check is known",
	} {
		err := checkCommand(dir, cmd)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", cmd, err, want)
		}
	}
}
