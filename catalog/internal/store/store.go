// Package store holds all SQL of the catalog: the state of the processing engine,
// the entities that are served, and the index that filters read.
//
// Methods speak the domain's words. Those that the engine calls (catalog/internal/ingest
// and catalog/internal/stitch) are in state.go, edges.go, queue.go and their
// neighbours; those that the API reads are in read_*.go. Every statement runs in one
// test suite on SQLite and on PostgreSQL.
//
// A Store reads on its own; changes are made on a Tx, so that what belongs
// together commits together. Which statements make up a change is decided by the
// engine: the store knows no rules.
package store

import (
	"context"
	"embed"
	"io/fs"
	"sync"

	"github.com/callboard-dev/callboard/backend/db"
)

//go:embed migrations
var migrations embed.FS

// Migrations is the schema, in the directories postgres and sqlite.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the directory is embedded above
	}
	return sub
}

// A Store is the catalog's tables. It is safe for concurrent use.
type Store struct {
	db db.DB

	keysMu sync.RWMutex
	keys   map[string]int32 // search_keys as far as used lately; rows are never changed
}

// New returns the store in database d, which Migrations has been applied to.
func New(d db.DB) *Store { return &Store{db: d, keys: map[string]int32{}} }

// A Tx is a transaction. Its methods are called from one goroutine.
type Tx struct{ c db.Conn }

// Tx runs fn in a transaction. It is run again, three times at most, when it
// collides with another one: fn sets what it returns anew on every run.
func (s *Store) Tx(ctx context.Context, fn func(*Tx) error) error {
	return db.Retry(ctx, s.db, func(c db.Conn) error {
		if db.DialectOf(c) == db.Postgres {
			if _, err := c.Exec(ctx, useIndexes); err != nil {
				return err
			}
		}
		return fn(&Tx{c})
	})
}

// What a transaction reads and writes is a few rows, which indexes find. The queues and
// tables of a new catalog are so small when their statements are planned for the first
// time that PostgreSQL would rather read and join them whole, and keeps to that while
// they grow.
var useIndexes = db.Same(`SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`)

// Alone says that no other transaction writes at the same time, so that what was read
// before a lock is as it is after it.
func (tx *Tx) Alone() bool { return db.DialectOf(tx.c) == db.SQLite }

// A Source is what emits entities: a provider or a processed entity.
type Source struct {
	Provider string // empty if an entity is the source
	Entity   int64  // its row
}

// null is the column form of a text in which empty means absent.
func null(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

func number(p *int64) int64 {
	if p == nil {
		return 0
	}
	return *p
}
