package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"regexp"
	"time"

	"github.com/pressly/goose/v3"
)

// Migration tells what Migrate did.
type Migration struct {
	From, To int64         // versions; equal if there was nothing to do
	Took     time.Duration // with the wait for other replicas
	Skipped  bool          // skipMigrations is set
}

// versionTable is our own name, so that a database that upstream has used, or
// another program that uses goose, cannot be mistaken for ours.
const versionTable = "callboard_migrations"

// Migrate brings the plugin's tables to the newest version. fsys has the folders
// postgres and sqlite with goose's SQL files, 00001_name.sql; each runs in a
// transaction of its own. Database and schema are created first as configured.
//
// Any number of processes may call it at once: one of them works, the others wait
// for it and then find nothing to do. When that one is killed, the next goes on
// from the last migration that was finished. A database with newer migrations than
// fsys has is left as it is, so that two neighbouring releases can share it.
func (p *Plugin) Migrate(ctx context.Context, fsys fs.FS) (Migration, error) {
	start := time.Now()
	if p.err != nil {
		return Migration{}, p.err
	}
	if p.set.skipMigrations {
		return Migration{Skipped: true}, nil
	}
	files, err := fs.Sub(fsys, p.set.dialect.String())
	if err != nil {
		return Migration{}, err
	}
	if err := checkMigrations(files); err != nil {
		return Migration{}, fmt.Errorf("migrations of plugin %s: %w", p.id, err)
	}
	select {
	case p.m.migrating <- struct{}{}:
		defer func() { <-p.m.migrating }()
	case <-ctx.Done():
		return Migration{}, ctx.Err()
	}
	var done Migration
	if p.set.dialect == Postgres {
		done, err = p.migratePostgres(ctx, files)
	} else {
		done, err = p.migrateSQLite(ctx, files)
	}
	done.Took = time.Since(start)
	if err != nil {
		return done, fmt.Errorf("migrate plugin %s: %w", p.id, err)
	}
	return done, nil
}

// migratePostgres works in one session, which holds the lock of the plugin's tables
// for as long as it lives. So the lock of a killed process is free at once, and
// nothing is changed without it: a lost session is not replaced.
func (p *Plugin) migratePostgres(ctx context.Context, files fs.FS) (Migration, error) {
	var done Migration
	err := p.withSession(ctx, func(session *sql.DB) error {
		var err error
		done, err = runGoose(ctx, goose.DialectPostgres, session, files)
		return err
	})
	return done, err
}

func (p *Plugin) migrateSQLite(ctx context.Context, files fs.FS) (Migration, error) {
	// The plugin's own connection comes first: it keeps a database in memory alive.
	if err := p.Ping(ctx); err != nil {
		return Migration{}, err
	}
	return runGoose(ctx, goose.DialectSQLite3, p.SQL(), files)
}

func runGoose(ctx context.Context, dialect goose.Dialect, handle *sql.DB, files fs.FS) (Migration, error) {
	provider, err := goose.NewProvider(dialect, handle, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true), goose.WithSlog(slog.New(slog.DiscardHandler)))
	if errors.Is(err, goose.ErrNoMigrations) {
		return Migration{}, nil
	}
	if err != nil {
		return Migration{}, err
	}
	from, err := provider.GetDBVersion(ctx)
	if err != nil {
		return Migration{}, err
	}
	done := Migration{From: from, To: from}
	results, err := provider.Up(ctx)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		results = partial.Applied
		err = fmt.Errorf("%s: %w", path.Base(partial.Failed.Source.Path), partial.Err)
	}
	for _, r := range results {
		done.To = max(done.To, r.Source.Version)
	}
	return done, err
}

var noTransaction = regexp.MustCompile(`(?mi)^\s*--\s*\+goose\s+NO\s+TRANSACTION\b`)

// checkMigrations refuses migrations outside a transaction. A process that is killed
// in one leaves half of it behind; and CREATE INDEX CONCURRENTLY, the usual reason
// for one, waits for all sessions, also for those that wait for the migration lock.
func checkMigrations(files fs.FS) error {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		if noTransaction.Match(text) {
			return fmt.Errorf("%s is marked NO TRANSACTION, but each migration runs in a transaction", name)
		}
	}
	return nil
}
