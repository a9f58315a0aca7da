package proxy_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/proxy"
)

const public = "/x: {target: TARGET, credentials: dangerously-allow-unauthenticated, allowedHeaders: [X-Trailer, X-Declared]}"

// What a target sends is with the client before the target sends more, whether or not the length
// is known: here the target waits for the client to say so.
func TestAnswersAreStreamed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		header [2]string
		gzip   bool
	}{
		{"of unknown length", [2]string{"Content-Type", "application/octet-stream"}, false},
		{"of known length", [2]string{"Content-Length", "9"}, false},
		{"events", [2]string{"Content-Type", "text/event-stream"}, true},
		{"that the portal compresses", [2]string{"Content-Type", "text/plain"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			seen := make(chan struct{}, 1)
			to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set(tt.header[0], tt.header[1])
				rc := http.NewResponseController(w)
				_ = rc.Flush()
				for _, part := range []string{"one", "two", "end"} {
					select {
					case <-seen:
					case <-r.Context().Done():
						return
					}
					_, _ = io.WriteString(w, part)
					_ = rc.Flush()
				}
			})
			b := start(t, to, public)
			req, err := http.NewRequestWithContext(t.Context(), "GET", b.URL+"/api/proxy/x", nil)
			if err != nil {
				t.Fatal(err)
			}
			c := &http.Client{Transport: &http.Transport{DisableCompression: !tt.gzip}}
			seen <- struct{}{} // the head of the answer waits for nothing, but known lengths begin with their bytes
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			buf := make([]byte, 3)
			for i, want := range []string{"one", "two", "end"} {
				if i > 0 {
					seen <- struct{}{}
				}
				if _, err := io.ReadFull(res.Body, buf); err != nil || string(buf) != want {
					t.Fatalf("%q, %v, want %q", buf, err, want)
				}
			}
		})
	}
}

// An event stream begins before its first event.
func TestEventStreamsBeginAtOnce(t *testing.T) {
	t.Parallel()
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	b := start(t, to, public)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", b.URL+"/api/proxy/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%d, %v", res.StatusCode, res.Header)
	}
}

// Requests reach the target while they are being sent, and an answer may begin before that.
func TestRequestsAreStreamedAndAnsweredMeanwhile(t *testing.T) {
	t.Parallel()
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		in := bufio.NewScanner(r.Body)
		for in.Scan() {
			_, _ = fmt.Fprintf(w, "%s!\n", in.Text())
			_ = rc.Flush()
		}
	})
	b := start(t, to, public)
	body, write := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", b.URL+"/api/proxy/x", body)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(write, "first\n") }()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	out := bufio.NewScanner(res.Body)
	for _, word := range []string{"first", "second", "third"} {
		if word != "first" {
			if _, err := io.WriteString(write, word+"\n"); err != nil {
				t.Fatal(err)
			}
		}
		if !out.Scan() || out.Text() != word+"!" {
			t.Fatalf("%q, %v", out.Text(), out.Err())
		}
	}
	_ = write.Close()
	if out.Scan() {
		t.Errorf("more came: %q", out.Text())
	}
}

// The host's bound of 10 MiB is not for bodies that nobody keeps.
func TestBodiesOfAnySizePass(t *testing.T) {
	t.Parallel()
	const size = 12 << 20
	sum := func(r io.Reader) string {
		h := sha256.New()
		n, err := io.Copy(h, r)
		return fmt.Sprintf("%d bytes, %x, %v", n, h.Sum(nil), err)
	}
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Declared", fmt.Sprint(r.ContentLength))
		_, _ = io.WriteString(w, sum(r.Body))
	})
	b := start(t, to, public)
	want := sum(io.LimitReader(pattern{}, size))
	for _, known := range []bool{true, false} {
		req, err := http.NewRequestWithContext(t.Context(), "PUT", b.URL+"/api/proxy/x", io.LimitReader(pattern{}, size))
		if err != nil {
			t.Fatal(err)
		}
		length := int64(-1)
		if known {
			length = size
		}
		req.ContentLength = length
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || string(got) != want || res.Header.Get("X-Declared") != fmt.Sprint(length) {
			t.Errorf("length known: %v: the target got %s of length %s (%v), want %s", known, got, res.Header.Get("X-Declared"), err, want)
		}
	}
}

// pattern is bytes without end.
type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	const text = "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqr"
	for n := 0; n < len(p); n += len(text) {
		copy(p[n:], text)
	}
	return len(p), nil
}

func TestTrailersPassIfTheyAreAllowed(t *testing.T) {
	t.Parallel()
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Trailer, X-Secret-Trailer, Set-Cookie")
		_, _ = io.WriteString(w, "body")
		for _, name := range []string{"X-Trailer", "X-Secret-Trailer", "Set-Cookie"} {
			w.Header().Set(name, "of-target")
		}
	})
	b := start(t, to, public)
	res, _ := ask(t, nil, "GET", b.URL+"/api/proxy/x", "")
	if got := flat(res.Trailer); got != "X-Trailer=of-target" {
		t.Errorf("trailers: %s", got)
	}
	// Those of a request stay here: what they mean is for whoever has read it.
	if code := raw(t, b.URL, "POST /api/proxy/x HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\nTrailer: X-Trailer\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\nX-Trailer: v\r\n\r\n"); code != 200 {
		t.Fatal(code)
	}
	if r := to.last(t); len(r.Trailer) > 0 || r.Header.Get("Trailer") != "" {
		t.Errorf("the target got trailers: %v", r.Trailer)
	}
}

// A client that waits for 100 Continue gets it when somebody reads, and not if the request is
// refused before.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(append([]byte(r.Header.Get("Expect")), body...))
	})
	b := start(t, to, public+"\n/closed: TARGET")
	const head = " HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
	conn := dial(t, b.URL)
	if _, err := io.WriteString(conn, "POST /api/proxy/x"+head); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	if line, err := in.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || string(text) != "hello" {
		t.Errorf("%q, %v", text, err)
	}
	if code := raw(t, b.URL, "POST /api/proxy/closed"+head); code != 401 {
		t.Errorf("without credentials: %d", code)
	}
	if n := len(to.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// An answer that the target cuts off is cut off at the client, too.
func TestHalfAnAnswerIsNoAnswer(t *testing.T) {
	t.Parallel()
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	b := start(t, to, public)
	req, err := http.NewRequestWithContext(t.Context(), "GET", b.URL+"/api/proxy/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("the client takes %q for the whole", text)
	}
}

// A client that leaves takes its request along.
func TestAClientThatLeavesEndsTheRequest(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}), make(chan struct{})
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	})
	b := start(t, to, public)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", b.URL+"/api/proxy/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-began
		cancel()
	}()
	if res, err := http.DefaultClient.Do(req); err == nil {
		res.Body.Close()
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the target is still at it")
	}
}

// socket is a target that speaks just enough of WebSockets: it shakes hands, and sends back what
// comes in upper case.
func socket(t *testing.T, protocol string) *target {
	return newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			http.Error(w, "upgrade, please", http.StatusUpgradeRequired)
			return
		}
		conn, in, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		chosen := ""
		if protocol != "" {
			chosen = "Sec-WebSocket-Protocol: " + protocol + "\r\n"
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSet-Cookie: a=b\r\nX-Other: o\r\n"+chosen+"\r\nhello\n")
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, strings.ToUpper(line))
		}
	})
}

// shake sends a handshake and returns the connection and the answer.
func shake(t *testing.T, url, path string, headers ...string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	conn := dial(t, url)
	text := "GET " + path + " HTTP/1.1\r\nHost: portal\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
	for _, h := range headers {
		text += h + "\r\n"
	}
	if _, err := io.WriteString(conn, text+"\r\n"); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, in, res
}

func TestWebSockets(t *testing.T) {
	t.Parallel()
	to := socket(t, "chat")
	b := start(t, to, `
/open: {target: TARGET, credentials: dangerously-allow-unauthenticated, ws: true}
/closed: {target: TARGET, ws: true}
/plain: {target: TARGET, credentials: dangerously-allow-unauthenticated}
`)
	conn, in, res := shake(t, b.URL, "/api/proxy/open/room?id=1", "Sec-WebSocket-Protocol: chat, other", "Cookie: a=b", "Origin: http://portal", "X-Other: o")
	if res.StatusCode != 101 {
		t.Fatalf("status %d", res.StatusCode)
	}
	if got := flat(res.Header); got != "Connection=Upgrade Sec-Websocket-Accept=s3pPLMBiTxaQ9kYGzzhZRbK+xOo= Sec-Websocket-Protocol=chat Upgrade=websocket" {
		t.Errorf("the client got %s", got)
	}
	r := to.last(t)
	if got := flat(r.Header); r.RequestURI != "/room?id=1" || got != "Connection=Upgrade Sec-Websocket-Key=dGhlIHNhbXBsZSBub25jZQ== Sec-Websocket-Protocol=chat, other Sec-Websocket-Version=13 Upgrade=websocket" {
		t.Errorf("the target got %s with %s", r.RequestURI, got)
	}
	for _, want := range []string{"hello", "ONE", "TWO"} {
		if want != "hello" {
			if _, err := io.WriteString(conn, strings.ToLower(want)+"\n"); err != nil {
				t.Fatal(err)
			}
		}
		if line, err := in.ReadString('\n'); err != nil || line != want+"\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	for _, tt := range []struct {
		path   string
		header string
		want   int
	}{
		{"/api/proxy/plain", "X: y", 426},                                            // without ws, the request is one like others
		{"/api/proxy/closed", "X: y", 401},                                           //
		{"/api/proxy/closed", "Sec-WebSocket-Protocol: callboard.token.forged", 401}, //
		{"/api/proxy/open/%2e%2e/x", "X: y", 400},                                    //
		{"/api/proxy/nothing", "X: y", 401},                                          //
	} {
		if _, _, res := shake(t, b.URL, tt.path, tt.header); res.StatusCode != tt.want {
			t.Errorf("%s with %s: %d, want %d", tt.path, tt.header, res.StatusCode, tt.want)
		}
	}
}

// Browsers cannot give a WebSocket headers: their token comes as a sub-protocol, and goes no
// further.
func TestWebSocketsOfBrowsersShowTheirTokenAsAProtocol(t *testing.T) {
	t.Parallel()
	for _, chosen := range []string{"chat", ""} {
		to := socket(t, chosen)
		b := start(t, to, "/closed: {target: TARGET, ws: true}\n/forward: {target: TARGET, ws: true, credentials: forward}")
		token := tokenOf(t, b.As(alice))
		for _, path := range []string{"/closed", "/forward"} {
			_, _, res := shake(t, b.URL, "/api/proxy"+path, "Sec-WebSocket-Protocol: chat, callboard.token."+token)
			want := chosen
			if want == "" {
				want = "callboard.token." + token
			}
			if res.StatusCode != 101 || res.Header.Get("Sec-Websocket-Protocol") != want {
				t.Errorf("%d, protocol %q, want %q", res.StatusCode, res.Header.Get("Sec-Websocket-Protocol"), want)
			}
			r := to.last(t)
			if r.Header.Get("Sec-Websocket-Protocol") != "chat" || (r.Header.Get("Authorization") != "") != (path == "/forward") {
				t.Errorf("%s: the target got %s", path, flat(r.Header))
			}
		}
	}
}

// tokenOf is the token that a client carries.
func tokenOf(t *testing.T, c *http.Client) string {
	t.Helper()
	got := newTarget(t, nil)
	ask(t, c, "GET", got.URL, "")
	return strings.TrimPrefix(got.last(t).Header.Get("Authorization"), "Bearer ")
}

// When a portal stops, it does not wait for streams that have no end, and leaves none behind.
func TestStreamsEndWithThePortal(t *testing.T) {
	t.Parallel()
	ended := make(chan string, 2)
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
			_, _ = io.Copy(io.Discard, conn)
			ended <- "socket"
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		ended <- "events"
	})
	cfg, err := backendtest.Config(t, section(to, "/x: {target: TARGET, ws: true, credentials: dangerously-allow-unauthenticated}"))
	if err != nil {
		t.Fatal(err)
	}
	b := backend.New(backend.WithConfig(cfg), backend.Development())
	b.Add(proxy.Plugin())
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	url := "http://" + b.Addr().String()
	shake(t, url, "/api/proxy/x")
	conn := dial(t, url)
	if _, err := io.WriteString(conn, "GET /api/proxy/x HTTP/1.1\r\nHost: p\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := b.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
	if text, _ := io.ReadAll(res.Body); len(text) > 0 {
		t.Errorf("the event stream ended with %q", text)
	}
	for range 2 {
		select {
		case <-ended:
		case <-ctx.Done():
			t.Fatal("a stream to the target is still open")
		}
	}
}

// Informational answers of a target stay here, and so do their headers (docs/adr/0019).
func TestInformationalAnswersStayHere(t *testing.T) {
	t.Parallel()
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.Header().Set("Set-Cookie", "a=b")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
	})
	b := start(t, to, public)
	conn := dial(t, b.URL)
	if _, err := io.WriteString(conn, "GET /api/proxy/x HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(answer); !strings.HasPrefix(text, "HTTP/1.1 200") || strings.Contains(text, "Link:") || strings.Contains(text, "Cookie") || !strings.Contains(text, "Content-Security-Policy:") {
		t.Errorf("the client got\n%s", text)
	}
}
