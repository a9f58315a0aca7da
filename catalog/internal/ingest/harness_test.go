package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/stitch"
	"github.com/callboard-dev/callboard/catalog/internal/store"
	"github.com/callboard-dev/callboard/internal/testbed/logtest"
)

// world is a catalog without a backend: files in memory, a clock that the test turns,
// and an engine that is stepped until there is nothing left to do.
type world struct {
	t        testing.TB
	db       db.DB
	store    *store.Store
	engine   *Engine
	stitcher *stitch.Stitcher
	log      *logtest.Buffer

	mu       sync.Mutex
	time     time.Time
	files    map[string]string // by URL; absent: not found
	broken   map[string]error  // by URL: what reading it yields
	versions bool              // readers answer "unchanged"
	reads    int               // complete reads
	rules    Rules
	stitched int // final entities written
}

// each runs test on a new world, on each database.
func each(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		t.Parallel()
		test(t, newWorld(t, d, Options{}))
	})
}

func newWorld(t testing.TB, d db.DB, o Options) *world {
	w := &world{
		t: t, db: d, store: store.New(d), log: &logtest.Buffer{},
		time:  time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
		files: map[string]string{}, broken: map[string]error{},
		rules: Rules{{Allow: []AllowedKind{{Kind: "Component"}, {Kind: "API"}, {Kind: "Location"}, {Kind: "Group"}, {Kind: "User"}, {Kind: "System"}}}},
	}
	model := entity.NewModel(entity.ModelOptions{})
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.stitcher = stitch.New(stitch.Options{Store: w.store, Log: log, Now: w.now, PutOff: PeerDelay, OnChange: func(changed, _ int) {
		w.mu.Lock()
		w.stitched += changed
		w.mu.Unlock()
	}})
	o.Store, o.Stitcher, o.Log, o.Now = w.store, w.stitcher, log, w.now
	o.Pipeline = &Pipeline{
		Model: model, LocationTypes: []string{"url"},
		Rules: func() Rules {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.rules
		},
		ResolveURL: func(base, ref string) (string, error) {
			return base[:strings.LastIndexByte(base, '/')+1] + strings.TrimPrefix(ref, "./"), nil
		},
		Parse: func(at entity.Location, data []byte) iter.Seq2[entity.Document, error] {
			return entity.ParseDocuments(at.Target, data, entity.Limits{})
		},
		Processors: []Processor{
			{Name: "kinds", Known: func(_ context.Context, e entity.Entity) (bool, error) { return model.CheckKind(e) },
				Post: func(_ context.Context, e entity.Entity, _ entity.Location, emit func(Emission)) (entity.Entity, error) {
					relations, err := model.RelationsOf(e)
					for _, r := range relations {
						emit(Relate(r))
					}
					return e, err
				}},
			{Name: "memory", Read: w.read},
		},
	}
	w.engine = NewEngine(o)
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.time
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.time = w.time.Add(d)
}

func (w *world) read(ctx context.Context, loc entity.Location, emit func(Emission)) (bool, error) {
	w.mu.Lock()
	content, ok := w.files[loc.Target]
	err, versions := w.broken[loc.Target], w.versions
	w.mu.Unlock()
	run := RunOf(ctx)
	emit(RefreshOn("url:" + loc.Target))
	switch {
	case err != nil:
		return true, err
	case !ok && run.Optional:
		return true, nil
	case !ok:
		return true, apierr.NotFound.New("%s: no such file", loc.Target)
	}
	if versions {
		version := fmt.Sprintf("%x", content)
		if run.Version == version {
			emit(Unchanged())
			return true, nil
		}
		emit(Version(version))
	}
	w.mu.Lock()
	w.reads++
	w.mu.Unlock()
	run.Parse(loc, []byte(content))
	return true, nil
}

// file sets what a URL has; an empty content removes it.
func (w *world) file(name, content string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if content == "" {
		delete(w.files, fileURL(name))
		return
	}
	w.files[fileURL(name)] = content
}

func (w *world) fail(name string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken[fileURL(name)] = err
}

func fileURL(name string) string { return "https://host.example/" + name }

// settle processes and stitches until nothing is due.
func (w *world) settle() {
	w.t.Helper()
	for range 50 {
		if w.step() == 0 {
			return
		}
	}
	w.t.Fatal("the engine does not come to rest")
}

// step runs one round over what is due and says how much that was.
func (w *world) step() int {
	w.t.Helper()
	ctx := w.t.Context()
	due, err := w.store.ClaimDue(ctx, w.now(), 1000, w.engine.IntervalMin, w.engine.IntervalMax)
	if err != nil {
		w.t.Fatal(err)
	}
	var batch []*finished
	for _, d := range due {
		batch = append(batch, w.engine.process(ctx, d))
	}
	w.engine.inFlight.Add(int64(len(batch)))
	if len(batch) > 0 {
		w.engine.settle(ctx, batch)
	}
	if len(batch) == 0 {
		w.stitcher.Flush()
	}
	if err := w.stitcher.Drain(ctx); err != nil {
		w.t.Fatal(err)
	}
	return len(batch)
}

// round lets the interval pass and settles.
func (w *world) round() {
	w.t.Helper()
	w.advance(10 * time.Minute)
	w.settle()
}

// provide replaces the set of a provider.
func (w *world) provide(provider string, list ...Deferred) {
	w.t.Helper()
	if err := w.engine.Provider(provider).Replace(w.t.Context(), sequence(list)); err != nil {
		w.t.Fatal(err)
	}
}

func sequence(list []Deferred) iter.Seq2[Deferred, error] {
	return func(yield func(Deferred, error) bool) {
		for _, d := range list {
			if !yield(d, nil) {
				return
			}
		}
	}
}

// location is a Location entity for files, as providers emit it.
func location(name string, files ...string) Deferred {
	loc := entity.Location{Type: "url", Target: fileURL(name)}
	e := entity.NewLocationEntity(loc, entity.Location{}, entity.Location{}, "")
	e.Set(name, "metadata", "name")
	e.Delete("spec", "target")
	targets := make([]any, len(files))
	for i, f := range files {
		targets[i] = fileURL(f)
	}
	e.Set(targets, "spec", "targets")
	return Deferred{Entity: e, LocationKey: loc.String()}
}

// component is a Component that a provider emits itself.
func component(name, description, key string) Deferred {
	return Deferred{LocationKey: key, Entity: entity.Entity{
		"apiVersion": "backstage.io/v1alpha1", "kind": "Component",
		"metadata": map[string]any{"name": name, "description": description, "annotations": map[string]any{
			entity.AnnotationManagedBy: "url:https://provider.example/", entity.AnnotationManagedByOrigin: "url:https://provider.example/",
		}},
		"spec": map[string]any{"type": "service", "lifecycle": "production", "owner": "team"},
	}}
}

// yamlComponent is a Component as a document of a file.
func yamlComponent(name, description string, more ...string) string {
	return fmt.Sprintf("apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: %s, description: %q}\nspec: {type: service, lifecycle: production, owner: team%s}\n",
		name, description, strings.Join(append([]string{""}, more...), ", "))
}

func documents(docs ...string) string { return strings.Join(docs, "---\n") }

// served lists what the catalog serves: references with descriptions, sorted.
func (w *world) served() []string {
	w.t.Helper()
	var out []string
	for ref, e := range w.entities() {
		line := ref
		if d := e.Description(); d != "" {
			line += " " + d
		}
		if e.Annotation(entity.AnnotationOrphan) != "" {
			line += " (orphan)"
		}
		if _, ok := e["status"]; ok {
			line += " (errors)"
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return out
}

func (w *world) entities() map[string]entity.Entity {
	w.t.Helper()
	rows, err := w.db.Query(w.t.Context(), db.Same(`SELECT entity FROM final_entities`))
	if err != nil {
		w.t.Fatal(err)
	}
	list, err := db.Collect(rows, func(r db.Row, e *entity.Entity) error {
		var data []byte
		if err := r.Scan(&data); err != nil {
			return err
		}
		return json.Unmarshal(data, (*map[string]any)(e))
	})
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]entity.Entity{}
	for _, e := range list {
		out[e.Ref().String()] = e
	}
	return out
}

// expect compares what is served with lines, in any order.
func (w *world) expect(lines ...string) {
	w.t.Helper()
	slices.Sort(lines)
	if got := w.served(); !slices.Equal(got, lines) {
		w.t.Fatalf("served:\n  %s\nwant:\n  %s\nlog:\n%s", strings.Join(got, "\n  "), strings.Join(lines, "\n  "), w.log)
	}
	w.check()
}

// check verifies the rules of the package comment over the tables.
func (w *world) check() {
	w.t.Helper()
	for what, q := range map[string]string{
		"rows without edge that are no orphans": `SELECT s.ref FROM refresh_state s WHERE NOT s.orphan AND NOT EXISTS (SELECT 1 FROM refresh_edges e WHERE e.target_id = s.id)`,
		"rows without edge that have claims":    `SELECT s.ref FROM refresh_state s JOIN refresh_claims c ON c.ref = s.ref WHERE NOT EXISTS (SELECT 1 FROM refresh_edges e WHERE e.target_id = s.id)`,
		"claims on references that have no row": `SELECT c.ref FROM refresh_claims c WHERE NOT EXISTS (SELECT 1 FROM refresh_state s WHERE s.ref = c.ref)`,
		"claims of holders that have no edge":   `SELECT s.ref FROM refresh_state s JOIN refresh_claims c ON c.ref = s.ref WHERE coalesce(s.location_key, '') = coalesce(c.location_key, '') AND NOT EXISTS (SELECT 1 FROM refresh_edges e WHERE e.target_id = s.id AND (e.source_id = c.source_id OR e.source_provider = c.source_provider))`,
		"claims that say what stands":           `SELECT s.ref FROM refresh_state s JOIN refresh_claims c ON c.ref = s.ref WHERE coalesce(s.location_key, '') = coalesce(c.location_key, '') AND s.unprocessed_hash = c.unprocessed_hash`,
		"index rows of entities not served":     `SELECT 'row' FROM search WHERE entity_id NOT IN (SELECT id FROM final_entities)`,
		"entities processed but not served":     `SELECT s.ref FROM refresh_state s WHERE s.processed IS NOT NULL AND s.id NOT IN (SELECT id FROM final_entities)`,
		"entities without schedule":             `SELECT ref FROM refresh_state WHERE id NOT IN (SELECT id FROM refresh_queue)`,
		"relations of entities that are gone":   `SELECT source_ref FROM relations WHERE originating_id NOT IN (SELECT id FROM refresh_state)`,
		"relations that are there twice":        `SELECT source_ref FROM relations GROUP BY originating_id, source_ref, type, target_ref HAVING count(*) > 1`,
		"the stitch queue":                      `SELECT ref FROM stitch_queue`,
	} {
		rows, err := w.db.Query(w.t.Context(), db.Same(q))
		if err != nil {
			w.t.Fatalf("%s: %v", what, err)
		}
		refs, err := db.Collect(rows, func(r db.Row, ref *string) error { return r.Scan(ref) })
		if err != nil {
			w.t.Fatalf("%s: %v", what, err)
		}
		if len(refs) > 0 {
			w.t.Errorf("%s: %v", what, refs)
		}
	}
}

func (w *world) uid(ref string) string {
	w.t.Helper()
	return w.entities()[ref].UID()
}
