package backend_test

import (
	"testing/fstest"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
)

// migratedPlugin has one table, so that its start needs the database.
func migratedPlugin() backend.Feature {
	return backend.NewPlugin("costs", backend.Migrations(fstest.MapFS{
		"postgres/00001_prices.sql": {Data: []byte("-- +goose Up\nCREATE TABLE prices (sku text PRIMARY KEY, cents bigint NOT NULL);\n")},
		"sqlite/00001_prices.sql":   {Data: []byte("-- +goose Up\nCREATE TABLE prices (sku TEXT PRIMARY KEY, cents INTEGER NOT NULL);\n")},
	}), fx.Invoke(func(backend.Router) {}))
}
