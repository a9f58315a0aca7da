package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

var (
	yamlBlock    = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	variable     = regexp.MustCompile(`\$\{[A-Z0-9_]+\}`)
	resolverLine = regexp.MustCompile(`resolver: \w+`)
	resolverRow  = regexp.MustCompile("(?m)^\\| ((?:`\\w+`(?:, )?)+) \\|")
	name         = regexp.MustCompile(`\w+`)
)

// boot starts and stops a portal with a configuration in addition to what every portal has.
func boot(t *testing.T, text string) error {
	t.Helper()
	text = fmt.Sprintf("app: {baseUrl: 'https://portal.acme.com'}\nbackend: {baseUrl: 'https://portal.acme.com', listen: '127.0.0.1:0', database: {client: better-sqlite3, connection: {directory: %q}}}\n", t.TempDir()) +
		strings.Replace(variable.ReplaceAllString(text, "a-variable"), "auth:\n", "auth:\n  session: {secret: the-secret-of-a-test}\n", 1)
	cfg, err := config.Parse("app-config.yaml", []byte(text))
	if err != nil {
		return err
	}
	b := portal(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))
	if err := b.Start(t.Context()); err != nil {
		return err
	}
	return b.Stop(context.WithoutCancel(t.Context()))
}

// TestPagesOfProviders holds that what the pages of docs/sign-in show is a configuration
// that starts, and that their tables have the resolvers that there are.
func TestPagesOfProviders(t *testing.T) {
	pages, err := filepath.Glob("../../docs/sign-in/*.md")
	if err != nil || len(pages) < 12 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	// One of the providers starts in an App Service alone.
	t.Setenv("WEBSITE_AUTH_ENABLED", "True")
	t.Setenv("WEBSITE_AUTH_DEFAULT_PROVIDER", "AzureActiveDirectory")
	for _, page := range pages {
		t.Run(strings.TrimSuffix(filepath.Base(page), ".md"), func(t *testing.T) {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			blocks := yamlBlock.FindAllSubmatch(text, -1)
			if len(blocks) != 1 {
				t.Fatalf("%d configurations, want 1", len(blocks))
			}
			yaml := string(blocks[0][1])
			if err := boot(t, yaml); err != nil {
				t.Errorf("%v\n%s", err, yaml)
			}
			failure := boot(t, resolverLine.ReplaceAllString(yaml, "resolver: nobody"))
			if failure == nil {
				t.Fatal("a resolver that there is not does no harm")
			}
			_, known, _ := strings.Cut(failure.Error(), "this provider knows ")
			known, _, _ = strings.Cut(known, " (")
			known, _, _ = strings.Cut(known, "\n")
			var listed []string
			for _, row := range resolverRow.FindAllStringSubmatch(string(text), -1) {
				listed = append(listed, name.FindAllString(row[1], -1)...)
			}
			slices.Sort(listed)
			if len(listed) < 2 {
				t.Errorf("the page lists %v, want the two of all providers and those of its own", listed)
			}
			if got := strings.Join(listed, ", "); got != strings.TrimSpace(known) {
				t.Errorf("the page lists %s, there are %s", got, known)
			}
		})
	}
}
