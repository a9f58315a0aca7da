package db

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// crowdPatience is how long a connection beyond the bound waits for another one to be closed. It
// is opened then: whoever holds all the others may be waiting for it.
const crowdPatience = 2 * time.Second

// A crowd is the connections of a Manager while their number is bounded.
type crowd struct {
	shed func() // closes connections that nobody uses

	mu      sync.Mutex
	places  chan struct{} // one for each connection; nil: there is no bound
	over    chan struct{} // closed when the bound is lifted
	waiting atomic.Int32
}

// BoundConnections bounds the connections to PostgreSQL that are open at once, those of
// migrations and locks among them, until lift is called. It is for the boot of many plugins,
// each with a pool of its own, of which many replicas may be on their way at once. A
// connection beyond the bound waits until an idle one is closed for it, and two seconds at the
// most, so that plugins that hold what they have do not keep each other from starting. Those
// that are open already, and those to databases with a dialer of their own, are not counted.
func (m *Manager) BoundConnections(most int) (lift func()) {
	c := &m.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	places, over := make(chan struct{}, most), make(chan struct{})
	c.places, c.over = places, over
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.over == over {
			c.places, c.over = nil, nil
		}
		close(over)
	})
}

// dial counts the connections that next makes, until they are closed.
func (c *crowd) dial(next pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		leave, err := c.enter(ctx)
		if err != nil {
			return nil, err
		}
		conn, err := next(ctx, network, address)
		if err != nil {
			leave()
			return nil, err
		}
		return &counted{conn, leave}, nil
	}
}

// enter takes a place.
func (c *crowd) enter(ctx context.Context) (leave func(), err error) {
	c.mu.Lock()
	places, over := c.places, c.over
	c.mu.Unlock()
	if places == nil {
		return func() {}, nil
	}
	leave = sync.OnceFunc(func() { <-places })
	select {
	case places <- struct{}{}:
		return leave, nil
	default:
	}
	c.waiting.Add(1)
	defer c.waiting.Add(-1)
	c.shed()
	patience := time.NewTimer(crowdPatience)
	defer patience.Stop()
	select {
	case places <- struct{}{}:
		return leave, nil
	case <-over:
	case <-patience.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return func() {}, nil
}

// keep says whether a connection that nobody uses at the moment stays open.
func (c *crowd) keep(*pgx.Conn) bool { return c.waiting.Load() == 0 }

// shedIdle closes the connections that nobody uses.
func (m *Manager) shedIdle() {
	for _, p := range m.list() {
		if !p.mu.TryLock() {
			continue // it is being opened, or closed
		}
		if p.pool != nil && p.pool.Stat().IdleConns() > 0 {
			p.pool.Reset()
		}
		p.mu.Unlock()
	}
}

// counted is a connection that has a place.
type counted struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
