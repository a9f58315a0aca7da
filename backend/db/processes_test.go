package db_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// These tests run this test binary again, as further processes of one instance. The
// variable holds the YAML of backend.database for such a process.
const processEnv = "DBTEST_PROCESS"

// The process named victim stops in the middle of its first migration, and is killed there.
var slowMigrations = func() fstest.MapFS {
	const first = `-- +goose Up
CREATE TABLE things (id text PRIMARY KEY);
-- +goose StatementBegin
DO $$ BEGIN
	IF current_setting('application_name') = 'victim' THEN PERFORM pg_sleep(600); END IF;
	PERFORM pg_sleep(0.01);
END $$;
-- +goose StatementEnd
`
	return fstest.MapFS{
		"postgres/00001_things.sql": {Data: []byte(first)},
		"postgres/00002_count.sql":  {Data: []byte("-- +goose Up\nALTER TABLE things ADD COLUMN count int;\n")},
		"postgres/00003_row.sql":    {Data: []byte("-- +goose Up\nINSERT INTO things VALUES ('x', 1);\n")},
	}
}()

// TestMain runs a process of the tests below instead of the tests when it is one.
func TestMain(m *testing.M) {
	if yaml := os.Getenv(processEnv); yaml != "" {
		if err := process(yaml); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func process(yaml string) error {
	ctx := context.Background()
	cfg, err := parse(yaml)
	if err != nil {
		return err
	}
	m, err := db.New(cfg)
	if err != nil {
		return err
	}
	defer m.Close()
	if strings.Contains(yaml, "directory") {
		return m.Plugin("catalog").Ping(ctx)
	}
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	for i := range plugins {
		wg.Go(func() {
			if _, err := m.Plugin(fmt.Sprintf("p%d", i)).Migrate(ctx, slowMigrations); err != nil {
				failed.Store(&err)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	return nil
}

const plugins = 20

func TestThreeProcessesMigrateAtOnce(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, s *pgtest.Server) {
		for _, mode := range []string{"schema", "database"} {
			t.Run(mode, func(t *testing.T) { threeProcesses(t, s, mode, "") })
		}
	})
}

func TestAProcessIsKilledInTheMiddleOfItsMigrations(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, s *pgtest.Server) { threeProcesses(t, s, "schema", "victim") })
}

// threeProcesses starts them on an empty database and waits until all are ready,
// except the victim, which is killed while it migrates.
func threeProcesses(t *testing.T, s *pgtest.Server, mode, victim string) {
	url, prefix := s.Database(t), s.Name(t)
	prefix = prefix[:min(40, len(prefix))] + "_"
	if mode == "database" {
		for i := range plugins {
			t.Cleanup(func() { s.Drop(t, fmt.Sprintf("%sp%d", prefix, i)) })
		}
	}
	tag := fmt.Sprintf("%s%d", mode, time.Now().UnixNano())
	names := []string{tag + "a", tag + "b", tag + "c"}
	if victim != "" {
		names[0] = victim
	}
	most := watchConnections(t, s, names)
	ready := make(chan string, len(names))
	for i, name := range names {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), fmt.Sprintf("%s={client: pg, connection: {connectionString: %q, application_name: %s}, pluginDivisionMode: %s, prefix: %s}", processEnv, url, name, mode, prefix))
		stdin, err := child.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stdin.Close(); child.Process.Kill(); child.Wait() })
		go func() {
			line, _ := bufio.NewReader(stdout).ReadString('\n')
			ready <- name + ": " + strings.TrimSpace(line)
		}()
		if i == 0 && victim != "" {
			waitUntil(t, "the victim to migrate", func() bool {
				return ask(t, s.Admin(), "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = $1 AND query LIKE '%pg_sleep(600)%'", victim) != "0"
			})
			defer func() {
				if child.ProcessState == nil {
					t.Error("the victim was not killed")
				}
			}()
			// The others are started first, so that they wait for the victim's locks.
			time.AfterFunc(time.Second, func() { child.Process.Kill(); child.Wait() })
		}
	}
	for range names {
		got := <-ready
		name, line, _ := strings.Cut(got, ": ")
		if line != "ready" && name != victim {
			t.Errorf("a process says %s", got)
		}
		if name == victim && line == "ready" {
			t.Errorf("the victim got through")
		}
	}
	for name, n := range most() {
		t.Logf("%s had at most %d connections", name, n)
		if n > 10 {
			t.Errorf("%s had %d connections, want at most 10", name, n)
		}
	}
	for i := range plugins {
		id := fmt.Sprintf("p%d", i)
		where, schema := url, id
		if mode == "database" {
			where, schema = s.URL(prefix+id), "public"
		}
		versions := ask(t, where, fmt.Sprintf("SELECT string_agg(version_id::text, ' ' ORDER BY id) FROM %s.callboard_migrations", pgx.Identifier{schema}.Sanitize()))
		rows := ask(t, where, fmt.Sprintf("SELECT count(*)::text FROM %s.things", pgx.Identifier{schema}.Sanitize()))
		if versions != "0 1 2 3" || rows != "1" {
			t.Errorf("plugin %s: migrations %s, %s rows, want 0 1 2 3 and 1 row", id, versions, rows)
		}
	}
}

// watchConnections counts connections by application name until the function it
// returns is called, which gives the greatest numbers seen.
func watchConnections(t *testing.T, s *pgtest.Server, names []string) func() map[string]int {
	conn, err := pgx.Connect(t.Context(), s.Admin())
	if err != nil {
		t.Fatal(err)
	}
	most := map[string]int{}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		defer conn.Close(t.Context())
		for {
			rows, err := conn.Query(t.Context(), "SELECT application_name, count(*) FROM pg_stat_activity WHERE application_name = ANY($1) GROUP BY 1", names)
			if err != nil {
				return
			}
			var name string
			var n int
			pgx.ForEachRow(rows, []any{&name, &n}, func() error {
				most[name] = max(most[name], n)
				return nil
			})
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() map[string]int {
		close(stop)
		<-stopped
		if len(most) == 0 {
			t.Error("no connection was seen")
		}
		return most
	}
}

func waitUntil(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 1500 {
		if done() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("waited for %s for 30 s", what)
}

func TestSQLiteFilesBelongToOneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	yaml := fmt.Sprintf("{client: better-sqlite3, connection: {directory: %q}}", dir)
	m := manager(t, yaml)
	if err := m.Plugin("catalog").Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := func() string {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), processEnv+"="+yaml)
		out, _ := child.CombinedOutput()
		return strings.TrimSpace(string(out))
	}
	want := fmt.Sprintf("backend.database.connection.directory: the SQLite files in %s are in use by process %d, and one process at a time can use them: stop it, name another directory, or use PostgreSQL for several processes", dir, os.Getpid())
	if got := second(); got != want {
		t.Errorf("the second process says\n%s\nwant\n%s", got, want)
	}
	if err := m.Plugin("search").Ping(t.Context()); err != nil {
		t.Errorf("another plugin of the same process: %v", err)
	}
	m.Close()
	if got := second(); got != "" {
		t.Errorf("after the first one has closed them the second says %s", got)
	}
}
