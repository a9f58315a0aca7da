package db_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// behindRelay returns databases on a server that can be taken away.
func behindRelay(t *testing.T, statementTimeout int, opts ...db.Option) (*dbtest.Relay, *db.Manager) {
	t.Helper()
	relay := dbtest.NewRelay(t, pgtest.New(t))
	m, err := db.New(db.Config{Client: "pg", PluginDivisionMode: "schema",
		Connection: db.Connection{ConnectionString: config.NewSecret(relay.URL), StatementTimeout: statementTimeout}}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return relay, m
}

// eventually waits for what needs no more than moments.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("not within 20 s: %s", what)
}

var one = db.Same("SELECT 1")

// everyWay runs a statement in each way there is.
func everyWay(ctx context.Context, d db.DB) map[string]error {
	out := map[string]error{}
	_, out["Exec"] = d.Exec(ctx, one)
	rows, err := d.Query(ctx, one)
	if err == nil {
		for rows.Next() {
		}
		err = rows.Err()
		rows.Close()
	}
	out["Query"] = err
	var n int
	out["QueryRow"] = d.QueryRow(ctx, one).Scan(&n)
	out["Tx"] = d.Tx(ctx, func(c db.Conn) error { return c.QueryRow(ctx, one).Scan(&n) })
	return out
}

func TestAServerThatIsAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	relay, m := behindRelay(t, 0)
	d := m.Plugin("x").DB()
	for way, err := range everyWay(t.Context(), d) {
		if err != nil {
			t.Fatal(way, err)
		}
	}
	relay.Cut()
	for way, err := range everyWay(t.Context(), d) {
		if !db.IsUnavailable(err) {
			t.Errorf("%s: %v is not of a server that is away", way, err)
		}
	}
	// New connections fail with the story of who was to be reached, and without secrets.
	var connect *db.ConnectError
	if _, err := d.Exec(t.Context(), one); !errors.As(err, &connect) || connect.Key != "backend.database.connection" {
		t.Errorf("got %v", err)
	}
	relay.Restore()
	eventually(t, "statements work again", func() bool { _, err := d.Exec(t.Context(), one); return err == nil })
	for way, err := range everyWay(t.Context(), d) {
		if err != nil {
			t.Error(way, err)
		}
	}
}

func TestATransactionThatLosesItsServerIsUnavailable(t *testing.T) {
	t.Parallel()
	relay, m := behindRelay(t, 0)
	d := m.Plugin("x").DB()
	err := d.Tx(t.Context(), func(c db.Conn) error {
		if _, err := c.Exec(t.Context(), one); err != nil {
			return err
		}
		relay.Cut()
		_, err := c.Exec(t.Context(), one)
		return err
	})
	if !db.IsUnavailable(err) {
		t.Errorf("got %v", err)
	}
}

func TestRefusedStatementsAreNotOutages(t *testing.T) {
	t.Parallel()
	_, m := behindRelay(t, 0)
	d := m.Plugin("x").DB()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range map[string]error{
		"no table":      d.QueryRow(t.Context(), db.Same("SELECT * FROM nothing")).Scan(),
		"a wrong value": d.QueryRow(t.Context(), db.Same("SELECT 1/0")).Scan(new(int)),
		"no row":        d.QueryRow(t.Context(), db.Same("SELECT 1 WHERE false")).Scan(new(int)),
		"a cancelled request": func() error {
			_, err := d.Exec(ended, one)
			return err
		}(),
	} {
		if err == nil || db.IsUnavailable(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if since, server := m.Outage(); !since.IsZero() {
		t.Errorf("%s counts as away", server)
	}
}

func TestReconnectsAreHeldBack(t *testing.T) {
	t.Parallel()
	relay, m := behindRelay(t, 0)
	plugins := []string{"a", "b", "c", "d"}
	for _, id := range plugins {
		if err := m.Plugin(id).Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	relay.Cut()
	for _, id := range plugins { // until the connections that have broken are used up
		eventually(t, "connecting fails", func() bool {
			err := m.Plugin(id).Ping(t.Context())
			return err != nil && strings.Contains(err.Error(), "cannot connect")
		})
	}
	before, began := relay.Attempts(), time.Now()
	var wg sync.WaitGroup
	for _, id := range plugins {
		for range 5 {
			wg.Go(func() {
				for time.Since(began) < 3*time.Second {
					if err := m.Plugin(id).Ping(t.Context()); !db.IsUnavailable(err) || !strings.Contains(err.Error(), "cannot connect to PostgreSQL at ") {
						t.Errorf("%s: %v", id, err)
						return
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
	}
	wg.Wait()
	attempts, most := relay.Attempts()-before, 1+2*time.Since(began).Seconds()
	t.Logf("%d attempts to connect in %s, at most %.0f allowed", attempts, time.Since(began).Round(time.Millisecond), most)
	if float64(attempts) > most || attempts == 0 {
		t.Errorf("%d attempts to connect in %s", attempts, time.Since(began))
	}
}

func TestAServerThatDoesNotAnswerIsGivenUp(t *testing.T) {
	t.Parallel()
	relay, m := behindRelay(t, 300)
	d := m.Plugin("x").DB()
	if _, err := d.Exec(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	relay.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for way, err := range everyWay(ctx, d) {
		if !db.IsUnavailable(err) || ctx.Err() != nil {
			t.Errorf("%s: %v", way, err)
		}
	}
	relay.Thaw()
	eventually(t, "statements work again", func() bool { _, err := d.Exec(ctx, one); return err == nil })
	if _, err := d.Exec(ctx, db.Same("SELECT pg_sleep(5)")); !db.IsUnavailable(err) || !strings.Contains(err.Error(), "57014") {
		t.Errorf("a statement that takes too long: %v", err)
	}
}

func TestOutagesAreSeen(t *testing.T) {
	t.Parallel()
	relay, m := behindRelay(t, 0, db.WithWatchEvery(20*time.Millisecond))
	if err := m.Plugin("x").Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	seen, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		m.Watch(ctx, func() {
			select {
			case seen <- struct{}{}:
			default:
			}
		})
	}()
	away := func() bool { <-seen; since, _ := m.Outage(); return !since.IsZero() }
	if away() {
		t.Error("a server that answers is away")
	}
	relay.Cut() // nobody sends a statement
	eventually(t, "the outage is seen", away)
	relay.Restore()
	eventually(t, "its end is seen", func() bool { return !away() })
	relay.Freeze()
	eventually(t, "that it does not answer is seen", away)
	relay.Thaw()
	eventually(t, "that it answers is seen", func() bool { return !away() })
	cancel()
	<-ended
}

func TestABusyPoolIsNoOutage(t *testing.T) {
	t.Parallel()
	relay := dbtest.NewRelay(t, pgtest.New(t))
	single := 1
	m, err := db.New(db.Config{Client: "pg", PluginDivisionMode: "schema", Connection: db.Connection{ConnectionString: config.NewSecret(relay.URL)},
		KnexConfig: db.Knex{Pool: db.Pool{Max: &single}}}, db.WithWatchEvery(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	err = m.Plugin("x").DB().Tx(t.Context(), func(db.Conn) error { // the only connection
		ctx, cancel := context.WithCancel(t.Context())
		m.Watch(ctx, cancel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if since, _ := m.Outage(); !since.IsZero() {
		t.Error("a busy pool counts as outage")
	}
}
