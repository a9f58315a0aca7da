package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/store"
)

// TestSEC87_LoadsAreOfOneVersion: tables are read one after the other, and what is returned
// is nevertheless one state that was stored.
func TestSEC87_LoadsAreOfOneVersion(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		s := store.New(d)
		write := func(n int) error {
			name := fmt.Sprint("v", n)
			_, err := s.Change(t.Context(), nil, func(s *engine.State) error {
				*s = engine.State{
					Version: s.Version, Rules: []engine.Rule{{Subject: "role:default/r", Permission: name, Action: "use", Effect: "allow"}},
					Members: []engine.Member{{Ref: "user:default/u", Role: name}}, Roles: []engine.Role{{Ref: name, Created: time.Unix(1, 0), Modified: time.Unix(1, 0)}}, Plugins: []string{name},
				}
				return nil
			})
			return err
		}
		if err := write(0); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var writer sync.WaitGroup
		writer.Go(func() {
			for n := 1; ctx.Err() == nil; n++ {
				if err := write(n); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
		versions := map[int64]bool{}
		for n := 0; n < 300 || len(versions) < 20; n++ {
			got, err := s.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			versions[got.Version] = true
			if name := got.Roles[0].Ref; got.Rules[0].Permission != name || got.Members[0].Role != name || got.Plugins[0] != name {
				t.Fatalf("version %d is parts of several: %+v", got.Version, got)
			}
		}
		stop()
		writer.Wait()
	})
}
