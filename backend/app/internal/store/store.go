// Package store keeps the assets of recent frontend bundles, so that pages of an earlier
// release find their scripts while a rollout goes on (contract/backend.md section 15).
package store

import (
	"context"
	"embed"
	"io/fs"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

//go:embed migrations
var migrations embed.FS

// Migrations are the tables of the store.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is part of the binary
	}
	return sub
}

// The namespaces of assets: those of the app, and those of its public entry point.
const (
	Main   = "default"
	Public = "public"
)

// Store is safe for concurrent use.
type Store struct{ db db.DB }

// New returns a Store on a database with the tables of Migrations.
func New(d db.DB) *Store { return &Store{d} }

// An Asset is a stored file.
type Asset struct {
	Path     string // below static
	Content  []byte
	Modified time.Time // when a replica with this file was last seen
}

var selectAsset = db.Same(`SELECT content, last_modified_at FROM static_assets_cache WHERE namespace = $1 AND path = $2`)

// Asset returns a stored file; the error is db.ErrNoRows if there is none.
func (s *Store) Asset(ctx context.Context, namespace, path string) (Asset, error) {
	a := Asset{Path: path}
	var modified db.Time
	err := s.db.QueryRow(ctx, selectAsset, namespace, path).Scan(&a.Content, &modified)
	a.Modified = modified.Time
	return a, err
}

var touchAssets = db.SQL{
	Postgres: `UPDATE static_assets_cache SET last_modified_at = $2 WHERE namespace = $1 AND path = ANY ($3) RETURNING path`,
	SQLite: `UPDATE static_assets_cache SET last_modified_at = $2
		WHERE namespace = $1 AND path IN (SELECT value FROM json_each($3)) RETURNING path`,
}

// Touch says that the files at paths are still in use, and returns those of them that
// are stored.
func (s *Store) Touch(ctx context.Context, namespace string, paths []string, now time.Time) (map[string]bool, error) {
	rows, err := s.db.Query(ctx, touchAssets, namespace, db.At(now), paths)
	if err != nil {
		return nil, err
	}
	known, err := db.Collect(rows, func(r db.Row, path *string) error { return r.Scan(path) })
	out := make(map[string]bool, len(known))
	for _, path := range known {
		out[path] = true
	}
	return out, err
}

// Add stores files in one transaction. Replicas of one release add the same ones at the
// same time: what is there stays, with a new time.
func (s *Store) Add(ctx context.Context, namespace string, assets []Asset, now time.Time) error {
	rows := make([][]any, len(assets))
	for i, a := range assets {
		rows[i] = []any{namespace, a.Path, a.Content, db.At(now)}
	}
	_, err := db.InsertRows(ctx, s.db, db.Insert{
		Table:      "static_assets_cache",
		Columns:    []string{"namespace", "path", "content", "last_modified_at"},
		OnConflict: "ON CONFLICT (namespace, path) DO UPDATE SET last_modified_at = excluded.last_modified_at",
	}, rows)
	return err
}

var trimAssets = db.Same(`DELETE FROM static_assets_cache WHERE last_modified_at < $1`)

// Trim deletes the files that no replica has used since then, and returns how many.
func (s *Store) Trim(ctx context.Context, since time.Time) (int64, error) {
	return s.db.Exec(ctx, trimAssets, db.At(since))
}
