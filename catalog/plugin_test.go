package catalog_test

import (
	"context"
	"encoding/json"
	"log/slog"
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
