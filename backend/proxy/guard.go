package proxy

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// A guard ends a request whose body stands still: that of the request until all of it has been
// read, and that of the answer once its head is there. In between timeouts.headers counts. Its
// methods may be called from several goroutines.
type guard struct {
	idle   time.Duration // 0: never
	cancel context.CancelCauseFunc
	rc     *http.ResponseController

	mu        sync.Mutex
	timer     *time.Timer
	done      bool
	answering bool
	whole     bool  // the request's body has ended
	broken    error // why the client's body has ended early
}

func newGuard(w http.ResponseWriter, idle time.Duration, cancel context.CancelCauseFunc) *guard {
	g := &guard{idle: max(idle, 0), cancel: cancel, rc: http.NewResponseController(w)}
	if g.idle > 0 {
		g.timer = time.AfterFunc(g.idle, g.expired)
		g.timer.Stop()
	}
	return g
}

func (g *guard) expired() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.done {
		return // the connection is serving another request by now
	}
	g.cancel(errStill)
	// Reads and writes of a client that does nothing wait in the kernel. The clock of the
	// kernel is the real one.
	_ = g.rc.SetReadDeadline(time.Now())
	if g.answering {
		_ = g.rc.SetWriteDeadline(time.Now())
	}
}

// moved is called when a piece of a body has come or gone.
func (g *guard) moved() {
	if g.timer != nil {
		g.timer.Reset(g.idle)
	}
}

// sent is called when the request's body has ended; err is nil if it is whole.
func (g *guard) sent(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.whole, g.broken = true, err
	if g.timer != nil && !g.answering {
		g.timer.Stop()
	}
}

// begun is called when the head of the answer is there.
func (g *guard) begun() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answering = true
	g.moved()
}

// abandon ends the reading of a request whose answer is there. What is left of it is not waited
// for: closing a body waits for a read that is under way, and that for the client.
func (g *guard) abandon() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.whole {
		_ = g.rc.SetReadDeadline(time.Now())
	}
}

// clientError is why the client's body has ended early; nil if it has not.
func (g *guard) clientError() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.broken
}

// release ends the guard. After it, the guard does nothing.
func (g *guard) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.done = true
	if g.timer != nil {
		g.timer.Stop()
	}
}

// movingBody tells the guard of every piece of a request that goes.
type movingBody struct {
	io.ReadCloser
	guard *guard
}

func (b *movingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.guard.moved()
	}
	if err == io.EOF {
		b.guard.sent(nil)
	} else if err != nil {
		b.guard.sent(err)
	}
	return n, err
}
