package rediscache

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/internal/cache/cachetest"
)

func open(t *testing.T, yaml string) *Store {
	t.Helper()
	cfg, err := config.Parse("app-config.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	s, err := openCache(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.(*Store)
}

func TestStore(t *testing.T) {
	t.Parallel()
	_, url := start(t)
	for _, unlink := range []bool{true, false} {
		t.Run(fmt.Sprint("unlink ", unlink), func(t *testing.T) {
			s := open(t, fmt.Sprintf(`{store: redis, connection: %q, redis: {client: {useUnlink: %v}}}`, url.Reveal(), unlink))
			cachetest.RunStore(t, s, time.Sleep)
		})
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		`{store: redis, connection: "redis://h"}`:                                                                "catalog:YQ==",
		`{store: redis, connection: {url: "redis://h"}, redis: {client: {namespace: portal}}}`:                   "portal:catalog:YQ==",
		`{store: redis, connection: "redis://h", redis: {client: {namespace: portal, keyPrefixSeparator: "/"}}}`: "portal/catalog/YQ==",
		`{store: valkey, connection: "redis://h", valkey: {client: {keyPrefix: "portal-"}}}`:                     "portal-catalog:YQ==",
	} {
		if got := open(t, yaml).Key("catalog", "YQ=="); got != want {
			t.Errorf("%s: key is %s, want %s", yaml, got, want)
		}
	}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	s := open(t, `{store: redis, redis: {cluster: {rootNodes: [{url: "rediss://me:secret@one:7000"}, {url: "rediss://two:7000"}], useReplicas: true, maxCommandRedirections: 5}}}`)
	c, ok := s.client.(*redis.ClusterClient)
	if !ok {
		t.Fatalf("the client is a %T", s.client)
	}
	o := c.Options()
	if strings.Join(o.Addrs, " ") != "one:7000 two:7000" || o.Username != "me" || o.Password != "secret" || o.TLSConfig == nil || !o.ReadOnly || o.MaxRedirects != 5 {
		t.Errorf("options are %+v", o)
	}
}

func TestWrongConnections(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		`{store: redis}`: "connection: required key is missing",
		`{store: redis, connection: "http://me:canary@host"}`:                             "connection: expected a URL such as",
		`{store: redis, connection: {}}`:                                                  "url: required key is missing",
		`{store: redis, redis: {cluster: {rootNodes: [{url: "http://me:canary@host"}]}}}`: "cluster.rootNodes[0].url: expected a URL such as",
	} {
		cfg, err := config.Parse("app-config.yaml", []byte(yaml))
		if err != nil {
			t.Fatal(err)
		}
		_, err = openCache(cfg, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, want %s, and no secret", yaml, err, want)
		}
	}
}

// A plugin's cache, in a whole backend.
func TestCacheOfAPlugin(t *testing.T) {
	t.Parallel()
	srv, url := start(t)
	var c backend.Cache
	plugin := backend.NewPlugin("p", fx.Invoke(func(in backend.Cache) { c = in }))
	backendtest.Start(t, fmt.Sprintf(`backend: {cache: {store: redis, connection: %q, defaultTtl: 1h, redis: {client: {namespace: portal}}}}`, url.Reveal()), Module(), plugin)
	if err := c.Set(t.Context(), "a", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	if v, ok, err := c.Get(t.Context(), "a"); string(v) != "1" || !ok || err != nil {
		t.Errorf("get: %q, %v, %v", v, ok, err)
	}
	direct := redis.NewClient(&redis.Options{Network: "unix", Addr: srv.socket()})
	defer direct.Close()
	if ttl := direct.TTL(t.Context(), "portal:p:YQ==").Val(); ttl <= 0 || ttl > time.Hour {
		t.Errorf("the key portal:p:YQ== is left for %s, want up to an hour", ttl)
	}
	// Without the server there are no values, and no errors; with it there are again.
	srv.stop()
	if _, ok, err := c.Get(t.Context(), "a"); ok || err != nil {
		t.Errorf("without a server: %v, %v", ok, err)
	}
	if err := c.Set(t.Context(), "a", []byte("2"), 0); err != nil {
		t.Errorf("set without a server: %v", err)
	}
	srv.start(t)
	for v := []byte(nil); string(v) != "3"; {
		if err := c.Set(t.Context(), "a", []byte("3"), 0); err != nil {
			t.Fatal(err)
		}
		v, _, _ = c.Get(t.Context(), "a")
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	srv, url := start(t)
	one, err := openRates(url)
	if err != nil {
		t.Fatal(err)
	}
	two, err := openRates(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = one.(*Rates).Close(); _ = two.(*Rates).Close() })
	var wg sync.WaitGroup
	for _, r := range []backend.RateStore{one, two} { // two replicas
		wg.Go(func() {
			for range 50 {
				if _, _, err := r.Hit(t.Context(), "k", time.Hour); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := one.Undo(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	n, reset, err := two.Hit(t.Context(), "k", time.Minute)
	if err != nil || n != 100 || reset.Before(before.Add(50*time.Minute)) || reset.After(time.Now().Add(time.Hour)) {
		t.Errorf("hit: %d until %s, %v, want 100 until the end of the first window", n, reset, err)
	}
	if err := one.Undo(t.Context(), "none"); err != nil {
		t.Fatal(err)
	}
	if n, _, err := one.Hit(t.Context(), "none", 50*time.Millisecond); n != 1 || err != nil {
		t.Errorf("what was undone before counts: %d, %v", n, err)
	}
	time.Sleep(100 * time.Millisecond)
	if n, _, err := one.Hit(t.Context(), "none", time.Hour); n != 1 || err != nil {
		t.Errorf("after its window: %d, %v, want 1", n, err)
	}
	srv.stop()
	if _, _, err := one.Hit(t.Context(), "k", time.Hour); err == nil {
		t.Error("hit without a server")
	}
}

// Two replicas share their limit.
func TestRateLimitOverReplicas(t *testing.T) {
	t.Parallel()
	_, url := start(t)
	yaml := fmt.Sprintf(`backend: {rateLimit: {store: {type: redis, connection: %q}, window: 1h, incomingRequestLimit: 3, ipAllowList: []}}`, url.Reveal())
	a, b := backendtest.Start(t, yaml, Module()), backendtest.Start(t, yaml, Module())
	var got []int
	for _, base := range []string{a.URL, b.URL, a.URL, b.URL, a.URL} {
		res, err := http.Get(base + "/api/nothing")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		got = append(got, res.StatusCode)
	}
	if fmt.Sprint(got) != "[404 404 404 429 429]" {
		t.Errorf("statuses are %v, want 3 answers for both", got)
	}
}

func TestWithoutTheModule(t *testing.T) {
	t.Parallel()
	for _, yaml := range []string{
		`backend: {cache: {store: redis, connection: "redis://h"}}`,
		`backend: {cache: {store: valkey, connection: "redis://h"}}`,
		`backend: {rateLimit: {store: {type: redis, connection: "redis://h"}}}`,
	} {
		_, err := backendtest.Boot(t, yaml)
		if err == nil || !strings.Contains(err.Error(), "backend.Add(rediscache.Module())") {
			t.Errorf("%s: %v", yaml, err)
		}
	}
	_, err := backendtest.Boot(t, `backend: {cache: {store: memcache}}`)
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("use memory, redis or valkey")) {
		t.Errorf("memcache: %v", err)
	}
}
