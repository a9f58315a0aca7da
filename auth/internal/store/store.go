// Package store holds all SQL of the auth plugin but that of its signing keys, which
// belong to the backend: sessions (sessions.go, refreshes.go), what is known of users
// (userinfo.go), and the OAuth server's clients, authorizations and grants.
//
// Methods speak the domain's words. Secrets come in sealed or hashed; the store does not
// know which. Every statement runs in one test suite on SQLite and on PostgreSQL.
package store

import (
	"context"
	"embed"
	"io/fs"

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

// A Store is the tables of the auth plugin. It is safe for concurrent use.
type Store struct{ db db.DB }

// New returns the store in database d, which Migrations has been applied to.
func New(d db.DB) *Store { return &Store{db: d} }

// one reports whether a statement has changed a row.
func (s *Store) one(ctx context.Context, q db.SQL, args ...any) (bool, error) {
	n, err := s.db.Exec(ctx, q, args...)
	return n > 0, err
}
