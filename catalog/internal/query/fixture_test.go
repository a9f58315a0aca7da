package query_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/filter"
	"github.com/callboard-dev/callboard/catalog/internal/index"
	"github.com/callboard-dev/callboard/catalog/internal/query"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// A served entity, and the index rows that the oracle matches.
type served struct {
	ref, uid string
	json     []byte
	rows     []entity.SearchRow
}

// fill writes entities as a stitch would, with the edges that emit says: child to parents.
func fill(t testing.TB, d db.DB, list []entity.Entity, relations map[string][]entity.Relation, emit map[string][]string) []served {
	t.Helper()
	ctx := t.Context()
	var out []served
	ids, keys := map[string]int64{}, map[string]int32{}
	var states, finals, search, edges, keyRows [][]any
	for i, e := range list {
		ref := e.Ref().String()
		id := int64(i + 1)
		ids[ref] = id
		uid := fmt.Sprintf("%08d-0000-4000-8000-000000000000", (i*7919)%100003)
		final, err := entity.Finalize(e, entity.Stitch{UID: uid, Relations: relations[ref]})
		if err != nil {
			t.Fatal(err)
		}
		rows := entity.Flatten(final.Entity, relations[ref])
		states = append(states, []any{id, uid, ref, []byte("{}"), []byte("h"), db.At(time.Unix(0, 0))})
		finals = append(finals, []any{id, uid, ref, final.JSON, "etag", []byte("h"), id, db.At(time.Unix(0, 0))})
		for _, r := range rows {
			if _, ok := keys[r.Key]; !ok {
				keys[r.Key] = int32(len(keys) + 1)
				keyRows = append(keyRows, []any{keys[r.Key], r.Key})
			}
			original := r.Original
			if r.Value != nil && original != nil && *original == *r.Value {
				original = nil
			}
			search = append(search, []any{id, keys[r.Key], r.Value, original})
		}
		out = append(out, served{ref, uid, final.JSON, rows})
	}
	for child, parents := range emit {
		for _, p := range parents {
			edges = append(edges, []any{ids[p], ids[child]})
		}
	}
	for _, in := range []struct {
		table string
		cols  []string
		rows  [][]any
	}{
		{"refresh_state", []string{"id", "uid", "ref", "unprocessed", "unprocessed_hash", "last_discovery_at"}, states},
		{"final_entities", []string{"id", "uid", "ref", "entity", "etag", "hash", "seq", "updated_at"}, finals},
		{"search_keys", []string{"id", "key"}, keyRows},
		{"search", []string{"entity_id", "key_id", "value", "original"}, search},
		{"refresh_edges", []string{"source_id", "target_id"}, edges},
	} {
		if len(in.rows) == 0 {
			continue
		}
		if _, err := db.InsertRows(ctx, d, db.Insert{Table: in.table, Columns: in.cols}, in.rows); err != nil {
			t.Fatalf("fill %s: %v", in.table, err)
		}
	}
	if _, err := d.Exec(ctx, db.Same("UPDATE change_seq SET value = $1"), len(list)); err != nil {
		t.Fatal(err)
	}
	return out
}

func component(name string, spec map[string]any, meta map[string]any) entity.Entity {
	m := map[string]any{"name": name, "namespace": "default"}
	for k, v := range meta {
		m[k] = v
	}
	return entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": m, "spec": spec}
}

// random entities with all that makes filters hard: lists, case, null, numbers, empties,
// long values, absent keys.
func random(r *rand.Rand, n int) []entity.Entity {
	pick := func(list ...any) any { return list[r.IntN(len(list))] }
	long := string(slices.Repeat([]byte("x"), 201))
	out := make([]entity.Entity, n)
	for i := range out {
		spec := map[string]any{}
		for _, key := range []string{"type", "lifecycle", "owner", "Tier", "a.b", "_", "%"} {
			if r.IntN(3) > 0 {
				spec[key] = pick("Service", "service", "library", "100%", "a_b", "", nil, float64(1), 1.5, true, false, long, []any{"x", "Y", nil}, []any{}, map[string]any{"deep": "Value"})
			}
		}
		meta := map[string]any{}
		if r.IntN(2) == 0 {
			meta["tags"] = []any{pick("java", "go"), pick("java", "Kafka")}
		}
		if r.IntN(2) == 0 {
			meta["title"] = pick("Alpha", "beta", "Ärger", "zeta", "alpha")
		}
		out[i] = component(fmt.Sprintf("c%04d", i), spec, meta)
		out[i]["kind"] = pick("Component", "API", "Resource")
	}
	return out
}

func randomPredicate(r *rand.Rand, depth int) filter.Predicate {
	keys := []string{"kind", "spec.type", "spec.lifecycle", "SPEC.TIER", "spec.a.b", "metadata.tags", "metadata.tags.java", "spec.type.deep", "spec.none", "metadata.title", "relations.ownedBy", "spec.%", "spec._"}
	values := []string{"service", "SERVICE", "library", "100%", "a_b", "", "null", "1", "1.5", "true", "x", "y", "java", "kafka", "Value", "component", "alpha", "ärger", "no such"}
	key := keys[r.IntN(len(keys))]
	switch n := r.IntN(9); {
	case n < 2 && depth > 0:
		return filter.AllOf(randomPredicate(r, depth-1), randomPredicate(r, depth-1))
	case n < 4 && depth > 0:
		return filter.AnyOf(randomPredicate(r, depth-1), randomPredicate(r, depth-1))
	case n < 5 && depth > 0:
		return filter.NotOf(randomPredicate(r, depth-1))
	case n < 6:
		return filter.KeyExists(key)
	case n < 7:
		return filter.Predicate{Op: filter.Prefix, Key: key, Values: []string{values[r.IntN(len(values))]}}
	case n < 8:
		return filter.KeyIn(key, values[r.IntN(len(values))], values[r.IntN(len(values))])
	}
	return filter.KeyIn(key, values[r.IntN(len(values))])
}

func names(items []json.RawMessage) []string {
	out := []string{}
	for _, item := range items {
		var e struct{ Metadata struct{ Name string } }
		_ = json.Unmarshal(item, &e)
		out = append(out, e.Metadata.Name)
	}
	return out
}

// taken is everything that a list yields.
func taken(t testing.TB, seq iter.Seq2[json.RawMessage, error]) (out []json.RawMessage) {
	t.Helper()
	for item, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, item)
	}
	return out
}

func pointer(n int) *int { return &n }

// each runs a test on both databases over the same entities, once with the database
// answering and once from memory, where the database is not asked for index rows.
func each(t *testing.T, list []entity.Entity, relations map[string][]entity.Relation, emit map[string][]string, test func(t *testing.T, q *query.Query, all []served)) {
	t.Helper()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		all := fill(t, d, list, relations, emit)
		t.Run("database", func(t *testing.T) { test(t, query.New(store.New(d), index.Options{}), all) })
		t.Run("memory", func(t *testing.T) {
			r := &recorder{DB: d}
			q := query.New(store.New(r), index.Options{})
			load(t, d, q)
			r.sent = nil
			test(t, q, all)
			for _, s := range r.sent {
				if inIndex.MatchString(s.sql.Postgres) && !severalOrders.MatchString(s.sql.Postgres) {
					t.Fatalf("the database is asked: %s", s.sql.Postgres)
				}
			}
		})
	})
}

var (
	inIndex       = regexp.MustCompile(`\bsearch\b`)
	severalOrders = regexp.MustCompile(` ob ON `) // which are not answered from memory
)

// load takes everything into memory.
func load(t testing.TB, d db.DB, q *query.Query) {
	t.Helper()
	rows, err := d.Query(t.Context(), db.Same("SELECT key FROM search_keys"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := db.Collect(rows, func(r db.Row, key *string) error { return r.Scan(key) })
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Load(t.Context(), keys...); err != nil {
		t.Fatal(err)
	}
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
