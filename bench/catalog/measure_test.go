package catalogbench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// settings are PostgreSQL's own defaults where pgtest has faster ones, and what counts
// statements.
var settings = []string{
	"fsync=on", "synchronous_commit=on", "full_page_writes=on", "autovacuum=on", "shared_buffers=128MB",
	"shared_preload_libraries=pg_stat_statements", "pg_stat_statements.max=10000",
}

// A database is the PostgreSQL of one portal.
type database struct {
	url  string
	data string // its directory, which tells its processes
	conn db.DB  // in the schema of the catalog
}

func newDatabase(t testing.TB) *database {
	t.Helper()
	s := pgtest.OpenWith(t, pgtest.Versions()[0], settings...)
	d := &database{url: s.Database(t)}
	m, err := db.New(db.Config{Client: "pg", PluginDivisionMode: "schema", Connection: db.Connection{ConnectionString: config.NewSecret(d.url)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	d.conn = m.Plugin("catalog").DB()
	if _, err := d.conn.Exec(t.Context(), db.Same("CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public")); err != nil {
		t.Fatal(err)
	}
	if err := d.conn.QueryRow(t.Context(), db.Same("SHOW data_directory")).Scan(&d.data); err != nil {
		t.Fatal(err)
	}
	return d
}

// work is what the database did so far: statements, and rows that they wrote.
type work struct{ statements, rows int64 }

func (d *database) work(t testing.TB) (w work) {
	t.Helper()
	// What cascades belongs to the statement that sets it off.
	const q = `SELECT coalesce(sum(calls), 0)::bigint, coalesce(sum(rows) FILTER (WHERE query ~* '^\s*(INSERT|COPY|UPDATE|DELETE|WITH.*(INSERT|UPDATE|DELETE) )'), 0)::bigint
		FROM public.pg_stat_statements s JOIN pg_database b ON b.oid = s.dbid WHERE b.datname = current_database()`
	if err := d.conn.QueryRow(t.Context(), db.Same(q)).Scan(&w.statements, &w.rows); err != nil {
		t.Fatal(err)
	}
	return w
}

// longest prints the statements that took most of the database's time so far.
func (d *database) longest(t testing.TB) {
	t.Helper()
	const q = `SELECT calls, rows, total_exec_time, left(regexp_replace(query, '\s+', ' ', 'g'), 150)
		FROM public.pg_stat_statements s JOIN pg_database b ON b.oid = s.dbid WHERE b.datname = current_database() ORDER BY total_exec_time DESC LIMIT 25`
	rows, err := d.conn.Query(t.Context(), db.Same(q))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	fmt.Println("\n| calls | rows | ms | statement |\n|---|---|---|---|")
	for rows.Next() {
		var calls, n int64
		var ms float64
		var text string
		if err := rows.Scan(&calls, &n, &ms, &text); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("| %d | %d | %.0f | `%s` |\n", calls, n, ms, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// settled waits until n entities are served and nothing is left to do, and returns when.
func (d *database) settled(t testing.TB, n int) time.Time {
	t.Helper()
	// Looking costs the database work that it does not have in production: nothing is
	// counted before there have been as many changes, and the longer it takes, the more
	// rarely it is done.
	const q = `SELECT CASE WHEN (SELECT value FROM catalog.change_seq) < $1 THEN 0 ELSE (SELECT count(*) FROM catalog.final_entities) END,
		CASE WHEN (SELECT value FROM catalog.change_seq) < $1 THEN 1 ELSE
		(EXISTS (SELECT 1 FROM catalog.stitch_queue) OR EXISTS (SELECT 1 FROM catalog.refresh_state WHERE result_hash IS NULL))::int END`
	for start := time.Now(); ; time.Sleep(max(20*time.Millisecond, time.Since(start)/50)) {
		var served, left int
		if err := d.conn.QueryRow(t.Context(), db.Same(q), n).Scan(&served, &left); err == nil && served == n && left == 0 {
			return time.Now()
		}
		if time.Since(start) > 30*time.Minute {
			t.Fatalf("%d of %d entities are served after half an hour, %d are not final", served, n, left)
		}
	}
}

// cpu is user and system time.
type cpu struct{ portal, postgres time.Duration }

func (a cpu) minus(b cpu) cpu { return cpu{a.portal - b.portal, a.postgres - b.postgres} }

// spent is the time so far of a portal and of the database that it uses. Processes of
// the database that have ended are in the time of their parent.
func spent(t testing.TB, p *portal, d *database) (c cpu) {
	t.Helper()
	c.portal, _ = ticks(p.cmd.Process.Pid, false)
	pid, err := os.ReadFile(filepath.Join(d.data, "postmaster.pid"))
	if err != nil {
		return c // not ours: nothing is known of it
	}
	postmaster, _ := strconv.Atoi(strings.TrimSpace(strings.SplitN(string(pid), "\n", 2)[0]))
	c.postgres, _ = ticks(postmaster, true)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		id, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if own, parent := ticks(id, false); parent == postmaster {
			c.postgres += own
		}
	}
	return c
}

// ticks is the time of one process, with that of its children that have ended if wanted.
func ticks(pid int, children bool) (d time.Duration, parent int) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	// The name, in parentheses, may contain anything.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	parent, _ = strconv.Atoi(fields[1])
	last := 13
	if children {
		last = 15
	}
	for i := 11; i < last; i++ {
		n, _ := strconv.Atoi(fields[i])
		d += time.Duration(n) * 10 * time.Millisecond
	}
	return d, parent
}

// peakRSS is the most memory that the portal had since resetPeak, in MB.
func (p *portal) peakRSS() float64 { return p.status("VmHWM:") }

func (p *portal) rss() float64 { return p.status("VmRSS:") }

func (p *portal) status(name string) float64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			kb, _ := strconv.ParseFloat(f[1], 64)
			return kb / 1000
		}
	}
	return 0
}

func (p *portal) resetPeak() {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0)
}
