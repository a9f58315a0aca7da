package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/internal/cache"
	"github.com/callboard-dev/callboard/backend/internal/cache/cachetest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	now := time.Now()
	m := cache.NewMemory(func() time.Time { return now })
	t.Cleanup(func() { _ = m.Close() })
	cachetest.RunStore(t, m, func(d time.Duration) { now = now.Add(d) })
}

func TestMemoryIsBoundedByBytes(t *testing.T) {
	t.Parallel()
	m := cache.NewMemory(nil)
	t.Cleanup(func() { _ = m.Close() })
	value := make([]byte, 1<<20)
	for i := range 200 {
		if err := m.Set(t.Context(), fmt.Sprint(i), value, 0); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(50 * time.Millisecond) // what is too much leaves in the background
	kept := 0
	for i := range 200 {
		if _, ok, _ := m.Get(t.Context(), fmt.Sprint(i)); ok {
			kept++
		}
	}
	if kept > 64 || kept == 0 {
		t.Errorf("%d MiB are kept, want up to 64", kept)
	}
}

func TestMemoryThatIsNotUsedHasNoGoroutine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(*testing.T) { cache.NewMemory(nil) }) // fails if one is left
}

func TestKeys(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"a", "YQ=="},
		{"a key/with: signs ü", "YSBrZXkvd2l0aDogc2lnbnMgw7w="},
		{strings.Repeat("x", 150), strings.Repeat("eHh4", 50)}, // 200 characters
		{strings.Repeat("x", 151), "jrgn5pZNseKMqvsHtAjUQe/IBMjaMOO62Dpw3TVmqIs="},
	} {
		if got := cache.Encode(tt.in); got != tt.want {
			t.Errorf("%.20q... is %q, want %q", tt.in, got, tt.want)
		}
	}
}

// store counts and fails at will.
type store struct {
	cache.Store
	err  error
	keys []string
	ttl  time.Duration
}

func (s *store) Get(_ context.Context, key string) ([]byte, bool, error) {
	s.keys = append(s.keys, key)
	return []byte("x"), true, s.err
}

func (s *store) Set(_ context.Context, key string, _ []byte, ttl time.Duration) error {
	s.keys, s.ttl = append(s.keys, key), ttl
	return s.err
}

func (s *store) Delete(_ context.Context, key string) error {
	s.keys = append(s.keys, "delete "+key)
	return s.err
}

func TestPluginsDoNotMeet(t *testing.T) {
	t.Parallel()
	s := &store{}
	var broken atomic.Bool
	for _, plugin := range []string{"catalog", "techdocs"} {
		_, _, _ = cache.For(s, plugin, 0, &broken, slog.New(slog.DiscardHandler)).Get(t.Context(), "a")
	}
	if got := strings.Join(s.keys, " "); got != "catalog:YQ== techdocs:YQ==" {
		t.Errorf("keys are %s", got)
	}
}

func TestLifetimes(t *testing.T) {
	t.Parallel()
	s := &store{}
	c := cache.For(s, "p", time.Minute, new(atomic.Bool), slog.New(slog.DiscardHandler))
	for in, want := range map[time.Duration]time.Duration{0: time.Minute, time.Second: time.Second} {
		if err := c.Set(t.Context(), "a", nil, in); err != nil || s.ttl != want {
			t.Errorf("a ttl of %s is %s, %v, want %s", in, s.ttl, err, want)
		}
	}
	if err := c.Set(t.Context(), "a", nil, -1); err != nil || s.keys[len(s.keys)-1] != "delete p:YQ==" {
		t.Errorf("what has ended is not kept: %v, %v", s.keys, err)
	}
}

func TestAStoreThatCannotBeUsedIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := &store{err: errors.New("connection refused")}
	c := cache.For(s, "p", 0, new(atomic.Bool), slog.New(slog.NewTextHandler(&log, nil)))
	for range 3 {
		if v, ok, err := c.Get(t.Context(), "a"); ok || err != nil {
			t.Errorf("get: %q, %v, %v, want no value and no error", v, ok, err)
		}
		if err := errors.Join(c.Set(t.Context(), "a", nil, 0), c.Delete(t.Context(), "a")); err != nil {
			t.Errorf("set and delete: %v", err)
		}
	}
	s.err = nil
	if _, ok, _ := c.Get(t.Context(), "a"); !ok {
		t.Error("the value does not come back with the store")
	}
	if n := strings.Count(log.String(), "connection refused"); n != 1 || !strings.Contains(log.String(), "works again") {
		t.Errorf("logged %d times:\n%s", n, &log)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.Get(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the caller has given up: %v", err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		yaml string
		want time.Duration
		err  string
	}{
		{yaml: `{}`},
		{yaml: `{defaultTtl: 1500}`, want: 1500 * time.Millisecond},
		{yaml: `{defaultTtl: 15m}`, want: 15 * time.Minute},
		{yaml: `{defaultTtl: PT1H}`, want: time.Hour},
		{yaml: `{defaultTtl: {hours: 2}}`, want: 2 * time.Hour},
		{yaml: `{store: memcache}`, err: "backend.cache.store: memcache is not supported; use memory, redis or valkey"},
		{yaml: `{store: infinispan}`, err: "infinispan is not supported"},
	} {
		cfg, err := config.Parse("app-config.yaml", []byte("backend: {cache: "+tt.yaml+"}"))
		if err != nil {
			t.Fatal(err)
		}
		var c cache.Config
		err = cfg.Decode("backend.cache", &c)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v, want %s", tt.yaml, err, tt.err)
			}
			continue
		}
		if err != nil || time.Duration(c.DefaultTTL) != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.yaml, c.DefaultTTL, err, tt.want)
		}
	}
}
