// Package cachetest holds every store of caches to what cache.Store promises.
package cachetest

import (
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/internal/cache"
)

// RunStore runs the suite on an empty store. pass lets time pass for it.
func RunStore(t *testing.T, s cache.Store, pass func(time.Duration)) {
	get := func(t *testing.T, key, want string, found bool) {
		t.Helper()
		v, ok, err := s.Get(t.Context(), key)
		if err != nil || ok != found || string(v) != want {
			t.Errorf("%s is %q, %v, %v, want %q, %v", key, v, ok, err, want, found)
		}
	}
	set := func(t *testing.T, key, value string, ttl time.Duration) {
		t.Helper()
		if err := s.Set(t.Context(), key, []byte(value), ttl); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("ValuesStay", func(t *testing.T) {
		get(t, "none", "", false)
		set(t, "a", "1", 0)
		set(t, "b", "", 0)
		get(t, "a", "1", true)
		get(t, "b", "", true)
		set(t, "a", "\x00\xff", 0)
		get(t, "a", "\x00\xff", true)
	})
	t.Run("DeletedValuesAreGone", func(t *testing.T) {
		set(t, "gone", "1", 0)
		for range 2 { // also what is not there
			if err := s.Delete(t.Context(), "gone"); err != nil {
				t.Fatal(err)
			}
		}
		get(t, "gone", "", false)
	})
	t.Run("ValuesEnd", func(t *testing.T) {
		set(t, "short", "1", 100*time.Millisecond)
		set(t, "long", "1", time.Hour)
		set(t, "longer", "1", 100*time.Millisecond)
		set(t, "longer", "2", 0)
		get(t, "short", "1", true)
		pass(150 * time.Millisecond)
		get(t, "short", "", false)
		get(t, "long", "1", true)
		get(t, "longer", "2", true)
	})
	t.Run("StoresKeepNoReferences", func(t *testing.T) {
		in := []byte("before")
		if err := s.Set(t.Context(), "mine", in, 0); err != nil {
			t.Fatal(err)
		}
		copy(in, "after!")
		out, _, _ := s.Get(t.Context(), "mine")
		copy(out, "after!")
		get(t, "mine", "before", true)
	})
}
