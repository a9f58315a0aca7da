package testbed

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
)

// projects has a folder per npm project: the packages that tests drive, with a lock
// file that has the checksum of all that they need.
//
//go:embed projects
var projects embed.FS

var projectFiles = []string{"package.json", "package-lock.json"}

// catalogClients is the row of the stock clients of the catalog.
func catalogClients() Tool {
	return Tool{
		Name: "catalog-clients", Group: "catalog-clients", Default: true, Project: "catalog-client",
		Check: func(dir string) error {
			_, err := os.Stat(filepath.Join(dir, "node_modules", "newest", "package.json"))
			return err
		},
	}
}

// catalogDescription is the row of the published description of the catalog's API.
func catalogDescription() Tool {
	return Tool{
		Name: "catalog-openapi", Group: "catalog-openapi", Default: true,
		NPM: NPMPackage{
			Name: "@backstage/plugin-catalog-backend", Version: "4.0.0", Root: "package/dist/schema/openapi/generated",
			SHA256: "af237e93a1b2132f96f3e994295e7755d0d0d65f92c340e2c9f0fe07dff0bf1a",
		},
		Check: func(dir string) error {
			_, err := os.Stat(filepath.Join(dir, "router.cjs.js"))
			return err
		},
	}
}

// projectDigest tells versions of a project apart.
func projectDigest(name string) string {
	h := sha256.New()
	for _, file := range projectFiles {
		data, err := projects.ReadFile(path.Join("projects", name, file))
		if err != nil {
			panic(err) // it is embedded, or the table is wrong
		}
		h.Write(data)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// installProject lets npm install exactly what the lock file says. No script of a
// package runs.
func installProject(ctx context.Context, log io.Writer, t Tool) error {
	if _, err := exec.LookPath("npm"); err != nil {
		return fmt.Errorf("npm project %s: no npm here", t.Project)
	}
	cache, work, err := workDir()
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for _, file := range projectFiles {
		data, err := projects.ReadFile(path.Join("projects", t.Project, file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(work, file), data, 0o644); err != nil {
			return err
		}
	}
	if err := run(ctx, log, "npm", "ci", "--prefix", work, "--ignore-scripts", "--no-audit", "--no-fund"); err != nil {
		return err
	}
	err = os.Rename(work, filepath.Join(cache, t.cacheName()))
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was faster
	}
	return err
}
