package stitch_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/catalog/internal/stitch"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// entity adds a row that can be stitched, and returns what would be stored for it.
func entity(t *testing.T, s *store.Store, ref string) store.Final {
	t.Helper()
	f := store.Final{UID: "uid of " + ref, Ref: ref, Entity: []byte("{}"), ETag: "e", Hash: []byte("h"), Rows: []store.SearchRow{{Key: "kind"}}}
	if err := s.Tx(t.Context(), func(tx *store.Tx) error {
		ids, err := tx.InsertStates(t.Context(), start, []*store.Content{{UID: f.UID, Ref: ref, Unprocessed: []byte("{}"), Hash: []byte("h")}})
		f.ID = ids[ref]
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return f
}

func queue(t *testing.T, s *store.Store, at time.Time, refs ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Tx(ctx, func(tx *store.Tx) error { return tx.QueueStitches(ctx, at, refs) }); err != nil {
		t.Fatal(err)
	}
}

func claim(t *testing.T, s *store.Store, now time.Time) []store.Stitch {
	t.Helper()
	claims, err := s.ClaimStitches(t.Context(), now, now.Add(time.Minute), 10)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// save is the transaction of a stitch, with something in the middle of it.
func save(t *testing.T, s *store.Store, now time.Time, claims []store.Stitch, f store.Final, middle func()) (again bool, err error) {
	t.Helper()
	ctx := t.Context()
	keys, err := s.KnowKeys(ctx, []string{"kind"})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Tx(ctx, func(tx *store.Tx) error {
		finals, written := []store.Final{}, map[string]bool{}
		current, err := tx.CurrentStitches(ctx, claims)
		if err != nil {
			return err
		}
		if current[f.Ref] {
			finals, written[f.Ref] = append(finals, f), true
		}
		if _, err := tx.LockPresent(ctx, []int64{f.ID}); err != nil {
			return err
		}
		if err := tx.SaveRows(ctx, finals, keys); err != nil {
			return err
		}
		middle()
		if again, err = tx.FinishStitches(ctx, now, claims, written); err != nil {
			return err
		}
		return tx.SaveFinals(ctx, now, finals)
	})
	return again, err
}

func TestWhatIsBeingStitchedIsNobodyElses(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		s := store.New(d)
		f := entity(t, s, "component:default/a")
		queue(t, s, start, f.Ref)
		mine := claim(t, s, start)
		if len(mine) != 1 {
			t.Fatalf("claimed %v", mine)
		}
		queue(t, s, start, f.Ref)
		if again := claim(t, s, start); len(again) != 0 {
			t.Errorf("claimed twice: %v", again)
		}
		again, err := save(t, s, start, mine, f, func() {})
		if err != nil || !again {
			t.Errorf("again is %v, %v", again, err)
		}
		if n := served(t, d); n != 0 {
			t.Error("parts of two versions are served")
		}
		if mine = claim(t, s, start); len(mine) != 1 {
			t.Fatalf("what has changed meanwhile is not due: %v", mine)
		}
		if again, err := save(t, s, start, mine, f, func() {}); err != nil || again || served(t, d) != 1 {
			t.Errorf("again is %v, %v", again, err)
		}
		if n, err := s.CountStitches(t.Context()); n != 0 || err != nil {
			t.Errorf("%d are left, %v", n, err)
		}
	})
}

func TestAClaimThatIsLostWritesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		s := store.New(d)
		f := entity(t, s, "component:default/a")
		queue(t, s, start, f.Ref)
		slow := claim(t, s, start)
		later := start.Add(time.Hour)
		quick := claim(t, s, later)
		if len(slow) != 1 || len(quick) != 1 {
			t.Fatalf("claimed %v and %v", slow, quick)
		}
		if err := s.GiveBackStitches(t.Context(), later, slow); err != nil || len(claim(t, s, later)) != 0 {
			t.Errorf("who has lost a claim gives it back: %v", err)
		}
		if _, err := save(t, s, later, slow, f, func() {}); err != nil || served(t, d) != 0 {
			t.Errorf("%v, %d served", err, served(t, d))
		}
		if n, err := s.CountStitches(t.Context()); n != 1 || err != nil {
			t.Errorf("%d are left, %v", n, err)
		}
		if err := s.GiveBackStitches(t.Context(), later, quick); err != nil || len(claim(t, s, later)) != 1 {
			t.Errorf("what is given back is not due: %v", err)
		}
	})
}

// TestWhoChangesAnEntityDoesNotWaitForItsStitch queues in the middle of the transaction
// of a stitch, and claims in it what it has lost.
func TestWhoChangesAnEntityDoesNotWaitForItsStitch(t *testing.T) {
	t.Parallel()
	d := dbtest.Postgres(t, store.Migrations())
	s := store.New(d)
	f := entity(t, s, "component:default/a")
	queue(t, s, start, f.Ref)
	mine := claim(t, s, start)
	again, err := save(t, s, start, mine, f, func() { queue(t, s, start, f.Ref) })
	if err != nil || !again || served(t, d) != 1 {
		t.Errorf("again is %v, %v, %d served", again, err, served(t, d))
	}
	mine = claim(t, s, start)
	if len(mine) != 1 {
		t.Fatalf("claimed %v", mine)
	}
	f.Rows = append(f.Rows, store.SearchRow{Key: "kind", Value: &f.Ref})
	_, err = save(t, s, start, mine, f, func() { claim(t, s, start.Add(time.Hour)) })
	var rows int
	if scan := d.QueryRow(t.Context(), db.Same(`SELECT count(*) FROM search`)).Scan(&rows); scan != nil || rows != 1 || !errors.Is(err, store.ErrClaimLost) {
		t.Errorf("%d rows, %v, %v", rows, scan, err)
	}
}

// process stores an outcome for f, and queues it.
func process(t *testing.T, s *store.Store, f store.Final) {
	t.Helper()
	if err := s.Tx(t.Context(), func(tx *store.Tx) error {
		doc := []byte(`{"apiVersion":"v1","kind":"Component","metadata":{"name":"a"}}`)
		if err := tx.SaveResults(t.Context(), []store.Result{{ID: f.ID, Processed: doc, Hash: []byte("h")}}); err != nil {
			return err
		}
		return tx.QueueStitches(t.Context(), start, []string{f.Ref})
	}); err != nil {
		t.Fatal(err)
	}
}

// TestAClaimThatIsLostIsNoError takes a claim away from a stitcher that writes index rows,
// and waits there for somebody who is about to write the same.
func TestAClaimThatIsLostIsNoError(t *testing.T) {
	t.Parallel()
	d := dbtest.Postgres(t, store.Migrations())
	s := store.New(d)
	f := entity(t, s, "component:default/a")
	process(t, s, f)
	keys, err := s.KnowKeys(t.Context(), []string{"kind"})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	stitcher := stitch.New(stitch.Options{Store: s, Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return start }})
	drained := make(chan error, 1)
	stop := errors.New("nothing is written")
	err = d.Tx(t.Context(), func(c db.Conn) error {
		if _, err := c.Exec(t.Context(), db.Same(`INSERT INTO search (entity_id, key_id, value) VALUES ($1, $2, 'component')`), f.ID, keys["kind"]); err != nil {
			return err
		}
		go func() { drained <- stitcher.Drain(t.Context()) }()
		for waiting := 0; waiting == 0; {
			if err := d.QueryRow(t.Context(), db.Same(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)).Scan(&waiting); err != nil {
				return err
			}
		}
		if other := claim(t, s, start.Add(time.Hour)); len(other) != 1 {
			t.Errorf("claimed %v", other)
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if err := <-drained; err != nil || log.Len() > 0 || served(t, d) != 0 {
		t.Errorf("%v, %d served, %s", err, served(t, d), &log)
	}
}

// TestWhatCannotBeStitchedIsTriedWhenItChanges has a database that does not take what an
// entity is made of.
func TestWhatCannotBeStitchedIsTriedWhenItChanges(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		s := store.New(d)
		f := entity(t, s, "component:default/a")
		rename := func(from, to string) {
			t.Helper()
			if _, err := d.Exec(t.Context(), db.Same("ALTER TABLE "+from+" RENAME TO "+to)); err != nil {
				t.Fatal(err)
			}
		}
		stitcher := stitch.New(stitch.Options{Store: s, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return start }})
		process(t, s, f)
		rename("search", "away")
		if err := stitcher.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		rename("away", "search")
		if err := stitcher.Drain(t.Context()); err != nil || served(t, d) != 0 {
			t.Errorf("%d are served, %v: what has failed is tried again at once, and would be for ever", served(t, d), err)
		}
		process(t, s, f)
		if err := stitcher.Drain(t.Context()); err != nil || served(t, d) != 1 {
			t.Errorf("%d are served, %v: what has changed waits", served(t, d), err)
		}
	})
}

func served(t *testing.T, d db.DB) (n int) {
	t.Helper()
	if err := d.QueryRow(t.Context(), db.Same(`SELECT count(*) FROM final_entities`)).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
