package rootserver_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/internal/rootserver"
	"github.com/callboard-dev/callboard/internal/testbed/logtest"
)

const base = "backend:\n  baseUrl: http://localhost:7007\n"

// newServer returns a server that does not listen, with an index that answers "page".
func newServer(t testing.TB, yaml string, opts rootserver.Options) *rootserver.Server {
	t.Helper()
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s, err := rootserver.New(decode(t, base+yaml, "backend", rootserver.Defaults()), opts)
	if err != nil {
		t.Fatal(err)
	}
	s.SetIndex(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { httpx.Text(w, 200, "page") }))
	return s
}

// ask sends a request with headers, given as "Name: value", through the whole chain.
func ask(s http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Remote" {
			r.RemoteAddr = value + ":1234"
			continue
		}
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestDefaultHeaders(t *testing.T) {
	t.Parallel()
	got := ask(newServer(t, "", rootserver.Options{}), "GET", "/.backstage/health/v1/liveness").Header()
	for name, want := range map[string]string{
		"Content-Security-Policy":           "default-src 'self';base-uri 'self';font-src 'self' https: data:;frame-ancestors 'self';img-src 'self' data:;object-src 'none';script-src 'self' 'unsafe-eval';script-src-attr 'none';style-src 'self' https: 'unsafe-inline';upgrade-insecure-requests",
		"Referrer-Policy":                   "no-referrer",
		"Strict-Transport-Security":         "max-age=15552000; includeSubDomains",
		"X-Content-Type-Options":            "nosniff",
		"X-DNS-Prefetch-Control":            "off",
		"X-Download-Options":                "noopen",
		"X-Frame-Options":                   "SAMEORIGIN",
		"X-Permitted-Cross-Domain-Policies": "none",
		"X-XSS-Protection":                  "0",
		"Content-Type":                      "application/json; charset=utf-8",
		"Etag":                              `W/"f-VaSQ4oDUiZblZNAEkkN+sX+q3Sg"`,
		"Vary":                              "Accept-Encoding",
		"Access-Control-Allow-Origin":       "",
	} {
		if g := strings.Join(got.Values(name), "|"); g != want {
			t.Errorf("%s: %q, want %q", name, g, want)
		}
	}
}

func TestCSP(t *testing.T) {
	t.Parallel()
	const head = "default-src 'self';base-uri 'self';font-src 'self' https: data:;frame-ancestors 'self';"
	const tail = "object-src 'none';script-src 'self' 'unsafe-eval';script-src-attr 'none';style-src 'self' https: 'unsafe-inline';upgrade-insecure-requests"
	for _, tt := range []struct{ yaml, want string }{
		{`{connect-src: ["'self'", 'http:', 'https:']}`, head + "img-src 'self' data:;" + tail + ";connect-src 'self' http: https:"},
		{`{connectSrc: "'self'"}`, head + "img-src 'self' data:;" + tail + ";connect-src 'self'"},
		{`{img-src: ['*', 'data:']}`, head + "img-src * data:;" + tail},
		{`{imgSrc: ["'self'"], frame-src: [x], connect-src: [y]}`, head + "img-src 'self';" + tail + ";frame-src x;connect-src y"},
		{`{upgrade-insecure-requests: false, imgSrc: false, frameSrc: false}`, head + strings.TrimSuffix(tail, ";upgrade-insecure-requests")},
		{`{sandbox: []}`, head + "img-src 'self' data:;" + tail + ";sandbox"},
		{`false`, ""},
	} {
		s := newServer(t, "  csp: "+tt.yaml+"\n", rootserver.Options{})
		if got := ask(s, "GET", "/").Header().Get("Content-Security-Policy"); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.yaml, got, tt.want)
		}
	}
}

func TestReferrerAndHealthHeaders(t *testing.T) {
	t.Parallel()
	s := newServer(t, "  referrer: {policy: [no-referrer, same-origin]}\n  health: {headers: {X-Up: 'yes'}}\n", rootserver.Options{})
	if got := ask(s, "GET", "/").Header(); got.Get("Referrer-Policy") != "no-referrer,same-origin" || got.Get("X-Up") != "" {
		t.Errorf("got %v", got)
	}
	for _, path := range []string{"liveness", "readiness"} {
		if got := ask(s, "GET", "/.backstage/health/v1/"+path).Header().Get("X-Up"); got != "yes" {
			t.Errorf("%s: X-Up %q", path, got)
		}
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	// want: status | allow-origin | credentials | vary | methods | allow-headers | max-age | expose
	for _, tt := range []struct{ name, yaml, method, origin, want string }{
		{"no section", "", "GET", "http://a", "200|||Accept-Encoding||||"},
		{"no section, preflight", "", "OPTIONS", "http://a", "200|||Accept-Encoding||||"},
		{"an origin of the list", "{origin: ['http://a', 'http://b']}", "GET", "http://b", "200|http://b||Origin, Accept-Encoding||||"},
		{"in another case", "{origin: 'http://A.example'}", "GET", "http://a.EXAMPLE", "200|http://a.EXAMPLE||Origin, Accept-Encoding||||"},
		{"a glob", "{origin: 'https://*.acme.com', credentials: true}", "GET", "https://x.acme.com", "200|https://x.acme.com|true|Origin, Accept-Encoding||||"},
		{"a glob over the port", "{origin: 'http://localhost:*'}", "GET", "http://localhost:3000", "200|http://localhost:3000||Origin, Accept-Encoding||||"},
		{"a suffix that looks like it", "{origin: 'https://*.acme.com'}", "GET", "https://x.acme.com.evil.example", "200|||Accept-Encoding||||"},
		{"a star does not cross the scheme", "{origin: '*', credentials: true}", "GET", "https://evil.example", "200|||Accept-Encoding||||"},
		{"another origin", "{origin: 'http://a', credentials: true}", "GET", "http://evil", "200|||Accept-Encoding||||"},
		{"another origin, preflight", "{origin: 'http://a'}", "OPTIONS", "http://evil", "200|||Accept-Encoding||||"},
		{"null", "{origin: 'http://a'}", "GET", "null", "200|||Accept-Encoding||||"},
		{"no origin in the request", "{origin: 'http://a'}", "GET", "", "200|||Accept-Encoding||||"},
		{"no origin in the section", "{methods: [GET]}", "GET", "http://x", "200|*||Accept-Encoding||||"},
		{"exposed headers", "{origin: 'http://a', exposedHeaders: [Link, X-A]}", "GET", "http://a", "200|http://a||Origin, Accept-Encoding||||Link,X-A"},
		{"preflight", "{origin: 'http://a', credentials: true}", "OPTIONS", "http://a", "204|http://a|true|Origin, Access-Control-Request-Headers|GET,HEAD,PUT,PATCH,POST,DELETE|authorization||"},
		{"preflight, all options", "{origin: 'http://a', methods: [GET, PUT], allowedHeaders: [X-B, X-C], exposedHeaders: Link, maxAge: {minutes: 2}, optionsSuccessStatus: 200}", "OPTIONS", "http://a",
			"200|http://a||Origin|GET,PUT|X-B,X-C|120|Link"},
		{"preflight, seconds", "{origin: 'http://a', maxAge: 7}", "OPTIONS", "http://a", "204|http://a||Origin, Access-Control-Request-Headers|GET,HEAD,PUT,PATCH,POST,DELETE|authorization|7|"},
		{"preflight that goes on", "{origin: 'http://a', preflightContinue: true}", "OPTIONS", "http://a",
			"200|http://a||Origin, Access-Control-Request-Headers, Accept-Encoding|GET,HEAD,PUT,PATCH,POST,DELETE|authorization||"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			yaml := ""
			if tt.yaml != "" {
				yaml = "  cors: " + tt.yaml + "\n"
			}
			headers := []string{"Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization"}
			if tt.origin != "" {
				headers = append(headers, "Origin: "+tt.origin)
			}
			w := ask(newServer(t, yaml, rootserver.Options{}), tt.method, "/", headers...)
			h := w.Header()
			got := fmt.Sprint(w.Code)
			for _, name := range []string{"Allow-Origin", "Allow-Credentials", "", "Allow-Methods", "Allow-Headers", "Max-Age", "Expose-Headers"} {
				if name == "" {
					got += "|" + strings.Join(h.Values("Vary"), "!")
					continue
				}
				got += "|" + strings.Join(h.Values("Access-Control-"+name), "!")
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestCompression(t *testing.T) {
	t.Parallel()
	s := newServer(t, "", rootserver.Options{})
	body := strings.Repeat("some text ", 1000)
	s.SetIndex(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		h := w.Header()
		for _, name := range []string{"Content-Encoding", "Cache-Control"} {
			if v := q.Get(name); v != "" {
				h.Set(name, v)
			}
		}
		switch text := body[:min(len(body), atoi(q.Get("n"), len(body)))]; q.Get("how") {
		case "stream":
			h.Set("Content-Type", q.Get("type"))
			w.(http.Flusher).Flush()
			for part := range strings.SplitAfterSeq(text, " ") {
				io.WriteString(w, part)
			}
		default:
			httpx.Bytes(w, 200, q.Get("type"), []byte(text))
		}
	}))
	for _, tt := range []struct {
		name, query, accept string
		gzip                bool
		vary                string
	}{
		{"a client that wants it", "type=application/json", "gzip, br", true, "Accept-Encoding"},
		{"a client that does not say", "type=application/json", "", false, "Accept-Encoding"},
		{"one that refuses", "type=application/json", "gzip;q=0, *", false, "Accept-Encoding"},
		{"any", "type=application/json", "*", true, "Accept-Encoding"},
		{"just below the threshold", "type=text/html&n=1023", "gzip", false, "Accept-Encoding"},
		{"at the threshold", "type=text/html&n=1024", "gzip", true, "Accept-Encoding"},
		{"a picture", "type=image/png", "gzip", false, ""},
		{"a drawing", "type=image/svg%2Bxml", "gzip", true, "Accept-Encoding"},
		{"what is encoded already", "type=text/css&Content-Encoding=br", "gzip", false, "Accept-Encoding"},
		{"no-transform", "type=text/css&Cache-Control=no-transform", "gzip", false, ""},
		{"a short stream", "type=application/json&how=stream&n=10", "gzip", true, "Accept-Encoding"},
		{"events", "type=text/event-stream&how=stream", "gzip", false, "Accept-Encoding"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := ask(s, "GET", "/?"+tt.query, "Accept-Encoding: "+tt.accept)
			if got := w.Header().Get("Content-Encoding") == "gzip"; got != tt.gzip || w.Header().Get("Vary") != tt.vary {
				t.Fatalf("headers %v", w.Header())
			}
			if !tt.gzip {
				return
			}
			if w.Header().Get("Content-Length") != "" {
				t.Error("there is a length")
			}
			zr, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(zr); err != nil || !strings.HasPrefix(body, string(got)) || len(got) == 0 {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	if w := ask(s, "HEAD", "/?type=text/css", "Accept-Encoding: gzip"); w.Header().Get("Content-Encoding") != "" || w.Header().Get("Vary") == "" {
		t.Errorf("HEAD: %v", w.Header())
	}
}

func atoi(s string, def int) int {
	if _, err := fmt.Sscan(s, &def); err != nil {
		return def
	}
	return def
}

func TestRequestLog(t *testing.T) {
	t.Parallel()
	var log logtest.Buffer
	now := time.Date(2026, 11, 24, 10, 0, 0, 5e6, time.UTC)
	s := newServer(t, "", rootserver.Options{Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == "time" {
			return slog.Attr{}
		}
		return a
	}})), Now: func() time.Time { return now }})
	ask(s, "GET", "/a?code=canary&x=1", "User-Agent: curl/8", "Referer: http://r/?access_token=canary")
	ask(s, "POST", "/api/nope")
	want := `{"level":"INFO","msg":"[2026-11-24T10:00:00.005Z] \"GET /a?code=***&x=1 HTTP/1.1\" 200 4 \"http://r/?access_token=***\" \"curl/8\"","type":"incomingRequest","date":"2026-11-24T10:00:00.005Z","method":"GET","url":"/a?code=***&x=1","status":200,"httpVersion":"1.1","userAgent":"curl/8","referrer":"http://r/?access_token=***","contentLength":4}
{"level":"INFO","msg":"[2026-11-24T10:00:00.005Z] \"POST /api/nope HTTP/1.1\" 404 - \"-\" \"-\"","type":"incomingRequest","date":"2026-11-24T10:00:00.005Z","method":"POST","url":"/api/nope","status":404,"httpVersion":"1.1"}
`
	if log.String() != want {
		t.Errorf("got\n%s\nwant\n%s", log.String(), want)
	}
}

func TestTrustProxy(t *testing.T) {
	t.Parallel()
	forwarded := []string{"X-Forwarded-For: 6.6.6.6, 2.2.2.2, 10.0.0.2", "X-Forwarded-Proto: https", "X-Forwarded-Host: portal.example, x"}
	for _, tt := range []struct{ trust, peer, want string }{
		{"", "10.0.0.1", "{10.0.0.1 http example.com}"},
		{"false", "10.0.0.1", "{10.0.0.1 http example.com}"},
		{"true", "10.0.0.1", "{6.6.6.6 https portal.example}"},
		{"0", "10.0.0.1", "{10.0.0.1 http example.com}"},
		{"1", "10.0.0.1", "{10.0.0.2 https portal.example}"},
		{"2", "10.0.0.1", "{2.2.2.2 https portal.example}"},
		{"10.0.0.0/8", "10.0.0.1", "{2.2.2.2 https portal.example}"},
		{"[10.0.0.1, 10.0.0.2]", "10.0.0.1", "{2.2.2.2 https portal.example}"},
		{"'loopback, uniquelocal'", "10.0.0.1", "{2.2.2.2 https portal.example}"},
		{"10.0.0.0/8", "7.7.7.7", "{7.7.7.7 http example.com}"},
	} {
		yaml := ""
		if tt.trust != "" {
			yaml = "  trustProxy: " + tt.trust + "\n"
		}
		s := newServer(t, yaml, rootserver.Options{})
		s.SetIndex(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, httpx.ClientOf(r)) }))
		if got := ask(s, "GET", "/", append(forwarded, "Remote: "+tt.peer)...).Body.String(); got != tt.want {
			t.Errorf("trustProxy %s, peer %s: got %s, want %s", tt.trust, tt.peer, got, tt.want)
		}
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	opts := rootserver.Options{Now: func() time.Time { return now }}
	s := newServer(t, "  rateLimit: {window: 10s, incomingRequestLimit: 2, plugin: {slow: {incomingRequestLimit: 1}}}\n", opts)
	gate, err := s.Mount(rootserver.Plugin{ID: "slow", Routes: &httpx.Mux{}})
	if err != nil {
		t.Fatal(err)
	}
	gate.Open()
	if w := ask(s, "GET", "/", "Remote: 1.1.1.1"); w.Code != 200 || w.Header().Get("X-RateLimit-Limit") != "2" || w.Header().Get("X-RateLimit-Remaining") != "1" || w.Header().Get("X-RateLimit-Reset") != fmt.Sprint(now.Unix()+10) {
		t.Errorf("the first: %d %v", w.Code, w.Header())
	}
	ask(s, "GET", "/", "Remote: 1.1.1.1")
	w := ask(s, "GET", "/", "Remote: 1.1.1.1")
	if w.Code != 429 || w.Header().Get("Retry-After") != "10" || w.Body.String() != `{"error":{"name":"Error","message":"Too many requests, please try again later"},"response":{"statusCode":429}}` {
		t.Errorf("the third: %d %v %s", w.Code, w.Header(), w.Body)
	}
	for _, other := range []string{"2.2.2.2", "127.0.0.1"} {
		for i := range 2 {
			if w := ask(s, "GET", "/", "Remote: "+other); w.Code != 200 {
				t.Errorf("%s, request %d: %d", other, i, w.Code)
			}
		}
	}
	for range 5 {
		if w := ask(s, "GET", "/", "Remote: 127.0.0.1"); w.Code != 200 {
			t.Errorf("an allowed address: %d", w.Code)
		}
	}
	now = now.Add(10 * time.Second)
	if w := ask(s, "GET", "/", "Remote: 1.1.1.1"); w.Code != 200 {
		t.Errorf("in the next window: %d", w.Code)
	}
	ask(s, "GET", "/api/slow/x", "Remote: 3.3.3.3")
	if w := ask(s, "GET", "/api/slow/x", "Remote: 3.3.3.3"); w.Code != 429 {
		t.Errorf("the limit of a plugin: %d", w.Code)
	}
	if w := ask(s, "GET", "/.backstage/health/v1/liveness", "Remote: 3.3.3.3"); w.Code != 429 {
		t.Errorf("health comes after the limit: %d", w.Code)
	}

	v6 := newServer(t, "  rateLimit: {incomingRequestLimit: 1}\n", opts)
	for addr, want := range map[string]int{"[2001:db8:0:1::1]": 200} {
		if w := ask(v6, "GET", "/", "Remote: "+addr); w.Code != want {
			t.Errorf("%s: %d", addr, w.Code)
		}
	}
	if w := ask(v6, "GET", "/", "Remote: [2001:db8:0:2::9]"); w.Code != 429 {
		t.Errorf("the same customer's other address: %d", w.Code)
	}

	global := newServer(t, "  rateLimit: {global: false, incomingRequestLimit: 1}\n", opts)
	skip := newServer(t, "  rateLimit: {incomingRequestLimit: 1, skipSuccessfulRequests: true}\n", opts)
	on := newServer(t, "  rateLimit: true\n", opts)
	for i := range 6 {
		for name, s := range map[string]*rootserver.Server{"global: false": global, "skipSuccessfulRequests": skip, "true": on} {
			want := 200
			if name == "true" && i == 5 {
				want = 429
			}
			if w := ask(s, "GET", "/", "Remote: 1.1.1.1"); w.Code != want {
				t.Errorf("%s, request %d: %d", name, i, w.Code)
			}
		}
	}
	for range 2 {
		ask(skip, "GET", "/api/nope", "Remote: 1.1.1.1")
	}
	if w := ask(skip, "GET", "/", "Remote: 1.1.1.1"); w.Code != 429 {
		t.Errorf("failed requests count: %d", w.Code)
	}
}

type brokenStore struct{ rootserver.RateStore }

func (brokenStore) Hit(context.Context, string, time.Duration) (int, time.Time, error) {
	return 0, time.Time{}, errors.New("redis is down")
}

func TestRateLimitStores(t *testing.T) {
	t.Parallel()
	cfg := decode(t, base+"  rateLimit: {store: {type: redis, connection: 'redis://x'}}\n", "backend", rootserver.Defaults())
	_, err := rootserver.New(cfg, rootserver.Options{})
	want := `backend.rateLimit.store.type: is "redis", but no rate limit store of that type is part of this backend`
	ke, ok := err.(*config.KeyError)
	if !ok || ke.Error() != want || ke.Fix() != "use memory, or backend.Add(rediscache.Module())" {
		t.Errorf("got %v", err)
	}
	for pass, want := range map[string]int{"true": 200, "false": 503} {
		s := newServer(t, "  rateLimit: {store: {type: redis}, passOnStoreError: "+pass+"}\n", rootserver.Options{RateStores: map[string]rootserver.RateStoreFactory{
			"redis": func(rootserver.RateStoreConfig) (rootserver.RateStore, error) { return brokenStore{}, nil },
		}})
		if w := ask(s, "GET", "/", "Remote: 1.1.1.1"); w.Code != want || strings.Contains(w.Body.String(), "redis") {
			t.Errorf("passOnStoreError %s: %d %s", pass, w.Code, w.Body)
		}
		if w := ask(s, "GET", "/.backstage/health/v1/liveness", "Remote: 1.1.1.1"); w.Code != 200 {
			t.Errorf("passOnStoreError %s: without its counters the process counts as dead: %d", pass, w.Code)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	s := newServer(t, "", rootserver.Options{})
	check := func(when string, status int, body string) {
		t.Helper()
		if w := ask(s, "GET", "/.backstage/health/v1/readiness"); w.Code != status || w.Body.String() != body {
			t.Errorf("%s: %d %s", when, w.Code, w.Body)
		}
		if w := ask(s, "GET", "/.backstage/health/v1/liveness/"); w.Code != 200 || w.Body.String() != `{"status":"ok"}` {
			t.Errorf("%s: liveness %d %s", when, w.Code, w.Body)
		}
	}
	check("before start", 503, `{"message":"Backend has not started yet","status":"error"}`)
	s.SetReady()
	check("started", 200, `{"status":"ok"}`)
	s.SetReady("search", "catalog")
	check("started without some", 200, `{"status":"ok","failedPlugins":["catalog","search"]}`)
	s.SetStopping()
	check("stopping", 503, `{"message":"Backend is shutting down","status":"error"}`)
	if w := ask(s, "HEAD", "/.backstage/health/v1/liveness", `If-None-Match: W/"f-VaSQ4oDUiZblZNAEkkN+sX+q3Sg"`); w.Code != 304 || w.Body.Len() != 0 {
		t.Errorf("conditional: %d", w.Code)
	}
	if w := ask(s, "POST", "/.backstage/health/v1/liveness"); w.Body.String() != "page" {
		t.Errorf("another method goes on to the index: %d %s", w.Code, w.Body)
	}
}

func TestGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, "  lifecycle: {startupRequestPauseTimeout: {seconds: 3}}\n", rootserver.Options{})
		mux := &httpx.Mux{}
		if err := mux.Handle("GET /x", func(w http.ResponseWriter, r *http.Request) error { return httpx.Text(w, 200, "x") }); err != nil {
			t.Fatal(err)
		}
		gate, err := s.Mount(rootserver.Plugin{ID: "p", Routes: mux, Errors: httpx.ErrorWriter{Log: slog.New(slog.DiscardHandler)},
			Before: func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/early" {
					return false
				}
				httpx.Text(w, 200, "early")
				return true
			}})
		if err != nil {
			t.Fatal(err)
		}
		body := func(message string) string {
			return `{"error":{"name":"ServiceUnavailableError","message":"` + message + `"},"request":{"method":"GET","url":"/x"},"response":{"statusCode":503}}`
		}
		began := time.Now()
		if w := ask(s, "GET", "/api/p/x"); w.Body.String() != body("Service has not started up yet") || time.Since(began) != 3*time.Second {
			t.Errorf("before start: %s after %v", w.Body, time.Since(began))
		}
		if w := ask(s, "GET", "/api/p/early"); w.Body.String() != "early" {
			t.Errorf("before the gate: %s", w.Body)
		}
		go func() { time.Sleep(time.Second); gate.Open() }()
		began = time.Now()
		if w := ask(s, "GET", "/api/p/x"); w.Body.String() != "x" || time.Since(began) != time.Second {
			t.Errorf("while it starts: %s after %v", w.Body, time.Since(began))
		}
		gate.Close()
		if w := ask(s, "GET", "/api/p/x"); w.Body.String() != body("Service is shutting down") {
			t.Errorf("while it stops: %s", w.Body)
		}
		gate.Fail()
		if w := ask(s, "GET", "/api/p/x"); w.Body.String() != body("Service could not be started") {
			t.Errorf("after it has failed: %s", w.Body)
		}
	})
}

func TestConfigMistakesAreNamed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ yaml, want string }{
		{"  listen: nonsense\n", "backend.listen: unable to parse listen address nonsense, expected <port> or <host>:<port> (app-config.yaml:3:11)"},
		{"  listen: {port: 99999}\n", "backend.listen: unable to parse listen address map[port:99999], expected <port> or <host>:<port>"},
		{"  trustProxy: [10.0.0.0/99]\n", `backend.trustProxy: "10.0.0.0/99" is neither an IP address nor a network such as 10.0.0.0/8`},
		{"  csp: {img-src: ['a;b']}\n", `backend.csp.img-src: "a;b" cannot be a source`},
		{"  csp: {img-src: [x], imgSrc: [y]}\n", "backend.csp.imgSrc: the directive img-src is set twice"},
		{"  cors: {origin: ['[']}\n", `backend.cors.origin[0]: "[" is not a valid pattern`},
		{"  cors: {maxAge: -1}\n", "backend.cors.maxAge: must not be negative"},
		{"  rateLimit: 7\n", "backend.rateLimit: expected true, false, or an object such as"},
		{"  rateLimit: {incomingRequestLimit: 0}\n", "backend.rateLimit.incomingRequestLimit: must be at least 1"},
		{"  rateLimit: {plugin: {catalog: {ipAllowList: [x]}}}\n", `backend.rateLimit.plugin.catalog.ipAllowList: "x" is neither an IP address`},
		{"  https: maybe\n", "backend.https: expected true, false, or {certificate: {cert, key}}"},
		{"  https: {certificate: {cert: x}}\n", "backend.https.certificate.key: required key is missing"},
	} {
		cfg, err := config.Parse("app-config.yaml", []byte(base+tt.yaml))
		if err != nil {
			t.Fatal(err)
		}
		out := rootserver.Defaults()
		if err := cfg.Decode("backend", &out); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s got  %v\nwant %s", tt.yaml, err, tt.want)
		}
	}
}

func TestListenForms(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		"7008": ":7008 http://localhost:7008", `"7008"`: ":7008 http://localhost:7008", `":7008"`: ":7008 http://localhost:7008",
		`"127.0.0.1:7008"`: "127.0.0.1:7008 http://127.0.0.1:7008", `"0.0.0.0:7008"`: "0.0.0.0:7008 http://127.0.0.1:7008",
		`"[::]:7008"`: "[::]:7008 http://localhost:7008", "{host: 1.2.3.4}": "1.2.3.4:7007 http://1.2.3.4:7007",
		"{port: 7008}": ":7008 http://localhost:7008", `{port: "7008", host: "::1"}`: "[::1]:7008 http://[::1]:7008",
	} {
		l := decode(t, base+"  listen: "+yaml+"\n", "backend", rootserver.Defaults()).Listen
		if got := l.String() + " " + l.InternalURL(false); got != want {
			t.Errorf("%s: got %s, want %s", yaml, got, want)
		}
	}
	if l := decode(t, base, "backend", rootserver.Defaults()).Listen; l.String() != ":7007" {
		t.Errorf("by default: %s", l)
	}
}
