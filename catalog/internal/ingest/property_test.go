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
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// model is what a catalog should come to, in a few lines: sets of providers, files,
// and the references that they lead to.
type model struct {
	sets  map[string]map[string]modelEntity // provider, reference
	files map[string][]modelEntity          // by name; absent: not found
}

// modelEntity is a Component with a description, or a Location with files.
type modelEntity struct {
	ref, text, key string
	files          []string
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
	return yamlComponent(name, e.text)
}

func (e modelEntity) deferred() Deferred {
	name := e.ref[strings.IndexByte(e.ref, '/')+1:]
	if e.files != nil {
		return location(name, e.files...)
	}
	return component(name, e.text, e.key)
}

// operation is one thing that can happen to a catalog.
type operation struct {
	name string
	do   func(r *rand.Rand, w *world, m *model) error
}

var operations = []operation{
	{"write a file", func(r *rand.Rand, w *world, m *model) error {
		i := r.IntN(len(modelFiles))
		var docs []modelEntity
		var text []string
		seen := map[string]bool{}
		for range r.IntN(4) {
			if e := m.document(r, i); !seen[e.ref] {
				seen[e.ref] = true
				docs, text = append(docs, e), append(text, e.yaml())
			}
		}
		m.files[modelFiles[i]] = docs
		w.file(modelFiles[i], "# "+modelFiles[i]+"\n---\n"+documents(text...))
		return nil
	}},
	{"replace a set", func(r *rand.Rand, w *world, m *model) error {
		p := pick(r, modelProviders)
		set := map[string]modelEntity{}
		for range r.IntN(4) {
			e := modelEntity{ref: "component:default/" + pick(r, modelComponents), text: p + strconv.Itoa(r.IntN(3)), key: pick(r, []string{"", "", p, "k"})}
			if r.IntN(2) == 0 {
				e = modelEntity{ref: "location:default/" + p + strconv.Itoa(r.IntN(2)), files: modelFiles[r.IntN(len(modelFiles)):][:1]}
			}
			set[e.ref] = e
		}
		m.sets[p] = set
		var list []Deferred
		for _, ref := range slices.Sorted(maps.Keys(set)) {
			list = append(list, set[ref].deferred())
		}
		return w.replace(p, list...)
	}},
	{"add to a set", func(r *rand.Rand, w *world, m *model) error {
		p := pick(r, modelProviders)
		e := modelEntity{ref: "component:default/" + pick(r, modelComponents), text: p + strconv.Itoa(r.IntN(3)), key: pick(r, []string{"", p})}
		if m.sets[p] == nil {
			m.sets[p] = map[string]modelEntity{}
		}
		m.sets[p][e.ref] = e
		return w.engine.Provider(p).Apply(w.t.Context(), []Deferred{e.deferred()}, nil)
	}},
	{"take from a set", func(r *rand.Rand, w *world, m *model) error {
		p, ref := pick(r, modelProviders), "component:default/"+pick(r, modelComponents)
		delete(m.sets[p], ref)
		return w.engine.Provider(p).Apply(w.t.Context(), nil, []string{ref})
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
	{"make a file unreadable", func(r *rand.Rand, w *world, m *model) error {
		w.fail(pick(r, modelFiles), apierr.ServiceUnavailable.New("503"))
		return nil
	}},
	{"make a file readable", func(r *rand.Rand, w *world, m *model) error {
		w.fail(pick(r, modelFiles), nil)
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
		_, err := w.engine.Delete(w.t.Context(), e.UID())
		return err
	}},
	{"process a step", func(r *rand.Rand, w *world, m *model) error { w.step(); return nil }},
	{"come to rest", func(r *rand.Rand, w *world, m *model) error { w.settle(); return nil }},
	{"pass a round", func(r *rand.Rand, w *world, m *model) error { w.round(); return nil }},
	{"clean up", func(r *rand.Rand, w *world, m *model) error {
		_, err := w.engine.DeleteOrphans(w.t.Context())
		return err
	}},
}

// TestRandomHistories runs random sequences of operations and compares what is served
// in the end with the model. CALLBOARD_CATALOG_SEQUENCES sets how many, and
// CALLBOARD_CATALOG_SEED the first seed, which a failure prints with its operations.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	n, seed := 60, uint64(1)
	if s := os.Getenv("CALLBOARD_CATALOG_SEQUENCES"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	if s := os.Getenv("CALLBOARD_CATALOG_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	for i := range uint64(n) {
		if problem, history := runHistory(t, seed+i, 40); problem != "" {
			t.Fatalf("seed %d: %s\n%s", seed+i, problem, strings.Join(history, "\n"))
		}
	}
}

func runHistory(t *testing.T, seed uint64, length int) (problem string, history []string) {
	r := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t, dbtest.Memory(t, store.Migrations()), Options{})
	w.versions = seed%2 == 0
	m := &model{sets: map[string]map[string]modelEntity{}, files: map[string][]modelEntity{}}
	for range length {
		op := pick(r, operations)
		history = append(history, op.name)
		if err := op.do(r, w, m); err != nil {
			return op.name + ": " + err.Error(), history
		}
	}
	for _, f := range modelFiles {
		w.fail(f, nil)
		if _, ok := m.files[f]; !ok {
			w.file(f, "# empty\n")
		}
	}
	for range 4 {
		w.round()
	}
	w.check()
	want := m.reachable()
	got := w.entities()
	for ref := range want {
		if _, ok := got[ref]; !ok {
			return fmt.Sprintf("%s is not served; sets %v, files %v; log:\n%s", ref, m.sets, m.files, w.log), history
		}
	}
	for ref, e := range got {
		texts, ok := want[ref]
		if !ok {
			return fmt.Sprintf("%s is served, and nothing emits it; sets %v, files %v", ref, m.sets, m.files), history
		}
		if e.Kind() == "Component" && !texts[e.Description()] {
			return fmt.Sprintf("%s has text %q, want one of %v; sets %v, files %v", ref, e.Description(), texts, m.sets, m.files), history
		}
	}
	if t.Failed() {
		return "the rules between transactions are broken", history
	}
	return "", nil
}
