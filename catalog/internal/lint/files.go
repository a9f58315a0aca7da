package lint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/bmatcuk/doublestar/v4"
)

// FindRoot is the nearest directory above the absolute path that a repository begins
// in, else fallback if the path is below it, else the directory of the path.
func FindRoot(p, fallback string) string {
	dir := p
	if info, err := os.Stat(p); err != nil || !info.IsDir() {
		dir = filepath.Dir(p)
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			return at
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	if rel, err := filepath.Rel(fallback, dir); err == nil && filepath.IsLocal(rel) {
		return fallback
	}
	return dir
}

// collect lists the files, relative to Root and with slashes.
func collect(ctx context.Context, o Options, paths []string) ([]string, error) {
	var out []string
	add := func(p string) error {
		rel, err := filepath.Rel(o.Root, p)
		if err != nil || !filepath.IsLocal(rel) {
			return fmt.Errorf("%s is not below %s; name another root", p, o.Root)
		}
		out = append(out, filepath.ToSlash(rel))
		if len(out) > MaxFiles {
			return fmt.Errorf("there are more than %d files; check fewer at once", MaxFiles)
		}
		return nil
	}
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			if err := add(p); err != nil {
				return nil, err
			}
			continue
		}
		before := len(out)
		err = filepath.WalkDir(p, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case ctx.Err() != nil:
				return ctx.Err()
			case d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") && name != p:
				return filepath.SkipDir
			case d.Type().IsRegular() && matches(o.Names, d.Name()):
				rel, err := filepath.Rel(o.Root, name)
				if err == nil && matches(o.Exclude, filepath.ToSlash(rel)) {
					return nil
				}
				return add(name)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(out) == before {
			return nil, fmt.Errorf("%s has no files named %v", p, o.Names)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func matches(globs []string, name string) bool {
	return slices.ContainsFunc(globs, func(g string) bool {
		ok, err := doublestar.Match(g, name)
		return ok && err == nil
	})
}

// CheckGlobs reports globs that match nothing because they are malformed.
func CheckGlobs(globs []string) error {
	for _, g := range globs {
		if !doublestar.ValidatePattern(g) {
			return errors.New(g + " is no valid glob")
		}
	}
	return nil
}
