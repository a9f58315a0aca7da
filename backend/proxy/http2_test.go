package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// secureTarget speaks HTTP/2 to who offers it, with a certificate that nobody vouches for.
func secureTarget(t *testing.T, answer http.HandlerFunc) *target {
	t.Helper()
	x := &target{Server: httptest.NewUnstartedServer(answer)}
	x.EnableHTTP2 = true
	x.StartTLS()
	t.Cleanup(x.Close)
	return x
}

// Targets with TLS are spoken to in HTTP/2 if they can: streams in both directions, and the
// trailers that gRPC needs. WebSockets go to the same target in HTTP/1.1.
func TestHTTP2Targets(t *testing.T) {
	t.Parallel()
	to := secureTarget(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/proto":
			_, _ = io.WriteString(w, r.Proto)
		case "/socket":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"+r.Proto+"\n")
			_ = conn.Close()
		default: // echoes lines while they come, as gRPC does with messages
			w.Header().Set("Content-Type", "application/grpc-web+proto")
			w.Header().Set("Trailer", "Grpc-Status, X-Other")
			rc := http.NewResponseController(w)
			in := bufio.NewScanner(r.Body)
			for in.Scan() {
				_, _ = fmt.Fprintf(w, "%s!\n", in.Text())
				_ = rc.Flush()
			}
			w.Header().Set("Grpc-Status", "0")
			w.Header().Set("X-Other", "o")
		}
	})
	b := start(t, to, `
/x: {target: TARGET, credentials: dangerously-allow-unauthenticated, secure: false, ws: true, allowedHeaders: [Grpc-Status, X-Grpc-Web]}
/two: {target: TARGET, credentials: dangerously-allow-unauthenticated, secure: false}
`)
	for _, path := range []string{"/x", "/two"} {
		if _, text := ask(t, nil, "GET", b.URL+"/api/proxy"+path+"/proto", ""); text != "HTTP/2.0" {
			t.Errorf("%s: the target is spoken to in %s", path, text)
		}
	}
	body, write := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", b.URL+"/api/proxy/x/service/Method", body)
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
	for _, word := range []string{"first", "second"} {
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
	for out.Scan() {
		t.Errorf("more came: %q", out.Text())
	}
	if got := flat(res.Trailer); got != "Grpc-Status=0" {
		t.Errorf("trailers: %s", got)
	}
	_, in, ws := shake(t, b.URL, "/api/proxy/x/socket")
	if line, err := in.ReadString('\n'); ws.StatusCode != 101 || line != "HTTP/1.1\n" {
		t.Errorf("WebSocket: %d %q %v", ws.StatusCode, line, err)
	}
}

// A target may answer before it has read a request, and need not read it: the client gets that
// answer.
func TestEarlyAnswers(t *testing.T) {
	t.Parallel()
	to := listen(t, func(_ int, conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno")
			_, _ = io.Copy(io.Discard, conn)
		}
	})
	b := start(t, to, public)
	body, write := io.Pipe()
	t.Cleanup(func() { _ = write.Close() })
	req, err := http.NewRequestWithContext(t.Context(), "PUT", b.URL+"/api/proxy/x", body)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(write, strings.Repeat("x", 1000)) }()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	buf := make([]byte, 2)
	if _, err := io.ReadFull(res.Body, buf); err != nil || res.StatusCode != 413 || string(buf) != "no" {
		t.Errorf("%d %q, %v", res.StatusCode, buf, err)
	}
}
