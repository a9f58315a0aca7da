package catalog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// A running is a backend with the catalog, and a window into its database.
type running struct {
	t   *testing.T
	db  db.DB
	log *strings.Builder
}

// start boots the catalog with the YAML below its key, on SQLite in memory.
func start(t *testing.T, yaml string, features ...backend.Feature) *running {
	t.Helper()
	r := &running{t: t, log: &strings.Builder{}}
	cfg, err := config.Parse("app-config.yaml", []byte(`
backend:
  baseUrl: http://localhost:7007
  listen: 127.0.0.1:0
  database: {client: better-sqlite3, connection: ":memory:"}
`+yaml))
	if err != nil {
		t.Fatal(err)
	}
	b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))
	b.Add(catalog.Plugin(), backend.NewModule("catalog", "window", fx.Invoke(func(d db.DB) { r.db = d })))
	b.Add(features...)
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return r
}

// served reads all final entities.
func (r *running) served() map[string]entity.Entity {
	r.t.Helper()
	rows, err := r.db.Query(r.t.Context(), db.Same(`SELECT entity FROM final_entities`))
	if err != nil {
		r.t.Fatal(err)
	}
	list, err := db.Collect(rows, func(row db.Row, e *entity.Entity) error {
		var data []byte
		if err := row.Scan(&data); err != nil {
			return err
		}
		return json.Unmarshal(data, (*map[string]any)(e))
	})
	if err != nil {
		r.t.Fatal(err)
	}
	out := map[string]entity.Entity{}
	for _, e := range list {
		out[e.Ref().String()] = e
	}
	return out
}

// count runs a query that counts.
func (r *running) count(query string) (n int) {
	r.t.Helper()
	if err := r.db.QueryRow(r.t.Context(), db.Same(query)).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// until waits for the catalog to become what ok wants. It is bounded by the test's
// own deadline only.
func (r *running) until(what string, ok func(map[string]entity.Entity) bool) map[string]entity.Entity {
	r.t.Helper()
	for {
		if got := r.served(); ok(got) {
			return got
		}
		select {
		case <-r.t.Context().Done():
			r.t.Fatalf("waited for %s; served: %v", what, r.served())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func has(refs ...string) func(map[string]entity.Entity) bool {
	return func(got map[string]entity.Entity) bool {
		return !slices.ContainsFunc(refs, func(ref string) bool { _, ok := got[ref]; return !ok })
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFilesOfTheConfigurationAreServed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a", "catalog-info.yaml"), component("a", ", text: {$text: ./note.txt}, data: {$yaml: ./data.yaml}, more: {$json: ../more.json}, other: {$none: x}"))
	write(t, filepath.Join(dir, "a", "note.txt"), "noted")
	write(t, filepath.Join(dir, "a", "data.yaml"), "list: [1, two]\n")
	write(t, filepath.Join(dir, "more.json"), `{"n": 1.5}`)
	write(t, filepath.Join(dir, "b", ".hidden", "catalog-info.yaml"), component("b", ""))
	r := start(t, `catalog:
  locations:
    - {type: file, target: "`+dir+`/**/catalog-info.yaml"}
`)
	got := r.until("both", has("component:default/a", "component:default/b"))
	a := got["component:default/a"]
	data, _ := entity.AppendJSON(nil, a.Spec())
	const want = `{"data":{"list":[1,"two"]},"lifecycle":"production","more":{"n":1.5},"other":{"$none":"x"},"owner":"team","text":"noted","type":"service"}`
	if string(data) != want {
		t.Errorf("spec:\n got %s\nwant %s", data, want)
	}
	if got := a.Annotation(entity.AnnotationManagedBy); got != "file:"+filepath.Join(dir, "a", "catalog-info.yaml") {
		t.Errorf("managed by %s", got)
	}
	if got := a.Annotation(entity.AnnotationManagedByOrigin); got != "file:"+dir+"/**/catalog-info.yaml" {
		t.Errorf("origin %s", got)
	}
}

func TestLocationRulesAddToTheGlobalOnes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	user := "apiVersion: backstage.io/v1alpha1\nkind: User\nmetadata: {name: %s}\nspec: {memberOf: []}\n"
	write(t, filepath.Join(dir, "with.yaml"), document(fmt.Sprintf(user, "allowed"), component("c", "")))
	write(t, filepath.Join(dir, "without.yaml"), document(fmt.Sprintf(user, "refused"), component("d", "")))
	r := start(t, `catalog:
  locations:
    - {type: file, target: "`+dir+`/with.yaml", rules: [{allow: [User]}]}
    - {type: file, target: "`+dir+`/without.yaml"}
`)
	got := r.until("what is allowed", has("component:default/c", "component:default/d", "user:default/allowed"))
	if _, ok := got["user:default/refused"]; ok {
		t.Error("a user came from a location without the rule")
	}
}

// A provider, a processor and a placeholder of an adopter's own.
type shelf struct{ names []string }

func (s *shelf) ProviderName() string { return "shelf" }

func (s *shelf) Entities(context.Context) iter.Seq2[catalog.Deferred, error] {
	return func(yield func(catalog.Deferred, error) bool) {
		for _, name := range s.names {
			loc := entity.Location{Type: "shelf", Target: name}
			e := entity.NewLocationEntity(loc, entity.Location{}, entity.Location{}, "")
			if !yield(catalog.Deferred{Entity: e, LocationKey: loc.String()}, nil) {
				return
			}
		}
	}
}

type shelfReader struct{}

func (shelfReader) ProcessorName() string { return "shelf-reader" }

func (shelfReader) ReadLocation(ctx context.Context, loc entity.Location, emit catalog.Emit) (bool, error) {
	if loc.Type != "shelf" {
		return false, nil
	}
	catalog.RunOf(ctx).Parse(loc, []byte(component(loc.Target, ", shout: {$shout: hello}")))
	return true, nil
}

func TestModulesExtendTheCatalog(t *testing.T) {
	t.Parallel()
	failures := make(chan catalog.ProcessingError, 10)
	module := backend.NewModule("catalog", "shelf", fx.Invoke(func(x *catalog.Extensions) {
		x.AddEntityProvider(catalog.Poll(&shelf{[]string{"one", "two", "not a name"}},
			config.Schedule{Frequency: config.Cadence{Every: config.Duration(time.Hour)}, Timeout: config.Duration(time.Minute)}))
		x.AddProcessor(shelfReader{})
		x.AddPlaceholder("shout", func(_ context.Context, value any, _ string) (any, error) {
			return strings.ToUpper(value.(string)), nil
		})
		x.OnProcessingError(func(_ context.Context, e catalog.ProcessingError) { failures <- e })
	}))
	r := start(t, "catalog: {rules: [{allow: [Component]}]}\n", module)
	got := r.until("both", has("component:default/one", "component:default/two"))
	if shout := got["component:default/one"].SpecString("shout"); shout != "HELLO" {
		t.Errorf("the placeholder became %q", shout)
	}
	if f := <-failures; len(f.Errors) == 0 || f.Errors[0].Name != "InputError" {
		t.Errorf("the handler was told %+v", f)
	}
}

func TestBootErrors(t *testing.T) {
	t.Parallel()
	dup := func(x *catalog.Extensions) {
		x.AddEntityProvider(catalog.Poll(&shelf{}, config.Schedule{}), catalog.Poll(&shelf{}, config.Schedule{}))
		x.AddPlaceholder("text", nil)
	}
	for _, tt := range []struct {
		name, yaml string
		module     func(*catalog.Extensions)
		want       []string
	}{
		{name: "everything twice", module: dup, want: []string{`entity provider "shelf" is added twice`, `placeholder "$text" is added twice`}},
		{name: "moved keys", yaml: "catalog: {processors: {github: {}}}", want: []string{"catalog.processors.github", "move it to integrations.github"}},
		{name: "a rule with two ways to match", yaml: "catalog: {rules: [{allow: [API], locations: [{type: url, exact: a, pattern: b}]}]}", want: []string{"exact and pattern exclude each other"}},
		{name: "an interval without unit", yaml: "catalog: {processingInterval: 5}", want: []string{"catalog.processingInterval"}},
		{name: "a rule with an unknown key", yaml: "catalog: {rules: [{allow: [{kid: API}]}]}", want: []string{"unknown key", "kid"}},
		{name: "a location of a processor that is gone", yaml: "catalog: {locations: [{type: github-discovery, target: 'https://github.com/acme'}]}", want: []string{"catalog.locations[0].type", "configure a provider"}},
		{name: "a strategy that does not exist", yaml: "catalog: {orphanStrategy: burn}", want: []string{"catalog.orphanStrategy"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Parse("app-config.yaml", []byte("backend: {baseUrl: 'http://localhost:7007', listen: '127.0.0.1:0', database: {client: better-sqlite3, connection: ':memory:'}}\n"+tt.yaml))
			if err != nil {
				t.Fatal(err)
			}
			b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))
			b.Add(catalog.Plugin())
			if tt.module != nil {
				b.Add(backend.NewModule("catalog", "bad", fx.Invoke(tt.module)))
			}
			err = b.Start(t.Context())
			if err == nil {
				t.Fatal("the backend starts")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q:\n%v", want, err)
				}
			}
		})
	}
}
