// Package pace keeps processors from sending faster than a server outside takes it.
package pace

import (
	"context"
	"sync"
	"time"
)

// A Pace lets a number of calls begin in each interval, and has no more than that number in
// progress. It is safe for concurrent use.
type Pace struct {
	interval time.Duration
	slots    chan struct{}

	mu    sync.Mutex
	begun []time.Time // of the last calls, as many as slots, in a ring
	next  int
	until time.Time // nothing begins before
}

// New returns a Pace of n calls, at least one, in each interval.
func New(n int, interval time.Duration) *Pace {
	n = max(n, 1)
	return &Pace{interval: interval, slots: make(chan struct{}, n), begun: make([]time.Time, n)}
}

// Begin waits until a call may begin. The caller calls end when it is over. The error is that
// of ctx.
func (p *Pace) Begin(ctx context.Context) (end func(), err error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	end = func() { <-p.slots }
	for {
		wait := p.take(time.Now())
		if wait <= 0 {
			return end, nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			end()
			return nil, context.Cause(ctx)
		}
	}
}

// take notes a call that begins now, or says how long it has to wait.
func (p *Pace) take(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait := p.until.Sub(now); wait > 0 {
		return wait
	}
	if wait := p.begun[p.next].Add(p.interval).Sub(now); !p.begun[p.next].IsZero() && wait > 0 {
		return wait
	}
	p.begun[p.next] = now
	p.next = (p.next + 1) % len(p.begun)
	return 0
}

// Hold lets nothing begin for a while, because the server has said so.
func (p *Pace) Hold(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(d); until.After(p.until) {
		p.until = until
	}
}
