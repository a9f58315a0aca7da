package cache

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"sync/atomic"
	"time"
)

// A Store holds values under keys of letters, digits, and a few signs. It is used from
// many goroutines at once.
type Store interface {
	// Get returns a value, and whether there is one.
	Get(ctx context.Context, key string) ([]byte, bool, error)
	// Set keeps a value for ttl, or as long as there is room if that is zero. It does not
	// keep value itself.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// Delete forgets a value.
	Delete(ctx context.Context, key string) error
	// Close is called when nobody uses the store any more.
	Close() error
}

// Namespaced is a Store that separates plugins in its own way. Others get the keys
// "<plugin>:<key>".
type Namespaced interface {
	Key(plugin, key string) string
}

// Cache is the cache of one plugin.
type Cache struct {
	store  Store
	key    func(key string) string
	ttl    time.Duration
	log    *slog.Logger
	broken *atomic.Bool // of the store, as far as this process knows
}

// For returns the part of s that belongs to plugin. Values are kept for ttl unless they
// say otherwise. broken is shared between the plugins of a process.
func For(s Store, plugin string, ttl time.Duration, broken *atomic.Bool, log *slog.Logger) *Cache {
	c := &Cache{store: s, ttl: ttl, log: log, broken: broken}
	n, ok := s.(Namespaced)
	c.key = func(key string) string {
		if ok {
			return n.Key(plugin, Encode(key))
		}
		return plugin + ":" + Encode(key)
	}
	return c
}

// longest is the length of an encoded key above which its hash stands for it.
const longest = 200

// Encode returns the form that keys have in stores: base64, or that of the SHA-256 hash
// if it would be too long.
func Encode(key string) string {
	if text := base64.StdEncoding.EncodeToString([]byte(key)); len(text) <= longest {
		return text
	}
	hash := sha256.Sum256([]byte(key))
	return base64.StdEncoding.EncodeToString(hash[:])
}

// Get implements backend.Cache. While the store cannot be reached there are no values.
func (c *Cache) Get(ctx context.Context, key string) ([]byte, bool, error) {
	v, ok, err := c.store.Get(ctx, c.key(key))
	return v, ok && err == nil, c.outcome(ctx, err)
}

// Set implements backend.Cache. A ttl of zero is the default one.
func (c *Cache) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if ttl < 0 {
		return c.Delete(ctx, key)
	}
	if ttl == 0 {
		ttl = c.ttl
	}
	return c.outcome(ctx, c.store.Set(ctx, c.key(key), value, ttl))
}

// Delete implements backend.Cache.
func (c *Cache) Delete(ctx context.Context, key string) error {
	return c.outcome(ctx, c.store.Delete(ctx, c.key(key)))
}

// outcome logs errors of the store, once until it works again, and returns only the
// caller's own: the end of its context.
func (c *Cache) outcome(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch {
	case err == nil:
		if c.broken.Load() && c.broken.Swap(false) {
			c.log.InfoContext(ctx, "the cache works again")
		}
	case !c.broken.Swap(true):
		c.log.WarnContext(ctx, "the cache cannot be used; going on without", "error", err)
	}
	return nil
}
