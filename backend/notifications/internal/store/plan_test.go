package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
)

// many stores 100,000 notifications, 20 for each of 5,000 users, and some broadcasts. With
// the race detector it is a tenth of that.
func many(t testing.TB, d db.DB) *Store {
	t.Helper()
	users := 5000
	if underRace {
		users = 500
	}
	s, at := New(d), time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	none := func([]Notification) ([]Delivery, error) { return nil, nil }
	for i := range 20 {
		list := make([]Notification, 0, users+1)
		for u := range users {
			list = append(list, Notification{ID: fmt.Sprintf("n-%d-%d", i, u), User: fmt.Sprintf("user:default/u%d", u), Origin: "plugin:ci", Title: fmt.Sprintf("build %d", i), Topic: fmt.Sprintf("topic %d", i%3), Severity: i % 4})
		}
		list = append(list, Notification{ID: fmt.Sprintf("b-%d", i), Origin: "plugin:ops", Title: "for all", Severity: 1})
		if saved, err := s.Save(t.Context(), list, at.Add(time.Duration(i)*time.Minute), none); err != nil || len(saved) != users+1 {
			t.Fatalf("%d saved, %v", len(saved), err)
		}
	}
	for _, analyze := range []string{"ANALYZE notification", "ANALYZE broadcast"} {
		if _, err := d.Exec(t.Context(), db.Same(analyze)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// statements counts what is sent to a database.
type statements struct {
	mu   sync.Mutex
	list []string
}

func (s *statements) observe(_ context.Context, _, statement string) func(error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, statement)
	return func(error) {}
}

func (s *statements) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.list
	s.list = nil
	return list
}

// TestListsReadTheIndexOfTheirUser: of 100,000 notifications a list reads those of its user,
// by the index, in one statement.
func TestListsReadTheIndexOfTheirUser(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB, ...db.Option) db.DB{
		"SQLite":     func(t testing.TB, o ...db.Option) db.DB { return dbtest.SQLite(t, Migrations(), o...) },
		"PostgreSQL": func(t testing.TB, o ...db.Option) db.DB { return dbtest.Postgres(t, Migrations(), o...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent statements
			d := open(t, db.WithObserver(sent.observe))
			s, no, two := many(t, d), false, 2
			sent.take()
			for what, f := range map[string]Filter{
				"all": {}, "unread": {Read: &no}, "at least so severe": {MostSevere: &two}, "a topic": {Topic: "topic 1"}, "search": {Search: "BUILD"},
				"recent": {CreatedAfter: time.Date(2026, 11, 24, 12, 5, 0, 0, time.UTC)}, "by id": {IDs: []string{"n-3-77"}},
			} {
				f.User = "user:default/u77"
				page := Page{Offset: 2, Limit: 20}
				list, total, err := s.List(t.Context(), f, page)
				if err != nil || total == 0 || total > 40 || len(list) > 20 {
					t.Errorf("%s: %d of %d, %v", what, len(list), total, err)
				}
				if n := len(sent.take()); n != 1 && total > page.Offset || n > 2 {
					t.Errorf("%s: %d statements, want 1, or 2 for a page behind the end", what, n)
				}
				c := f.condition(db.DialectOf(d))
				plan := explain(t, d, pageOf(c, page), c.args)
				// Twice on SQLite: for the page, and for how many there are.
				if strings.Contains(plan, "Seq Scan on notification") || what != "by id" && strings.Count(plan, "notification_list") != 2 {
					t.Errorf("%s does not read the index:\n%s", what, plan)
				}
				sent.take()
			}
			if _, _, err := s.Status(t.Context(), "user:default/u77"); err != nil {
				t.Error(err)
			}
			if n := len(sent.take()); n != 1 {
				t.Errorf("the status takes %d statements", n)
			}
		})
	}
}

// explain is the plan, one step a line.
func explain(t *testing.T, d db.DB, q db.SQL, args []any) string {
	t.Helper()
	var out []string
	rows, err := d.Query(t.Context(), db.SQL{Postgres: "EXPLAIN " + q.Postgres, SQLite: "EXPLAIN QUERY PLAN " + q.SQLite}, args...)
	if err != nil {
		t.Fatal(err)
	}
	out, err = db.Collect(rows, func(r db.Row, line *string) error {
		if db.DialectOf(d) == db.Postgres {
			return r.Scan(line)
		}
		var id, parent, unused int
		return r.Scan(&id, &parent, &unused, line)
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, "\n") + "\n"
}

// BenchmarkList is a page of one of 5,000 users out of 100,000 notifications, and 20
// broadcasts; p99 is of all iterations.
func BenchmarkList(b *testing.B) {
	for name, open := range map[string]func() db.DB{
		"SQLite":     func() db.DB { return dbtest.SQLite(b, Migrations()) },
		"PostgreSQL": func() db.DB { return dbtest.Postgres(b, Migrations()) },
	} {
		b.Run(name, func(b *testing.B) {
			s := many(b, open())
			var took []time.Duration
			for b.Loop() {
				user, start := fmt.Sprintf("user:default/u%d", len(took)%5000), time.Now()
				if list, total, err := s.List(b.Context(), Filter{User: user}, Page{Limit: 20}); err != nil || total != 40 || len(list) != 20 {
					b.Fatal(len(list), total, err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}
