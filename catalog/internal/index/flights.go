package index

import (
	"context"
	"sync"
)

// flights shares a piece of work among callers who come at the same time. Whoever joins
// gets the outcome of a run that began after the call, so that it knows of everything
// that was before it.
type flights struct {
	mu      sync.Mutex
	running *flight
	next    *flight // begins when running ends
}

type flight struct {
	done chan struct{}
	err  error
}

func (f *flights) join(ctx context.Context, work func() error) error {
	f.mu.Lock()
	if f.running == nil {
		f.running = &flight{done: make(chan struct{})}
		own := f.running
		f.mu.Unlock()
		return f.run(own, work)
	}
	if f.next == nil {
		f.next = &flight{done: make(chan struct{})}
		own, before := f.next, f.running
		f.mu.Unlock()
		<-before.done // it has a time limit, and others wait for us
		return f.run(own, work)
	}
	shared := f.next
	f.mu.Unlock()
	select {
	case <-shared.done:
		return shared.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *flights) run(own *flight, work func() error) error {
	own.err = ErrUnready // unless work comes to an end
	defer func() {
		f.mu.Lock()
		f.running, f.next = f.next, nil
		f.mu.Unlock()
		close(own.done)
	}()
	own.err = work()
	return own.err
}
