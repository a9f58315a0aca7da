package events

import (
	"context"
	"sync"
	"time"
)

// A Waker wakes readers that wait for events. The zero value is ready to use.
type Waker struct {
	mu   sync.Mutex
	turn uint64
	next chan struct{}
}

// Turn is taken before a read; Wait returns at once if Wake came after that.
func (w *Waker) Turn() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.turn
}

// Wake wakes everybody.
func (w *Waker) Wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn++
	if w.next != nil {
		close(w.next)
		w.next = nil
	}
}

// Wait returns once Wake has been called after since was taken, after most, or when
// ctx is done.
func (w *Waker) Wait(ctx context.Context, since uint64, most time.Duration) {
	w.mu.Lock()
	if w.turn != since {
		w.mu.Unlock()
		return
	}
	if w.next == nil {
		w.next = make(chan struct{})
	}
	next := w.next
	w.mu.Unlock()
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-next:
	case <-t.C:
	case <-ctx.Done():
	}
}
