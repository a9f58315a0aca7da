package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	createTries = 3
	createPause = 200 * time.Millisecond
	maintenance = "postgres" // the database from which others are created
)

// ensure creates the plugin's database and schema unless it is known that they exist.
func (p *Plugin) ensure(ctx context.Context) error {
	p.mu.Lock()
	ensured := p.ensured
	p.mu.Unlock()
	if ensured || !p.set.ensureSchema {
		return nil
	}
	if p.set.schema == "" && !p.set.ensureDatabase {
		return nil
	}
	return p.withSession(ctx, func(*sql.DB) error { return nil })
}

// withSession runs fn on the one session that holds the lock of the plugin's tables.
// The database and the schema exist by then, if they are to be created.
func (p *Plugin) withSession(ctx context.Context, fn func(*sql.DB) error) error {
	created := false
	for try := 1; ; try++ {
		session := p.newSession()
		err := session.PingContext(ctx)
		if err == nil {
			p.mu.Lock()
			p.ensured = true
			p.mu.Unlock()
			err = fn(session)
			session.Close()
			return err
		}
		session.Close()
		if isCode(err, "3D000") && p.set.ensureDatabase && !created { // it does not exist
			if err = p.createDatabase(ctx); err == nil {
				created = true
				continue
			}
		}
		if try >= createTries || !creationCollided(err) {
			return p.explain(ctx, err, true)
		}
		if err := sleep(ctx, createPause); err != nil {
			return err
		}
	}
}

// newSession returns a handle that connects once. The session takes the lock, makes
// sure of the schema, and then sees what the plugin sees.
func (p *Plugin) newSession() *sql.DB {
	connector := stdlib.GetConnector(*p.lock,
		stdlib.OptionBeforeConnect(func(ctx context.Context, cc *pgx.ConnConfig) error {
			return p.signIn(ctx, cc, &p.lockEnd, p.lockTokens)
		}),
		stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
			// Not every platform can check; there a killed process is noticed later.
			_, _ = conn.Exec(ctx, "SET client_connection_check_interval = '1s'", pgx.QueryExecModeExec)
			const lock = `SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false),
				set_config('idle_in_transaction_session_timeout', '0', false),
				pg_advisory_lock(hashtextextended('callboard migrations ' || current_database() || ' ' || $1::text, 0))`
			if _, err := conn.Exec(ctx, lock, pgx.QueryExecModeExec, p.set.schema); err != nil {
				return err
			}
			if err := p.createSchema(ctx, conn); err != nil {
				return err
			}
			return p.setUp(ctx, conn)
		}))
	handle := sql.OpenDB(&onceConnector{Connector: connector})
	handle.SetMaxOpenConns(1)
	return handle
}

// createSchema runs under the lock. It looks first, because CREATE SCHEMA needs a
// right that the user may lack where somebody else has created the schema.
func (p *Plugin) createSchema(ctx context.Context, conn *pgx.Conn) error {
	if p.set.schema == "" {
		return nil
	}
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1::text)", pgx.QueryExecModeExec, p.set.schema).Scan(&exists); err != nil || exists {
		return err
	}
	if !p.set.ensureSchema {
		return fmt.Errorf("schema %q does not exist in database %q, and %s.ensureExists is false", p.set.schema, p.conn.Database, rootKey)
	}
	text := "CREATE SCHEMA IF NOT EXISTS " + quoteIdentifier(p.set.schema)
	if p.set.role != "" {
		text += " AUTHORIZATION " + quoteIdentifier(p.set.role)
	}
	if _, err := conn.Exec(ctx, text, pgx.QueryExecModeExec); err != nil {
		return fmt.Errorf("create schema %q in database %q: %w", p.set.schema, p.conn.Database, err)
	}
	return nil
}

// createDatabase is serialised here, and between processes by a lock: the server
// does not let two sessions copy its template at once.
func (p *Plugin) createDatabase(ctx context.Context) error {
	p.m.creating.Lock()
	defer p.m.creating.Unlock()
	cc := p.lock.Copy()
	cc.Database = maintenance
	if err := p.signIn(ctx, cc, &p.lockEnd, p.lockTokens); err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return fmt.Errorf("create database %q: %w", p.lock.Database, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var exists bool
	const lock = "SELECT pg_advisory_lock(hashtextextended('callboard databases', 0))"
	if _, err := conn.Exec(ctx, lock, pgx.QueryExecModeExec); err != nil {
		return err
	}
	const look = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1::text)"
	if err := conn.QueryRow(ctx, look, pgx.QueryExecModeExec, p.lock.Database).Scan(&exists); err != nil || exists {
		return err
	}
	text := "CREATE DATABASE " + quoteIdentifier(p.lock.Database)
	if p.set.role != "" {
		// Since PostgreSQL 15 only the owner may create tables in the schema public.
		text += " OWNER " + quoteIdentifier(p.set.role)
	}
	if _, err := conn.Exec(ctx, text, pgx.QueryExecModeExec); err != nil && !isCode(err, "42P04") {
		return fmt.Errorf("create database %q: %w", p.lock.Database, err)
	}
	return nil
}

// creationCollided reports whether somebody else was creating the same thing.
func creationCollided(err error) bool {
	return isCode(err, "55006", "42P04", "42P06", "23505") // template in use, duplicates, catalog race
}

func isCode(err error, codes ...string) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return false
	}
	for _, code := range codes {
		if e.Code == code {
			return true
		}
	}
	return false
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// onceConnector connects once: a session that took a lock must not be replaced by
// one that did not.
type onceConnector struct {
	driver.Connector
	used atomic.Bool
}

func (c *onceConnector) Connect(ctx context.Context) (driver.Conn, error) {
	if c.used.Swap(true) {
		return nil, errors.New("the session that held the lock was lost")
	}
	return c.Connector.Connect(ctx)
}
