package pgtest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

func TestDatabasesAreEmptyAndApart(t *testing.T) {
	t.Parallel()
	pgtest.Each(t, func(t *testing.T, s *pgtest.Server) {
		a, b := s.Database(t), s.Database(t)
		ctx := t.Context()
		first, err := pgx.Connect(ctx, a)
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close(ctx)
		if _, err := first.Exec(ctx, "CREATE TABLE here (id int)"); err != nil {
			t.Fatal(err)
		}
		second, err := pgx.Connect(ctx, b)
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close(ctx)
		var exists bool
		if err := second.QueryRow(ctx, "SELECT to_regclass('here') IS NOT NULL").Scan(&exists); err != nil || exists {
			t.Errorf("the table of one database is in the other: %v %v", exists, err)
		}
	})
}

// childEnv makes this test binary start a server, say where, and wait to be killed.
const childEnv = "PGTEST_CHILD"

func TestNoServerOutlivesAKilledTestBinary(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		s := pgtest.Open(t, pgtest.Versions()[0])
		conn, err := pgx.Connect(t.Context(), s.Admin())
		if err != nil {
			t.Fatal(err)
		}
		var data string
		if err := conn.QueryRow(t.Context(), "SHOW data_directory").Scan(&data); err != nil {
			t.Fatal(err)
		}
		os.WriteFile(os.Getenv(childEnv), []byte(data), 0o600)
		select {}
	}
	if pgtest.Versions()[0] == "external" {
		return // there is no server of ours
	}
	pgtest.Open(t, pgtest.Versions()[0]) // fails with the right words where it is missing
	note := filepath.Join(t.TempDir(), "data")
	child := exec.Command(os.Args[0], "-test.run=^TestNoServerOutlivesAKilledTestBinary$")
	child.Env = append(os.Environ(), childEnv+"="+note)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	data := waitFor(t, "the child's server", func() (string, bool) {
		text, err := os.ReadFile(note)
		return string(text), err == nil && len(text) > 0
	})
	if _, err := os.Stat(filepath.Join(data, "postmaster.pid")); err != nil {
		t.Fatalf("the child's server does not run: %v", err)
	}
	child.Process.Kill()
	child.Wait()
	waitFor(t, "the end of the server and its folder", func() (string, bool) {
		_, err := os.Stat(filepath.Dir(data))
		return "", os.IsNotExist(err)
	})
	processes, err := exec.Command("ps", "-eo", "args").Output()
	if err == nil && strings.Contains(string(processes), data) {
		t.Errorf("a server of %s still runs", data)
	}
}

// TestMissingServerSaysWhatToType runs a test of this binary where nothing is installed.
func TestMissingServerSaysWhatToType(t *testing.T) {
	t.Parallel()
	child := exec.Command(os.Args[0], "-test.run=^TestDatabasesAreEmptyAndApart$")
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !strings.HasPrefix(name, "CALLBOARD_TEST") && name != "PATH" {
			child.Env = append(child.Env, v)
		}
	}
	version := ""
	for _, v := range []string{"18", "17", "16", "15"} {
		if _, err := os.Stat("/usr/lib/postgresql/" + v); err != nil {
			version = v
		}
	}
	if version == "" {
		t.Fatal("this test needs a version that is not installed, and all are")
	}
	child.Env = append(child.Env, "CALLBOARD_TEST_POSTGRES_VERSIONS="+version, "CALLBOARD_TESTBED_CACHE="+t.TempDir(), "PATH=")
	out, err := child.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "go run ./internal/testbed/cmd/testbed install postgres\n") {
		t.Errorf("%v, and it says\n%s", err, out)
	}
}

func waitFor(t *testing.T, what string, done func() (string, bool)) string {
	t.Helper()
	for range 1500 {
		if v, ok := done(); ok {
			return v
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("waited for %s for 30 s", what)
	return ""
}
