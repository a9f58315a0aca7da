package index

import (
	"context"
	"sync"
)

// flights shares a piece of work among callers who come at the same time. Whoever joins
// gets the outcome of a run that began after the call, so that it knows of everything
// that was before it, and that was given what all of them asked for.
type flights[T any] struct {
	mu      sync.Mutex
	running *flight[T]
	next    *flight[T] // begins when running ends
}

type flight[T any] struct {
	asked []string
	done  chan struct{}
	out   T
	err   error
}

func (f *flights[T]) join(ctx context.Context, ask string, work func(asked []string) (T, error)) (T, error) {
	f.mu.Lock()
	if f.running == nil {
		f.running = &flight[T]{asked: []string{ask}, done: make(chan struct{})}
		own := f.running
		f.mu.Unlock()
		return f.run(own, work)
	}
	if f.next == nil {
		f.next = &flight[T]{asked: []string{ask}, done: make(chan struct{})}
		own, before := f.next, f.running
		f.mu.Unlock()
		<-before.done // it has a time limit, and others wait for us
		return f.run(own, work)
	}
	shared := f.next
	shared.asked = append(shared.asked, ask)
	f.mu.Unlock()
	select {
	case <-shared.done:
		return shared.out, shared.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

func (f *flights[T]) run(own *flight[T], work func([]string) (T, error)) (T, error) {
	own.err = ErrUnready // unless work comes to an end
	defer func() {
		f.mu.Lock()
		f.running, f.next = f.next, nil
		f.mu.Unlock()
		close(own.done)
	}()
	own.out, own.err = work(own.asked)
	return own.out, own.err
}
