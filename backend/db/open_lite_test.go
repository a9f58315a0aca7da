package db_test

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/callboard-dev/callboard/backend/db"
)

// TestAFileIsOpenedByManyAtOnce is about the first moment of a file, in which one connection
// makes it a write-ahead one while others open it.
func TestAFileIsOpenedByManyAtOnce(t *testing.T) {
	t.Parallel()
	for range 25 {
		m := manager(t, `{client: better-sqlite3, connection: {directory: `+filepath.ToSlash(t.TempDir())+`}}`)
		d := m.Plugin("catalog").DB()
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				var one int
				if err := d.QueryRow(t.Context(), db.Same(`SELECT 1`)).Scan(&one); err != nil {
					t.Errorf("read: %v", err)
				}
			})
			wg.Go(func() {
				if _, err := d.Exec(t.Context(), db.Same(`CREATE TABLE IF NOT EXISTS things (id text)`)); err != nil {
					t.Errorf("write: %v", err)
				}
			})
		}
		wg.Wait()
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}
