package db_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// bounded is a manager whose connections have a name of their own, so that the server can
// count them.
func bounded(t *testing.T, most int) (m *db.Manager, lift func(), open func() int) {
	t.Helper()
	s := pgtest.Open(t, pgtest.Versions()[0])
	url := s.Database(t)
	m = manager(t, `{client: pg, pluginDivisionMode: schema, connection: {connectionString: '`+url+`'}}`)
	lift = m.BoundConnections(most)
	t.Cleanup(lift)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return m, lift, func() (n int) {
		t.Helper()
		const q = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`
		if err := conn.QueryRow(t.Context(), q).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
}

func TestABootOfManyPluginsHasFewConnections(t *testing.T) {
	t.Parallel()
	const most = 5
	m, lift, open := bounded(t, most)
	stop := make(chan struct{})
	highest := make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				highest <- n
				return
			case <-time.After(2 * time.Millisecond):
				n = max(n, open())
			}
		}
	}()
	var wg sync.WaitGroup
	began := time.Now()
	for i := range 20 {
		d := m.Plugin(fmt.Sprintf("plugin-%d", i)).DB()
		wg.Go(func() {
			for range 5 {
				if _, err := d.Exec(t.Context(), db.Same(`SELECT pg_sleep(0.002)`)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	close(stop)
	// The server notices a moment late that a connection has been closed.
	if n := <-highest; n > 2*most || n == 0 {
		t.Errorf("%d connections at once, want at most %d", n, most)
	}
	t.Logf("20 plugins with 5 statements each took %s", took)
	lift()
	for i := range 20 {
		wg.Go(func() {
			_, _ = m.Plugin(fmt.Sprintf("plugin-%d", i)).DB().Exec(t.Context(), db.Same(`SELECT pg_sleep(0.3)`))
		})
	}
	wg.Wait()
	if n := open(); n <= most {
		t.Errorf("%d connections after the bound was lifted, want more than %d", n, most)
	}
}

// TestWhoHoldsConnectionsKeepsNobodyFromStarting has every place held by transactions that
// end only when another plugin has had its turn.
func TestWhoHoldsConnectionsKeepsNobodyFromStarting(t *testing.T) {
	t.Parallel()
	m, _, _ := bounded(t, 2)
	var wg, holding sync.WaitGroup
	done := make(chan struct{})
	holding.Add(2)
	for _, id := range []string{"a", "b"} {
		wg.Go(func() {
			err := m.Plugin(id).DB().Tx(t.Context(), func(c db.Conn) error {
				_, err := c.Exec(t.Context(), db.Same(`SELECT 1`))
				holding.Done()
				<-done
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	holding.Wait()
	if _, err := m.Plugin("c").DB().Exec(t.Context(), db.Same(`SELECT 1`)); err != nil {
		t.Errorf("the third plugin: %v", err)
	}
	close(done)
	wg.Wait()
}
