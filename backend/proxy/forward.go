package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/callboard-dev/callboard/backend/httpx"
)

// A forward is one request on its way to a target.
type forward struct {
	g       *gateway
	route   *route
	w       http.ResponseWriter
	in, out *http.Request
	watched *watched
	guard   *guard
	status  int   // of the answer; 0 until there is one
	err     error // why there is none, or only a part of one
}

func (f *forward) end() { f.watched.end(f.status, f.err) }

// outgoing returns the request to the target; false if net/url would send another path than the
// one that was looked at.
func (r *route) outgoing(in *http.Request, path, query string) (*http.Request, bool) {
	plain, err := url.PathUnescape(path)
	if err != nil {
		return nil, false
	}
	u := &url.URL{Scheme: r.scheme, Host: r.host, Path: plain, RawPath: path, RawQuery: query}
	if u.EscapedPath() != path {
		return nil, false
	}
	out := &http.Request{Method: in.Method, URL: u, Host: r.hostFor(in), Header: r.header(in),
		ContentLength: in.ContentLength, Body: http.NoBody}
	if in.ContentLength != 0 {
		out.Body = httpx.WholeBody(in)
	}
	return out, true
}

// errStill is why a request ends whose body has not moved for timeouts.idle.
var errStill = errors.New("nothing has come or gone for longer than timeouts.idle")

// errLeaving is why a stream ends when the portal stops.
var errLeaving = errors.New("the portal stops")

// exchange sends the request, and the answer back, piece by piece.
func (f *forward) exchange() error {
	ctx, cancel := context.WithCancelCause(f.in.Context())
	defer cancel(nil)
	f.guard = newGuard(f.w, f.route.endpoint.Timeouts.Idle.Std(), cancel)
	defer f.guard.release()
	if body := f.out.Body; body != http.NoBody {
		f.out.Body = &movingBody{body, f.guard}
		// The transport may still read when its answer is there: this ends it.
		defer func() {
			f.guard.abandon()
			_ = body.Close()
		}()
		// An answer may begin before the request has ended.
		_ = http.NewResponseController(f.w).EnableFullDuplex()
		f.guard.moved()
	}
	res, err := f.route.roundTrip(ctx, f.out)
	if err != nil {
		return f.failed(ctx, err)
	}
	defer res.Body.Close()
	if res.StatusCode < 200 { // 101 that nobody has asked for, or no status at all
		return f.failed(ctx, fmt.Errorf("malformed answer: status %d", res.StatusCode))
	}
	return f.answer(ctx, cancel, res)
}

// answer passes the answer on.
func (f *forward) answer(ctx context.Context, cancel context.CancelCauseFunc, res *http.Response) error {
	f.status = res.StatusCode
	f.guard.begun()
	h := f.w.Header()
	pass(h, res.Header, f.route.answers)
	if length, ok := res.Header["Content-Length"]; ok && res.ContentLength >= 0 {
		h["Content-Length"] = length
	}
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // not guessed
	}
	f.route.sandbox(h)
	trailers := f.announce(res)
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		draining, release := httpx.LongLived(f.in)
		defer release()
		stop := f.g.onLeaving(draining, func() { cancel(errLeaving) })
		defer stop()
	}
	f.w.WriteHeader(res.StatusCode)
	stream := res.ContentLength < 0 && f.in.Method != http.MethodHead
	rc := http.NewResponseController(f.w)
	if stream {
		_ = rc.Flush() // an event stream begins before its first event
	}
	if err := f.copy(rc, res); err != nil {
		return f.cut(ctx, err)
	}
	for _, name := range trailers {
		if values := res.Trailer[name]; values != nil {
			h[http.TrailerPrefix+name] = values
		}
	}
	return nil
}

// announce names the trailers that will pass.
func (f *forward) announce(res *http.Response) (names []string) {
	for name := range res.Trailer {
		if f.route.answers[name] && !hopByHop(name) && !framing(name) {
			names = append(names, name)
		}
	}
	return names
}

// buffers are used again: an answer is read in pieces of this size.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copy passes the body on. What has come is sent at once, unless all of it has.
func (f *forward) copy(rc *http.ResponseController, res *http.Response) error {
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	for sent := int64(0); ; {
		n, err := res.Body.Read(buf[:])
		if n > 0 {
			f.guard.moved()
			if _, werr := f.w.Write(buf[:n]); werr != nil {
				return &clientGone{werr}
			}
			f.guard.moved()
			sent += int64(n)
			if err == nil && sent != res.ContentLength {
				if ferr := rc.Flush(); ferr != nil && !errors.Is(ferr, http.ErrNotSupported) {
					return &clientGone{ferr}
				}
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// clientGone is the error of a client that takes no more.
type clientGone struct{ error }

func (c *clientGone) Unwrap() error { return c.error }

// cut ends an answer that has begun and will not be whole. The error that it returns breaks the
// connection, so that the client does not take a part for the whole.
func (f *forward) cut(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case cause == errLeaving:
		return nil // a stream of events has no end that could be missed
	case cause != nil:
		err = cause
	}
	f.err = err
	if gone := (*clientGone)(nil); errors.As(err, &gone) || f.in.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	return fmt.Errorf("%s: answer of %s: %w", f.route.path, f.route.host, err)
}

// failed answers for a target that did not (contract/backend.md section 16).
func (f *forward) failed(ctx context.Context, err error) error {
	cause, client := context.Cause(ctx), error(nil)
	if f.guard != nil {
		client = f.guard.clientError()
	}
	if cause != nil {
		err = cause
	} else if client != nil {
		err = client
	}
	f.err = err
	switch {
	case cause == errStill:
		f.status = http.StatusGatewayTimeout
	case errors.Is(client, os.ErrDeadlineExceeded): // backend.server.requestTimeout
		f.status = http.StatusRequestTimeout
	case client != nil || f.in.Context().Err() != nil:
		panic(http.ErrAbortHandler) // nobody is there to read an answer
	case notUnderstood(err):
		f.status = http.StatusBadGateway
	default:
		f.status = http.StatusGatewayTimeout
	}
	f.g.log.WarnContext(ctx, "target does not answer", "endpoint", f.route.path, "target", f.route.host, "method", f.in.Method, "status", f.status, "error", err)
	h := f.w.Header()
	h["Content-Type"] = nil // as recorded; nosniff keeps it from being guessed
	if f.out.Body != http.NoBody {
		h.Set("Connection", "close") // what is left of the request is not waited for
	}
	f.w.WriteHeader(f.status)
	_, _ = io.WriteString(f.w, "Error occurred while trying to proxy: "+f.in.Host+strings.TrimPrefix(f.out.URL.RequestURI(), f.route.base))
	return nil
}

// notUnderstood reports whether the target has answered, but not in HTTP or not as itself.
func notUnderstood(err error) bool {
	var (
		protocol *textproto.ProtocolError
		record   tls.RecordHeaderError
		verify   *tls.CertificateVerificationError
		host     x509.HostnameError
		unknown  x509.UnknownAuthorityError
		invalid  x509.CertificateInvalidError
	)
	if errors.As(err, &protocol) || errors.As(err, &record) || errors.As(err, &verify) || errors.As(err, &host) || errors.As(err, &unknown) || errors.As(err, &invalid) {
		return true
	}
	// These have no type.
	text := err.Error()
	for _, words := range []string{"malformed", "cannot contain multiple Content-Length", "headers exceeded", "gave HTTP response to HTTPS client"} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// onLeaving calls f once the server or the plugin stops, until stop is called: when the stream
// has ended.
func (g *gateway) onLeaving(draining <-chan struct{}, f func()) (stop func()) {
	done := make(chan struct{})
	g.streams.Add(1)
	go func() {
		select {
		case <-draining:
			f()
		case <-g.stopped:
			f()
		case <-done:
		}
	}()
	return func() {
		close(done)
		g.streams.Done()
	}
}
