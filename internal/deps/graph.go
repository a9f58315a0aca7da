// Package deps holds the boundaries between the packages of this module, and between
// them and the modules of others: which package trees may reach the AWS SDK, what a
// leaf must not know, which way the arrows point. Its tests ask the go command for the
// import graph and print the chain of imports that breaks a rule.
//
// Only imports of the shipped packages count. What a _test.go file imports is not in
// anybody's binary.
package deps

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// Module is the path of this module.
const Module = "github.com/callboard-dev/callboard"

// A Package is what the go command says of one package.
type Package struct {
	ImportPath string
	Name       string
	Imports    []string // what its shipped files import, sorted
	Standard   bool     // part of the standard library
}

// A Graph is packages by import path, closed under imports.
type Graph map[string]*Package

// Load returns the graph of all packages below dir, a directory of the module, and of
// everything they import. A package that does not compile is in it with the imports
// that can be read.
func Load(ctx context.Context, dir string) (Graph, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-e", "-deps", "-json=ImportPath,Name,Imports,Standard", "./...")
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	raw, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w: %s", dir, err, stderr.String())
	}
	g := Graph{}
	for d := json.NewDecoder(bytes.NewReader(raw)); ; {
		var p Package
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return g, nil
		}
		if err != nil {
			return nil, fmt.Errorf("go list in %s: %w", dir, err)
		}
		slices.Sort(p.Imports)
		g[p.ImportPath] = &p
	}
}

// Own returns the packages of this module, sorted, as paths within it: "backend/db".
// The package at the root is ".".
func (g Graph) Own() []string {
	var own []string
	for _, p := range slices.Sorted(maps.Keys(g)) {
		if rel, ok := Rel(p); ok {
			own = append(own, rel)
		}
	}
	return own
}

// Rel returns the path of a package within this module, and whether it is in it.
func Rel(importPath string) (string, bool) {
	if importPath == Module {
		return ".", true
	}
	return strings.CutPrefix(importPath, Module+"/")
}

// OwnImports returns the packages of this module that pkg, a path within it, imports
// directly.
func (g Graph) OwnImports(pkg string) []string {
	var own []string
	for _, p := range g[path.Join(Module, pkg)].Imports {
		if rel, ok := Rel(p); ok {
			own = append(own, rel)
		}
	}
	return own
}

// Chain returns a shortest chain of imports from a package, given by its import path,
// to one that hit accepts, both included; nil if there is none. Dependencies within
// the standard library are its own affair: the chain ends at the first package of it.
func (g Graph) Chain(from string, hit func(importPath string) bool) []string {
	came := map[string]string{from: ""}
	queue := []string{from}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if at != from && hit(at) {
			var chain []string
			for p := at; p != ""; p = came[p] {
				chain = append(chain, p)
			}
			slices.Reverse(chain)
			return chain
		}
		p := g[at]
		if p == nil || p.Standard {
			continue
		}
		for _, next := range p.Imports {
			if _, seen := came[next]; !seen {
				came[next] = at
				queue = append(queue, next)
			}
		}
	}
	return nil
}

// Match reports whether a pattern covers a path. A pattern is a path in which "*"
// stands for any run of characters within one element; with a final "/..." it covers
// what lies below as well, as on the go command's line.
func Match(pattern, pkg string) bool {
	tree, below := strings.CutSuffix(pattern, "/...")
	for p := pkg; ; p = path.Dir(p) {
		if ok, err := path.Match(tree, p); ok && err == nil {
			return true
		}
		if !below || !strings.Contains(p, "/") {
			return false
		}
	}
}

// MatchAny reports whether any of the patterns covers the path.
func MatchAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return Match(p, pkg) })
}
