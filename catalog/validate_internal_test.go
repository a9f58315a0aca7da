package catalog

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/catalog/internal/ingest"
	"github.com/callboard-dev/callboard/catalog/internal/lint"
)

// FuzzValidate: whatever a descriptor holds, the check ends without a panic, its findings
// have places in the file, and every format can write them.
func FuzzValidate(f *testing.F) {
	for _, name := range []string{"catalog-info.yaml", "more.yaml", "docs/catalog-info.yaml", "skeleton/catalog-info.yaml"} {
		seed, err := os.ReadFile(filepath.Join("testdata/validate/repo", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	for _, seed := range []string{"", "kind: [", "a: &a [*a]\n", "\xff\xfe", "---\n---\n", "{}", "- 1", "apiVersion: a/b\nkind: Location\nmetadata: {name: a}\nspec: {targets: ['./**', '../x', '/catalog-info.yaml', 'http://[', '%2e%2e/x', './catalog-info.yaml?a=b#c']}\n"} {
		f.Add([]byte(seed))
	}
	integrations, err := scm.NewIntegrations(scm.Config{})
	if err != nil {
		f.Fatal(err)
	}
	c := &catalog{p: params{Config: defaultConfig(), Extensions: &Extensions{}, Integrations: integrations, Log: slog.New(slog.DiscardHandler)}}
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		name := filepath.Join(dir, "catalog-info.yaml")
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, asFiles := range []bool{false, true} {
			report, err := lint.Run(t.Context(), lint.Options{Integrations: integrations, Root: dir, AsFiles: asFiles, Complete: true,
				Pipeline: func(r scm.Reader) (*ingest.Pipeline, error) { return c.offline(r, validateFlags{}) }}, []string{name})
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Count(string(content), "\n") + strings.Count(string(content), "\r") + strings.Count(string(content), "\u0085") + strings.Count(string(content), "\u2028") + strings.Count(string(content), "\u2029") + 2
			for _, found := range report.Findings {
				if found.File != "catalog-info.yaml" || found.Line < 1 || found.Column < 1 || found.Line > lines && !strings.Contains(string(content), "\x00") || found.Message == "" {
					t.Errorf("%+v in %d lines", found, lines)
				}
			}
			_, names := lint.FormatOf("")
			for _, n := range names {
				format, _ := lint.FormatOf(n)
				if err := format(io.Discard, report, func(s string) string { return s }); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// TestValidate_IsBounded: what is too large is refused with a place or a reason, and a
// check that is told to end ends.
func TestValidate_IsBounded(t *testing.T) {
	t.Parallel()
	integrations, err := scm.NewIntegrations(scm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	config := defaultConfig()
	config.Limits = limitsConfig{FileBytes: 4 << 10, Depth: 20, DocumentsPerFile: 8, AliasedValues: 50}
	c := &catalog{p: params{Config: config, Extensions: &Extensions{}, Integrations: integrations, Log: slog.New(slog.DiscardHandler)}}
	run := func(ctx context.Context, content string) (*lint.Report, error) {
		dir := t.TempDir()
		name := filepath.Join(dir, "catalog-info.yaml")
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return lint.Run(ctx, lint.Options{Integrations: integrations, Root: dir,
			Pipeline: func(r scm.Reader) (*ingest.Pipeline, error) { return c.offline(r, validateFlags{}) }}, []string{name})
	}
	one := "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: a}\nspec: {type: service, lifecycle: production, owner: a}\n---\n"
	for _, tt := range []struct{ name, content, want string }{
		{"size", strings.Repeat("# comment\n", 1000), "larger than the limit of 4096 bytes"},
		{"depth", "a: " + strings.Repeat("[", 60) + strings.Repeat("]", 60), "20"},
		{"documents", strings.Repeat("a: b\n---\n", 12), "more than 8 documents"},
		{"aliases", "a: &a [1,2,3,4,5,6,7,8]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b]\n", "alias"},
	} {
		report, err := run(t.Context(), tt.content)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		found := false
		for _, f := range report.Findings {
			found = found || strings.Contains(f.Message, tt.want)
		}
		if !found {
			t.Errorf("%s: %+v", tt.name, report.Findings)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := run(ended, one); err == nil {
		t.Error("a check that was told to end is complete")
	}
}
