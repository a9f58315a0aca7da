package backend_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/db"
)

type shelfConfig struct {
	Height int `config:"height"`
}

type shelf struct {
	height int
	books  []string
}

// library is a plugin with a tool that lists what its modules put on the shelf.
func library(started *bool) backend.Feature {
	return backend.NewPlugin("library",
		backend.Section("library", shelfConfig{Height: 3}),
		backend.ExtensionPoint[shelf](),
		fx.Invoke(func(c shelfConfig, s *shelf, lc fx.Lifecycle) {
			s.height = c.Height
			lc.Append(fx.StartHook(func() { *started = true }))
		}),
		backend.Subcommand("books", "lists the books", func(ctx context.Context, c backend.Console, tools backend.Toolbox[*shelf]) int {
			s, warnings, err := tools.Open(ctx, c.Args...)
			for _, w := range warnings {
				fmt.Fprintln(c.Stderr, "warning:", w)
			}
			if err != nil {
				fmt.Fprintln(c.Stderr, err)
				return 1
			}
			fmt.Fprintln(c.Stdout, c.Program, s.height, s.books)
			return len(s.books)
		}),
	)
}

type novelConfig struct {
	Title string `config:"title,required"`
}

func novel() backend.Feature {
	return backend.NewModule("library", "novel", backend.Section("library.novel", novelConfig{}), fx.Invoke(func(s *shelf, c novelConfig) {
		s.books = append(s.books, c.Title)
	}))
}

func atlas() backend.Feature {
	return backend.NewModule("library", "atlas", fx.Invoke(func(s *shelf) { s.books = append(s.books, "atlas") }))
}

func TestSubcommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, yaml string) string {
		full := filepath.Join(dir, name)
		if err := os.WriteFile(full, []byte(yaml), 0o644); err != nil {
			t.Fatal(err)
		}
		return full
	}
	for _, tt := range []struct {
		name     string
		args     []string
		code     int
		out, err string // are in the output
	}{
		{name: "without configuration, modules that need some are left out", args: []string{"books"}, code: 1,
			out: "portal 3 [atlas]", err: "warning: module library/novel is left out: library.novel.title"},
		{name: "with configuration", args: []string{"books", file("a.yaml", "library: {height: 5, novel: {title: Emma}}")}, code: 2,
			out: "portal 5 [Emma atlas]"},
		{name: "with a mistake in the plugin's section", args: []string{"books", file("b.yaml", "library: {height: tall}")}, code: 1,
			err: "library.height"},
		{name: "with a mistake elsewhere", args: []string{"books", file("c.yaml", "backend: {listen: [1]}\nlibrary: {novel: {title: Emma}}")}, code: 2,
			out: "portal 3 [Emma atlas]", err: "warning: backend.listen"},
		{name: "with a file that is not there", args: []string{"books", filepath.Join(dir, "none.yaml")}, code: 1, err: "none.yaml"},
		{name: "a misspelt name", args: []string{"boks"}, code: 2, err: `unexpected argument "boks", did you mean books?`},
		{name: "help", args: []string{"--help"}, code: 0, out: "books          lists the books"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			started := false
			b := backend.New()
			b.Add(library(&started), novel(), atlas())
			var stdout, stderr bytes.Buffer
			if code := b.RunMain(tt.args, nil, &stdout, &stderr); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(stdout.String(), tt.out) || !strings.Contains(stderr.String(), tt.err) || tt.err == "" && stderr.Len() > 0 {
				t.Errorf("stdout %q\nstderr %q", stdout.String(), stderr.String())
			}
			if started {
				t.Error("the plugin was started")
			}
		})
	}
}

// TestSubcommandWithADatabase holds that a tool works with the database of the portal, and
// never with another one in its place.
func TestSubcommandWithADatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, yaml string) string {
		full := filepath.Join(dir, name)
		if err := os.WriteFile(full, []byte(yaml), 0o644); err != nil {
			t.Fatal(err)
		}
		return full
	}
	good := file("good.yaml", fmt.Sprintf("backend: {database: {client: better-sqlite3, connection: {directory: %q}}}", dir))
	bad := file("bad.yaml", "backend: {database: {client: pg, connection: {host: '${CALLBOARD_TEST_UNSET_HOST}'}}}")
	for _, tt := range []struct {
		file, statement string
		code            int
		err             string
	}{
		{good, "CREATE TABLE books (title text)", 0, ""},
		{good, "INSERT INTO books VALUES ('Emma')", 0, ""}, // the next process finds the table
		{good, "INSERT INTO films VALUES ('Emma')", 1, "films"},
		{bad, "CREATE TABLE books (title text)", 1, "backend.database"},
	} {
		b := backend.New()
		b.Add(backend.NewPlugin("library", backend.Subcommand("sql", "runs a statement", func(ctx context.Context, c backend.Console, tools backend.Toolbox[db.DB]) int {
			_, err := tools.Use(ctx, c.Args, func(d db.DB) error {
				_, err := d.Exec(ctx, db.Same(tt.statement))
				return err
			})
			if err != nil {
				fmt.Fprintln(c.Stderr, err)
				return 1
			}
			return 0
		})))
		var stdout, stderr bytes.Buffer
		if code := b.RunMain([]string{"sql", tt.file}, nil, &stdout, &stderr); code != tt.code || !strings.Contains(stderr.String(), tt.err) {
			t.Errorf("%s: exit code %d, %s", tt.statement, code, stderr.String())
		}
	}
}
