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
	"strings"
)

// projects has a folder per project: the packages that tests drive, with a lock file that
// has the checksum of all that they need. Those with a go.mod.txt are Go programs; what
// they import is no concern of this module. The others are npm's.
//
//go:embed projects
var projects embed.FS

// projectFiles are the files of a project. They are installed without the .txt, which is
// there because a folder with a go.mod cannot be embedded.
func projectFiles(name string) []string {
	if isProgram(name) {
		return []string{"main.go", "go.mod.txt", "go.sum.txt"}
	}
	return []string{"package.json", "package-lock.json"}
}

// isProgram reports whether a project is a Go program.
func isProgram(name string) bool {
	f, err := projects.Open(path.Join("projects", name, "go.mod.txt"))
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// zitadelOP is the row of zitadel's OpenID provider.
func zitadelOP() Tool {
	return Tool{
		Name: "zitadel-op", Group: "zitadel-op", Default: true, Project: "zitadel-op",
		Check: func(dir string) error {
			_, err := exec.LookPath(filepath.Join(dir, "zitadel-op"))
			return err
		},
	}
}

// oidcProvider is the row of the OpenID provider for Node.
func oidcProvider() Tool { return npmProject("oidc-provider", "oidc-provider") }

// signIn is the row of what drives a sign-in in a browser.
func signIn() Tool { return npmProject("sign-in", "playwright-core") }

// mcpClient is the row of the official client library of assistants.
func mcpClient() Tool { return npmProject("mcp-client", "@modelcontextprotocol/sdk") }

// rbacUI is the row of the stock user interface of roles. It has more than a gigabyte of
// packages, so it is installed for those who ask for it.
func rbacUI() Tool {
	t := npmProject("rbac-ui", "@backstage-community/plugin-rbac")
	t.Default = false
	return t
}

func npmProject(name, has string) Tool {
	return Tool{
		Name: name, Group: name, Default: true, Project: name,
		Check: func(dir string) error {
			_, err := os.Stat(filepath.Join(dir, "node_modules", has, "package.json"))
			return err
		},
	}
}

// chromium is the row of the browser.
func chromium() Tool {
	return Tool{
		Name: "chromium", Group: "chromium", Default: true, Debian: "chromium",
		Installed: func() (string, bool) {
			path, err := exec.LookPath("chromium")
			return filepath.Dir(path), err == nil
		},
		Check: func(dir string) error {
			_, err := exec.LookPath(filepath.Join(dir, "chromium"))
			return err
		},
	}
}

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

// published is the row of a part of a package that needs nothing else to run.
func published(name, pkg, version, sha256, root, has string) Tool {
	return Tool{
		Name: name, Group: name, Default: true,
		NPM: NPMPackage{Name: pkg, Version: version, SHA256: sha256, Root: root},
		Check: func(dir string) error {
			_, err := os.Stat(filepath.Join(dir, has))
			return err
		},
	}
}

// notificationClients are the rows of the stock clients of notifications and signals: what
// browsers have, and what plugins elsewhere have.
func notificationClients() []Tool {
	return []Tool{
		published("notifications-client", "@backstage/plugin-notifications", "0.6.2", "4aa529f373aa210c47d04fb014042820d72075e26d1bdc02e73a531692996cc8",
			"package/dist/api", "NotificationsClient.esm.js"),
		published("notifications-node", "@backstage/plugin-notifications-node", "0.2.32", "282257347e6a836b825dbca59b27439f84b662926936ea050d4ec7783b61d7c2",
			"package/dist/service", "DefaultNotificationService.cjs.js"),
		published("signals-client", "@backstage/plugin-signals", "0.0.37", "0e8705dc1b3b54527373dde3e45bc051e5701a415a3bcd05069001147e8cadd2",
			"package/dist/api", "SignalClient.esm.js"),
		published("signals-node", "@backstage/plugin-signals-node", "0.2.7", "20c9b07d6b939b8a855c55e3ef5eded2fef8dc02df934d8a04171fa84ef2790e",
			"package/dist", "DefaultSignalsService.cjs.js"),
	}
}

// projectDigest tells versions of a project apart.
func projectDigest(name string) string {
	h := sha256.New()
	for _, file := range projectFiles(name) {
		data, err := projects.ReadFile(path.Join("projects", name, file))
		if err != nil {
			panic(err) // it is embedded, or the table is wrong
		}
		h.Write(data)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// installProject lets npm install exactly what the lock file says, without running a
// script of a package, or builds a Go program.
func installProject(ctx context.Context, log io.Writer, t Tool) error {
	program := isProgram(t.Project)
	if _, err := exec.LookPath("npm"); err != nil && !program {
		return fmt.Errorf("npm project %s: no npm here", t.Project)
	}
	cache, work, err := workDir()
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for _, file := range projectFiles(t.Project) {
		data, err := projects.ReadFile(path.Join("projects", t.Project, file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(work, strings.TrimSuffix(file, ".txt")), data, 0o644); err != nil {
			return err
		}
	}
	if program {
		err = run(ctx, log, "go", "build", "-C", work, "-trimpath", "-o", t.Project, "main.go")
	} else {
		err = run(ctx, log, "npm", "ci", "--prefix", work, "--ignore-scripts", "--no-audit", "--no-fund")
	}
	if err != nil {
		return err
	}
	err = os.Rename(work, filepath.Join(cache, t.cacheName()))
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was faster
	}
	return err
}
