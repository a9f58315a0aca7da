// Package db stores a plugin's data in PostgreSQL or in SQLite behind one small interface.
//
// Three concepts carry it:
//
//   - [SQL] is one statement in both dialects, kept as a package-level value in
//     the plugin's store. Most statements are read alike by both: [Same].
//   - [DB] is what a store is given. On PostgreSQL it is pgx: prepared statements,
//     binary encoding, and [Conn.Pgx] for COPY and batches. On SQLite it is one
//     writer and several readers, which a writer never blocks.
//   - [Manager] gives every plugin its own database, schema or file, as
//     backend.database in app-config.yaml says, and migrates it.
//
// A plugin asks for a [DB] in its constructor; nothing connects before the first
// statement. Tests open one with package dbtest, on both databases.
//
//	var selectEntity = db.Same(`SELECT final_entity FROM final_entities WHERE entity_ref = $1`)
//
//	func (s *Store) Entity(ctx context.Context, ref string) (json db.JSON, err error) {
//		err = s.db.QueryRow(ctx, selectEntity, ref).Scan(&json)
//		return json, err // db.ErrNoRows if there is none
//	}
//
// # Types that differ
//
//	in Go      PostgreSQL     SQLite
//	db.Time    timestamptz    INTEGER, microseconds since 1970
//	db.JSON    jsonb, json    TEXT
//	bool       boolean        INTEGER
//	[]byte     bytea          BLOB
//	[]string   text[]         TEXT, a JSON array (see [List])
package db
