package rootserver

import "sync"

// drainer knows how many requests are in flight, and which of them are to be waited for.
// It implements httpx.Drainer.
type drainer struct {
	draining chan struct{}

	mu       sync.Mutex
	active   int
	longLive int
	started  bool
	idle     chan struct{} // closed when draining and no ordinary request is left
}

func newDrainer() *drainer {
	return &drainer{draining: make(chan struct{}), idle: make(chan struct{})}
}

// Draining implements httpx.Drainer.
func (d *drainer) Draining() <-chan struct{} { return d.draining }

// LongLived implements httpx.Drainer.
func (d *drainer) LongLived() (release func()) {
	d.change(0, 1)
	var once sync.Once
	return func() { once.Do(func() { d.change(0, -1) }) }
}

func (d *drainer) begin() { d.change(1, 0) }
func (d *drainer) end()   { d.change(-1, 0) }

func (d *drainer) start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.started {
		return
	}
	d.started = true
	close(d.draining)
	d.check()
}

func (d *drainer) change(active, longLived int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active += active
	d.longLive += longLived
	d.check()
}

func (d *drainer) check() {
	if d.started && d.longLive > 0 && d.active <= d.longLive {
		select {
		case <-d.idle:
		default:
			close(d.idle)
		}
	}
}

// quiet is closed when only long-lived requests are left. If there are none at all,
// http.Server.Shutdown says when the last answer has left the machine.
func (d *drainer) quiet() <-chan struct{} { return d.idle }

func (d *drainer) ordinary() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.active - d.longLive
}
