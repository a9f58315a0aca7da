// Package store holds all SQL of the catalog: the state of the processing engine,
// the entities that are served, and the index that filters read.
//
// Methods speak the domain's words. Those that write belong to the engine
// (catalog/internal/ingest and catalog/internal/stitch) and are in write_*.go and
// its neighbours; those that the API reads are in read_*.go. Every statement runs
// in one test suite on SQLite and on PostgreSQL.
package store

import (
	"embed"
	"io/fs"
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
