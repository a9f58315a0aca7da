package catalogtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// RunProvider runs the rules of catalog.EntityProvider against providers that open
// makes, each time a new one of the same source, which has at least one entity and does
// not change meanwhile. Two of them may be at work at once, as on two replicas.
func RunProvider(t *testing.T, open func(t *testing.T) catalog.EntityProvider) {
	connect := func(t *testing.T) *Recorder {
		t.Helper()
		r := &Recorder{}
		if err := open(t).Connect(t.Context(), r); err != nil {
			t.Fatalf("connect: %v", err)
		}
		return r
	}
	t.Run("HasAStableName", func(t *testing.T) {
		a, b := open(t).ProviderName(), open(t).ProviderName()
		if a == "" || a != b {
			t.Errorf("names are %q and %q", a, b)
		}
	})
	t.Run("ListsEntities", func(t *testing.T) {
		r := connect(t)
		run(t, r)
		if len(r.Refs()) == 0 {
			t.Error("the set is empty after all its tasks have run")
		}
	})
	t.Run("SaysWhereEntitiesComeFrom", func(t *testing.T) {
		r := connect(t)
		run(t, r)
		for ref, d := range r.Set() {
			if _, err := entity.LocationOf(d.Entity); err != nil {
				t.Errorf("%s: %v", ref, err)
			}
			if _, err := entity.OriginOf(d.Entity); err != nil {
				t.Errorf("%s: %v", ref, err)
			}
		}
	})
	t.Run("ListsWhatTheCatalogTakes", func(t *testing.T) {
		r := connect(t)
		run(t, r)
		for ref, d := range r.Set() {
			if err := takes(d.Entity); err != nil {
				t.Errorf("%s: %v", ref, err)
			}
		}
	})
	t.Run("ListsTheSameOnEveryReplica", func(t *testing.T) {
		a, b := connect(t), connect(t)
		run(t, a)
		run(t, b)
		compare(t, a.Set(), b.Set())
	})
	t.Run("ListsTheSameAgain", func(t *testing.T) {
		r := connect(t)
		run(t, r)
		first := r.Set()
		run(t, r)
		compare(t, first, r.Set())
	})
	t.Run("ChangesNothingWhenItIsInterrupted", func(t *testing.T) {
		r := connect(t)
		run(t, r)
		first := r.Set()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = r.Run(ctx) // an error is welcome
		compare(t, first, r.Set())
	})
}

// takes says what is wrong with an entity. Kinds that are not builtin may belong to a
// processor, and are held against what all entities have in common.
func takes(e entity.Entity) error {
	model := entity.NewModel(entity.ModelOptions{})
	_, kind := model.CheckKind(e)
	_, relations := model.RelationsOf(e)
	return errors.Join(model.CheckEnvelope(e), model.CheckRootFields(e), model.CheckFormats(e), kind, relations, entity.CheckKeys(e))
}

func run(t *testing.T, r *Recorder) {
	t.Helper()
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func compare(t *testing.T, want, got map[string]catalog.Deferred) {
	t.Helper()
	for ref, d := range want {
		g, ok := got[ref]
		switch {
		case !ok:
			t.Errorf("%s is gone", ref)
		case g.LocationKey != d.LocationKey:
			t.Errorf("%s has location key %q, and had %q", ref, g.LocationKey, d.LocationKey)
		case !g.Entity.Equal(d.Entity):
			t.Errorf("%s has other content than before", ref)
		}
	}
	for ref := range got {
		if _, ok := want[ref]; !ok {
			t.Errorf("%s is new", ref)
		}
	}
}

// RunProcessor runs the rules of catalog.Processor against processors that open makes,
// each time a new one of the same kind. samples are entities that it has something to
// do with, and that it accepts.
func RunProcessor(t *testing.T, open func(t *testing.T) catalog.Processor, samples ...entity.Entity) {
	t.Run("HasAStableName", func(t *testing.T) {
		a, b := open(t).ProcessorName(), open(t).ProcessorName()
		if a == "" || a != b {
			t.Errorf("names are %q and %q", a, b)
		}
	})
	t.Run("HasAnAbility", func(t *testing.T) {
		switch p := open(t).(type) {
		case catalog.LocationReader, catalog.PreProcessor, catalog.KindValidator, catalog.PostProcessor:
		default:
			t.Errorf("%T is no LocationReader, PreProcessor, KindValidator or PostProcessor", p)
		}
	})
	t.Run("AcceptsTheSamplesAndKeepsTheirReferences", func(t *testing.T) {
		p := open(t)
		for _, e := range samples {
			got := catalog.Try(t.Context(), e, nil, p)
			if len(got.Errors) > 0 {
				t.Errorf("%s: %v", e.Ref(), got.Errors)
			} else if got.Entity.Ref().String() != e.Ref().String() {
				t.Errorf("%s became %s", e.Ref(), got.Entity.Ref())
			}
		}
	})
	t.Run("GivesTheSameAnswerAgain", func(t *testing.T) {
		p := open(t)
		for _, e := range samples {
			first := catalog.Try(t.Context(), e, nil, p)
			if diff := difference(first, catalog.Try(t.Context(), e, nil, p)); diff != "" {
				t.Errorf("%s: %s differ", e.Ref(), diff)
			}
		}
	})
	t.Run("ServesManyGoroutines", func(t *testing.T) {
		p := open(t)
		for _, e := range samples {
			want := catalog.Try(t.Context(), e, nil, p)
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					if diff := difference(want, catalog.Try(t.Context(), e, nil, p)); diff != "" {
						t.Errorf("%s: %s differ when run concurrently", e.Ref(), diff)
					}
				})
			}
			all.Wait()
		}
	})
	t.Run("LosesNothingWhenItIsInterrupted", func(t *testing.T) {
		p := open(t)
		for _, e := range samples {
			whole := catalog.Try(t.Context(), e, nil, p)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if got := catalog.Try(ctx, e, nil, p); len(got.Errors) == 0 && difference(whole, got) != "" {
				t.Errorf("%s: %s differ, and there is no error", e.Ref(), difference(whole, got))
			}
		}
	})
	t.Run("LeavesForeignLocationsToOthers", func(t *testing.T) {
		reader, ok := open(t).(catalog.LocationReader)
		if !ok {
			return
		}
		loc := entity.Location{Type: "catalogtest-nobody", Target: "nothing"}
		handled, err := reader.ReadLocation(t.Context(), loc, func(catalog.Emission) { t.Error("something was emitted") })
		if handled || err != nil {
			t.Errorf("handled %v, error %v", handled, err)
		}
	})
	t.Run("LeavesForeignKindsToOthers", func(t *testing.T) {
		validator, ok := open(t).(catalog.KindValidator)
		if !ok {
			return
		}
		known, err := validator.ValidateKind(t.Context(), entity.Entity{
			"apiVersion": "catalogtest.example/v1", "kind": "CatalogtestNobody", "metadata": map[string]any{"name": "x"},
		})
		if known || err != nil {
			t.Errorf("known %v, error %v", known, err)
		}
	})
}

// difference names the first part in which two trials differ.
func difference(a, b catalog.Trial) string {
	found := func(t catalog.Trial) (out []string) {
		for _, d := range t.Found {
			hash, _ := d.Entity.Hash()
			out = append(out, fmt.Sprint(d.Entity.Ref(), d.LocationKey, hash))
		}
		return out
	}
	switch {
	case !a.Entity.Equal(b.Entity):
		return "entities"
	case !slices.Equal(found(a), found(b)):
		return "found entities"
	case !slices.Equal(a.Relations, b.Relations):
		return "relations"
	case !slices.Equal(a.RefreshKeys, b.RefreshKeys):
		return "refresh keys"
	case len(a.Errors) != len(b.Errors):
		return "errors"
	}
	return ""
}
