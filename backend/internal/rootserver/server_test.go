package rootserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/internal/rootserver"
	"github.com/callboard-dev/callboard/internal/testbed/logtest"
)

// start runs a server with the plugin "echo", whose routes tell what they got, on a
// free port, and returns its address.
func start(t testing.TB, yaml string, opts rootserver.Options) (*rootserver.Server, string) {
	t.Helper()
	if !strings.Contains(yaml, "baseUrl") {
		yaml = "backend:\n  baseUrl: http://localhost:7007\n  listen: 127.0.0.1:0\n" + yaml
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s, err := rootserver.New(decode(t, yaml, "backend", rootserver.Defaults()), opts)
	if err != nil {
		t.Fatal(err)
	}
	mux := &httpx.Mux{Errors: httpx.ErrorWriter{Log: opts.Log}}
	for pattern, h := range map[string]httpx.HandlerFunc{
		"GET /path/{rest...}": func(w http.ResponseWriter, r *http.Request) error {
			return httpx.Text(w, 200, httpx.RelativeURL(r))
		},
		"GET /name/{name}": func(w http.ResponseWriter, r *http.Request) error {
			return httpx.Text(w, 200, fmt.Sprintf("%q", r.PathValue("name")))
		},
		"GET /size/{n}": func(w http.ResponseWriter, r *http.Request) error {
			var n int
			fmt.Sscan(r.PathValue("n"), &n)
			return httpx.Text(w, 200, strings.Repeat("x", n))
		},
		"POST /body": func(w http.ResponseWriter, r *http.Request) error {
			n, err := io.Copy(io.Discard, r.Body)
			if err != nil {
				return err
			}
			return httpx.Text(w, 200, fmt.Sprint(n))
		},
		"GET /client": func(w http.ResponseWriter, r *http.Request) error {
			return httpx.Text(w, 200, fmt.Sprint(httpx.ClientOf(r)))
		},
		"GET /panic": func(http.ResponseWriter, *http.Request) error { panic("canary") },
	} {
		if err := mux.Handle(pattern, h); err != nil {
			t.Fatal(err)
		}
	}
	gate, err := s.Mount(rootserver.Plugin{ID: "echo", Routes: mux, Errors: mux.Errors, MaxBody: 1000})
	if err != nil {
		t.Fatal(err)
	}
	gate.Open()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, s.Addr().String()
}

// raw sends bytes as they are and returns the answer.
func raw(t *testing.T, addr, request string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go io.WriteString(conn, request) // the server may answer before it has read everything
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestRequestsReachHandlersAsTheyWereSent(t *testing.T) {
	t.Parallel()
	_, addr := start(t, "", rootserver.Options{})
	for _, tt := range []struct {
		line   string
		status int
		want   string
	}{
		{"GET /api/echo/path/a", 200, "/path/a"},
		{"GET /api/echo/path/a/", 200, "/path/a/"},
		{"GET /api/echo/path/a%2Fb", 200, "/path/a%2Fb"},
		{"GET /api/echo/path/a%2fb%20c?q=%2F&r", 200, "/path/a%2fb%20c?q=%2F&r"},
		{"GET /api/echo/path/../x", 200, "/path/../x"},
		{"GET /api/echo/path/%2e%2e/x", 200, "/path/%2e%2e/x"},
		{"GET /api/echo/path//x//", 200, "/path//x//"},
		{"GET /api/echo/path/?", 200, "/path/?"},
		{"GET /api/ECHO/path/A", 200, "/path/A"},
		{"GET /api/echo/name/a%2Fb", 200, `"a/b"`},
		{"GET /api/echo/name/..", 200, `".."`},
		{"HEAD /api/echo/path/a", 200, ""},
		{"POST /api/echo/path/a", 404, ""},
		{"DELETE /api/echo/body", 404, ""},
		{"OPTIONS /api/echo/body", 404, ""},
		{"GET /api/ech%6f/path/a", 404, ""},
		{"GET /api/echo%2Fpath/a", 404, ""},
		{"GET /api//echo/path/a", 404, ""},
		{"GET /api/x/../echo/path/a", 404, ""},
		{"GET /api/echo2/path/a", 404, ""},
		{"GET /api", 404, ""},
		{"GET /apis", 404, ""},
		{"GET /", 404, ""},
		{"OPTIONS *", 404, ""},
	} {
		resp, body := raw(t, addr, tt.line+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if resp.StatusCode != tt.status || body != tt.want {
			t.Errorf("%s: got %d %q, want %d %q", tt.line, resp.StatusCode, body, tt.status, tt.want)
		}
		if tt.status == 404 && (resp.Header.Get("Content-Type") != "" || resp.Header.Get("Location") != "" || resp.Header.Get("Allow") != "") {
			t.Errorf("%s: headers %v", tt.line, resp.Header)
		}
	}
}

func TestLimitsOfARequest(t *testing.T) {
	t.Parallel()
	_, addr := start(t, "  server: {maxHeadersCount: 50}\n", rootserver.Options{})
	big := func(n int) string { return "X-Big: " + strings.Repeat("x", n) + "\r\n" }
	for _, tt := range []struct {
		name, request string
		status        int
		body          string
	}{
		{"headers of 64 KB", "GET /api/echo/path/a HTTP/1.1\r\nHost: x\r\n" + big(64<<10) + "Connection: close\r\n\r\n", 200, "/path/a"},
		{"headers of 200 KB", "GET /api/echo/path/a HTTP/1.1\r\nHost: x\r\n" + big(200<<10) + "\r\n", 431, "431 Request Header Fields Too Large"},
		{"too many headers", "GET /api/echo/path/a HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: b\r\n", 60) + "\r\n", 431, ""},
		{"a body at the limit", "POST /api/echo/body HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n" + strings.Repeat("x", 1000), 200, "1000"},
		{"a body above it", "POST /api/echo/body HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\nConnection: close\r\n\r\n" + strings.Repeat("x", 1001), 413,
			`{"error":{"name":"PayloadTooLargeError","message":"request entity too large"},"request":{"method":"POST","url":"/body"},"response":{"statusCode":413}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := raw(t, addr, tt.request)
			if resp.StatusCode != tt.status || body != tt.body {
				t.Errorf("got %d %q", resp.StatusCode, body)
			}
		})
	}
}

func TestSlowClientsLoseTheirConnection(t *testing.T) {
	t.Parallel()
	_, addr := start(t, "  server: {headersTimeout: 50, requestTimeout: 50ms}\n", rootserver.Options{})
	for name, request := range map[string]string{
		"headers that never end": "GET /api/echo/path/a HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"a body that never ends": "POST /api/echo/body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx",
	} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, request)
		if _, err := io.ReadAll(conn); err != nil { // ends when the server closes the connection
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMaxRequestsPerSocket(t *testing.T) {
	t.Parallel()
	_, addr := start(t, "  server: {maxRequestsPerSocket: 2}\n", rootserver.Options{})
	one := "GET /api/echo/path/a HTTP/1.1\r\nHost: x\r\n\r\n"
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, one+one+one)
	all, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
	if n := strings.Count(string(all), "HTTP/1.1 200"); n != 2 {
		t.Errorf("%d answers on one connection", n)
	}
}

func TestAPanicIs500AndItsStackIsLogged(t *testing.T) {
	t.Parallel()
	var log logtest.Buffer
	s, addr := start(t, "", rootserver.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	s.SetIndex(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("canary") }))
	for _, path := range []string{"/api/echo/panic", "/page"} {
		resp, body := raw(t, addr, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if resp.StatusCode != 500 || strings.Contains(body, "canary") || !strings.Contains(body, `"message":"An internal error occurred logId=`) {
			t.Errorf("%s: got %d %s", path, resp.StatusCode, body)
		}
	}
	if got := log.String(); strings.Count(got, "panic: canary") != 2 || !strings.Contains(got, "server_test.go") {
		t.Errorf("log: %s", got)
	}
}

func TestTheIndexAnswersEverythingOutsideOfAPI(t *testing.T) {
	t.Parallel()
	s, addr := start(t, "", rootserver.Options{})
	s.SetIndex(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { httpx.HTML(w, 200, []byte("page "+r.URL.Path)) }))
	for path, want := range map[string]string{
		"/": "page /", "/catalog/x": "page /catalog/x", "/apis": "page /apis", "//api/echo/path/a": "page //api/echo/path/a",
		"/.backstage/health/v1/nope": "page /.backstage/health/v1/nope", "/%61pi/echo/path/a": "page /api/echo/path/a", "/api/nope": "", "/API/nope": "",
	} {
		resp, body := raw(t, addr, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if body != want {
			t.Errorf("%s: got %q", path, body)
		}
		frames := "SAMEORIGIN"
		if want != "" {
			frames = "DENY"
		}
		if got := resp.Header.Get("X-Frame-Options"); got != frames {
			t.Errorf("%s: X-Frame-Options %s", path, got)
		}
	}
}

// Two plugins whose ids differ by case only would share one path.
func TestSEC74_PluginsThatDifferByCaseAreRefused(t *testing.T) {
	t.Parallel()
	s, _ := start(t, "", rootserver.Options{})
	for _, id := range []string{"echo", "Echo", "ECHO"} {
		if _, err := s.Mount(rootserver.Plugin{ID: id}); err == nil || !strings.Contains(err.Error(), `plugin "echo" is at that path`) {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, id := range []string{"", "a/b", "..", "a%2f", "a b", "ä"} {
		if _, err := s.Mount(rootserver.Plugin{ID: id}); err == nil {
			t.Errorf("plugin id %q is accepted", id)
		}
	}
}

func TestAnAddressInUseIsNamed(t *testing.T) {
	t.Parallel()
	_, addr := start(t, "", rootserver.Options{})
	s, err := rootserver.New(decode(t, "backend: {baseUrl: 'http://x', listen: '"+addr+"'}", "backend", rootserver.Defaults()), rootserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil || err.Error() != "backend.listen: listen on "+addr+": address already in use" {
		t.Errorf("got %v", err)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	s, addr := start(t, "", rootserver.Options{})
	entered, finish := make(chan string, 2), make(chan struct{})
	s.SetIndex(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			draining, release := httpx.LongLived(r)
			defer release()
			entered <- "stream"
			<-draining
			io.WriteString(w, "bye")
			return
		}
		entered <- "request"
		<-finish
		io.WriteString(w, "done")
	}))
	answers := make(chan string, 2)
	for _, path := range []string{"/stream", "/request"} {
		go func() {
			resp, err := http.Get("http://" + addr + path)
			if err != nil {
				answers <- err.Error()
				return
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			answers <- string(b)
		}()
		<-entered
	}
	drained := make(chan error)
	go func() { drained <- s.Drain(context.Background()) }()
	if got := <-answers; got != "bye" {
		t.Errorf("the stream ends with %q", got)
	}
	select {
	case err := <-drained:
		t.Fatalf("drained with a request in flight: %v", err)
	default:
	}
	if conn, err := net.DialTimeout("tcp", addr, 5*time.Second); err == nil {
		conn.Close()
		t.Error("a draining server accepts connections")
	}
	close(finish)
	if got := <-answers; got != "done" {
		t.Errorf("the request ends with %q", got)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if err, open := <-s.Failed(); open {
		t.Errorf("a server that was stopped reports %v", err)
	}
}

func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	s, addr := start(t, "", rootserver.Options{})
	entered, finish := make(chan struct{}), make(chan struct{})
	defer close(finish)
	s.SetIndex(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(entered); <-finish }))
	go http.Get("http://" + addr + "/")
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestDrainDoesNotWaitForStreams(t *testing.T) {
	t.Parallel()
	s, addr := start(t, "", rootserver.Options{})
	entered, finish := make(chan struct{}), make(chan struct{})
	defer close(finish)
	s.SetIndex(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, release := httpx.LongLived(r)
		defer release()
		close(entered)
		<-finish
	}))
	go http.Get("http://" + addr + "/")
	<-entered
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}
