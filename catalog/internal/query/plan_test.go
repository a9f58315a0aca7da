package query_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/filter"
	"github.com/callboard-dev/callboard/catalog/internal/index"
	"github.com/callboard-dev/callboard/catalog/internal/query"
	"github.com/callboard-dev/callboard/catalog/internal/store"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// A recorder is a database that remembers what reads it was sent, with their arguments,
// so that tests explain the statements themselves and not their own idea of them.
type recorder struct {
	db.DB
	mu   sync.Mutex
	sent []sent
}

type sent struct {
	sql  db.SQL
	args []any
}

func (r *recorder) keep(q db.SQL, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, sent{q, args})
}

func (r *recorder) Query(ctx context.Context, q db.SQL, args ...any) (db.Rows, error) {
	r.keep(q, args)
	return r.DB.Query(ctx, q, args...)
}

func (r *recorder) QueryRow(ctx context.Context, q db.SQL, args ...any) db.Row {
	r.keep(q, args)
	return r.DB.QueryRow(ctx, q, args...)
}

// during returns what read sent once the ids of its keys are known.
func (r *recorder) during(t *testing.T, read func() error) []sent {
	t.Helper()
	for range 2 {
		r.sent = nil
		if err := read(); err != nil {
			t.Fatal(err)
		}
	}
	return slices.Clone(r.sent)
}

// explain returns PostgreSQL's plan of a statement, and what its steps visited.
func (r *recorder) explain(t *testing.T, s sent) string {
	t.Helper()
	rows, err := r.DB.Query(t.Context(), db.Same("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) "+s.sql.Postgres), s.args...)
	if err != nil {
		t.Fatalf("explain %s: %v", s.sql.Postgres, err)
	}
	lines, err := db.Collect(rows, func(r db.Row, line *string) error { return r.Scan(line) })
	if err != nil {
		t.Fatalf("explain %s: %v", s.sql.Postgres, err)
	}
	return strings.Join(lines, "\n")
}

var scans = regexp.MustCompile(`Seq Scan on (final_entities|search)\b`)

// TestPlans holds that reads of one entity and of one page find what they want in an
// index on PostgreSQL, and that pages are not made by sorting the whole list. It
// explains what the store sends, over as many entities as a scan of them is the worse
// choice for.
func TestPlans(t *testing.T) {
	t.Parallel()
	d := &recorder{DB: dbtest.Postgres(t, store.Migrations())}
	all := fill(t, d, random(rand.New(rand.NewPCG(9, 9)), 10_000), nil, nil)
	if _, err := d.Exec(t.Context(), db.Same("ANALYZE")); err != nil {
		t.Fatal(err)
	}
	q := query.New(store.New(d), index.Options{})
	ref, _ := entity.ParseRef(all[0].ref)
	kind := filter.KeyIn("kind", "component")
	page := func(r query.PageRequest) func() error {
		r.Limit, r.SkipTotal = pointer(20), true
		return func() error { return second(q.Page(t.Context(), r)) }
	}
	name, down := []query.Order{{Field: "metadata.name"}}, []query.Order{{Field: "metadata.name", Desc: true}}
	for _, tt := range []struct {
		name string
		by   string // the index that it is read by
		read func() error
	}{
		{"by reference", "final_entities_ref_key", func() error { return second(q.ByRef(t.Context(), ref, query.Auth{})) }},
		{"by reference for a restricted reader", "final_entities_ref_key", func() error { return second(q.ByRef(t.Context(), ref, query.Auth{Where: &kind})) }},
		{"by uid", "final_entities_uid_key", func() error { return second(q.ByUID(t.Context(), all[0].uid, query.Auth{})) }},
		{"a page by uid", "final_entities_uid_key", page(query.PageRequest{})},
		{"a page of one kind by uid", "final_entities_uid_key", page(query.PageRequest{Where: &kind})},
		{"a page by name", "search_by_key", page(query.PageRequest{Order: name})},
		{"a page by name, from the end", "search_by_key", page(query.PageRequest{Order: down})},
		{"a page of one kind by name", "search_by_key", page(query.PageRequest{Where: &kind, Order: name})},
	} {
		statements := d.during(t, tt.read)
		if len(statements) != 1 {
			t.Errorf("%s: %d statements", tt.name, len(statements))
		}
		for _, s := range statements {
			plan := d.explain(t, s)
			if scans.MatchString(plan) || !strings.Contains(plan, "using "+tt.by) || strings.Contains(plan, "  Sort  ") {
				t.Errorf("%s: not read by %s:\n%s\n%s", tt.name, tt.by, s.sql.Postgres, plan)
			}
		}
	}
}

// TestPlansOfWhatFollowsChanges holds that taking over a few changes, and finding who
// emits an entity, look rows up instead of reading tables.
func TestPlansOfWhatFollowsChanges(t *testing.T) {
	t.Parallel()
	const n = 10_000
	d := &recorder{DB: dbtest.Postgres(t, store.Migrations())}
	list := random(rand.New(rand.NewPCG(9, 9)), n)
	emit := map[string][]string{}
	root := list[0].Ref().String()
	for _, e := range list[1:] {
		emit[e.Ref().String()] = []string{root}
	}
	all := fill(t, d, list, nil, emit)
	if _, err := d.Exec(t.Context(), db.Same("ANALYZE")); err != nil {
		t.Fatal(err)
	}
	st := store.New(d)
	keys, err := st.KeyIDs(t.Context(), []string{"kind", "metadata.name", "spec.type", "metadata.tags"})
	if err != nil {
		t.Fatal(err)
	}
	tables := regexp.MustCompile(`Seq Scan on (final_entities|search|refresh_edges|refresh_state)\b`)
	for what, read := range map[string]func() error{
		"changes": func() error {
			return second(st.ChangesSince(t.Context(), n-20, slices.Collect(maps.Values(keys))))
		},
		"emitters":   func() error { return second(st.Lineages(t.Context(), []string{all[5].ref, all[77].ref})) },
		"the number": func() error { return second(st.Seq(t.Context())) },
	} {
		for _, s := range d.during(t, read) {
			if plan := d.explain(t, s); tables.MatchString(plan) {
				t.Errorf("%s: a table is read:\n%s\n%s", what, s.sql.Postgres, plan)
			}
		}
	}
	changes, err := st.ChangesSince(t.Context(), n-20, nil)
	if err != nil || len(changes.Changed) != 20 || changes.Seq != n || len(changes.Rows) != 0 {
		t.Errorf("%d changes up to %d, %v; want 20 up to %d", len(changes.Changed), changes.Seq, err, n)
	}
}

// TestPlansAreForTheValuesAsked holds that PostgreSQL keeps no plan for any values: on
// every connection it would take over on the sixth run, and EXPLAIN would not show it.
func TestPlansAreForTheValuesAsked(t *testing.T) {
	t.Parallel()
	d := &recorder{DB: dbtest.Postgres(t, store.Migrations())}
	all := fill(t, d, random(rand.New(rand.NewPCG(9, 9)), 50), nil, nil)
	q := query.New(store.New(d), index.Options{})
	kind, name := filter.KeyIn("kind", "component"), []query.Order{{Field: "metadata.name"}}
	ref, _ := entity.ParseRef(all[0].ref)
	for what, read := range map[string]func() error{
		"a page and its count":    func() error { return second(q.Page(t.Context(), query.PageRequest{Where: &kind, Order: name})) },
		"a page of GET /entities": func() error { return second2(q.ListPage(t.Context(), query.ListRequest{Where: &kind, Order: name})) },
		"facets":                  func() error { return second(q.Facets(t.Context(), []string{"spec.type"}, &kind, query.Auth{})) },
		"a restricted reader":     func() error { return second(q.ByRef(t.Context(), ref, query.Auth{Where: &kind})) },
		"several by reference":    func() error { return second(q.ByRefs(t.Context(), []string{all[0].ref}, &kind, query.Auth{})) },
	} {
		for _, s := range d.during(t, read) {
			if !s.sql.ForValues {
				t.Errorf("%s is prepared, with a plan that is kept:\n%s", what, s.sql.Postgres)
			}
			// The server's word: nothing of it is among the prepared statements of a session.
			pool, _ := d.Pgx()
			var kept int
			if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_prepared_statements WHERE statement = $1", s.sql.Postgres).Scan(&kept); err != nil || kept != 0 {
				t.Errorf("%s: %d plans kept, %v", what, kept, err)
			}
		}
	}
}

// TestModesOfPoolersStay holds that reads work in an operator's query mode, which poolers
// may need. That they leave it alone is held by package db, for all statements.
func TestModesOfPoolersStay(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{
		"default_query_exec_mode=exec", "default_query_exec_mode=simple_protocol", "default_query_exec_mode=describe_exec",
		"default_query_exec_mode=cache_describe", "description_cache_capacity=0",
	} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			url := pgtest.New(t)
			sep := "?"
			if strings.Contains(url, "?") {
				sep = "&"
			}
			m, err := db.New(db.Config{Client: "pg", PluginDivisionMode: "schema", Connection: db.Connection{ConnectionString: config.NewSecret(url + sep + setting)}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = m.Close() })
			if _, err := m.Plugin("test").Migrate(t.Context(), store.Migrations()); err != nil {
				t.Fatal(err)
			}
			d := m.Plugin("test").DB()
			all := fill(t, d, random(rand.New(rand.NewPCG(9, 9)), 30), nil, nil)
			q := query.New(store.New(d), index.Options{})
			kind := filter.KeyIn("kind", "component", "api")
			ref, _ := entity.ParseRef(all[0].ref)
			for what, read := range map[string]func() error{
				"a page": func() error {
					return second(q.Page(t.Context(), query.PageRequest{Where: &kind, FullText: &query.FullText{Term: "0"}}))
				},
				"facets":       func() error { return second(q.Facets(t.Context(), []string{"spec.type"}, &kind, query.Auth{})) },
				"by reference": func() error { return second(q.ByRef(t.Context(), ref, query.Auth{})) },
				"several":      func() error { return second(q.ByRefs(t.Context(), []string{all[0].ref}, &kind, query.Auth{})) },
				"everything": func() error {
					for _, err := range q.List(t.Context(), query.ListRequest{Where: &kind}) {
						if err != nil {
							return err
						}
					}
					return nil
				},
			} {
				if err := read(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

func second2[A, B any](_ A, _ B, err error) error { return err }
