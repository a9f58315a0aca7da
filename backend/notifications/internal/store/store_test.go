package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/backend/notifications/internal/store"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const alice, bob = "user:default/alice", "user:default/bob"

func nothing([]store.Notification) ([]store.Delivery, error) { return nil, nil }

func save(t *testing.T, s *store.Store, at time.Time, list ...store.Notification) []store.Notification {
	t.Helper()
	saved, err := s.Save(t.Context(), list, at, nothing)
	if err != nil {
		t.Fatal(err)
	}
	return saved
}

// ids of the page, in order.
func ids(t *testing.T, s *store.Store, f store.Filter, p store.Page) (out []string) {
	t.Helper()
	if p.Limit == 0 {
		p.Limit = 100
	}
	list, total, err := s.List(t.Context(), f, p)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range list {
		out = append(out, n.ID)
	}
	if p.Limit == 100 && total != len(list) {
		t.Errorf("total is %d of %v", total, out)
	}
	return out
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// TestSearchFindsWhatIsNotASCII: databases differ in whether É is é, and must find É all the same.
func TestSearchFindsWhatIsNotASCII(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		t.Parallel()
		s := store.New(d)
		save(t, s, noon, store.Notification{ID: "a", User: alice, Origin: "ci", Title: "ÉTAT des lieux"})
		same(t, "search", ids(t, s, store.Filter{User: alice, Search: "État"}, store.Page{}), "a")
	})
}

func TestStore(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		t.Parallel()
		s, ctx := store.New(d), t.Context()
		at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
		save(t, s, at(0), store.Notification{ID: "a", User: alice, Origin: "ci", Title: "Build 100% done", Severity: 1, Topic: "builds", Scope: "b1", Icon: "ok", Link: "/b1", Description: "first"},
			store.Notification{ID: "a-bob", User: bob, Origin: "ci", Title: "Build", Severity: 1, Scope: "b1"})
		save(t, s, at(1), store.Notification{ID: "b", User: alice, Origin: "ci", Title: "Other", Severity: 3})
		save(t, s, at(2), store.Notification{ID: "all", Origin: "ops", Title: "Down", Severity: 0, Topic: "outage", Scope: "o1"})
		save(t, s, at(3), store.Notification{ID: "c", User: alice, Origin: "cd", Title: "under_score", Severity: 2, Topic: "builds", Scope: "b1"})

		same(t, "the list", ids(t, s, store.Filter{User: alice}, store.Page{}), "c", "all", "b", "a")
		same(t, "of bob", ids(t, s, store.Filter{User: bob}, store.Page{}), "all", "a-bob")
		same(t, "a page", ids(t, s, store.Filter{User: alice}, store.Page{Offset: 1, Limit: 2}), "all", "b")
		same(t, "behind the end", ids(t, s, store.Filter{User: alice}, store.Page{Offset: 9, Limit: 2}))
		for _, order := range store.Orders() {
			for _, up := range []bool{true, false} {
				if got := ids(t, s, store.Filter{User: alice}, store.Page{OrderBy: order, Ascending: up}); len(got) != 4 {
					t.Errorf("by %s: %v", order, got)
				}
			}
		}
		same(t, "by severity", ids(t, s, store.Filter{User: alice}, store.Page{OrderBy: "severity", Ascending: true}), "all", "a", "c", "b")
		same(t, "by title", ids(t, s, store.Filter{User: alice}, store.Page{OrderBy: "title", Ascending: true})[:3], "a", "all", "b")
		two, yes, no := 1, true, false
		same(t, "at least high", ids(t, s, store.Filter{User: alice, MostSevere: &two}, store.Page{}), "all", "a")
		same(t, "a topic", ids(t, s, store.Filter{User: alice, Topic: "builds"}, store.Page{}), "c", "a")
		same(t, "later", ids(t, s, store.Filter{User: alice, CreatedAfter: at(1)}, store.Page{}), "c", "all")
		same(t, "search", ids(t, s, store.Filter{User: alice, Search: "FIRST"}, store.Page{}), "a")
		same(t, "a percent sign is one", ids(t, s, store.Filter{User: alice, Search: "0%"}, store.Page{}), "a")
		same(t, "an underscore is one", ids(t, s, store.Filter{User: alice, Search: "r_s"}, store.Page{}), "c")
		topics, err := s.Topics(ctx, store.Filter{User: alice})
		if err != nil {
			t.Error(err)
		}
		same(t, "topics", topics, "builds", "outage")
		if topics, err = s.Topics(ctx, store.Filter{User: alice, MostSevere: &two, Search: "Down"}); err != nil {
			t.Error(err)
		}
		same(t, "topics that are selected", topics, "outage")
		origins, err := s.Origins(ctx, alice)
		if want := []store.Origin{{"cd", "builds"}, {"ci", ""}, {"ci", "builds"}, {"ops", "outage"}}; err != nil || !slices.Equal(origins, want) {
			t.Errorf("origins %v, %v", origins, err)
		}

		mark := func(user string, read, saved *bool, at time.Time, list ...string) {
			t.Helper()
			if err := s.Mark(ctx, user, list, read, saved, at); err != nil {
				t.Fatal(err)
			}
		}
		status := func(user string, unread, read int) {
			t.Helper()
			if u, r, err := s.Status(ctx, user); err != nil || u != unread || r != read {
				t.Errorf("status of %s is %d, %d, %v, want %d, %d", user, u, r, err, unread, read)
			}
		}
		status(alice, 4, 0)
		mark(alice, &yes, &yes, at(5), "a", "all", "a-bob", "nobody's")
		mark(alice, &yes, nil, at(6), "a", "all")
		status(alice, 2, 2)
		status(bob, 2, 0)
		for _, id := range []string{"a", "all"} {
			n, err := s.Get(ctx, alice, id)
			if err != nil || !n.Read.Equal(at(5)) || !n.Saved.Equal(at(5)) {
				t.Errorf("read and saved together: %+v, %v", n, err)
			}
		}
		mark(alice, &no, nil, at(7), "all")
		mark(alice, nil, &no, at(7), "a")
		same(t, "unread", ids(t, s, store.Filter{User: alice, Read: &no}, store.Page{}), "c", "all", "b")
		same(t, "read", ids(t, s, store.Filter{User: alice, Read: &yes}, store.Page{}), "a")
		same(t, "saved", ids(t, s, store.Filter{User: alice, Saved: &yes}, store.Page{}), "all")
		same(t, "not saved", ids(t, s, store.Filter{User: alice, Saved: &no, Read: &no}, store.Page{}), "c", "b")

		// The same scope of the same origin: what it was before, updated, and unread.
		again := save(t, s, at(8), store.Notification{ID: "x", User: alice, Origin: "ci", Title: "Build 2", Severity: 2, Scope: "b1", Icon: "new"},
			store.Notification{ID: "y", User: "user:default/carol", Origin: "ci", Title: "Build 2", Severity: 2, Scope: "b1"})
		slices.SortFunc(again, func(a, b store.Notification) int { return len(b.Link) - len(a.Link) })
		want := store.Notification{ID: "a", User: alice, Origin: "ci", Title: "Build 2", Severity: 2, Scope: "b1", Icon: "ok", Link: "/b1", Description: "first", Topic: "builds", Created: at(0), Updated: at(8)}
		if len(again) != 2 || again[0] != want || again[1].ID != "y" {
			t.Errorf("got %+v", again)
		}
		mark(alice, &yes, &yes, at(9), "all")
		if b := save(t, s, at(10), store.Notification{ID: "z", Origin: "ops", Title: "Up", Severity: 3, Scope: "o1"}); len(b) != 1 || b[0].ID != "all" || b[0].Title != "Up" || b[0].Topic != "outage" || !b[0].Updated.Equal(at(10)) {
			t.Errorf("got %+v", b)
		}
		if n, err := s.Get(ctx, alice, "all"); err != nil || !n.Read.IsZero() || !n.Saved.Equal(at(5)) {
			t.Errorf("a broadcast that came again: %+v, %v", n, err)
		}
		if _, err := s.Get(ctx, bob, "a"); !errors.Is(err, db.ErrNoRows) {
			t.Errorf("somebody else's: %v", err)
		}

		// What is old and was not updated goes.
		if n, err := s.Expire(ctx, at(4)); err != nil || n != 3 {
			t.Errorf("%d expired, %v", n, err)
		}
		same(t, "what is left", ids(t, s, store.Filter{User: alice}, store.Page{}), "all", "a")
		if n, err := s.Expire(ctx, at(60)); err != nil || n != 3 {
			t.Errorf("%d expired, %v", n, err)
		}
	})
}

func TestSettings(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		t.Parallel()
		s, ctx := store.New(d), t.Context()
		first := []store.Setting{{alice, "Email", "", "", false}, {alice, "Web", "ci", "", true}, {alice, "Web", "ci", "builds", false}}
		if err := s.SetSettings(ctx, alice, []string{"Web", "Email"}, first); err != nil {
			t.Fatal(err)
		}
		if err := s.SetSettings(ctx, alice, []string{"Web"}, first[1:2]); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Settings(ctx, []string{bob, alice}); err != nil || !slices.Equal(got, first[:2]) {
			t.Errorf("%v, %v", got, err)
		}
	})
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		t.Parallel()
		s, ctx := store.New(d), t.Context()
		plan := func(saved []store.Notification) (out []store.Delivery, _ error) {
			for i := range 3 {
				out = append(out, store.Delivery{ID: fmt.Sprint(saved[0].ID, i), Processor: "Email", Job: []byte(`{"a":"\u0000"}`)})
			}
			return out, nil
		}
		failing := errors.New("no plan")
		if _, err := s.Save(ctx, []store.Notification{{ID: "n", User: bob, Origin: "o", Title: "t"}}, noon, func([]store.Notification) ([]store.Delivery, error) { return nil, failing }); !errors.Is(err, failing) {
			t.Error(err)
		}
		same(t, "nothing is stored without its deliveries", ids(t, s, store.Filter{User: bob}, store.Page{}))
		if _, err := s.Save(ctx, []store.Notification{{ID: "n", User: bob, Origin: "o", Title: "t"}}, noon, plan); err != nil {
			t.Fatal(err)
		}
		later := noon.Add(time.Minute)
		got, err := s.ClaimDeliveries(ctx, noon, later, 2)
		if err != nil || len(got) != 2 || got[0].Attempts != 1 || string(got[0].Job) != `{"a":"\u0000"}` {
			t.Fatalf("%v, %v", got, err)
		}
		if rest, err := s.ClaimDeliveries(ctx, noon, later, 2); err != nil || len(rest) != 1 {
			t.Errorf("%v, %v", rest, err)
		}
		if none, err := s.ClaimDeliveries(ctx, noon, later, 2); err != nil || len(none) != 0 {
			t.Errorf("%v, %v", none, err)
		}
		if err := errors.Join(s.Delivered(ctx, "n0"), s.Postpone(ctx, "n1", noon)); err != nil {
			t.Fatal(err)
		}
		if again, err := s.ClaimDeliveries(ctx, noon, later, 9); err != nil || len(again) != 1 || again[0].ID != "n1" || again[0].Attempts != 2 {
			t.Errorf("%v, %v", again, err)
		}
		if dead, err := s.ClaimDeliveries(ctx, later, later.Add(time.Minute), 9); err != nil || len(dead) != 2 {
			t.Errorf("%v, %v", dead, err)
		}
		if n, err := s.Undelivered(ctx); err != nil || n != 2 {
			t.Errorf("%d, %v", n, err)
		}
	})
}
