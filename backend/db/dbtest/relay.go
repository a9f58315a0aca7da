package dbtest

import (
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// A Relay stands between clients and a PostgreSQL server, and lets tests take the server
// away without stopping it for others.
type Relay struct {
	// URL is the URL that was given to NewRelay, with the relay's address.
	URL string

	target   string
	listener net.Listener
	attempts atomic.Int64

	mu     sync.Mutex
	cut    bool
	frozen chan struct{} // closed while bytes may pass
	conns  map[net.Conn]bool
}

// NewRelay returns a relay to the server of a postgres:// URL. It ends with the test.
func NewRelay(t testing.TB, serverURL string) *Relay {
	t.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{target: u.Host, conns: map[net.Conn]bool{}, frozen: make(chan struct{})}
	close(r.frozen)
	if r.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	u.Host = r.listener.Addr().String()
	r.URL = u.String()
	t.Cleanup(func() {
		r.listener.Close()
		r.Thaw()
		r.Cut()
	})
	go r.accept()
	return r
}

func (r *Relay) accept() {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.attempts.Add(1)
		go r.serve(c)
	}
}

// Attempts returns how often somebody has connected.
func (r *Relay) Attempts() int64 { return r.attempts.Load() }

// Cut takes the server away as a crash does: connections break, new ones are closed.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = true
	for c := range r.conns {
		c.Close()
	}
}

// Restore undoes Cut.
func (r *Relay) Restore() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = false
}

// Freeze takes the server away as a broken network does: nothing passes, and nobody is
// told.
func (r *Relay) Freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frozen = make(chan struct{})
}

// Thaw undoes Freeze.
func (r *Relay) Thaw() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.frozen:
	default:
		close(r.frozen)
	}
}

// add notes a connection, unless the server is away.
func (r *Relay) add(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut {
		return false
	}
	r.conns[c] = true
	return true
}

func (r *Relay) serve(client net.Conn) {
	defer client.Close()
	if !r.add(client) {
		return
	}
	server, err := net.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		defer client.Close()
		_, _ = io.Copy(passing{client, r}, server)
	}()
	_, _ = io.Copy(passing{server, r}, client)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, client)
}

// passing writes while the relay is not frozen.
type passing struct {
	io.Writer
	r *Relay
}

func (p passing) Write(b []byte) (int, error) {
	p.r.mu.Lock()
	frozen := p.r.frozen
	p.r.mu.Unlock()
	<-frozen
	return p.Writer.Write(b)
}
