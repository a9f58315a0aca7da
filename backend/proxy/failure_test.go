package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/proxy"
)

// TestDeadTarget holds what is answered for targets that do not answer, or not in HTTP, and that
// neither their addresses nor what is sent to them are in it.
func TestDeadTarget(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	says := func(text string) string {
		return listen(t, func(_ int, conn net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, text)
			}
		}).URL
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	plain := newTarget(t, nil)
	for _, tt := range []struct {
		name, target string
		want         int
	}{
		{"nobody listens", "http://" + closed.Addr().String() + "/base", 504},
		{"no such host", "http://nothing.invalid/base", 504},
		{"it hangs up", says("") + "/base", 504},
		{"it hangs up in the middle of a header", says("HTTP/1.1 200 OK\r\nX-") + "/base", 502},
		{"it speaks something else", says("220 smtp.example ESMTP\r\n") + "/base", 502},
		{"it has a status that is none", says("HTTP/1.1 001 What\r\nContent-Length: 0\r\n\r\n") + "/base", 502},
		{"it switches protocols unasked", says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n") + "/base", 502},
		{"it has headers without end", says("HTTP/1.1 200 OK\r\nX-Long: "+strings.Repeat("x", 200<<10)+"\r\n\r\n") + "/base", 502},
		{"it says the length twice", says("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab") + "/base", 502},
		{"nobody vouches for its certificate", secure.URL + "/base", 502},
		{"it has no TLS", strings.Replace(plain.URL, "http:", "https:", 1) + "/base", 502},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url, log := logged(t, "proxy: {endpoints: {/x: {target: '"+tt.target+"', credentials: dangerously-allow-unauthenticated, headers: {X-Key: canary}}}}\nbackend: {database: {client: better-sqlite3, connection: ':memory:'}}")
			res, text := ask(t, nil, "GET", url+"/api/proxy/x/y%20z?q=%3Cscript%3E", "")
			host := strings.TrimPrefix(url, "http://")
			if want := "Error occurred while trying to proxy: " + host + "/y%20z?q=%3Cscript%3E"; res.StatusCode != tt.want || text != want {
				t.Errorf("%d %q, want %d %q", res.StatusCode, text, tt.want, want)
			}
			if _, ok := res.Header["Content-Type"]; ok {
				t.Errorf("content type %q", res.Header.Get("Content-Type"))
			}
			if out := log.String(); !strings.Contains(out, "target does not answer") || strings.Contains(out, "canary") {
				t.Errorf("the log says\n%s", out)
			}
		})
	}
}

// A target whose certificate nobody vouches for is reached with secure: false, and the log warns.
func TestUncheckedCertificates(t *testing.T) {
	t.Parallel()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	t.Cleanup(secure.Close)
	url, log := logged(t, "proxy: {endpoints: {/x: {target: '"+secure.URL+"', credentials: dangerously-allow-unauthenticated, secure: false}}}\nbackend: {database: {client: better-sqlite3, connection: ':memory:'}}")
	if res, text := ask(t, nil, "GET", url+"/api/proxy/x", ""); res.StatusCode != 200 || text != "HTTP/1.1" {
		t.Errorf("%d %s", res.StatusCode, text)
	}
	if !strings.Contains(log.String(), "proxy.endpoints./x.secure: the certificate of the target is not checked") {
		t.Errorf("the log says\n%s", log)
	}
}

// TestRetriesNeverForNonIdempotentMethods: a target that reads a request and hangs up, on a
// connection that has served another one before, gets it once, whatever headers and body it has.
// Requests that only read may come twice: net/http sends them again when a connection that was
// kept open turns out to be closed.
func TestRetriesNeverForNonIdempotentMethods(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		method, body, header string
	}{
		{"POST", "", "X: y"}, {"POST", "body", "X: y"}, {"PUT", "", "X: y"}, {"PUT", "body", "X: y"}, {"PATCH", "body", "X: y"}, {"DELETE", "", "X: y"}, {"PURGE", "", "X: y"},
		{"POST", "", "Idempotency-Key: k"}, {"POST", "body", "Idempotency-Key: k"}, {"DELETE", "", "X-Idempotency-Key: k"}, {"PATCH", "", "idempotency-key: k"},
		{"GET", "", "X: y"},
	} {
		t.Run(tt.method+" "+tt.body+" "+tt.header, func(t *testing.T) {
			t.Parallel()
			var got atomic.Int32
			to := listen(t, func(_ int, conn net.Conn) {
				in := bufio.NewReader(conn)
				for {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					if r.URL.Path != "/warm" {
						if key, _, _ := strings.Cut(tt.header, ": "); r.Header.Get(key) == "" {
							t.Errorf("the target got %v", r.Header)
						}
						got.Add(1)
						return // hangs up
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			b := start(t, to, "/x: {target: TARGET, credentials: dangerously-allow-unauthenticated, allowedHeaders: [X, Idempotency-Key, X-Idempotency-Key]}")
			if res, _ := ask(t, nil, "GET", b.URL+"/api/proxy/x/warm", ""); res.StatusCode != 200 {
				t.Fatalf("status %d", res.StatusCode)
			}
			if res, _ := ask(t, nil, tt.method, b.URL+"/api/proxy/x/do", tt.body, tt.header); res.StatusCode != 504 {
				t.Errorf("status %d", res.StatusCode)
			}
			if n := got.Load(); tt.method == "GET" && n > 2 || tt.method != "GET" && n != 1 {
				t.Errorf("the target got it %d times", n)
			}
		})
	}
}

// Each timeout of an endpoint ends the request that it is about, and no other one.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	slow := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		switch r.URL.Path {
		case "/head":
			<-release
		case "/body":
			_, _ = io.WriteString(w, "begin")
			_ = rc.Flush()
			<-release
		case "/drip": // never still for long
			for range 10 {
				time.Sleep(20 * time.Millisecond)
				_, _ = io.WriteString(w, ".")
				_ = rc.Flush()
			}
		}
	})
	// It never accepts a handshake.
	mute := listen(t, func(_ int, conn net.Conn) { <-release })
	t.Cleanup(func() { close(release) }) // before the targets wait for their handlers
	b := backendtest.Start(t, strings.NewReplacer("TARGET", slow.URL, "MUTE", strings.Replace(mute.URL, "http:", "https:", 1)).Replace(`
proxy:
  endpoints:
    /head: {target: TARGET, credentials: dangerously-allow-unauthenticated, timeouts: {headers: 100ms}}
    /upstreamhead: {target: TARGET, credentials: dangerously-allow-unauthenticated, proxyTimeout: 100}
    /body: {target: TARGET, credentials: dangerously-allow-unauthenticated, timeouts: {idle: {seconds: 1}}}
    /upstreambody: {target: TARGET, credentials: dangerously-allow-unauthenticated, timeout: 1000}
    /connect: {target: MUTE, credentials: dangerously-allow-unauthenticated, timeouts: {connect: 100}}
`), proxy.Plugin())
	for _, path := range []string{"/head/head", "/upstreamhead/head", "/connect/x"} {
		if res, text := ask(t, nil, "GET", b.URL+"/api/proxy"+path, ""); res.StatusCode != 504 || !strings.HasPrefix(text, "Error occurred") {
			t.Errorf("%s: %d %s", path, res.StatusCode, text)
		}
	}
	for _, path := range []string{"/body/body", "/upstreambody/body"} {
		res, err := http.Get(b.URL + "/api/proxy" + path)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(res.Body); err == nil || string(text) != "begin" {
			t.Errorf("%s: %q, %v", path, text, err)
		}
		res.Body.Close()
	}
	if res, text := ask(t, nil, "GET", b.URL+"/api/proxy/body/drip", ""); res.StatusCode != 200 || text != ".........." {
		t.Errorf("a body that moves: %d %s", res.StatusCode, text)
	}
	// What stands still is that the head is waited for, and for that there is another timeout.
	patient := start(t, newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(1200 * time.Millisecond)
	}), "/x: {target: TARGET, credentials: dangerously-allow-unauthenticated, timeouts: {idle: 1s}}")
	for _, body := range []string{"", "body"} {
		if res, _ := ask(t, nil, "POST", patient.URL+"/api/proxy/x", body); res.StatusCode != 200 {
			t.Errorf("waiting for the head of an answer to %q: %d", body, res.StatusCode)
		}
	}
}

// A WebSocket that stands still is closed on both sides.
func TestIdleWebSockets(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	to := listen(t, func(_ int, conn net.Conn) {
		defer close(ended)
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
	})
	b := start(t, to, "/x: {target: TARGET, credentials: dangerously-allow-unauthenticated, ws: true, timeouts: {idle: 100ms}}")
	_, in, res := shake(t, b.URL, "/api/proxy/x")
	if res.StatusCode != 101 {
		t.Fatal(res.StatusCode)
	}
	if _, err := in.ReadByte(); err == nil {
		t.Error("something came")
	}
	<-ended
}

// TestSlowLoris: a client that sends a request too slowly, or takes an answer too slowly, holds
// neither the portal nor the target; others are served meanwhile.
func TestSlowLoris(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{}, 3)
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/upload":
			_, _ = io.Copy(io.Discard, r.Body)
			gone <- struct{}{}
		case "/download":
			if _, err := io.Copy(w, io.LimitReader(pattern{}, 1<<30)); err == nil {
				t.Error("a client that reads nothing has read a gigabyte")
			}
			gone <- struct{}{}
		}
	})
	b := backendtest.Start(t, section(to, "/x: {target: TARGET, credentials: dangerously-allow-unauthenticated, timeouts: {idle: 1s}}")+
		"backend: {server: {headersTimeout: 500, requestTimeout: 3000}}\n", proxy.Plugin())
	t.Run("headers", func(t *testing.T) {
		conn := dial(t, b.URL)
		_, _ = io.WriteString(conn, "GET /api/proxy/x HTTP/1.1\r\nHost: p\r\nX-Slow: ")
		if _, err := io.ReadAll(conn); err != nil {
			t.Errorf("the connection was not closed: %v", err)
		}
	})
	t.Run("body", func(t *testing.T) {
		conn := dial(t, b.URL)
		_, _ = io.WriteString(conn, "POST /api/proxy/x/upload HTTP/1.1\r\nHost: p\r\nContent-Length: 100\r\n\r\nslow")
		in := bufio.NewReader(conn)
		res, err := http.ReadResponse(in, nil)
		if err != nil || res.StatusCode != 504 || !res.Close {
			t.Fatalf("%v, %v", res, err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		if _, err := in.ReadByte(); err == nil {
			t.Error("the connection goes on")
		}
		<-gone
	})
	t.Run("body that trickles", func(t *testing.T) {
		conn := dial(t, b.URL)
		_, _ = io.WriteString(conn, "POST /api/proxy/x/upload HTTP/1.1\r\nHost: p\r\nContent-Length: 100\r\n\r\n")
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
					_, _ = io.WriteString(conn, ".")
				}
			}
		}()
		in := bufio.NewReader(conn)
		res, err := http.ReadResponse(in, nil)
		if err != nil || res.StatusCode != 408 || !res.Close {
			t.Fatalf("%v, %v", res, err)
		}
		<-gone
	})
	t.Run("answer", func(t *testing.T) {
		conn := dial(t, b.URL)
		_, _ = io.WriteString(conn, "GET /api/proxy/x/download HTTP/1.1\r\nHost: p\r\n\r\n")
		<-gone
	})
	if res, _ := ask(t, nil, "GET", b.URL+"/api/proxy/x", ""); res.StatusCode != 200 {
		t.Errorf("another client: %d", res.StatusCode)
	}
}

// TestHugeHeaders: what a client sends is refused before anybody is asked; what passes reaches
// the target whole.
func TestHugeHeaders(t *testing.T) {
	t.Parallel()
	to := newTarget(t, nil)
	b := start(t, to, "/x: {target: TARGET, credentials: dangerously-allow-unauthenticated, allowedHeaders: [X-Big]}")
	for _, tt := range []struct {
		name, text string
		want       int
	}{
		{"a header of 300 KB", "GET /api/proxy/x HTTP/1.1\r\nHost: p\r\nX-Big: " + strings.Repeat("x", 300<<10) + "\r\nConnection: close\r\n\r\n", 431},
		{"a path of 300 KB", "GET /api/proxy/x/" + strings.Repeat("x", 300<<10) + " HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n", 431},
		{"3000 headers", "GET /api/proxy/x HTTP/1.1\r\nHost: p\r\n" + strings.Repeat("X-Many: 1\r\n", 3000) + "Connection: close\r\n\r\n", 431},
	} {
		if got := raw(t, b.URL, tt.text); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	if n := len(to.requests()); n > 0 {
		t.Errorf("%d requests reached the target", n)
	}
	if got := raw(t, b.URL, "GET /api/proxy/x HTTP/1.1\r\nHost: p\r\nX-Big: "+strings.Repeat("x", 60<<10)+"\r\nConnection: close\r\n\r\n"); got != 200 {
		t.Errorf("a header of 60 KB: %d", got)
	}
	if n := len(to.last(t).Header.Get("X-Big")); n != 60<<10 {
		t.Errorf("the target got %d bytes of it", n)
	}
}

// TestRequestSmuggling: requests whose end two readers may see in different places are refused,
// or reach the target with one end that everybody sees.
func TestRequestSmuggling(t *testing.T) {
	t.Parallel()
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	b := start(t, to, "/x: {target: TARGET, credentials: dangerously-allow-unauthenticated}")
	const head, hidden = "POST /api/proxy/x HTTP/1.1\r\nHost: p\r\n", "GET /hidden HTTP/1.1\r\nHost: t\r\n\r\n"
	for _, text := range []string{
		head + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		head + "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n" + hidden,
		head + "Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + hidden,
		head + "Content-Length: 0, 44\r\n\r\n" + hidden,
		head + "Content-Length: +0\r\n\r\n" + hidden,
		head + "Content-Length : 44\r\n\r\n" + hidden,
		head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden,
		head + "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + hidden,
		head + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden,
		head + "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + hidden,
		head + "X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n" + hidden,
		head + "Transfer-Encoding: chunked\r\n\r\n0;ext=\n\r\n\r\n" + hidden,
		head + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n\r\n" + hidden,
		head + "Connection: Content-Length\r\nContent-Length: 44\r\n\r\n" + hidden,
		"GET /api/proxy/x?a=b HTTP/1.1\r\nHost: p\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
		"GET /api/proxy/x\tHTTP/1.1\r\nHost: p\r\n\r\n" + hidden,
		"GET /api/proxy/x HTTP/1.1\r\nHost: p\r\nHost: q\r\n\r\n" + hidden,
		"GET http://other.example/api/proxy/x HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n",
		"GET /api/proxy/x HTTP/1.1\nHost: p\n\n",
	} {
		conn := dial(t, b.URL)
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		answers, _ := io.ReadAll(conn)
		if strings.Contains(string(answers), "101 Switching") {
			t.Errorf("%q is answered\n%s", text, answers)
		}
	}
	for _, r := range to.requests() {
		if r.URL.Path != "/" || len(r.TransferEncoding) > 0 && r.ContentLength > 0 || r.Header.Get("Upgrade") != "" || r.Host != strings.TrimPrefix(to.URL, "http://") {
			t.Errorf("the target got %s %s %v", r.Method, r.RequestURI, r.Header)
		}
	}
}

// Targets are reached through the proxy that the environment names. net/http reads that once in
// a process, so another one has it.
func TestProxyOfTheEnvironment(t *testing.T) {
	t.Parallel()
	const inside = "CALLBOARD_TEST_INSIDE"
	if os.Getenv(inside) != "" {
		b := backendtest.Start(t, "proxy: {endpoints: {/x: {target: 'http://target.example/base', credentials: dangerously-allow-unauthenticated}}}", proxy.Plugin())
		if res, text := ask(t, nil, "GET", b.URL+"/api/proxy/x/y", ""); res.StatusCode != 200 || text != "ok" {
			t.Errorf("%d %s", res.StatusCode, text)
		}
		return
	}
	to := newTarget(t, nil)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestProxyOfTheEnvironment$")
	cmd.Env = append(os.Environ(), inside+"=1", "HTTP_PROXY="+to.URL)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := to.last(t).RequestURI; got != "http://target.example/base/y" {
		t.Errorf("the proxy was asked for %s", got)
	}
}
