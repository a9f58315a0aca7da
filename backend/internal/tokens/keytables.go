package tokens

import (
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

// A KeyTable is where public keys are stored. Names and columns are the reference's
// (contract/auth.md 7.7), so that tokens stay valid while one replaces the other.
type KeyTable struct {
	exists, create, insert, list, expire db.SQL
	// stamp is the third column of a key that is made now, and oldest is the bound that
	// this column exceeds in keys that are still listed.
	stamp  func(made time.Time, life time.Duration) any
	oldest func(now time.Time, life time.Duration) any
}

// PluginKeyTable is in the database of every plugin. Its times are text of one length, in
// UTC, which sorts as the times do.
func PluginKeyTable() KeyTable {
	iso := func(t time.Time) any { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
	return KeyTable{
		exists: exists("backstage_backend_public_keys__keys"),
		create: db.Same(`CREATE TABLE IF NOT EXISTS backstage_backend_public_keys__keys (
			id text PRIMARY KEY, key text NOT NULL, expires_at text NOT NULL)`),
		insert: db.Same(`INSERT INTO backstage_backend_public_keys__keys (id, key, expires_at) VALUES ($1, $2, $3)`),
		list:   db.Same(`SELECT id, key FROM backstage_backend_public_keys__keys WHERE expires_at > $1 ORDER BY expires_at, id`),
		expire: db.Same(`DELETE FROM backstage_backend_public_keys__keys WHERE expires_at <= $1`),
		stamp:  func(made time.Time, life time.Duration) any { return iso(made.Add(keysKept * life)) },
		oldest: func(now time.Time, _ time.Duration) any { return iso(now) },
	}
}

// UserKeyTable is in the database of the auth plugin.
func UserKeyTable() KeyTable {
	return KeyTable{
		exists: exists("signing_keys"),
		create: db.SQL{
			Postgres: `CREATE TABLE IF NOT EXISTS signing_keys (kid text PRIMARY KEY, key text NOT NULL, created_at timestamptz NOT NULL)`,
			SQLite:   `CREATE TABLE IF NOT EXISTS signing_keys (kid text PRIMARY KEY, key text NOT NULL, created_at integer NOT NULL)`,
		},
		insert: db.Same(`INSERT INTO signing_keys (kid, key, created_at) VALUES ($1, $2, $3)`),
		list:   db.Same(`SELECT kid, key FROM signing_keys WHERE created_at > $1 ORDER BY created_at, kid`),
		expire: db.Same(`DELETE FROM signing_keys WHERE created_at <= $1`),
		stamp:  func(made time.Time, _ time.Duration) any { return db.At(made) },
		oldest: func(now time.Time, life time.Duration) any { return db.At(now.Add(-keysKept * life)) },
	}
}

// exists counts the tables of a name in the plugin's schema: one or none.
func exists(table string) db.SQL {
	return db.SQL{
		Postgres: `SELECT count(*) FROM pg_catalog.pg_class WHERE oid = to_regclass('` + table + `')`,
		SQLite:   `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '` + table + `'`,
	}
}
