package proxy_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/proxy"
)

// BenchmarkForward passes requests on, beside what a plain httputil.ReverseProxy does with the
// same target, server and client. Besides time it tells requests per second of CPU, those of
// client and target included.
func BenchmarkForward(b *testing.B) {
	for _, size := range []int{200, 64 << 10} {
		body := bytes.Repeat([]byte("x"), size)
		to := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Type", "application/json")
			h.Set("Content-Length", strconv.Itoa(size))
			h.Set("X-Request-Id", "42")
			_, _ = w.Write(body)
		}))
		b.Cleanup(to.Close)
		e := open(proxy.NewEndpoint(to.URL + "/base"))
		e.Headers = map[string]config.Secret{"Authorization": config.NewSecret("Token abc")}
		ours := proxy.HandlerForTest(b, map[string]proxy.Endpoint{"/x": e, "/y": e, "/z/z": e})
		base, err := url.Parse(to.URL + "/base")
		if err != nil {
			b.Fatal(err)
		}
		transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
		plain := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(base)
			r.Out.Header.Set("Authorization", "Token abc")
		}}
		for name, h := range map[string]http.Handler{"proxy": ours, "httputil": http.StripPrefix("/x", plain)} {
			b.Run(name+"/"+strconv.Itoa(size), func(b *testing.B) { forward(b, h, size) })
		}
	}
}

func forward(b *testing.B, h http.Handler, size int) {
	front := httptest.NewServer(h)
	defer front.Close()
	conn := dial(b, front.URL)
	if err := conn.SetDeadline(time.Time{}); err != nil {
		b.Fatal(err)
	}
	in := bufio.NewReaderSize(conn, 64<<10)
	request := []byte("GET /x/items?limit=20 HTTP/1.1\r\nHost: portal\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\nAccept-Language: de\r\nUser-Agent: bench\r\nCookie: a=b\r\n\r\n")
	once := func() {
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		for { // a client that allocates nothing
			line, err := in.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if len(line) == 2 {
				break
			}
			if bytes.HasPrefix(line, []byte("HTTP/1.1 ")) && !bytes.HasPrefix(line[9:], []byte("200")) {
				b.Fatalf("answered %s", line)
			}
		}
		if n, err := in.Discard(size); err != nil {
			b.Fatalf("%d bytes, %v", n, err)
		}
	}
	once()
	runtime.GC()
	before := cpu(b)
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
	b.ReportMetric(float64(b.N)/(cpu(b)-before).Seconds(), "req/cpu-s")
}

// cpu is the time that this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestAllocations: passing a request on, the router and what is told of it included, makes at most
// a quarter more allocations than a bare httputil.ReverseProxy, for short answers and for long ones.
func TestAllocations(t *testing.T) {
	measure := func(h http.Handler, path string) float64 {
		w := &discard{header: http.Header{}}
		r := httptest.NewRequest("GET", path, nil)
		r.Header = http.Header{"Accept": {"application/json"}, "User-Agent": {"test"}, "Cookie": {"a=b"}}
		h.ServeHTTP(w, r)
		return testing.AllocsPerRun(100, func() {
			clear(w.header)
			h.ServeHTTP(w, r)
		})
	}
	to := newTarget(t, nil)
	to.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(n))
		_, _ = io.Copy(w, io.LimitReader(pattern{}, int64(n)))
	})
	ours := proxy.HandlerForTest(t, map[string]proxy.Endpoint{"/x": open(proxy.NewEndpoint(to.URL))})
	base, err := url.Parse(to.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	plain := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(base) }}
	for _, n := range []string{"100", "1000000"} {
		got, other := measure(ours, "/x?n="+n), measure(plain, "/x?n="+n)
		t.Logf("allocations for %s bytes, the target's included: %.0f; httputil.ReverseProxy %.0f", n, got, other)
		if got > 1.25*other {
			t.Errorf("%.0f allocations for %s bytes, httputil.ReverseProxy makes %.0f", got, n, other)
		}
	}
}

// discard is a ResponseWriter that keeps nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Flush()                      {}
