package auth_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/auth/guestauth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

// withPrograms is the configuration of a portal whose clients are behind a proxy.
func withPrograms(rateLimit string) string {
	yaml := strings.Replace(production, "backend: {", "backend: {trustProxy: true, "+rateLimit, 1)
	return strings.Replace(yaml, "auth:\n", "auth:\n  clientIdMetadataDocuments: {enabled: true}\n  experimentalDynamicClientRegistration: {enabled: true}\n", 1)
}

// until sends requests of one address until one is answered 429, and returns how many were
// not. It gives up after most.
func (b *browser) until(address, method, path string, most int) (n int, last answer) {
	b.t.Helper()
	for n < most {
		if last = b.do(method, path, "", "X-Forwarded-For", address, "X-Requested-With", "XMLHttpRequest"); last.status == 429 {
			return n, last
		}
		n++
	}
	return n, last
}

// counters is a store that two replicas share. Its windows do not end.
type counters struct {
	mu   sync.Mutex
	hits map[string]int
}

func (c *counters) Hit(_ context.Context, key string, window time.Duration) (int, time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hits[key]++
	return c.hits[key], time.Now().Add(window), nil
}

func (c *counters) Undo(context.Context, string) error { return nil }

func (c *counters) service() backend.Feature {
	return backend.NewService(backend.RateStoreOption("shared", func(config.Secret) (backend.RateStore, error) { return c, nil }))
}

// TestS17_OneAddressIsLimited holds the limits of docs/sign-in.md. Windows of the memory
// store could end meanwhile; those of counters do not.
func TestS17_OneAddressIsLimited(t *testing.T) {
	t.Parallel()
	c := &counters{hits: map[string]int{}}
	b := open(t, withPrograms("rateLimit: {global: false, store: {type: shared}}, "), c.service()).browser()
	for _, tt := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/idp/start?env=production", 60},
		{"GET", "/v1/authorize", 0}, // counted with start
		{"POST", "/idp/handler/frame?env=production", 60},
		{"GET", "/idp/handler/frame?env=production", 0},
		{"GET", "/idp/refresh?env=production", 250}, // a storm of 200 gets through
		{"POST", "/v1/token", 30},
		{"POST", "/v1/revoke", 0},
		{"POST", "/v1/register", 30},
	} {
		n, a := b.until("203.0.113.7", tt.method, tt.path, 400)
		if n != tt.want || a.status != 429 || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "Too many requests") {
			t.Errorf("%s %s: %d, %d %v", tt.method, tt.path, n, a.status, a.header)
		}
		if n, a := b.until("203.0.113.8", tt.method, tt.path, 1); n != 1 {
			t.Errorf("%s %s: another address is answered %d", tt.method, tt.path, a.status)
		}
	}
	for _, path := range []string{"/.well-known/jwks.json", "/.well-known/openid-configuration"} {
		if n, a := b.until("203.0.113.7", "GET", path, 300); n != 300 {
			t.Errorf("%s: %d %d", path, n, a.status)
		}
	}
}

// TestS17_LimitsNeedNoConfiguration holds that there are limits without backend.rateLimit,
// and what ends them.
func TestS17_LimitsNeedNoConfiguration(t *testing.T) {
	t.Parallel()
	const address, start = "203.0.113.7", "/idp/start?env=production"
	for _, tt := range []struct {
		name, rateLimit, address string
		limited                  bool
	}{
		{"without configuration", "", address, true},
		{"the machine itself", "", "127.0.0.1", false},
		{"the machine itself, where it is not allowed", "rateLimit: {global: false, ipAllowList: []}, ", "127.0.0.1", true},
		{"switched off", "rateLimit: false, ", address, false},
		{"with the operator's own", "rateLimit: {global: false, plugin: {auth: {incomingRequestLimit: 5000}}}, ", address, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := open(t, withPrograms(tt.rateLimit)).browser()
			if n, a := b.until(tt.address, "GET", start, 1000); (a.status == 429) != tt.limited || tt.limited && n < 60 {
				t.Errorf("%d, %d %s", n, a.status, a.body)
			}
		})
	}
}

// TestS17_ReplicasCountTogether holds that a shared store makes one limit of all replicas.
func TestS17_ReplicasCountTogether(t *testing.T) {
	t.Parallel()
	c := &counters{hits: map[string]int{}}
	yaml := withPrograms("rateLimit: {global: false, store: {type: shared}}, ")
	sum := 0
	for _, most := range []int{40, 400} {
		n, _ := open(t, yaml, c.service()).browser().until("203.0.113.7", "GET", "/idp/start?env=production", most)
		sum += n
	}
	if sum != 60 {
		t.Errorf("two replicas let %d requests through: %s", sum, fmt.Sprint(c.hits))
	}
}

// TestS17_GuestsAreLimited holds that sign-ins through no identity provider are, too.
func TestS17_GuestsAreLimited(t *testing.T) {
	t.Parallel()
	c := &counters{hits: map[string]int{}}
	yaml := strings.Replace(withPrograms("rateLimit: {global: false, store: {type: shared}}, "), "  providers:\n", "  providers:\n    guest: {dangerouslyAllowOutsideDevelopment: true}\n", 1)
	b := open(t, yaml, c.service(), guestauth.Module()).browser()
	if n, a := b.until("203.0.113.7", "GET", "/guest/refresh", 300); n != 250 || a.status != 429 {
		t.Errorf("%d, %d %s", n, a.status, a.body)
	}
}
