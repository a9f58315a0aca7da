package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// A book is a source with pages of one Component each.
type book struct {
	names []string
	text  string
	err   error
	asked []string // cursors
}

func (b *book) next(_ context.Context, cursor json.RawMessage) (Page, error) {
	b.asked = append(b.asked, string(cursor))
	if b.err != nil {
		return Page{}, b.err
	}
	at := 0
	if cursor != nil {
		if err := json.Unmarshal(cursor, &at); err != nil {
			return Page{}, err
		}
	}
	if at >= len(b.names) {
		return Page{Done: true}, nil
	}
	return Page{
		Entities: []Deferred{component(b.names[at], b.text, "book")},
		Cursor:   json.RawMessage(fmt.Sprint(at + 1)), Done: at+1 == len(b.names),
	}, nil
}

// open returns a source that is listed in bursts of one page.
func (b *book) open(e *Engine, o IncrementalOptions) *Incremental {
	o.BurstInterval, o.RestLength, o.Next = time.Second, time.Hour, b.next
	if o.Backoff == nil {
		o.Backoff = []time.Duration{time.Minute, 5 * time.Minute}
	}
	return e.Provider("book").Incremental(o)
}

func (w *world) burst(i *Incremental, times int) {
	w.t.Helper()
	for range times {
		if err := i.Burst(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		w.advance(time.Second)
	}
	w.settle()
}

func (w *world) state(i *Incremental, state, lastError string) {
	w.t.Helper()
	at, err := i.Status(w.t.Context())
	if err != nil || at.State != state || lastError == "" && at.LastError != "" || !strings.Contains(at.LastError, lastError) {
		w.t.Errorf("state %q, error %q, %v; want %q, %q", at.State, at.LastError, err, state, lastError)
	}
}

func TestSourceIsListedInBursts(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := &book{names: []string{"a", "b", "c"}, text: "1"}
		i := b.open(w.engine, IncrementalOptions{})
		w.burst(i, 2)
		w.expect("component:default/a 1", "component:default/b 1")
		w.state(i, StateIngest, "")

		// Another process goes on where this one was.
		o := w.engine.Options
		o.Store = store.New(w.db)
		w.engine = NewEngine(o)
		i = b.open(w.engine, IncrementalOptions{})
		w.burst(i, 1)
		w.expect("component:default/a 1", "component:default/b 1", "component:default/c 1")
		w.state(i, StateRest, "")
		if got := strings.Join(b.asked, " "); got != " 1 2" {
			t.Errorf("asked for %q", got)
		}
		w.burst(i, 5) // it rests
		if len(b.asked) != 3 {
			t.Errorf("a source at rest is asked: %q", b.asked)
		}

		// What the next round has not, goes at its end, and not before.
		b.names, b.text = []string{"a", "d"}, "2"
		w.advance(time.Hour)
		w.burst(i, 1)
		w.expect("component:default/a 2", "component:default/b 1", "component:default/c 1")
		w.burst(i, 1)
		w.expect("component:default/a 2", "component:default/d 2")
		if marks, err := i.Marks(t.Context()); err != nil || len(marks) != 2 || marks[1].Round != 2 || string(marks[0].Cursor) != "1" {
			t.Errorf("marks: %+v, %v", marks, err)
		}
	})
}

func TestBurstTakesPagesUntilItsTimeIsOver(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := &book{names: []string{"a", "b", "c", "d"}, text: "1"}
		around := 0
		i := b.open(w.engine, IncrementalOptions{BurstLength: 3 * time.Second, Around: func(ctx context.Context, burst func(context.Context) error) error {
			around++
			return burst(ctx)
		}})
		next := i.Next
		i.Next = func(ctx context.Context, cursor json.RawMessage) (Page, error) {
			w.advance(time.Second) // that long a page takes
			return next(ctx, cursor)
		}
		w.burst(i, 1)
		if len(b.asked) != 3 || around != 1 {
			t.Errorf("%d pages in %d bursts, want 3 in one", len(b.asked), around)
		}
	})
}

func TestFailingSourceIsAskedLessOften(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := &book{names: []string{"a", "b"}, text: "1"}
		i := b.open(w.engine, IncrementalOptions{})
		w.burst(i, 1)
		b.err = errors.New("503")
		w.burst(i, 3)
		w.state(i, StateBackoff, "page 2: 503")
		if len(b.asked) != 2 {
			t.Errorf("asked %d times, want twice", len(b.asked))
		}
		w.advance(time.Minute)
		w.burst(i, 1)
		w.advance(4 * time.Minute)
		w.burst(i, 1)
		if len(b.asked) != 3 {
			t.Errorf("asked %d times, want 3", len(b.asked))
		}
		b.err = nil
		w.advance(time.Minute)
		w.burst(i, 1)
		w.state(i, StateRest, "")
		w.expect("component:default/a 1", "component:default/b 1")
		if got := strings.Join(b.asked, " "); got != " 1 1 1" {
			t.Errorf("asked for %q, want the second page until it came", got)
		}
	})
}

func TestRoundsThatLackTooMuchRemoveNothing(t *testing.T) {
	all := []string{"a", "b", "c", "d"}
	for _, tt := range []struct {
		name    string
		options IncrementalOptions
		guard   Guard
		second  []string
		want    string // of the last error
		stay    bool
	}{
		{name: "half of it, and a third is allowed", options: IncrementalOptions{RejectAbove: 33}, second: all[:2], want: "lacks 2 of 4", stay: true},
		{name: "half of it, and that is allowed", options: IncrementalOptions{RejectAbove: 50}, second: all[:2]},
		{name: "nothing", options: IncrementalOptions{RejectEmpty: true}, want: "no entities at all", stay: true},
		{name: "nothing, and that is allowed"},
		{name: "half of it, and the guard of all providers holds", guard: Guard{Share: 0.3, Minimum: 1}, second: all[:2], stay: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.engine.Guard = tt.guard
				b := &book{names: all, text: "1"}
				i := b.open(w.engine, tt.options)
				w.burst(i, 4)
				b.names = tt.second
				w.advance(time.Hour)
				w.burst(i, 3)
				w.state(i, StateRest, tt.want)
				want := len(tt.second)
				if tt.stay {
					want = len(all)
				}
				if got := len(w.served()); got != want {
					t.Errorf("%d entities are served, want %d", got, want)
				}
			})
		})
	}
}

func TestIngestionsAreSteered(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		b := &book{names: []string{"a", "b"}, text: "1"}
		i := b.open(w.engine, IncrementalOptions{})
		do := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		w.burst(i, 2)
		b.names, b.text = []string{"b", "c"}, "2"
		do(i.Trigger(ctx)) // ends the rest
		w.burst(i, 1)
		do(i.Cancel(ctx))
		w.state(i, StateCancel, "")
		w.burst(i, 2)
		w.expect("component:default/a 1", "component:default/b 2")
		do(i.Start(ctx))
		w.burst(i, 1)
		// An event in the middle of a round counts as part of it.
		do(i.Apply(ctx, []Deferred{component("event", "2", "book")}, []string{"component:default/b"}))
		w.settle()
		w.burst(i, 1)
		w.expect("component:default/c 2", "component:default/event 2")

		gone, err := w.engine.PurgeIngestion(ctx, "book")
		if err != nil || gone.Ingestions != 1 || gone.Marks != 2 {
			t.Errorf("purged %+v, %v", gone, err)
		}
		w.burst(i, 2)
		w.state(i, StateRest, "")
		w.expect("component:default/b 2", "component:default/c 2")
		delete(w.engine.incrementals, "book")
		if gone, err := w.engine.CleanIngestions(ctx); err != nil || gone.Ingestions != 1 {
			t.Errorf("cleaned up %+v, %v", gone, err)
		}
	})
}

// TestPageOfAReplicaThatWasOvertakenIsDropped: while one replica waits for its page, the
// round is begun anew.
func TestPageOfAReplicaThatWasOvertakenIsDropped(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		t.Parallel()
		w := newWorld(t, d, Options{})
		b := &book{names: []string{"a", "b"}, text: "late"}
		i := b.open(w.engine, IncrementalOptions{})
		next := i.Next
		i.Next = func(ctx context.Context, cursor json.RawMessage) (Page, error) {
			page, err := next(ctx, cursor)
			return page, errors.Join(err, i.Start(ctx))
		}
		w.burst(i, 1)
		w.expect()
		i.Next = next
		w.burst(i, 2)
		w.expect("component:default/a late", "component:default/b late")
	})
}
