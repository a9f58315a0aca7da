package rootserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	"github.com/callboard-dev/callboard/backend/httpx"
)

// InMemory returns a transport for requests to plugins of this process. They pass
// everything that requests from outside pass, without a socket: the host of their URL is
// not looked at. Of the context of a request only its end reaches the handler, as over a
// connection: whom the caller itself is serving is none of the other plugin's business.
func (s *Server) InMemory() http.RoundTripper { return inMemory{s} }

type inMemory struct{ s *Server }

// RoundTrip implements http.RoundTripper. It returns when the answer begins.
func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	in, err := m.incoming(r)
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	ctx, cancel := context.WithCancel(onlyEnd{r.Context(), httpx.ContextWithDrainer(context.Background(), m.s.drain)})
	in = in.WithContext(ctx)
	body, sink := io.Pipe()
	w := &memoryWriter{header: http.Header{}, sink: sink, head: in.Method == http.MethodHead, began: make(chan struct{})}
	go func() {
		defer cancel()
		defer in.Body.Close()
		defer func() {
			if p := recover(); p != nil {
				w.abort(p)
				return
			}
			w.WriteHeader(http.StatusOK) // of a handler that has written nothing
			sink.Close()
		}()
		m.s.ServeHTTP(w, in)
	}()
	select {
	case <-w.began:
	case <-r.Context().Done():
		cancel()
		body.CloseWithError(r.Context().Err())
		return nil, r.Context().Err()
	}
	if w.failed != nil {
		cancel()
		return nil, w.failed
	}
	return w.response(r, &memoryBody{PipeReader: body, cancel: cancel}), nil
}

// incoming is r as a server sees it.
func (m inMemory) incoming(r *http.Request) (*http.Request, error) {
	uri := r.URL.RequestURI()
	u, err := url.ParseRequestURI(uri)
	if err != nil {
		return nil, err
	}
	in := &http.Request{
		Method: r.Method, URL: u, RequestURI: uri, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: r.Header.Clone(), Host: r.Host, Body: r.Body, ContentLength: r.ContentLength, Trailer: r.Trailer,
	}
	if in.Method == "" {
		in.Method = http.MethodGet
	}
	if in.Header == nil {
		in.Header = http.Header{}
	}
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	} else if in.ContentLength == 0 && in.Body != http.NoBody {
		in.ContentLength = -1 // a client's way to say that it does not know
	}
	return in, nil
}

// onlyEnd is a context that ends with one context and has the values of another.
type onlyEnd struct {
	context.Context
	values context.Context
}

func (c onlyEnd) Value(key any) any { return c.values.Value(key) }

// memoryWriter is the http.ResponseWriter of a request in memory.
type memoryWriter struct {
	header http.Header
	sink   *io.PipeWriter
	head   bool
	once   sync.Once
	began  chan struct{}

	// Set before began is closed.
	status int
	sent   http.Header
	failed error
}

var _ http.Flusher = (*memoryWriter)(nil)

// Header implements http.ResponseWriter.
func (w *memoryWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. The first final status counts.
func (w *memoryWriter) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.began)
	})
}

// Write implements http.ResponseWriter.
func (w *memoryWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		if w.header.Get("Content-Type") == "" {
			w.header.Set("Content-Type", http.DetectContentType(b))
		}
		w.WriteHeader(http.StatusOK)
	}
	if w.head || w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		return len(b), nil
	}
	return w.sink.Write(b)
}

// Flush implements http.Flusher. Nothing is held back here but the status.
func (w *memoryWriter) Flush() { w.WriteHeader(http.StatusOK) }

// abort is what becomes of a handler that panicked: a connection that is cut.
func (w *memoryWriter) abort(p any) {
	err := errors.New("the handler broke the answer off")
	if p != http.ErrAbortHandler {
		err = fmt.Errorf("the handler panicked: %v", p)
	}
	w.once.Do(func() { w.failed = err; close(w.began) })
	w.sink.CloseWithError(err)
}

func (w *memoryWriter) response(r *http.Request, body io.ReadCloser) *http.Response {
	length := int64(-1)
	if n, err := strconv.ParseInt(w.sent.Get("Content-Length"), 10, 64); err == nil {
		length = n
	}
	return &http.Response{
		Status: strconv.Itoa(w.status) + " " + http.StatusText(w.status), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: body, ContentLength: length, Request: r,
	}
}

// memoryBody ends the handler when its answer is not wanted any more.
type memoryBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (b *memoryBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}
