package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// TestReplicasBootTogether holds that three processes that start at once on an empty
// PostgreSQL agree on one set of migrations, with few connections each, and that one of
// them that is killed in the middle of its migrations does not keep the others.
func TestReplicasBootTogether(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, s *pgtest.Server) {
		for _, mode := range []string{"schema", "database"} {
			for _, kill := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, one is killed: %v", mode, kill), func(t *testing.T) {
					bootTogether(t, newReplicas(t, s, mode), kill)
				})
			}
		}
	})
}

func bootTogether(t *testing.T, r *replicas, kill bool) {
	most := r.watch(t)
	var all []*process
	for _, login := range r.logins {
		all = append(all, launch(t, write(t, "app-config.yaml", "backend: {baseUrl: 'http://localhost:7007', listen: '127.0.0.1:0'}\n"), write(t, "database.yaml", r.config(t, login))))
	}
	if kill {
		victim := r.migrating(t)
		_ = all[victim].cmd.Process.Kill()
		_ = all[victim].cmd.Wait()
		if strings.Contains(all[victim].text(), "Listening on") {
			t.Error("the process that was to be killed while it migrates had started")
		}
		all = append(all[:victim], all[victim+1:]...)
	}
	migrated := 0
	for _, p := range all {
		p.ready(t)
		migrated += strings.Count(p.text(), `"plugin":"catalog","from":0`)
	}
	// The process that was killed may have been done with the catalog.
	if migrated > 1 || !kill && migrated == 0 {
		t.Errorf("%d processes migrated the catalog, want one", migrated)
	}
	// Counting ends when the last one is ready, and the others work by then: two for each of
	// the seven plugins with tables, and two more. That a boot itself has ten at most is held by
	// TestABootOfManyPluginsHasFewConnections of backend/db.
	const few = 2*7 + 2
	for login, n := range most() {
		if n > few {
			t.Errorf("%s had %d connections at once, want at most %d", login, n, few)
		}
	}
}

// replicas are three processes that share a PostgreSQL, each with a login of its own, so
// that its connections can be told apart. All take on one role, which owns what they make.
type replicas struct {
	s      *pgtest.Server
	mode   string // pluginDivisionMode
	name   string // of the database, the role, and the start of what else there is
	logins []string
}

func newReplicas(t *testing.T, s *pgtest.Server, mode string) *replicas {
	t.Helper()
	r := &replicas{s: s, mode: mode, name: s.Name(t)[:20]}
	s.Exec(t, "CREATE ROLE "+r.name)
	s.Exec(t, "CREATE DATABASE "+r.name+" OWNER "+r.name)
	for i := range 3 {
		login := fmt.Sprintf("%s_%d", r.name, i)
		s.Exec(t, "CREATE ROLE "+login+" LOGIN CREATEDB IN ROLE "+r.name)
		r.logins = append(r.logins, login)
	}
	t.Cleanup(func() {
		conn := r.admin(t)
		defer conn.Close(context.Background())
		rows, _ := conn.Query(context.Background(), "SELECT datname FROM pg_database WHERE starts_with(datname, $1)", r.name)
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			s.Drop(t, name)
		}
		for _, role := range append(r.logins, r.name) {
			s.Exec(t, "DROP ROLE "+role)
		}
	})
	return r
}

func (r *replicas) config(t *testing.T, login string) string {
	t.Helper()
	u, err := url.Parse(r.s.URL(r.name))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(login)
	return fmt.Sprintf("backend: {database: {client: pg, pluginDivisionMode: %s, prefix: %s_, role: %s, connection: {connectionString: %q}}}\n", r.mode, r.name, r.name, u)
}

func (r *replicas) admin(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), r.s.Admin())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// watch counts the connections of each login until the returned function is called, which
// says how many there were at the most.
func (r *replicas) watch(t *testing.T) func() map[string]int {
	t.Helper()
	conn := r.admin(t)
	ctx, cancel := context.WithCancel(context.Background())
	most := make(chan map[string]int, 1)
	go func() {
		defer conn.Close(context.Background())
		high := map[string]int{}
		for ; ctx.Err() == nil; time.Sleep(2 * time.Millisecond) {
			rows, _ := conn.Query(context.Background(), "SELECT usename, count(*) FROM pg_stat_activity WHERE starts_with(usename, $1) GROUP BY usename", r.name)
			var login string
			var n int
			if _, err := pgx.ForEachRow(rows, []any{&login, &n}, func() error { high[login] = max(high[login], n); return nil }); err != nil {
				t.Error(err)
				break
			}
		}
		most <- high
	}()
	t.Cleanup(cancel)
	return func() map[string]int { cancel(); return <-most }
}

// migrating waits until one of the processes holds the lock that migrations run under and
// has a transaction open besides, and returns which.
func (r *replicas) migrating(t *testing.T) int {
	t.Helper()
	conn := r.admin(t)
	defer conn.Close(context.Background())
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		var login string
		err := conn.QueryRow(context.Background(), `
SELECT a.usename FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'advisory' AND l.granted
WHERE starts_with(a.usename, $1) AND EXISTS (
	SELECT FROM pg_stat_activity b WHERE b.usename = a.usename AND b.backend_xid IS NOT NULL)
LIMIT 1`, r.name).Scan(&login)
		if err == nil {
			return int(login[len(login)-1] - '0')
		}
	}
	t.Fatal("nobody was seen in the middle of migrations")
	return 0
}
