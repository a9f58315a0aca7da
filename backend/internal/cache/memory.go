package cache

import (
	"bytes"
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
)

// memoryBytes is how much the values and keys of a Memory may take, together. Values
// that are used often stay longest.
const memoryBytes = 64 << 20

// Memory is a Store in the memory of this process.
type Memory struct {
	open func() *otter.Cache[string, entry] // on first use: it starts a goroutine
	used atomic.Bool
	now  func() time.Time
}

type entry struct {
	value []byte
	until time.Time     // zero: as long as there is room
	ttl   time.Duration // how long otter keeps it
}

var _ Store = (*Memory)(nil)

// forever is a lifetime that no process has.
const forever = time.Duration(math.MaxInt64 / 2)

// overhead is what an entry takes besides its key and value, about.
const overhead = 128

// NewMemory returns an empty store of up to 64 MiB. now is the clock; nil means the system's.
func NewMemory(now func() time.Time) *Memory {
	if now == nil {
		now = time.Now
	}
	m := &Memory{now: now}
	m.open = sync.OnceValue(func() *otter.Cache[string, entry] {
		m.used.Store(true)
		return otter.Must(&otter.Options[string, entry]{
			MaximumWeight: memoryBytes,
			Weigher: func(key string, e entry) uint32 {
				return uint32(min(len(key)+len(e.value)+overhead, math.MaxUint32))
			},
			ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[string, entry]) time.Duration { return e.Value.ttl }),
		})
	})
	return m
}

// Get implements Store.
func (m *Memory) Get(_ context.Context, key string) ([]byte, bool, error) {
	e, ok := m.open().GetIfPresent(key)
	if !ok || !e.until.IsZero() && !m.now().Before(e.until) {
		return nil, false, nil
	}
	return bytes.Clone(e.value), true, nil
}

// Set implements Store.
func (m *Memory) Set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	e := entry{value: bytes.Clone(value), ttl: forever}
	if ttl > 0 {
		e.until, e.ttl = m.now().Add(ttl), ttl
	}
	m.open().Set(key, e)
	return nil
}

// Delete implements Store.
func (m *Memory) Delete(_ context.Context, key string) error {
	m.open().Invalidate(key)
	return nil
}

// Close implements Store.
func (m *Memory) Close() error {
	if m.used.Load() {
		m.open().StopAllGoroutines()
	}
	return nil
}
