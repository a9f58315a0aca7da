package db_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/internal/testbed/logtest"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// canary is a password; no error may show it.
const canary = "canary-of-SEC-19"

// refusing is a server that wants a password, and quotes it when it refuses it, which
// no real server does, but a proxy may.
func refusing(t *testing.T, seen *atomic.Value) (port int) {
	t.Helper()
	return pgtest.Fake(t, func(b *pgproto3.Backend) {
		b.Send(&pgproto3.AuthenticationCleartextPassword{})
		b.Flush()
		b.SetAuthType(pgproto3.AuthTypeCleartextPassword)
		m, err := b.Receive()
		if err != nil {
			return
		}
		if p, ok := m.(*pgproto3.PasswordMessage); ok {
			seen.Store(p.Password)
			b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: "password authentication failed, got " + p.Password})
			b.Flush()
		}
	})
}

// TestSEC19_DatabaseErrorsHoldNoSecret: what cannot be reached is named, with the key
// and the reason, and without the password and the connection string.
func TestSEC19_DatabaseErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	var seen atomic.Value
	port := refusing(t, &seen)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := closed.Addr().(*net.TCPAddr).Port
	closed.Close()
	for _, tt := range []struct{ name, connection, more, key, want string }{
		{
			name:       "no server, an object",
			connection: fmt.Sprintf(`{host: 127.0.0.1, port: %d, user: backstage, password: %s}`, free, canary),
			want:       fmt.Sprintf(`backend.database.connection.host: cannot connect to PostgreSQL at 127.0.0.1:%d as user "backstage", database "backstage_plugin_catalog" (plugin catalog): connection refused: no server listens there`, free),
		},
		{
			name:       "no server, a URL",
			connection: fmt.Sprintf(`'postgres://backstage:%s@127.0.0.1:%d/x'`, canary, free),
			want:       fmt.Sprintf(`backend.database.connection: cannot connect to PostgreSQL at 127.0.0.1:%d as user "backstage"`, free),
		},
		{
			name:       "no such host",
			connection: fmt.Sprintf(`{host: db.invalid, user: backstage, password: %s}`, canary),
			want:       `backend.database.connection.host: cannot connect to PostgreSQL at db.invalid:5432`,
		},
		{
			name:       "a plugin's own server",
			connection: `{host: elsewhere.invalid, user: u}`,
			more:       fmt.Sprintf(`plugin: {catalog: {connection: {host: 127.0.0.1, port: %d, password: %s}}}`, free, canary),
			want:       fmt.Sprintf(`backend.database.plugin.catalog.connection.host: cannot connect to PostgreSQL at 127.0.0.1:%d as user "u"`, free),
		},
		{
			name:       "a wrong password that the server quotes",
			connection: fmt.Sprintf(`{host: 127.0.0.1, port: %d, user: backstage, password: %s}`, port, canary),
			want:       `(plugin catalog): password authentication failed, got *** (SQLSTATE 28P01)`,
		},
		{
			name:       "a wrong password in a URL",
			connection: fmt.Sprintf(`'postgres://backstage:%s@127.0.0.1:%d/x'`, canary, port),
			want:       `(plugin catalog): password authentication failed, got *** (SQLSTATE 28P01)`,
		},
	} {
		m := manager(t, fmt.Sprintf("{client: pg, connection: %s, %s}", tt.connection, tt.more))
		p := m.Plugin("catalog")
		_, migrateErr := p.Migrate(t.Context(), migrations)
		for what, err := range map[string]error{"ping": p.Ping(t.Context()), "migrate": migrateErr} {
			if err == nil {
				t.Errorf("%s: %s: no error", tt.name, what)
				continue
			}
			var connect *db.ConnectError
			if !errors.As(err, &connect) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %s says\n%v\nwant\n%s", tt.name, what, err, tt.want)
			}
			if text := fmt.Sprintf("%v %+v %s", err, err, m.Summary()+p.Where()); strings.Contains(text, canary) || strings.Contains(text, "postgres://") {
				t.Errorf("%s: %s shows the secret: %s", tt.name, what, text)
			}
		}
	}
	if seen.Load() != canary {
		t.Errorf("the server saw the password %q", seen.Load())
	}
}

func TestPasswordsFromFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	var seen atomic.Value
	port := refusing(t, &seen)
	dir := t.TempDir()
	file := filepath.Join(dir, "app-config.yaml")
	secret := filepath.Join(dir, "password")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(secret, "first")
	write(file, fmt.Sprintf("client: pg\nconnection: {host: 127.0.0.1, port: %d, user: u, password: {$file: password}}\n", port))
	tree, err := config.Load(t.Context(), config.Sources{Files: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	var cfg db.Config
	if err := tree.Decode("", &cfg); err != nil {
		t.Fatal(err)
	}
	m, err := db.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	watcher := config.NewWatcher(tree, nil)
	for _, want := range []string{"first", "second"} {
		write(secret, want)
		if _, err := watcher.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.Plugin("catalog").Ping(t.Context())
		if seen.Load() != want {
			t.Errorf("the server saw %q, want %q", seen.Load(), want)
		}
	}
}

func TestKeepAliveLogsAFailureOnce(t *testing.T) {
	t.Parallel()
	s := pgtest.Open(t, pgtest.Versions()[0])
	name := s.Name(t)
	s.Exec(t, "CREATE DATABASE "+name)
	var log logtest.Buffer
	m := manager(t, fmt.Sprintf("{client: pg, connection: %q, pluginDivisionMode: schema, ensureExists: false, ensureSchemaExists: true}", s.URL(name)),
		db.WithLogger(slog.New(slog.NewTextHandler(&log, nil))), db.WithKeepAliveEvery(10*time.Millisecond))
	if err := m.Plugin("catalog").Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.Plugin("never-used")
	done := make(chan struct{})
	go func() { defer close(done); m.KeepAlive(t.Context()) }()
	s.Drop(t, name)
	waitUntil(t, "the failure to be logged", func() bool { return strings.Contains(log.String(), "database keep-alive failed") })
	s.Exec(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { s.Drop(t, name) })
	// The schema is gone with the database; SELECT 1 does not miss it.
	waitUntil(t, "the end of the failure to be logged", func() bool { return strings.Contains(log.String(), "database answers again") })
	if n := strings.Count(log.String(), "keep-alive failed"); n != 1 || strings.Contains(log.String(), "never-used") {
		t.Errorf("the log is\n%s", log.String())
	}
}
