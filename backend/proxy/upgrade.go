package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/callboard-dev/callboard/backend/httpx"
)

// handshake are the headers of a WebSocket's handshake (RFC 6455 section 4). They pass where ws
// is true, beside those that always do.
func handshake() []string {
	return []string{"Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Extensions", "Sec-Websocket-Protocol"}
}

// accepted are the headers of its answer.
func accepted() []string {
	return []string{"Sec-Websocket-Accept", "Sec-Websocket-Extensions", "Sec-Websocket-Protocol"}
}

// upgrade passes a WebSocket: the handshake as HTTP, and then bytes in both directions. token is
// the caller's if it came as a sub-protocol.
func (f *forward) upgrade(token string) error {
	ctx, cancel := context.WithCancelCause(f.in.Context())
	defer cancel(nil)
	for _, name := range handshake() {
		if values, ok := f.in.Header[name]; ok {
			f.out.Header[name] = values
		}
	}
	f.out.Header["Connection"], f.out.Header["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	f.out.Body, f.out.ContentLength = http.NoBody, 0
	res, err := f.route.roundTrip(ctx, f.out)
	if err != nil {
		return f.failed(ctx, err)
	}
	defer res.Body.Close()
	if res.StatusCode >= 200 {
		f.guard = newGuard(f.w, f.route.endpoint.Timeouts.Idle.Std(), cancel)
		defer f.guard.release()
		return f.answer(ctx, cancel, res)
	}
	target, ok := res.Body.(io.ReadWriteCloser)
	if !ok || res.StatusCode != http.StatusSwitchingProtocols || !strings.EqualFold(res.Header.Get("Upgrade"), "websocket") {
		return f.failed(ctx, fmt.Errorf("malformed answer to the handshake of a WebSocket: status %d, upgrade to %q", res.StatusCode, res.Header.Get("Upgrade")))
	}
	if token != "" && res.Header.Get("Sec-Websocket-Protocol") == "" {
		// The target was not offered this one; the browser waits for one that it has offered.
		res.Header.Set("Sec-Websocket-Protocol", protocolToken+token)
	}
	return f.tunnel(target, f.switching(res))
}

// switching is the head of the answer to the client.
func (f *forward) switching(res *http.Response) []byte {
	h := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	pass(h, res.Header, f.route.answers)
	for _, name := range accepted() {
		if values, ok := res.Header[name]; ok {
			h[name] = values
		}
	}
	var b strings.Builder
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = h.Write(&b) // a Builder takes everything
	b.WriteString("\r\n")
	return []byte(b.String())
}

// tunnel copies in both directions until one side ends, stands still, or the portal stops.
func (f *forward) tunnel(target io.ReadWriteCloser, head []byte) error {
	draining, release := httpx.LongLived(f.in)
	defer release()
	conn, buffered, err := http.NewResponseController(f.w).Hijack()
	if err != nil {
		return fmt.Errorf("take over the connection for a WebSocket: %w", err)
	}
	f.status = http.StatusSwitchingProtocols
	// Whichever side ends first, both are closed: a WebSocket has no half.
	ended := make(chan error, 2)
	both := func(err error) {
		select {
		case ended <- err:
		default:
		}
		_, _ = conn.Close(), target.Close()
	}
	stop := f.g.onLeaving(draining, func() { both(errLeaving) })
	defer stop()
	guard := newGuard(f.w, f.route.endpoint.Timeouts.Idle.Std(), func(err error) { both(err) })
	defer guard.release()
	guard.moved()
	if _, err := conn.Write(head); err != nil {
		both(err)
	} else {
		back := make(chan struct{})
		go func() {
			defer close(back)
			both(relay(conn, target, guard))
		}()
		both(relay(target, buffered.Reader, guard))
		<-back
	}
	if err := <-ended; !errors.Is(err, io.EOF) && err != errLeaving {
		f.err = err
		f.g.log.DebugContext(f.in.Context(), "WebSocket has ended", "endpoint", f.route.path, "error", err)
	}
	return nil
}

// relay copies until src ends; its error is never nil.
func relay(dst io.Writer, src io.Reader, guard *guard) error {
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	for {
		n, err := src.Read(buf[:])
		if n > 0 {
			guard.moved()
			if _, werr := dst.Write(buf[:n]); werr != nil {
				return werr
			}
			guard.moved()
		}
		if err != nil {
			return err
		}
	}
}
