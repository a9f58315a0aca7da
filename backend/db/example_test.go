package db_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"testing/fstest"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

// Statements are package-level values, in both dialects where they differ.
var (
	upsertNote = db.Same(`
	INSERT INTO notes (id, text, changed_at) VALUES ($1, $2, $3)
	ON CONFLICT (id) DO UPDATE SET text = excluded.text, changed_at = excluded.changed_at`)

	selectNotes = db.List(`SELECT id, text, changed_at FROM notes WHERE id IN ($1...) ORDER BY id`)

	// claimNote takes the oldest note out of the way of other replicas. SQLite has one
	// writer, so it needs no row locks.
	claimNote = db.SQL{
		Postgres: `DELETE FROM notes WHERE id = (SELECT id FROM notes ORDER BY changed_at LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id`,
		SQLite:   `DELETE FROM notes WHERE id = (SELECT id FROM notes ORDER BY changed_at LIMIT 1) RETURNING id`,
	}
)

// A plugin embeds these files as migrations/postgres and migrations/sqlite.
var notes = fstest.MapFS{
	"postgres/00001_notes.sql": {Data: []byte("-- +goose Up\nCREATE TABLE notes (id text PRIMARY KEY, text text NOT NULL, changed_at timestamptz NOT NULL);\n")},
	"sqlite/00001_notes.sql":   {Data: []byte("-- +goose Up\nCREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT NOT NULL, changed_at INTEGER NOT NULL);\n")},
}

type note struct {
	id, text string
	changed  db.Time
}

func Example() {
	ctx := context.Background()
	manager, err := db.New(db.Config{}) // backend.database; the zero value is SQLite in memory
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	plugin := manager.Plugin("notes")
	migration, err := plugin.Migrate(ctx, notes)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("migrated to", migration.To)

	d := plugin.DB() // what the plugin's store is given
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	err = d.Tx(ctx, func(c db.Conn) error {
		for i, id := range []string{"a", "b"} {
			if _, err := c.Exec(ctx, upsertNote, id, "text of "+id, db.At(now.Add(time.Duration(i)*time.Hour))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	rows, err := d.Query(ctx, selectNotes, []string{"a", "b", "c"})
	if err != nil {
		log.Fatal(err)
	}
	found, err := db.Collect(rows, func(r db.Row, n *note) error { return r.Scan(&n.id, &n.text, &n.changed) })
	if err != nil {
		log.Fatal(err)
	}
	for _, n := range found {
		fmt.Println(n.id, n.text, n.changed.Format(time.RFC3339))
	}
	// Output:
	// migrated to 1
	// a text of a 2026-01-02T03:04:05Z
	// b text of b 2026-01-02T04:04:05Z
}

func ExampleRow() {
	ctx := context.Background()
	manager, err := db.New(db.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer manager.Close()
	plugin := manager.Plugin("notes")
	if _, err := plugin.Migrate(ctx, notes); err != nil {
		log.Fatal(err)
	}
	var id string
	err = plugin.DB().QueryRow(ctx, claimNote).Scan(&id)
	fmt.Println(errors.Is(err, db.ErrNoRows))
	// Output: true
}
