package store_test

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/events/internal/store"
	"github.com/callboard-dev/callboard/backend/internal/events"
	"github.com/callboard-dev/callboard/backend/internal/events/eventstest"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	eventstest.RunBroker(t, func(t *testing.T) events.Broker { s, _ := open(t); return s })
}

// open returns the bus in a new database, with a listener that runs until the test ends.
func open(t testing.TB) (*store.Store, *pgxpool.Pool) {
	t.Helper()
	m, err := db.New(db.Config{Client: "pg", Connection: db.Connection{ConnectionString: config.NewSecret(pgtest.New(t))}, PluginDivisionMode: "schema"})
	if err != nil {
		t.Fatal(err)
	}
	p := m.Plugin("events")
	if _, err := p.Migrate(t.Context(), migrations()); err != nil {
		t.Fatal(err)
	}
	pool, _ := p.Pgx()
	s := store.New(p.DB(), pool, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	var listening sync.WaitGroup
	listening.Go(func() { s.Listen(ctx) })
	t.Cleanup(func() {
		cancel()
		listening.Wait()
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, pool
}

func migrations() fs.FS { return os.DirFS("../../migrations") }

func TestCleanup(t *testing.T) {
	t.Parallel()
	s, pool := open(t)
	ctx := t.Context()
	for _, id := range []string{"read", "unread", "elsewhere"} {
		topic := "a"
		if id == "elsewhere" {
			topic = "b"
		}
		if err := s.Subscribe(ctx, id, []string{topic}); err != nil {
			t.Fatal(err)
		}
	}
	sql := func(q string, args ...any) (n int) {
		t.Helper()
		if !strings.HasPrefix(q, "SELECT") {
			if _, err := pool.Exec(ctx, q, args...); err != nil {
				t.Fatal(err)
			}
			return 0
		}
		if err := pool.QueryRow(ctx, q, args...).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	insert := `INSERT INTO event_bus_events (topic, data_json, created_at) SELECT 'a', '{"payload":1}', now() - $2::interval FROM generate_series(1, $1)`
	sql(insert, 3, "25 hours")
	sql(insert, 20, "11 minutes")
	sql(insert, 5, "9 minutes")
	if b, err := s.Fetch(ctx, events.Read{ID: "read", Reader: "r", Most: 100}); err != nil || s.Release(ctx, "read", "r", b.Last()) != nil {
		t.Fatal(err)
	}
	if err := s.Cleanup(ctx); err != nil {
		t.Fatal(err)
	}
	if n := sql("SELECT count(*) FROM event_bus_events"); n != 25 {
		t.Errorf("%d events are left, want those younger than 24 hours, 25", n)
	}
	sql(insert, 9990, "0")
	if err := s.Cleanup(ctx); err != nil {
		t.Fatal(err)
	}
	if n := sql("SELECT count(*) FROM event_bus_events"); n != 10000 {
		t.Errorf("%d events are left, want 10000: the oldest beyond that are older than 10 minutes", n)
	}
	sql(insert, 10, "0")
	sql("UPDATE event_bus_events SET created_at = now()")
	if err := s.Cleanup(ctx); err != nil {
		t.Fatal(err)
	}
	if n := sql("SELECT count(*) FROM event_bus_events"); n != 10010 {
		t.Errorf("%d events are left, want all that are younger than 10 minutes, 10010", n)
	}
	for id, want := range map[string]int{"read": 0, "unread": 18, "elsewhere": 0} {
		if b, err := s.Fetch(ctx, events.Read{ID: id, Reader: "r", Most: 1}); err != nil || b.Missed != want {
			t.Errorf("%s has missed %d events (%v), want %d", id, b.Missed, err, want)
		}
	}
	sql("UPDATE event_bus_subscriptions SET updated_at = now() - interval '25 hours' WHERE id = 'elsewhere'")
	if err := s.Cleanup(ctx); err != nil {
		t.Fatal(err)
	}
	if n := sql("SELECT count(*) FROM event_bus_subscriptions"); n != 2 {
		t.Errorf("%d subscriptions are left, want those that are read, 2", n)
	}
}

// A silent reader is one whose lease is over.
func TestEventsOfASilentReaderGoToAnother(t *testing.T) {
	t.Parallel()
	s, pool := open(t)
	ctx := t.Context()
	if err := s.Subscribe(ctx, "s", []string{"a"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Publish(ctx, events.Event{Topic: "a", Payload: []byte("1")}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Fetch(ctx, events.Read{ID: "s", Reader: "killed", Most: 10}); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, "UPDATE event_bus_subscriptions SET reader_until = now() - interval '1 second'"); err != nil {
		t.Fatal(err)
	}
	b, err := s.Fetch(ctx, events.Read{ID: "s", Reader: "next", Most: 10})
	if err != nil || len(b.Events) != 1 {
		t.Errorf("the next reader gets %d events, %v, want 1", len(b.Events), err)
	}
}

// Ids are given in the order of commits, with any number of publishers.
func TestNoEventIsOvertaken(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	ctx := t.Context()
	if err := s.Subscribe(ctx, "s", []string{"a"}); err != nil {
		t.Fatal(err)
	}
	const publishers, each = 6, 50
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() {
			for range each {
				if _, err := s.Publish(ctx, events.Event{Topic: "a", Payload: []byte("1")}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	got, handled := 0, int64(0)
	for got < publishers*each {
		b, err := s.Fetch(ctx, events.Read{ID: "s", Reader: "r", Handled: handled, Most: 7})
		if err != nil {
			t.Fatal(err)
		}
		got += len(b.Events)
		if handled = b.Last(); handled == 0 {
			s.Wait(ctx, "s", b.Turn, events.Lease)
			if ctx.Err() != nil {
				t.Fatalf("%d events came, want %d", got, publishers*each)
			}
		}
	}
	wg.Wait()
}

func BenchmarkPublish(b *testing.B) {
	s, _ := open(b)
	if err := s.Subscribe(b.Context(), "s", []string{"a"}); err != nil {
		b.Fatal(err)
	}
	for _, topic := range []string{"a", "lonely"} {
		b.Run(topic, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Publish(b.Context(), events.Event{Topic: topic, Payload: []byte(`{"a":1}`)}, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
