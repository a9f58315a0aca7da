package ingest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// model is what a catalog should come to, in a few lines: sets of providers, files,
// and the references that they lead to.
type model struct {
	sets     map[string]map[string]modelEntity // provider, reference; of registered locations by id
	files    map[string][]modelEntity          // by name; absent: not found
	restored map[string]bool                   // references that came from the trash: they may be there

	late []*finished // outcomes that are stored only later
	did  []string    // what happened, for people
}

func (m *model) say(format string, args ...any) { m.did = append(m.did, fmt.Sprintf(format, args...)) }

// modelEntity is a Component with a description, or a Location with files.
type modelEntity struct {
	ref, text, key string
	files          []string
	upper          bool // the name is written in upper case
}

func (e modelEntity) String() string {
	return fmt.Sprintf("%s text=%q key=%q files=%v upper=%v", e.ref, e.text, e.key, e.files, e.upper)
}

// reachable maps every reference that something emits to the texts it may have.
func (m *model) reachable() map[string]map[string]bool {
	out := map[string]map[string]bool{}
	var queue []modelEntity
	done := map[string]bool{}
	add := func(e modelEntity) {
		if out[e.ref] == nil {
			out[e.ref] = map[string]bool{}
		}
		out[e.ref][e.text] = true
		id := fmt.Sprint(e)
		if !done[id] {
			done[id] = true
			queue = append(queue, e)
		}
	}
	for _, set := range m.sets {
		for _, e := range set {
			add(e)
		}
	}
	for len(queue) > 0 {
		e := queue[0]
		queue = queue[1:]
		for _, f := range e.files {
			for _, c := range m.files[f] {
				add(c)
			}
		}
	}
	return out
}

var (
	modelFiles      = []string{"f0.yaml", "f1.yaml", "f2.yaml", "f3.yaml"}
	modelComponents = []string{"a", "b", "c", "d", "e"}
	modelProviders  = []string{"p", "q", "r"}
)

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// document makes a random entity of a file. Locations lead to files with higher
// numbers only: what a catalog does with cycles has tests of its own, and a
// Location that lost its reference to another one would make the model long.
func (m *model) document(r *rand.Rand, file int) modelEntity {
	if file+1 < len(modelFiles) && r.IntN(5) == 0 {
		name := fmt.Sprintf("n%d", file)
		return modelEntity{ref: "location:default/" + name, files: modelFiles[file+1+r.IntN(len(modelFiles)-file-1):][:1]}
	}
	return modelEntity{ref: "component:default/" + pick(r, modelComponents), text: strconv.Itoa(r.IntN(4))}
}

func (e modelEntity) yaml() string {
	name := e.ref[strings.IndexByte(e.ref, '/')+1:]
	if e.files != nil {
		return nested(name, e.files...)
	}
	if e.upper {
		name = strings.ToUpper(name)
	}
	return yamlComponent(name, e.text)
}

func (e modelEntity) deferred() Deferred {
	name := e.ref[strings.IndexByte(e.ref, '/')+1:]
	if e.files != nil {
		return location(name, e.files...)
	}
	return component(name, e.text, e.key)
}

// operation is one thing that can happen to a catalog. All its choices come from r, so that it
// does the same when others before it are left out, as far as it can.
type operation struct {
	name string
	do   func(r *rand.Rand, w *world, m *model) error
}

// writeFile gives a file its documents, and more besides that is no entity.
func (m *model) writeFile(w *world, name string, more ...string) {
	text := []string{"# " + name + "\n"}
	for _, e := range m.files[name] {
		text = append(text, e.yaml())
	}
	w.file(name, documents(append(text, more...)...))
	m.say("%s has %v%s", name, m.files[name], strings.Join(more, " and "))
}

// someEntity is one that a provider may list.
func someEntity(r *rand.Rand, p string) modelEntity {
	if r.IntN(2) == 0 {
		return modelEntity{ref: "location:default/" + p + strconv.Itoa(r.IntN(2)), files: modelFiles[r.IntN(len(modelFiles)):][:1]}
	}
	return modelEntity{ref: "component:default/" + pick(r, modelComponents), text: p + strconv.Itoa(r.IntN(3)), key: pick(r, []string{"", "", p, "k"})}
}

func (m *model) set(p string) map[string]modelEntity {
	if m.sets[p] == nil {
		m.sets[p] = map[string]modelEntity{}
	}
	return m.sets[p]
}

// apply adds some entities to a set and takes others from it.
func (m *model) apply(w *world, p string, added []modelEntity, removed ...string) error {
	set := m.set(p)
	for _, ref := range removed {
		delete(set, ref)
	}
	var list []Deferred
	for _, e := range added {
		set[e.ref] = e
		list = append(list, e.deferred())
	}
	m.say("%s adds %v and removes %v", p, added, removed)
	return w.engine.Provider(p).Apply(w.t.Context(), list, removed)
}

// registered are the ids of registered locations, in one order.
func (m *model) registered() []string { return slices.Sorted(maps.Keys(m.sets[RegisteredLocations])) }

func urlOf(file string) entity.Location { return entity.Location{Type: "url", Target: fileURL(file)} }

var allRules = Rules{{Allow: []AllowedKind{{Kind: "Component"}, {Kind: "Location"}}}}

var operations = []operation{
	{"write a file", func(r *rand.Rand, w *world, m *model) error {
		i := r.IntN(len(modelFiles))
		m.files[modelFiles[i]] = nil
		seen := map[string]bool{}
		for range r.IntN(4) {
			if e := m.document(r, i); !seen[e.ref] {
				seen[e.ref] = true
				m.files[modelFiles[i]] = append(m.files[modelFiles[i]], e)
			}
		}
		m.writeFile(w, modelFiles[i])
		return nil
	}},
	{"remove a file", func(r *rand.Rand, w *world, m *model) error {
		f := pick(r, modelFiles)
		delete(m.files, f)
		w.file(f, "")
		m.say("%s", f)
		return nil
	}},
	{"move a document", func(r *rand.Rand, w *world, m *model) error {
		from, to := r.IntN(len(modelFiles)), r.IntN(len(modelFiles))
		docs := m.files[modelFiles[from]]
		i := slices.IndexFunc(docs, func(e modelEntity) bool { return e.files == nil })
		if from == to || i < 0 || slices.ContainsFunc(m.files[modelFiles[to]], func(e modelEntity) bool { return e.ref == docs[i].ref }) {
			return nil
		}
		m.files[modelFiles[to]] = append(m.files[modelFiles[to]], docs[i])
		m.files[modelFiles[from]] = slices.Delete(slices.Clone(docs), i, i+1)
		m.writeFile(w, modelFiles[from])
		m.writeFile(w, modelFiles[to])
		return nil
	}},
	{"change the case of a name", func(r *rand.Rand, w *world, m *model) error {
		f := pick(r, modelFiles)
		docs := slices.Clone(m.files[f])
		for i := range docs {
			docs[i].upper = !docs[i].upper
		}
		if m.files[f] = docs; docs != nil {
			m.writeFile(w, f)
		}
		return nil
	}},
	{"break the YAML of a document", func(r *rand.Rand, w *world, m *model) error {
		m.writeFile(w, pick(r, modelFiles), "a: [\n")
		return nil
	}},
	{"write a document that is no valid entity", func(r *rand.Rand, w *world, m *model) error {
		name := pick(r, modelComponents)
		m.writeFile(w, pick(r, modelFiles), "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: "+name+"}\nspec: {}\n")
		return nil
	}},
	{"replace a set", func(r *rand.Rand, w *world, m *model) error {
		p := pick(r, modelProviders)
		set := map[string]modelEntity{}
		for range r.IntN(4) {
			e := someEntity(r, p)
			set[e.ref] = e
		}
		m.sets[p] = set
		var list []Deferred
		for _, ref := range slices.Sorted(maps.Keys(set)) {
			list = append(list, set[ref].deferred())
		}
		m.say("%s has %v", p, set)
		return w.replace(p, list...)
	}},
	{"add to a set", func(r *rand.Rand, w *world, m *model) error {
		p := pick(r, modelProviders)
		return m.apply(w, p, []modelEntity{someEntity(r, p)})
	}},
	{"take from a set", func(r *rand.Rand, w *world, m *model) error {
		return m.apply(w, pick(r, modelProviders), nil, "component:default/"+pick(r, modelComponents))
	}},
	{"add to and take from a set", func(r *rand.Rand, w *world, m *model) error {
		p := pick(r, modelProviders)
		e, gone := someEntity(r, p), "component:default/"+pick(r, modelComponents)
		if e.ref == gone {
			return nil
		}
		return m.apply(w, p, []modelEntity{e}, gone)
	}},
	{"change a location key", func(r *rand.Rand, w *world, m *model) error {
		p, ref, key := pick(r, modelProviders), "component:default/"+pick(r, modelComponents), pick(r, []string{"", "k", "l"})
		e, ok := m.sets[p][ref]
		if !ok {
			return nil
		}
		e.key = key
		return m.apply(w, p, []modelEntity{e})
	}},
	{"claim one reference from two providers", func(r *rand.Rand, w *world, m *model) error {
		ref := "component:default/" + pick(r, modelComponents)
		for _, p := range modelProviders[:2] {
			if err := m.apply(w, p, []modelEntity{{ref: ref, text: p, key: pick(r, []string{"", p})}}); err != nil {
				return err
			}
		}
		return nil
	}},
	{"uninstall a provider", func(r *rand.Rand, w *world, m *model) error {
		p := pick(r, modelProviders)
		delete(m.sets, p)
		installed := slices.DeleteFunc(slices.Clone(modelProviders), func(name string) bool { return name == p })
		m.say("%s", p)
		return w.engine.Evict(w.t.Context(), append(installed, RegisteredLocations, RestoredEntities))
	}},
	{"fail to list", func(r *rand.Rand, w *world, m *model) error {
		err := w.engine.Provider(pick(r, modelProviders)).Replace(w.t.Context(), func(yield func(Deferred, error) bool) {
			_ = yield(component("a", "never", ""), nil) && yield(Deferred{}, errors.New("500"))
		})
		if err == nil {
			return errors.New("a listing that failed was accepted")
		}
		return nil
	}},
	{"register a location", func(r *rand.Rand, w *world, m *model) error {
		f := pick(r, modelFiles)
		row, _, err := w.engine.Locations().Create(w.t.Context(), urlOf(f))
		m.set(RegisteredLocations)[row.ID] = modelEntity{ref: row.EntityRef, files: []string{f}}
		m.say("%v", row)
		return err
	}},
	{"change a registered location", func(r *rand.Rand, w *world, m *model) error {
		f, i := pick(r, modelFiles), r.IntN(len(modelFiles))
		ids := m.registered()
		if i >= len(ids) {
			return nil
		}
		row, err := w.engine.Locations().Update(w.t.Context(), ids[i], urlOf(f))
		if errors.Is(err, apierr.Conflict) {
			return nil
		}
		m.set(RegisteredLocations)[ids[i]] = modelEntity{ref: row.EntityRef, files: []string{f}}
		m.say("%v", row)
		return err
	}},
	{"delete a registered location", func(r *rand.Rand, w *world, m *model) error {
		i := r.IntN(len(modelFiles))
		ids := m.registered()
		if i >= len(ids) {
			return nil
		}
		m.say("%v", m.sets[RegisteredLocations][ids[i]])
		delete(m.sets[RegisteredLocations], ids[i])
		return w.engine.Locations().Delete(w.t.Context(), ids[i])
	}},
	{"make a file unreadable", func(r *rand.Rand, w *world, m *model) error {
		f := pick(r, modelFiles)
		w.fail(f, pick(r, []apierr.Kind{apierr.Authentication, apierr.NotAllowed, apierr.ServiceUnavailable}).New("no"))
		m.say("%s", f)
		return nil
	}},
	{"make a file readable", func(r *rand.Rand, w *world, m *model) error {
		w.fail(pick(r, modelFiles), nil)
		return nil
	}},
	{"readers learn to say unchanged", func(r *rand.Rand, w *world, m *model) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.versions = !w.versions
		return nil
	}},
	{"forbid a kind", func(r *rand.Rand, w *world, m *model) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.rules = Rules{{Allow: []AllowedKind{{Kind: pick(r, []string{"Component", "Location"})}}}}
		return nil
	}},
	{"allow all kinds", func(r *rand.Rand, w *world, m *model) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.rules = allRules
		return nil
	}},
	{"refresh an entity", func(r *rand.Rand, w *world, m *model) error {
		_, err := w.engine.Refresh(w.t.Context(), "component:default/"+pick(r, modelComponents))
		return err
	}},
	{"refresh a file", func(r *rand.Rand, w *world, m *model) error {
		return w.engine.RefreshKeys(w.t.Context(), "url:"+fileURL(pick(r, modelFiles)))
	}},
	{"delete what no provider emits", func(r *rand.Rand, w *world, m *model) error {
		ref := "component:default/" + pick(r, modelComponents)
		for _, set := range m.sets {
			if _, ok := set[ref]; ok {
				return nil // it would be back only with the next listing
			}
		}
		e, ok := w.entities()[ref]
		if !ok {
			return nil
		}
		m.say("%s", ref)
		_, err := w.engine.Delete(w.t.Context(), e.UID())
		return err
	}},
	{"restore a deleted entity", func(r *rand.Rand, w *world, m *model) error {
		all, err := w.store.Trash(w.t.Context(), "", 100)
		all = slices.DeleteFunc(all, func(t store.Trashed) bool { return !strings.HasPrefix(t.Ref, "component:") })
		if err != nil || len(all) == 0 {
			return err
		}
		ref := pick(r, all).Ref
		m.restored[ref] = true
		m.say("%s", ref)
		_, err = w.engine.Undelete(w.t.Context(), ref)
		return err
	}},
	{"let go of what was restored", func(r *rand.Rand, w *world, m *model) error { return w.engine.LetGoOfRestored(w.t.Context()) }},
	{"process a step", func(r *rand.Rand, w *world, m *model) error { w.step(); return nil }},
	{"come to rest", func(r *rand.Rand, w *world, m *model) error { w.settle(); return nil }},
	{"pass a round", func(r *rand.Rand, w *world, m *model) error { w.round(); return nil }},
	{"process now and store later", func(r *rand.Rand, w *world, m *model) error {
		due, err := w.store.ClaimDue(w.t.Context(), w.now(), 1000, w.engine.IntervalMin, w.engine.IntervalMax)
		for _, d := range due {
			m.late = append(m.late, w.engine.process(w.t.Context(), d))
		}
		return err
	}},
	{"store what was processed earlier", func(r *rand.Rand, w *world, m *model) error {
		late := slices.DeleteFunc(m.late, (*finished).unchanged)
		m.late = nil
		for _, f := range late { // a batch has an entity once only
			if _, err := w.engine.commit(w.t.Context(), []*finished{f}); err != nil {
				return err
			}
		}
		return nil
	}},
	{"lose what was claimed", func(r *rand.Rand, w *world, m *model) error {
		_, err := w.store.ClaimDue(w.t.Context(), w.now(), 1000, w.engine.IntervalMin, w.engine.IntervalMax)
		if err == nil {
			_, err = w.store.ClaimStitches(w.t.Context(), w.now(), w.now().Add(w.stitcher.Timeout), 1000)
		}
		return err
	}},
	{"restart", func(r *rand.Rand, w *world, m *model) error {
		w.store = store.New(w.db)
		w.stitcher.Store = w.store
		o := w.engine.Options
		o.Store = w.store
		w.engine = NewEngine(o)
		m.late = nil
		return nil
	}},
	{"clean up", func(r *rand.Rand, w *world, m *model) error {
		_, err := w.engine.DeleteOrphans(w.t.Context())
		return err
	}},
}

// A stepOf is an operation with the seed of its choices.
type stepOf struct {
	operation int
	seed      uint64
}

// historyLength is how many operations a history has.
const historyLength = 40

// TestRandomHistories runs random sequences of operations and compares what is served
// in the end with the model. CALLBOARD_CATALOG_SEQUENCES sets how many on SQLite; on
// PostgreSQL it is every twentieth. CALLBOARD_CATALOG_SEED is the first seed. A
// failure prints the seed and the shortest part of its sequence that still fails.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	n, seed := 100, uint64(1)
	if s := os.Getenv("CALLBOARD_CATALOG_SEQUENCES"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	if s := os.Getenv("CALLBOARD_CATALOG_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		t.Parallel()
		step := 1
		if db.DialectOf(d) == db.Postgres {
			step = 20
		}
		for i := 0; i < n; i += step {
			history := historyOf(seed + uint64(i))
			if problem, _ := runHistory(t, d, history); problem != "" {
				history = shrink(history, func(part []stepOf) bool { p, _ := runHistory(t, d, part); return p != "" })
				problem, did := runHistory(t, d, history)
				t.Fatalf("seed %d: %s\nafter:\n  %s", seed+uint64(i), problem, strings.Join(did, "\n  "))
			}
		}
	})
}

func historyOf(seed uint64) []stepOf {
	r := rand.New(rand.NewPCG(seed, 0))
	history := make([]stepOf, historyLength)
	for i := range history {
		history[i] = stepOf{r.IntN(len(operations)), r.Uint64()}
	}
	return history
}

// shrink leaves parts of a history out, larger ones first, as long as it still fails.
func shrink[T any](history []T, fails func([]T) bool) []T {
	for size := len(history) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(history); {
			if part := slices.Delete(slices.Clone(history), at, at+size); fails(part) {
				history = part
			} else {
				at += size
			}
		}
		if size == 1 {
			return history
		}
	}
	return history
}

// A quiet test keeps its errors, for histories that are expected to fail.
type quiet struct {
	testing.TB
	errs []string
}

func (q *quiet) Errorf(format string, args ...any) {
	q.errs = append(q.errs, fmt.Sprintf(format, args...))
}
func (q *quiet) Error(args ...any)                 { q.errs = append(q.errs, fmt.Sprint(args...)) }
func (q *quiet) Fatal(args ...any)                 { q.Error(args...); panic(q) }
func (q *quiet) Fatalf(format string, args ...any) { q.Errorf(format, args...); panic(q) }

// runHistory runs a history on an empty catalog, and says what is wrong in the end, and
// what was done.
func runHistory(t testing.TB, d db.DB, history []stepOf) (problem string, did []string) {
	q := &quiet{TB: t}
	m := &model{sets: map[string]map[string]modelEntity{}, files: map[string][]modelEntity{}, restored: map[string]bool{}}
	defer func() {
		did = m.did
		if v := recover(); v != nil && v != any(q) {
			panic(v)
		}
		if problem == "" {
			problem = strings.Join(q.errs, "\n")
		}
	}()
	empty(q, d)
	w := newWorld(q, d, Options{})
	w.rules = allRules
	for _, s := range history {
		op := operations[s.operation]
		m.say("%s:", op.name)
		if err := op.do(rand.New(rand.NewPCG(s.seed, 1)), w, m); err != nil {
			return op.name + ": " + err.Error(), m.did
		}
	}
	return m.compare(w), m.did
}

// compare brings the world to rest, with sources that can be read, and says how it differs
// from the model.
func (m *model) compare(w *world) string {
	w.rules = allRules
	for _, f := range modelFiles {
		w.fail(f, nil)
		m.writeFile(w, f)
	}
	for range 4 {
		w.round()
	}
	w.check()
	want, got := m.reachable(), w.entities()
	for _, ref := range slices.Sorted(maps.Keys(want)) {
		if _, ok := got[ref]; !ok {
			return fmt.Sprintf("%s is not served; sets %v, files %v; log:\n%s", ref, m.sets, m.files, w.log)
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(got)) {
		texts, ok := want[ref]
		if !ok && !m.restored[ref] {
			return fmt.Sprintf("%s is served, and nothing emits it; sets %v, files %v", ref, m.sets, m.files)
		}
		if e := got[ref]; e.Kind() == "Component" && !m.restored[ref] && !texts[e.Description()] {
			return fmt.Sprintf("%s has text %q, want one of %v; sets %v, files %v", ref, e.Description(), texts, m.sets, m.files)
		}
	}
	return ""
}

// TestFailingHistoriesAreShortened holds that of a long sequence only what matters is left.
func TestFailingHistoriesAreShortened(t *testing.T) {
	t.Parallel()
	var history []int
	for i := range 40 {
		history = append(history, i)
	}
	runs := 0
	got := shrink(history, func(part []int) bool {
		runs++
		return slices.Contains(part, 7) && slices.Contains(part, 8) && slices.Contains(part, 33)
	})
	if !slices.Equal(got, []int{7, 8, 33}) {
		t.Errorf("what is left of it: %v", got)
	}
	if runs > 100 {
		t.Errorf("%d runs to find out", runs)
	}
}
