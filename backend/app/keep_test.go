package app

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/fstest"
	"time"

	"github.com/callboard-dev/callboard/backend/app/internal/site"
	"github.com/callboard-dev/callboard/backend/app/internal/store"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
)

// TestKeeping holds that files outlive the last replica of their release by a week, however
// long it has run, and that more is stored than one batch has.
func TestKeeping(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		t.Parallel()
		ctx, assets := t.Context(), store.New(d)
		now := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
		replica := func(files fstest.MapFS) *keeper {
			files["index.html"] = &fstest.MapFile{Data: []byte("</head>")}
			e, err := openEntry(files, store.Main, Config{}, site.NewBudget(0))
			if err != nil {
				t.Fatal(err)
			}
			return &keeper{store: assets, entries: func() []*entry { return []*entry{e} }, now: func() time.Time { return now }, log: slog.New(slog.DiscardHandler)}
		}
		keep := func(k *keeper) {
			t.Helper()
			if err := k.keep(ctx); err != nil {
				t.Fatal(err)
			}
		}
		stored := func(name string, want bool) {
			t.Helper()
			_, err := assets.Asset(ctx, store.Main, name)
			if err != nil && !errors.Is(err, db.ErrNoRows) {
				t.Fatal(err)
			}
			if (err == nil) != want {
				t.Errorf("%s on %s: stored is %v, want %v", name, now.Format(time.DateOnly), err == nil, want)
			}
		}
		large := fstest.MapFS{"static/old.js": {Data: []byte("old")}, "static/old.js.map": {Data: []byte("map")}, "static/old.js.gz": {Data: []byte("gz")}}
		for i := range 5 {
			large[fmt.Sprintf("static/chunk.%d.js", i)] = &fstest.MapFile{Data: bytes.Repeat([]byte("x"), maxBatch/2+1)}
		}
		old, next := replica(large), replica(fstest.MapFS{"static/new.js": {Data: []byte("new")}})
		keep(old)
		for name, want := range map[string]bool{"old.js": true, "chunk.0.js": true, "chunk.4.js": true, "old.js.map": false, "old.js.gz": false} {
			stored(name, want)
		}
		for range 20 { // days on which it runs
			now = now.Add(24 * time.Hour)
			keep(old)
		}
		keep(next)
		now = now.Add(keepFor)
		keep(next)
		stored("old.js", true)
		now = now.Add(time.Hour)
		keep(next)
		stored("old.js", false)
		stored("chunk.4.js", false)
		stored("new.js", true)
	})
}
