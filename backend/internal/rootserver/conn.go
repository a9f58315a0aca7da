package rootserver

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

type connKey struct{}

// withinConnection applies backend.server.maxHeadersCount and maxRequestsPerSocket.
func (s *Server) withinConnection(w http.ResponseWriter, r *http.Request) bool {
	if limit := s.cfg.Server.MaxHeadersCount; limit > 0 {
		n := 0
		for _, values := range r.Header {
			n += len(values)
		}
		if n > limit {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusRequestHeaderFieldsTooLarge)
			return false
		}
	}
	if limit := s.cfg.Server.MaxRequestsPerSocket; limit > 0 {
		if count, ok := r.Context().Value(connKey{}).(*atomic.Int64); ok && count.Add(1) >= int64(limit) {
			w.Header().Set("Connection", "close")
		}
	}
	return true
}

// limitReadTime gives the body of r as long as backend.server.requestTimeout says. It is
// not http.Server.ReadTimeout, whose deadline goes on after the body has been read and
// would end handlers that stream for longer.
func (s *Server) limitReadTime(w http.ResponseWriter, r *http.Request) {
	limit := time.Duration(s.cfg.Server.RequestTimeout)
	if limit <= 0 || r.Body == nil || r.Body == http.NoBody {
		return
	}
	rc := http.NewResponseController(w)
	// The deadline is set from the real clock, which the kernel compares it with.
	if rc.SetReadDeadline(time.Now().Add(limit)) == nil {
		r.Body = &timedBody{ReadCloser: r.Body, rc: rc}
	}
}

// timedBody lifts the deadline of a connection when its request's body has ended.
type timedBody struct {
	io.ReadCloser
	rc   *http.ResponseController
	done bool
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF && !b.done {
		b.done = true
		b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

// patientListener applies backend.server.timeout: a client that accepts nothing for so
// long loses its connection.
type patientListener struct {
	net.Listener
	timeout time.Duration
}

func (l *patientListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &patientConn{c, l.timeout}, nil
}

type patientConn struct {
	net.Conn
	timeout time.Duration
}

func (c *patientConn) Write(b []byte) (int, error) {
	c.Conn.SetWriteDeadline(time.Now().Add(c.timeout))
	return c.Conn.Write(b)
}
