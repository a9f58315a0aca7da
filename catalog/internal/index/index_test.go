package index_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/filter"
	"github.com/callboard-dev/callboard/catalog/internal/index"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// A world writes entities as the engine does.
type world struct {
	t testing.TB
	*rand.Rand
	st   *store.Store
	ids  map[string]int64
	made int
}

func newWorld(t testing.TB, d db.DB, seed uint64) *world {
	return &world{t, rand.New(rand.NewPCG(seed, seed)), store.New(d), map[string]int64{}, 0}
}

func (w *world) refs() []string {
	out := make([]string, 0, len(w.ids))
	for ref := range w.ids {
		out = append(out, ref)
	}
	slices.Sort(out)
	return out
}

var (
	values = []any{"a", "A", "b", "ab", "x y", "_", "", nil, 1.0, true, "é", "É", strings.Repeat("z", 201), []any{"a", "b"}, []any{"C", nil, "c"}}
	keys   = []string{"kind", "metadata.name", "metadata.uid", "spec.p", "spec.q", "spec.p.a", "spec.p.c", "metadata.tags", "metadata.title", "metadata.description"}
)

func (w *world) entity(name string) entity.Entity {
	e := entity.Entity{"apiVersion": "v1", "kind": "Component", "metadata": map[string]any{"name": name, "title": "The " + name, "description": name + " does"}, "spec": map[string]any{}}
	for _, k := range []string{"p", "q"} {
		if w.IntN(4) > 0 {
			e.Set(values[w.IntN(len(values))], "spec", k)
		}
	}
	if w.IntN(2) == 0 {
		e.Set([]any{"t1", fmt.Sprint("t", w.IntN(4))}, "metadata", "tags")
	}
	return e
}

// save adds or changes entities in one transaction.
func (w *world) save(names ...string) {
	w.t.Helper()
	ctx, now := context.Background(), time.Now()
	list := make([]entity.Entity, len(names))
	var contents []*store.Content
	for i, name := range names {
		list[i] = w.entity(name)
		if ref := list[i].Ref().String(); w.ids[ref] == 0 {
			w.made++
			uid := fmt.Sprintf("%08x-%04d", w.Uint32(), w.made)
			contents = append(contents, &store.Content{UID: uid, Ref: ref, Unprocessed: []byte("{}"), Hash: []byte("h")})
		}
	}
	err := w.st.Tx(ctx, func(tx *store.Tx) error {
		ids, err := tx.InsertStates(ctx, now, contents)
		for ref, id := range ids {
			w.ids[ref] = id
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	refs := make([]string, len(list))
	for i, e := range list {
		refs[i] = e.Ref().String()
	}
	states, err := w.st.States(ctx, refs)
	if err != nil {
		w.t.Fatal(err)
	}
	uids := map[string]string{}
	for _, s := range states {
		uids[s.Ref] = s.UID
	}
	var finals []store.Final
	var all []string
	for i, e := range list {
		e.Set(uids[refs[i]], "metadata", "uid")
		doc, _ := json.Marshal(e)
		f := store.Final{ID: w.ids[refs[i]], UID: uids[refs[i]], Ref: refs[i], Entity: doc, ETag: "e", Hash: []byte("h")}
		for _, r := range entity.Flatten(e, nil) {
			row := store.SearchRow{Key: r.Key, Value: r.Value}
			if r.Value != nil && *r.Original != *r.Value {
				row.Original = r.Original
			}
			f.Rows, all = append(f.Rows, row), append(all, r.Key)
		}
		finals = append(finals, f)
	}
	known, err := w.st.KnowKeys(ctx, all)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.st.Tx(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.SaveRows(ctx, finals, known), tx.SaveFinals(ctx, now, finals))
	}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(refs ...string) {
	w.t.Helper()
	var ids []int64
	for _, ref := range refs {
		ids = append(ids, w.ids[ref])
		delete(w.ids, ref)
	}
	ctx, now := context.Background(), time.Now()
	if err := w.st.Tx(ctx, func(tx *store.Tx) error { return tx.DeleteStates(ctx, now, now, ids, refs) }); err != nil {
		w.t.Fatal(err)
	}
}

// step changes something at random.
func (w *world) step() {
	w.t.Helper()
	some := func(n int) []string {
		list := w.refs()
		w.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		return list[:min(len(list), 1+w.IntN(n))]
	}
	switch w.IntN(6) {
	case 0, 1:
		var names []string
		for i := range 1 + w.IntN(5) {
			names = append(names, fmt.Sprintf("n%d", w.IntN(60)*10+i))
		}
		w.save(names...)
	case 2, 3:
		var names []string
		for _, ref := range some(6) {
			names = append(names, ref[strings.LastIndex(ref, "/")+1:])
		}
		w.save(names...)
	case 4:
		w.remove(some(4)...)
	case 5: // gone and back, with another uid
		refs := some(2)
		w.remove(refs...)
		var names []string
		for _, ref := range refs {
			names = append(names, ref[strings.LastIndex(ref, "/")+1:])
		}
		w.save(names...)
	}
}

func (w *world) predicate(depth int) filter.Predicate {
	if depth > 0 && w.IntN(2) == 0 {
		switch w.IntN(3) {
		case 0:
			return filter.AllOf(w.predicate(depth-1), w.predicate(depth-1))
		case 1:
			return filter.AnyOf(w.predicate(depth-1), w.predicate(depth-1))
		}
		return filter.NotOf(w.predicate(depth - 1))
	}
	some := append(slices.Clone(keys), "no.entity", "has.this")
	key, value := some[w.IntN(len(some))], []string{"a", "b", "ab", "component", "t1", "t2", "true", "1", "é", "n1", "", "nothing"}[w.IntN(12)]
	switch w.IntN(3) {
	case 0:
		return filter.KeyExists(key)
	case 1:
		return filter.KeyIn(key, value, "a")
	}
	return filter.Predicate{Op: filter.Prefix, Key: key, Values: []string{value}}
}

func (w *world) selection() (sel store.Selection) {
	if w.IntN(3) > 0 {
		p := w.predicate(2)
		sel.Where = &p
	}
	if w.IntN(3) == 0 {
		p := w.predicate(1)
		sel.Auth = &p
	}
	if w.IntN(4) == 0 {
		sel.Text, sel.TextKeys = []string{"a", "n1", "z", "é", "%"}[w.IntN(5)], []string{"metadata.name", "spec.p"}
	}
	return sel
}

func (w *world) order() *store.Order {
	if w.IntN(4) == 0 {
		return nil
	}
	if w.IntN(15) == 0 {
		return &store.Order{Key: "no.entity"}
	}
	return &store.Order{Key: keys[w.IntN(len(keys))], Desc: w.IntN(2) == 0}
}

// agree asks the index and the database the same things.
func (w *world) agree(x *index.Index) {
	w.t.Helper()
	ctx := context.Background()
	same := func(what string, got, want any, err, wantErr error) {
		w.t.Helper()
		if errors.Is(err, db.ErrNoRows) && errors.Is(wantErr, db.ErrNoRows) {
			return
		}
		if err != nil || wantErr != nil || !reflect.DeepEqual(got, want) {
			w.t.Fatalf("%s: memory %v, %v; database %v, %v", what, got, err, want, wantErr)
		}
	}
	sel, order := w.selection(), w.order()
	want, err := w.st.Count(ctx, sel, order)
	if err != nil {
		w.t.Fatal(err)
	}
	q := store.PageQuery{Selection: sel, Order: order, Limit: 1 + w.IntN(9), Offset: w.IntN(2) * w.IntN(5)}
	for range 4 {
		rows, total, err := x.Page(ctx, q)
		stored, storedErr := w.st.Page(ctx, q)
		if len(rows) == 0 {
			rows = nil
		}
		same(fmt.Sprintf("page %+v", q), rows, stored, err, storedErr)
		same("total", total, want, nil, nil)
		if len(rows) == 0 {
			break
		}
		q.Backward, q.Offset = w.IntN(3) == 0, 0
		at := rows[w.IntN(len(rows))].Position
		if w.IntN(4) == 0 {
			at.UID += "x" // nobody stands there
		}
		if order != nil && w.IntN(4) == 0 {
			at.Value = "m"
		}
		q.After = &at
	}
	docs := map[bool][]string{}
	seq, err := x.List(ctx, sel, order, func(ids []int64) (map[int64][]byte, error) { return w.st.FinalsByID(ctx, ids, sel) })
	if err != nil {
		w.t.Fatal(err)
	}
	for memory, seq := range map[bool]func(func([]byte, error) bool){true: seq, false: w.st.StreamFinals(ctx, sel, order)} {
		for doc, err := range seq {
			if err != nil {
				w.t.Fatal(err)
			}
			docs[memory] = append(docs[memory], string(doc))
		}
	}
	same("list", docs[true], docs[false], nil, nil)

	var orders []store.Order
	if order != nil {
		orders = []store.Order{*order}
	}
	limit, offset := w.IntN(20)-3, w.IntN(2)*w.IntN(30)
	if limit < 0 {
		limit = -1
	}
	listed, more, err := x.ListPage(ctx, sel, orders, limit, offset, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	ask := limit
	if limit >= 0 {
		ask++
	}
	ids, err := w.st.FinalIDsAt(ctx, sel, orders, ask, offset)
	if err != nil {
		w.t.Fatal(err)
	}
	same("more", more, limit >= 0 && len(ids) > limit, nil, nil)
	if limit >= 0 {
		ids = ids[:min(len(ids), limit)]
	}
	docs = map[bool][]string{}
	for memory, seq := range map[bool]func(func([]byte, error) bool){true: listed, false: w.st.StreamByID(ctx, ids, sel)} {
		for doc, err := range seq {
			if err != nil {
				w.t.Fatal(err)
			}
			docs[memory] = append(docs[memory], string(doc))
		}
	}
	same(fmt.Sprint("legacy page ", orders, limit, offset), docs[true], docs[false], nil, nil)

	sel.Text, sel.TextKeys = "", nil // only lists have one
	facets := []string{keys[w.IntN(len(keys))], "nobody", "metadata.tags", "spec.p"}
	facets = slices.Compact(slices.Sorted(slices.Values(facets)))
	byKey := func(list []store.Facet) map[string][]store.Facet {
		out := map[string][]store.Facet{}
		for _, f := range list {
			out[f.Key] = append(out[f.Key], f)
		}
		return out
	}
	got, err := x.Facets(ctx, facets, sel)
	stored, storedErr := w.st.Facets(ctx, facets, sel)
	same(fmt.Sprint("facets ", facets), byKey(got), byKey(stored), err, storedErr)

	refs := append(w.refs(), "component:default/none")
	ref := refs[w.IntN(len(refs))]
	one, err := x.ByRef(ctx, ref, sel)
	stored1, storedErr := w.st.FinalByRef(ctx, ref, sel)
	same("by ref "+ref, one, stored1, err, storedErr)
	several, err := x.ByRefs(ctx, refs, sel)
	stored2, storedErr := w.st.FinalsByRefs(ctx, refs, sel)
	same("by refs", several, stored2, err, storedErr)
}

// Whatever happens to the catalog, and whoever does it, a read from memory that begins
// afterwards is the read of the database.
func TestFollowsEveryChange(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]index.Options{"roomy": {}, "tight": {Cache: 6000}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
				w := newWorld(t, d, 1)
				for i := range 40 {
					w.save(fmt.Sprintf("n%d", i))
				}
				x, late := index.New(w.st, o), index.New(store.New(d), o)
				if err := x.Load(t.Context(), keys...); err != nil {
					t.Fatal(err)
				}
				steps := 80
				if testing.Short() {
					steps = 60
				}
				for i := range steps {
					for range w.IntN(3) {
						w.step()
					}
					w.agree(x)
					if i%25 == 0 {
						if err := late.Load(t.Context(), keys[:1+i/25%len(keys)]...); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := late.Load(t.Context(), keys...); err != nil {
					t.Fatal(err)
				}
				w.agree(late)
			})
		})
	}
}

// While columns are loaded and entities change all the time, every read has at least what
// was committed before it, and what it returns is of one state.
func TestReadsAfterWritesWhileLoading(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		w := newWorld(t, d, 2)
		for i := range 50 {
			w.save(fmt.Sprintf("n%d", i))
		}
		x := index.New(w.st, index.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { x.Run(ctx) })
		var written, memory atomic.Int64 // entities so far
		written.Store(50)
		for range 4 {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					least := int(written.Load())
					key := keys[i%len(keys)]
					rows, total, err := x.Page(ctx, store.PageQuery{Order: &store.Order{Key: key}, Limit: 1000})
					if errors.Is(err, index.ErrUnready) || ctx.Err() != nil {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					memory.Add(1)
					if len(rows) != total || key == "metadata.name" && total < least {
						t.Errorf("%d rows, a total of %d, want at least %d", len(rows), total, least)
						return
					}
				}
			})
		}
		for i := range 150 {
			w.save(fmt.Sprintf("more%d", i), fmt.Sprintf("n%d", i%50))
			written.Add(1)
		}
		for deadline := time.Now().Add(20 * time.Second); memory.Load() < 100 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		cancel()
		wg.Wait()
		if memory.Load() < 100 {
			t.Errorf("%d reads from memory", memory.Load())
		}
	})
}

// Far behind, and with its tombstones forgotten, an index begins anew.
func TestStartsOverWhenItIsTooFarBehind(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		w := newWorld(t, d, 3)
		w.save("a", "b", "c")
		x := index.New(w.st, index.Options{})
		if err := x.Load(t.Context(), keys...); err != nil {
			t.Fatal(err)
		}
		w.remove("component:default/a")
		if _, err := d.Exec(t.Context(), db.Same("DELETE FROM final_deletions")); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Exec(t.Context(), db.Same("UPDATE change_seq SET value = value + 100000")); err != nil {
			t.Fatal(err)
		}
		if _, err := x.ByRef(t.Context(), "component:default/b", store.Selection{}); !errors.Is(err, index.ErrUnready) {
			t.Fatalf("far behind: %v", err)
		}
		if err := x.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			w.agree(x)
		}
		// A database that was put back to an earlier state.
		if _, err := d.Exec(t.Context(), db.Same("UPDATE change_seq SET value = value - 50000")); err != nil {
			t.Fatal(err)
		}
		if _, err := x.ByRef(t.Context(), "component:default/b", store.Selection{}); !errors.Is(err, index.ErrUnready) {
			t.Fatalf("ahead of the database: %v", err)
		}
	})
}

// Columns take no more memory than they may: those that nobody uses go.
func TestSEC11_MemoryIsBounded(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, store.Migrations())
	w := newWorld(t, d, 4)
	for i := range 200 {
		w.save(fmt.Sprintf("n%d", i))
	}
	x := index.New(w.st, index.Options{Columns: 34_000, Cache: 10_000})
	if err := x.Load(t.Context(), keys...); err != nil {
		t.Fatal(err)
	}
	ready := 0
	for _, key := range keys {
		_, _, err := x.Page(t.Context(), store.PageQuery{Order: &store.Order{Key: key}, Limit: 50})
		if err == nil {
			ready++
		} else if !errors.Is(err, index.ErrUnready) {
			t.Error(err)
		}
	}
	if ready == 0 || ready == len(keys) {
		t.Errorf("%d of %d columns are loaded into a room for some of them", ready, len(keys))
	}
	before := x.Held()
	for i := range 500 {
		if err := x.Load(t.Context(), fmt.Sprint("no.such.key.", i)); err != nil {
			t.Fatal(err)
		}
	}
	if x.Held() != before {
		t.Errorf("keys that do not exist are remembered: %d columns, were %d", x.Held(), before)
	}
	if n := x.CacheBytes(); n == 0 || n > 10_000 {
		t.Errorf("%d bytes of entities are kept in a room for 10,000", n)
	}
}

// Reads that come together share the question for changes.
func TestReadsShareTheQuestion(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	d := dbtest.Postgres(t, store.Migrations(), db.WithObserver(func(context.Context, string, string) func(error) { asked.Add(1); return nil }))
	w := newWorld(t, d, 5)
	w.save("a")
	x := index.New(w.st, index.Options{})
	if err := x.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	read := func() {
		if _, err := x.ByRef(t.Context(), "component:default/a", store.Selection{}); err != nil {
			t.Error(err)
		}
	}
	read() // the bytes are there from now on
	before := asked.Load()
	read()
	if n := asked.Load() - before; n != 1 {
		t.Errorf("a read alone sends %d statements, want 1", n)
	}
	before = asked.Load()
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 50 {
				read()
			}
		})
	}
	wg.Wait()
	if n := asked.Load() - before; n > 800 {
		t.Errorf("1,600 reads by 32 readers send %d statements, want half at most", n)
	}
}

// A column that is too large is not asked for again and again, and nobody waits for it.
func TestSEC11_LargeColumnsAreLeftToTheDatabase(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t, store.Migrations())
	w := newWorld(t, d, 6)
	for i := range 250 {
		w.save(fmt.Sprintf("n%d", i))
	}
	x := index.New(w.st, index.Options{Columns: 34_000})
	if err := x.Load(t.Context(), "metadata.name"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { x.Run(ctx) })
	page := store.PageQuery{Order: &store.Order{Key: "metadata.name"}, Limit: 5}
	for range 10 {
		if _, _, err := x.Page(ctx, page); !errors.Is(err, index.ErrUnready) {
			t.Errorf("a page by a column that has no room: %v", err)
		}
	}
	if x.Wanted() != 0 || x.Held() != 0 {
		t.Errorf("%d keys are wanted and %d held", x.Wanted(), x.Held())
	}
	if _, err := x.ByRef(ctx, "component:default/n1", store.Selection{}); err != nil {
		t.Errorf("an entity without that column: %v", err)
	}
	cancel()
	wg.Wait()
}
