package backendtest

import (
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend"
)

// A Clock is a backend.Clock that tests move. The zero value is ready, and says what the
// system's clock says until then. It is safe for concurrent use, and must not be copied.
type Clock struct {
	mu    sync.Mutex
	ahead time.Duration
	moved chan struct{}
}

var _ backend.Clock = (*Clock)(nil)

// Now implements backend.Clock. It is the system's time and what the clock was advanced by.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// Moved implements backend.Clock.
func (c *Clock) Moved() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.moved == nil {
		c.moved = make(chan struct{})
	}
	return c.moved
}

// Advance moves the clock forward by d, which is not negative, and tells those who wait.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += max(d, 0)
	if c.moved != nil {
		close(c.moved)
		c.moved = nil
	}
}
