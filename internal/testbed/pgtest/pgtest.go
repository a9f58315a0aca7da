// Package pgtest gives tests a PostgreSQL database of their own.
//
//	url := pgtest.New(t) // empty, dropped after the test
//
// The databases are on one private server per test binary and version, in a temporary
// folder, which is gone when the test binary is, also when that was killed. Two
// environment variables change that:
//
//	CALLBOARD_TEST_POSTGRES           the URL of a running server whose user may create databases
//	CALLBOARD_TEST_POSTGRES_VERSIONS  versions to test, "15,16"; by default 16, or the newest there is
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/callboard-dev/callboard/internal/testbed"
)

const (
	serverEnv   = "CALLBOARD_TEST_POSTGRES"
	versionsEnv = "CALLBOARD_TEST_POSTGRES_VERSIONS"
	external    = "external" // the version of a server that the environment names
	module      = "github.com/callboard-dev/callboard"
)

// running is the servers of this test binary. It is the one piece of state that all
// tests share: starting a server for each of them would take most of their time.
var running struct {
	mu      sync.Mutex
	servers map[string]*Server
	pipes   []*os.File // see keeper
	count   atomic.Int64
}

// A Server is a running PostgreSQL server.
type Server struct {
	Version string // "16", or "external"
	admin   string // URL of the database postgres
	err     error
	once    sync.Once
}

// New returns the URL of a new, empty database, which is dropped after the test.
func New(t testing.TB) string {
	t.Helper()
	return Open(t, Versions()[0]).Database(t)
}

// Each runs a subtest for every version that is to be tested.
func Each(t *testing.T, test func(t *testing.T, s *Server)) {
	t.Helper()
	for _, version := range Versions() {
		t.Run("PostgreSQL"+version, func(t *testing.T) { test(t, Open(t, version)) })
	}
}

// Versions returns the versions to test, at least one.
func Versions() []string {
	if os.Getenv(serverEnv) != "" {
		return []string{external}
	}
	var out []string
	for _, v := range strings.Split(os.Getenv(versionsEnv), ",") {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	if len(out) > 0 {
		return out
	}
	return []string{preferred()}
}

// preferred is the version to test by default: 16, or the newest that is installed.
func preferred() string {
	all := []string{"16", "18", "17", "15"}
	for _, v := range all {
		if _, err := testbed.Find("postgres-" + v); err == nil {
			return v
		}
	}
	return all[0]
}

// Open returns the server of a version, starting it if this is its first use. The
// test fails if it is not installed, and the message is the command that installs
// it. In another module's tests it is skipped instead, unless CALLBOARD_REQUIRE_TESTBED is 1.
func Open(t testing.TB, version string) *Server {
	t.Helper()
	running.mu.Lock()
	s := running.servers[version]
	if s == nil {
		s = &Server{Version: version}
		if running.servers == nil {
			running.servers = map[string]*Server{}
		}
		running.servers[version] = s
	}
	running.mu.Unlock()
	s.once.Do(func() {
		if url := os.Getenv(serverEnv); url != "" {
			s.admin = url
			return
		}
		s.admin, s.err = start(version)
	})
	s.check(t)
	return s
}

// check ends the test if the server could not be started.
func (s *Server) check(t testing.TB) {
	t.Helper()
	if errors.Is(s.err, testbed.ErrMissing) {
		if foreign() && os.Getenv(testbed.RequireEnv) != "1" {
			t.Skipf("no PostgreSQL server: set %s to the URL of one whose user may create databases", serverEnv)
		}
		t.Fatalf("this test needs PostgreSQL %s, which is not installed. Type:\n\n\t%s postgres\n\nor set %s to the URL of a server whose user may create databases", s.Version, testbed.InstallCommand, serverEnv)
	}
	if s.err != nil {
		t.Fatalf("start PostgreSQL %s: %v", s.Version, s.err)
	}
}

// OpenWith starts a server of its own for this call, with settings of PostgreSQL as
// NAME=VALUE: measurements want it as it is in production, not as it is fast in tests.
// It ends with the test binary. The server that CALLBOARD_TEST_POSTGRES names is taken as
// it is.
func OpenWith(t testing.TB, version string, settings ...string) *Server {
	t.Helper()
	if os.Getenv(serverEnv) != "" {
		return Open(t, version)
	}
	admin, err := start(version, settings...)
	if err != nil {
		t.Fatalf("start PostgreSQL %s: %v", version, err)
	}
	return &Server{Version: version, admin: admin}
}

// foreign reports whether this is the test binary of another module.
func foreign() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && info.Main.Path != "" && info.Main.Path != module
}

// Admin returns the URL of the database postgres, as a superuser of the private server.
func (s *Server) Admin() string { return s.admin }

// URL returns the URL of a database.
func (s *Server) URL(database string) string {
	u, err := url.Parse(s.admin)
	if err != nil {
		return s.admin
	}
	u.Path = "/" + database
	return u.String()
}

// Database creates an empty database, returns its URL, and drops it after the test.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := s.Name(t)
	create := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize()
	if s.Version != external {
		create += " STRATEGY file_copy" // faster without fsync
	}
	s.Exec(t, create)
	t.Cleanup(func() { s.Drop(t, name) })
	return s.URL(name)
}

// Name returns a name for a database that no other test uses.
func (s *Server) Name(t testing.TB) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(t.Name()))
	return fmt.Sprintf("t%d_%d_%.30s", os.Getpid(), running.count.Add(1), name)
}

// Drop drops a database with the connections that are still open.
func (s *Server) Drop(t testing.TB, name string) {
	t.Helper()
	s.Exec(t, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
}

// Exec runs a statement in the database postgres.
func (s *Server) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	// Not the test's context: it has ended when databases are dropped.
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.admin)
	if err != nil {
		t.Fatalf("connect to the test server: %v", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// Installed returns those of the versions that are installed, for tests that want
// more than one without being asked to.
func Installed(versions ...string) []string {
	return slices.DeleteFunc(slices.Clone(versions), func(v string) bool {
		_, err := testbed.Find("postgres-" + v)
		return err != nil
	})
}
