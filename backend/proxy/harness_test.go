package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/proxy"
	"github.com/callboard-dev/callboard/internal/testbed/logtest"
)

// A target is a server that endpoints lead to. It remembers what has reached it.
type target struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
}

// newTarget answers with answer, or with 200 and "ok" if that is nil.
func newTarget(t testing.TB, answer http.HandlerFunc) *target {
	t.Helper()
	x := &target{}
	x.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x.mu.Lock()
		x.seen = append(x.seen, r)
		x.mu.Unlock()
		if answer != nil {
			answer(w, r)
			return
		}
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(x.Close)
	return x
}

// requests are what has reached the target.
func (x *target) requests() []*http.Request {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]*http.Request(nil), x.seen...)
}

// last is the last request that has reached the target.
func (x *target) last(t *testing.T) *http.Request {
	t.Helper()
	all := x.requests()
	if len(all) == 0 {
		t.Fatal("nothing has reached the target")
	}
	return all[len(all)-1]
}

// start boots a backend with the endpoints of the YAML, in which TARGET stands for the URL of to.
func start(t testing.TB, to *target, endpoints string, more ...backend.Feature) *backendtest.Backend {
	t.Helper()
	return backendtest.Start(t, section(to, endpoints), append(more, proxy.Plugin())...)
}

func section(to *target, endpoints string) string {
	if to != nil {
		endpoints = strings.ReplaceAll(endpoints, "TARGET", to.URL)
	}
	return "proxy:\n  endpoints:\n    " + strings.ReplaceAll(strings.TrimSpace(endpoints), "\n", "\n    ") + "\n"
}

// logged boots a backend in production whose log can be read.
func logged(t *testing.T, yaml string, features ...backend.Feature) (url string, log *logtest.Buffer) {
	t.Helper()
	cfg, err := backendtest.Config(t, yaml)
	if err != nil {
		t.Fatal(err)
	}
	log = &logtest.Buffer{}
	b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.NewTextHandler(log, nil)))
	b.Add(proxy.Plugin())
	b.Add(features...)
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = b.Stop(ctx)
	})
	return "http://" + b.Addr().String(), log
}

// ask sends a request with headers, given as "Name: value", and returns the answer and its body.
func ask(t testing.TB, c *http.Client, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, r)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	if c == nil {
		c = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v after %q", method, url, err, text)
	}
	return res, string(text)
}

// raw sends bytes to the backend and returns the status of the answer, 0 if there is none.
func raw(t *testing.T, url, text string) int {
	t.Helper()
	conn := dial(t, url)
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// dial connects to where a URL leads; reads give up after a minute.
func dial(t testing.TB, url string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// listen is a target that speaks in bytes: answer is called for every connection, with how many
// there were before it.
func listen(t testing.TB, answer func(n int, conn net.Conn)) *target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	all.Go(func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(time.Minute))
				answer(n, conn)
			})
		}
	})
	return &target{Server: &httptest.Server{URL: fmt.Sprintf("http://%s", l.Addr())}}
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
