package store_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/app/internal/store"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		t.Parallel()
		ctx, s := t.Context(), store.New(d)
		monday := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
		week := 7 * 24 * time.Hour
		add := func(namespace string, now time.Time, assets ...store.Asset) {
			t.Helper()
			if err := s.Add(ctx, namespace, assets, now); err != nil {
				t.Fatal(err)
			}
		}
		add(store.Main, monday, store.Asset{Path: "a.js", Content: []byte("a\x00")}, store.Asset{Path: "b.js", Content: []byte{}})
		add(store.Public, monday, store.Asset{Path: "a.js", Content: []byte("public")})
		add(store.Main, monday.Add(week), store.Asset{Path: "a.js", Content: []byte("changed")})

		a, err := s.Asset(ctx, store.Main, "a.js")
		if err != nil || string(a.Content) != "a\x00" || !a.Modified.Equal(monday.Add(week)) {
			t.Errorf("what is stored stays, with a new time: %q of %v, %v", a.Content, a.Modified, err)
		}
		if _, err := s.Asset(ctx, store.Public, "b.js"); !errors.Is(err, db.ErrNoRows) {
			t.Errorf("a file of another namespace: %v", err)
		}
		known, err := s.Touch(ctx, store.Main, []string{"b.js", "c.js"}, monday.Add(2*week))
		if err != nil || !slices.Equal(slices.Collect(maps.Keys(known)), []string{"b.js"}) {
			t.Errorf("known are %v, %v", known, err)
		}
		n, err := s.Trim(ctx, monday.Add(week).Add(time.Second))
		if err != nil || n != 2 {
			t.Errorf("%d were deleted, %v; want a.js twice", n, err)
		}
		if _, err := s.Asset(ctx, store.Main, "b.js"); err != nil {
			t.Errorf("a file that is in use: %v", err)
		}

		// Replicas of one release start together.
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				var assets []store.Asset
				for i := range 200 {
					assets = append(assets, store.Asset{Path: fmt.Sprintf("%03d.js", i), Content: []byte("x")})
				}
				if err := s.Add(ctx, store.Main, assets, monday); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}
