package ingest

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// readWith puts a reader in front of that of the world.
func (w *world) readWith(read func(ctx context.Context, loc entity.Location) error) {
	w.engine.Pipeline.Processors[1].Read = func(ctx context.Context, loc entity.Location, emit func(Emission)) (bool, error) {
		if err := read(ctx, loc); err != nil {
			return true, err
		}
		return w.read(ctx, loc, emit)
	}
}

func TestTargetsAreReadAtTheSameTimeAndTakenInOneAfterTheOther(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("first.yaml", yamlComponent("twice", "of the first"))
		w.file("second.yaml", documents(yamlComponent("twice", "of the second"), yamlComponent("web", "")))
		second := make(chan struct{})
		w.readWith(func(_ context.Context, loc entity.Location) error {
			switch loc.Target {
			case fileURL("first.yaml"):
				<-second // never, if targets were read one after the other
			case fileURL("second.yaml"):
				select {
				case <-second:
				default:
					close(second)
				}
			case fileURL("third.yaml"):
				return fmt.Errorf("the third is away")
			}
			return nil
		})
		w.provide("test", location("loc", "first.yaml", "second.yaml", "third.yaml", "fourth.yaml"))
		w.settle()
		w.expect("component:default/twice of the first", "component:default/web", "location:default/loc (errors)")

		var told []string
		status, _ := w.entities()["location:default/loc"]["status"].(map[string]any)
		items, _ := status["items"].([]any)
		for _, item := range items {
			told = append(told, fmt.Sprint(item.(map[string]any)["message"]))
		}
		for i, want := range []string{"the third is away", "fourth.yaml: no such file"} {
			if len(told) != 2 || !strings.Contains(told[i], want) {
				t.Fatalf("failures %q, want first the third target's, then the fourth's", told)
			}
		}
	})
}

func TestAPanicOfAReaderIsAFailureOfTheLocation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("a.yaml", yamlComponent("a", ""))
		w.file("b.yaml", yamlComponent("b", ""))
		panics := false
		w.readWith(func(_ context.Context, loc entity.Location) error {
			if panics && loc.Target == fileURL("b.yaml") {
				panic("on b")
			}
			return nil
		})
		w.provide("test", location("loc", "a.yaml", "b.yaml"))
		w.settle()
		panics = true
		w.round()
		w.expect("component:default/a", "component:default/b", "location:default/loc (errors)")
		if !strings.Contains(w.log.String(), "on b") {
			t.Errorf("the log has nothing of the panic:\n%s", w.log)
		}
	})
}

func TestDocumentsThatArePutAsideAreServed(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	aside := func() int {
		files, err := filepath.Glob(filepath.Join(dir, "callboard-catalog-*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		w := newWorld(t, d, Options{})
		var want []string
		during := 0
		for f := range 3 {
			docs := make([]string, 25)
			for i := range docs {
				text := fmt.Sprintf("%d-%d-%s", f, i, strings.Repeat("x", 120<<10))
				docs[i] = yamlComponent(fmt.Sprintf("c%d-%d", f, i), text)
				want = append(want, fmt.Sprintf("component:default/c%d-%d %s", f, i, text))
			}
			w.file(fmt.Sprintf("%d.yaml", f), documents(docs...))
		}
		w.engine.Pipeline.Processors = append(w.engine.Pipeline.Processors, Processor{Name: "look", Post: func(_ context.Context, e entity.Entity, _ entity.Location, _ func(Emission)) (entity.Entity, error) {
			if e.Kind() == "Location" {
				during = aside()
			}
			return e, nil
		}})
		w.provide("test", location("loc", "0.yaml", "1.yaml", "2.yaml"))
		w.settle()
		if during != 1 {
			t.Errorf("%d files hold documents while a Location with 9 MB of them is processed, want 1", during)
		}
		slices.Sort(want)
		if got := w.served(); !slices.Equal(got, append(want, "location:default/loc")) {
			t.Errorf("%d entities are served, not as they were given", len(got))
		}
		if left := aside(); left != 0 {
			t.Errorf("%d files stay behind", left)
		}
	})
}

func TestChildrenThatNobodyReadAgainAreNotPutAside(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.versions = true
		docs := make([]string, 75)
		for i := range docs {
			docs[i] = yamlComponent(fmt.Sprintf("c%d", i), strings.Repeat("x", 120<<10))
		}
		w.file("big.yaml", documents(append(docs, "kind: [broken")...)) // which is read every time
		w.file("users.yaml", "apiVersion: backstage.io/v1alpha1\nkind: User\nmetadata: {name: jane}\nspec: {memberOf: []}\n")
		all := w.rules
		w.rules = Rules{{Allow: []AllowedKind{{Kind: "Component"}, {Kind: "Location"}}}}
		w.provide("test", location("loc", "big.yaml", "users.yaml"))
		w.settle()
		w.mu.Lock()
		w.rules = all
		w.mu.Unlock()
		w.advance(time.Hour)
		w.settle()
		if _, ok := w.entities()["user:default/jane"]; !ok {
			t.Errorf("a user whom the rules allow now is not served; the log:\n%.2000s", w.log)
		}
	})
}

func TestPlacesStayWhileNobodyReads(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.versions = true
		w.file("a.yaml", documents(yamlComponent("a", ""), "apiVersion: backstage.io/v1alpha1\nkind: Componnent\nmetadata: {name: b}\nspec: {}\n"))
		w.provide("test", location("loc", "a.yaml"))
		message := func() string {
			t.Helper()
			status, _ := w.entities()["location:default/loc"]["status"].(map[string]any)
			return fmt.Sprint(status["items"])
		}
		w.settle()
		first := message()
		if want := "a.yaml:7:7: "; !strings.Contains(first, want) {
			t.Errorf("the Location says %s, want %s", first, want)
		}
		stitched := w.stitched
		w.advance(time.Hour)
		w.settle()
		if second := message(); second != first {
			t.Errorf("after a round without changes the Location says %s, before %s", second, first)
		}
		if w.stitched != stitched {
			t.Errorf("a round without changes writes %d entities", w.stitched-stitched)
		}
	})
}

// TestAChangeWhileItIsClaimed: a claim takes the mark that a change has left only together
// with what has changed.
func TestAChangeWhileItIsClaimed(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		spy := &spyDB{DB: d}
		a, b := newWorld(t, spy, Options{}), newWorld(t, d, Options{})
		a.provide("test", component("a", "one", "k"))
		a.settle()
		a.advance(10 * time.Minute)
		statements := 0
		spy.before = func(bool) {
			if statements++; statements == 2 {
				b.provide("test", component("a", "two", "k"))
			}
		}
		a.step()
		spy.before = nil
		if statements < 2 {
			t.Fatal("a claim is one statement, which sees what was there before it waited for locks")
		}
		a.settle()
		a.expect("component:default/a two")
	})
}

func TestALocationLeadsToSoManyEntitiesAtMost(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("a.yaml", documents(yamlComponent("a", ""), yamlComponent("b", ""), yamlComponent("c", "")))
		w.provide("test", location("loc", "a.yaml"))
		w.settle()
		w.engine.Pipeline.MaxChildren = 2
		w.file("a.yaml", documents(yamlComponent("d", ""), yamlComponent("a", "new"), yamlComponent("e", ""), yamlComponent("b", "new")))
		w.round()
		w.expect("component:default/a new", "component:default/b", "component:default/c", "component:default/d", "location:default/loc (errors)")
		if !strings.Contains(w.log.String(), "location:default/loc leads to more than 2 entities") {
			t.Errorf("the log does not say why:\n%s", w.log)
		}
	})
}

// TestOnlyWhatCannotBeReadBacksOff: the siblings of a bad document stay as fresh as others.
func TestOnlyWhatCannotBeReadBacksOff(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("bad.yaml", documents(yamlComponent("a", ""), "kind: [broken"))
		w.provide("test", location("document", "bad.yaml"), location("target", "away.yaml"))
		for range 5 {
			w.round()
		}
		rows, err := w.db.Query(t.Context(), db.Same(`SELECT s.ref, q.failures FROM refresh_queue q JOIN refresh_state s ON s.id = q.id ORDER BY s.ref`))
		if err != nil {
			t.Fatal(err)
		}
		failures := map[string]int{}
		if _, err := db.Collect(rows, func(r db.Row, ref *string) error {
			var n int
			err := r.Scan(ref, &n)
			failures[*ref] = n
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if failures["location:default/document"] != 0 || failures["location:default/target"] == 0 {
			t.Errorf("failures that make runs rarer: %v, want those of what cannot be read", failures)
		}
	})
}

// TestWhatGoesWhileItIsStored: the first outcome of an entity is in one batch with that of
// its Location, which does not lead to it any more.
func TestWhatGoesWhileItIsStored(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("a.yaml", documents(yamlComponent("a", ""), yamlComponent("b", "")))
		w.provide("test", location("loc", "a.yaml"))
		w.step()
		w.file("a.yaml", yamlComponent("b", ""))
		if found, err := w.engine.Refresh(t.Context(), "location:default/loc"); err != nil || !found {
			t.Fatal(found, err)
		}
		w.step()
		w.settle()
		w.expect("component:default/b", "location:default/loc")
	})
}
