package httpx

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// response is the writer that a Mux hands to its handlers. It knows the request, for
// conditional answers, and whether the answer has begun.
type response struct {
	http.ResponseWriter
	r       *http.Request
	started bool
}

// requester is how answers find the request they belong to, through any number of
// wrappers that have an Unwrap method.
type requester interface{ request() *http.Request }

func (w *response) request() *http.Request { return w.r }

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.started = true
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	w.started = true
	return w.ResponseWriter.Write(b)
}

// ReadFrom lets files be sent without copying where the server can do that.
func (w *response) ReadFrom(src io.Reader) (int64, error) {
	w.started = true
	if rf, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		return rf.ReadFrom(src)
	}
	return io.Copy(struct{ io.Writer }{w.ResponseWriter}, src)
}

// Flush sends what was written so far, for libraries that look for http.Flusher.
func (w *response) Flush() {
	w.started = true
	http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack takes over the connection, for libraries that look for http.Hijacker.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.started = true
	}
	return conn, rw, err
}

// requestOf returns the request that w answers, or nil if no Mux handed out w.
func requestOf(w http.ResponseWriter) *http.Request {
	for {
		if q, ok := w.(requester); ok {
			return q.request()
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return nil
		}
		w = u.Unwrap()
	}
}
