package dbtest_test

import (
	"testing"
	"testing/fstest"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
)

var migrations = fstest.MapFS{
	"postgres/00001_notes.sql": {Data: []byte("-- +goose Up\nCREATE TABLE notes (id text PRIMARY KEY);\n")},
	"sqlite/00001_notes.sql":   {Data: []byte("-- +goose Up\nCREATE TABLE notes (id TEXT PRIMARY KEY);\n")},
}

// A plugin's test of its store has this form.
func TestStore(t *testing.T) {
	t.Parallel()
	runs := 0
	dbtest.Each(t, migrations, func(t *testing.T, d db.DB) {
		runs++
		for _, id := range []string{"a", "b"} {
			if _, err := d.Exec(t.Context(), db.Same(`INSERT INTO notes (id) VALUES ($1)`), id); err != nil {
				t.Fatal(err)
			}
		}
		var n int
		if err := d.QueryRow(t.Context(), db.Same(`SELECT count(*) FROM notes`)).Scan(&n); err != nil || n != 2 {
			t.Errorf("%d notes, want the 2 of this test, %v", n, err)
		}
	})
	if runs < 2 {
		t.Errorf("the test ran %d times, want once for each database", runs)
	}
}
