package backendtest

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend"
)

// Cache is a backend.Cache that keeps everything until its time is over, and is never
// full: what a test has put into it is there. The zero value is ready. It is safe for
// concurrent use, and must not be copied.
type Cache struct {
	// Clock says when values end; nil: the system's clock does. It is set before the first use.
	Clock *Clock

	mu     sync.Mutex
	values map[string]cached
}

type cached struct {
	value []byte
	until time.Time // zero: for ever
}

var _ backend.Cache = (*Cache)(nil)

func (c *Cache) now() time.Time {
	if c.Clock == nil {
		return time.Now()
	}
	return c.Clock.Now()
}

// Get implements backend.Cache.
func (c *Cache) Get(_ context.Context, key string) ([]byte, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.values[key]
	if !ok || !v.until.IsZero() && !c.now().Before(v.until) {
		return nil, false, nil
	}
	return bytes.Clone(v.value), true, nil
}

// Set implements backend.Cache. A ttl of zero is for ever.
func (c *Cache) Set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := cached{value: append([]byte{}, value...)}
	if ttl > 0 {
		v.until = c.now().Add(ttl)
	}
	if c.values == nil {
		c.values = map[string]cached{}
	}
	c.values[key] = v
	return nil
}

// Delete implements backend.Cache.
func (c *Cache) Delete(_ context.Context, key string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.values, key)
	return nil
}

// Keys returns the keys of the values that have not ended, sorted.
func (c *Cache) Keys() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	maps.DeleteFunc(c.values, func(_ string, v cached) bool { return !v.until.IsZero() && !now.Before(v.until) })
	return slices.Sorted(maps.Keys(c.values))
}
