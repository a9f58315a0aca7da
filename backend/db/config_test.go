package db_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
)

func TestConnectionsAreWrittenInManyForms(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ yaml, want string }{
		{yaml: `{}`, want: "SQLite in memory"},
		{yaml: `{client: better-sqlite3, connection: ':memory:'}`, want: "SQLite in memory"},
		{yaml: `{client: sqlite3, connection: {filename: ':memory:'}}`, want: "SQLite in memory"},
		{yaml: `{client: better-sqlite3, connection: {directory: data}}`, want: "SQLite file data/catalog.sqlite"},
		{yaml: `{client: better-sqlite3, connection: {directory: data}, plugin: {catalog: {connection: {filename: other.db}}}}`, want: "SQLite file other.db"},
		{yaml: `{client: better-sqlite3, connection: {directory: data}, plugin: {catalog: {connection: ':memory:'}}}`, want: "SQLite in memory"},
		{
			yaml: `{client: pg, connection: {host: db.example, port: 5433, user: backstage, password: secret}}`,
			want: `PostgreSQL at db.example:5433, database "backstage_plugin_catalog"`,
		},
		{
			yaml: `{client: pg, connection: {host: db.example, port: 5433, user: u, password: p, database: all}, pluginDivisionMode: schema, schemaPrefix: bs_}`,
			want: `PostgreSQL at db.example:5433, database "all", schema "bs_catalog"`,
		},
		{
			yaml: `{client: pg, connection: 'postgresql://u:p%40@db.example:5433/all?sslmode=no-verify', prefix: x-}`,
			want: `PostgreSQL at db.example:5433, database "x-catalog"`,
		},
		{
			yaml: `{client: pg, connection: {connectionString: 'postgres://u:p@db.example/all', host: ignored, port: 5432}, pluginDivisionMode: schema}`,
			want: `PostgreSQL at db.example:5432, database "all", schema "catalog"`,
		},
		{
			yaml: `{client: pg, connection: {host: db.example, user: u}, plugin: {catalog: {connection: {host: other.example, port: 6000, database: mine}}}}`,
			want: `PostgreSQL at other.example:6000, database "mine"`,
		},
		{
			yaml: `{client: pg, connection: 'postgres://u:p@db.example:5433/all', plugin: {catalog: {client: better-sqlite3, connection: ':memory:'}}}`,
			want: `SQLite in memory`,
		},
		{
			yaml: `{client: better-sqlite3, connection: ':memory:', plugin: {catalog: {client: pg, connection: 'postgres://u:p@db.example:5433/mine'}}}`,
			want: `PostgreSQL at db.example:5433, database "mine"`,
		},
	} {
		m, err := db.New(decode(t, tt.yaml))
		if err != nil {
			t.Errorf("%s: %v", tt.yaml, err)
			continue
		}
		if got := m.Plugin("catalog").Where(); got != tt.want {
			t.Errorf("%s\nis %s\nwant %s", tt.yaml, got, tt.want)
		}
	}
}

func TestMistakesNameTheirKey(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ yaml, want string }{
		{yaml: `{client: mysql2, connection: {host: x}}`, want: `backend.database.client: "mysql2" is not supported, use pg, or better-sqlite3 (alias sqlite3)`},
		{yaml: `{client: embedded-postgres}`, want: `backend.database.client: "embedded-postgres" is not supported: run a PostgreSQL server and use pg, or use better-sqlite3`},
		{yaml: `{connection: {host: x}}`, want: `backend.database.client: required key is missing: use pg, or better-sqlite3 (alias sqlite3)`},
		{yaml: `{client: pg, connection: 'host=x password=canary'}`, want: `backend.database.connection: want a URL like postgres://user:password@host:5432/database`},
		{yaml: `{client: pg, connection: 'postgres://u:canary%@x/y'}`, want: `backend.database.connection: want a URL like postgres://`},
		{yaml: `{client: pg, connection: 'postgres://u:canary@x:99999/y'}`, want: `backend.database.connection: the URL's port is "99999"`},
		{yaml: `{client: pg, connection: 'postgres://u@x/y?sslmode=maybe'}`, want: `backend.database.connection: the URL's sslmode is "maybe", use`},
		{yaml: `{client: pg, connection: 'postgres://u@x/y?password=canary'}`, want: `backend.database.connection: the URL has the password among its parameters`},
		{yaml: `{client: pg, connection: {host: x, port: 70000}}`, want: `backend.database.connection.port: is 70000`},
		{yaml: `{client: pg, connection: {host: x, ssl: {ca: no}}}`, want: `backend.database.connection.ssl.ca: holds no PEM certificate`},
		{yaml: `{client: pg, connection: {host: x, ssl: {key: canary}}}`, want: `backend.database.connection.ssl: cert and key belong together`},
		{yaml: `{client: pg, connection: {host: /run, ssl: true}}`, want: `backend.database.connection.ssl: TLS does not go through a socket`},
		{yaml: `{client: pg, connection: {host: x, type: rds, password: canary}}`, want: `backend.database.connection.type: is "rds", but no connection type of that name is part of this backend`},
		{yaml: `{client: pg, connection: {host: x}, plugin: {search: {connection: {type: azure}}}}`, want: `backend.database.plugin.search.connection.type: is "azure"`},
		{yaml: `{client: pg, connection: {host: x}, pluginDivisionMode: table}`, want: `backend.database.pluginDivisionMode: is "table", use database or schema`},
		{yaml: `{client: sqlite3, connection: ':memory:', pluginDivisionMode: schema}`, want: `backend.database.pluginDivisionMode: schema needs PostgreSQL`},
		{yaml: `{client: pg, connection: {host: x}, schemaPrefix: 1-}`, want: `backend.database.schemaPrefix: is "1-"`},
		{yaml: `{client: sqlite3, connection: {filename: all.sqlite}}`, want: `backend.database.connection.filename: one file cannot serve all plugins`},
		{yaml: `{client: sqlite3}`, want: `backend.database.connection: required key is missing`},
		{yaml: `{client: sqlite3, connection: 'postgres://u:canary@x/y'}`, want: `backend.database.connection: SQLite takes ':memory:' or {directory: PATH}, not a URL`},
		{yaml: `{client: pg, connection: {host: x}, knexConfig: {pool: {min: 5, max: 2}}}`, want: `backend.database.knexConfig.pool.min: is 5, more than max, which is 2`},
		{yaml: `{client: pg, connection: {host: x}, plugin: {a: {knexConfig: {pool: {max: 0}}}}}`, want: `backend.database.plugin.a.knexConfig.pool.max: is 0, want at least 1`},
		{yaml: `{client: pg, connection: {host: x}, plugin: {a: {client: oracle}}}`, want: `backend.database.plugin.a.client: "oracle" is not supported`},
		{yaml: `{client: pg, connection: {host: x}, pluginDivisionMode: schema, plugin: {` + strings.Repeat("a", 64) + `: {role: x}}}`, want: `has 64 bytes, PostgreSQL allows 63`},
		{yaml: `{client: pg, connection: {host: x}, lockConnection: 'nowhere:canary'}`, want: `backend.database.lockConnection: want a URL`},
	} {
		_, err := newFrom(tt.yaml)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s\nsays %v\nwant %s", tt.yaml, err, tt.want)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s\nshows the secret: %v", tt.yaml, err)
		}
	}
}

// newFrom is New for a configuration that may be found wrong when it is decoded, as
// it is in a backend.
func newFrom(yaml string) (*db.Manager, error) {
	tree, err := config.Parse("app-config.yaml", []byte("backend:\n  database: "+yaml+"\n"))
	if err != nil {
		return nil, err
	}
	var cfg db.Config
	if err := tree.Decode("backend.database", &cfg); err != nil {
		return nil, err
	}
	return db.New(cfg)
}

func TestNewReportsEveryProblem(t *testing.T) {
	t.Parallel()
	cfg := db.Config{Client: "mysql2", PluginDivisionMode: "x", SchemaPrefix: "-"}
	_, err := db.New(cfg)
	if n := len(config.Problems(err)); n != 3 {
		t.Errorf("%d problems, want 3: %v", n, err)
	}
	var key *config.KeyError
	if !errors.As(err, &key) || key.Path != "backend.database.client" {
		t.Errorf("the first is %+v", key)
	}
}

// tokens is a connection type that signs in with a token.
type tokens struct{ region string }

func (s tokens) BeforeConnect(_ context.Context, c *pgx.ConnConfig) error {
	return errors.New("token for " + c.User + " in " + s.region + " was asked for")
}

func TestConnectionTypesSignIn(t *testing.T) {
	t.Parallel()
	m := manager(t, `{client: pg, connection: {type: rds, host: 127.0.0.1, port: 1, user: u, region: eu}}`,
		db.WithConnectionType("rds", func(c db.Connection) (db.TokenSource, error) { return tokens{c.Region}, nil }))
	if err := m.Plugin("catalog").Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "token for u in eu was asked for") {
		t.Errorf("got %v", err)
	}
	_, err := db.New(decode(t, `{client: pg, connection: {type: rds, host: x}}`),
		db.WithConnectionType("rds", func(c db.Connection) (db.TokenSource, error) { return nil, errors.New("region is missing") }))
	if err == nil || err.Error() != "backend.database.connection.type: region is missing" {
		t.Errorf("got %v", err)
	}
}
