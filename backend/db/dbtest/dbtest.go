// Package dbtest gives tests of stores a database, and runs them on both kinds.
//
//	func TestStore(t *testing.T) {
//		dbtest.Each(t, migrations, func(t *testing.T, d db.DB) {
//			s := store.New(d)
//			…
//		})
//	}
//
// The subtests are named SQLite and PostgreSQL16 (or whatever versions are tested).
// PostgreSQL is a private server that the test binary starts, if its programs are
// installed, or the one that CALLBOARD_TEST_POSTGRES names by a URL; its user must
// be allowed to create databases.
package dbtest

import (
	"io/fs"
	"testing"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// pluginID is the plugin whose database tests get.
const pluginID = "test"

// Each runs test on SQLite and on every PostgreSQL version that is to be tested. Each
// run has a new database, migrated with the folders postgres and sqlite of
// migrations, or empty if migrations is nil; it is dropped after the test. test may
// call t.Parallel.
func Each(t *testing.T, migrations fs.FS, test func(t *testing.T, d db.DB)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { test(t, SQLite(t, migrations)) })
	pgtest.Each(t, func(t *testing.T, s *pgtest.Server) { test(t, onServer(t, s, migrations)) })
}

// SQLite returns a new database in a file of the test's temporary folder.
func SQLite(t testing.TB, migrations fs.FS, opts ...db.Option) db.DB {
	t.Helper()
	cfg := db.Config{Client: "better-sqlite3", Connection: db.Connection{Directory: t.TempDir()}}
	return open(t, cfg, migrations, opts)
}

// Memory returns a new SQLite database in memory, which is what an instance without
// backend.database uses.
func Memory(t testing.TB, migrations fs.FS, opts ...db.Option) db.DB {
	t.Helper()
	return open(t, db.Config{}, migrations, opts)
}

// Postgres returns a new PostgreSQL database of the first version to be tested.
func Postgres(t testing.TB, migrations fs.FS, opts ...db.Option) db.DB {
	t.Helper()
	return onServer(t, pgtest.Open(t, pgtest.Versions()[0]), migrations, opts...)
}

func onServer(t testing.TB, s *pgtest.Server, migrations fs.FS, opts ...db.Option) db.DB {
	t.Helper()
	cfg := db.Config{
		Client: "pg", PluginDivisionMode: "schema",
		Connection: db.Connection{ConnectionString: config.NewSecret(s.Database(t))},
	}
	return open(t, cfg, migrations, opts)
}

func open(t testing.TB, cfg db.Config, migrations fs.FS, opts []db.Option) db.DB {
	t.Helper()
	m, err := db.New(cfg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	p := m.Plugin(pluginID)
	if migrations != nil {
		if _, err := p.Migrate(t.Context(), migrations); err != nil {
			t.Fatal(err)
		}
	}
	return p.DB()
}
