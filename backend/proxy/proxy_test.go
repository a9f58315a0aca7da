package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/proxy"
)

const alice = "user:default/alice"

func TestPaths(t *testing.T) {
	t.Parallel()
	to := newTarget(t, nil)
	b := start(t, to, `
/plain: TARGET
/base: {target: TARGET/base}
/slash: {target: TARGET/base/}
/a/b/: {target: TARGET/nested}
/rewrite:
  target: TARGET/base
  pathRewrite: {'^/api/proxy/rewrite/v(\d+)\.x': '/version-$1', '^/api/proxy/rewrite/all$': '', '^/api/proxy/rewrite/query': '/q?key=1', '/(?P<what>money)$': '/$$$&-$9-$12-$<what>-$<no>-$'}
`)
	for _, tt := range []struct{ path, want string }{
		{"/plain", "/"},
		{"/plain/", "/"},
		{"/plain/x/y?z=1&z=2", "/x/y?z=1&z=2"},
		{"/plain/x/", "/x/"},
		{"/base", "/base/"},
		{"/base?q", "/base/?q"},
		{"/base/x", "/base/x"},
		{"/slash/x", "/base/x"},
		{"/a/b/c", "/nested/c"},
		{"/A/B/C", "/nested/C"},
		{"/base/group%2Fproject/%C3%BC%20x", "/base/group%2Fproject/%C3%BC%20x"},
		{"/base/compare/v1...v2", "/base/compare/v1...v2"},
		{"/base/a..b/.hidden", "/base/a..b/.hidden"},
		{"/base/https%3A%2F%2Fhost%2Fx", "/base/https%3A%2F%2Fhost%2Fx"},
		{"/b%61se/x", "/base/x"},
		{"/rewrite/v2.x/z?q=1", "/base/version-2/z?q=1"},
		{"/rewrite/all", "/base/"},
		{"/rewrite/query?a=b", "/base/q?key=1&a=b"},
		{"/rewrite/query", "/base/q?key=1"},
		{"/rewrite/other", "/base/api/proxy/rewrite/other"},
		{"/rewrite/money", "/base/api/proxy/rewrite/$/money-$9-money2-money-$%3Cno%3E-$"},
	} {
		if res, _ := ask(t, b.As(alice), "GET", b.URL+"/api/proxy"+tt.path, ""); res.StatusCode != 200 {
			t.Errorf("%s: status %d", tt.path, res.StatusCode)
			continue
		}
		if got := to.last(t).RequestURI; got != tt.want {
			t.Errorf("%s: the target was asked for %s, want %s", tt.path, got, tt.want)
		}
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	t.Parallel()
	to := newTarget(t, nil)
	b := start(t, to, `
/only: {target: TARGET, allowedMethods: [GET, put]}
/all: TARGET
/none: {target: TARGET, allowedMethods: []}
`)
	for _, tt := range []struct {
		method, path string
		anonymous    bool
		want         int
	}{
		{"GET", "/nothing", false, 404},
		{"GET", "/nothing", true, 401},
		{"GET", "", false, 404},
		{"GET", "/onlyx", false, 404},
		{"GET", "/only/x", false, 200},
		{"PUT", "/only/x", false, 200},
		{"HEAD", "/only/x", false, 404},
		{"POST", "/only/x", false, 404},
		{"POST", "/only/x", true, 401},
		{"PROPFIND", "/all/x", false, 200},
		{"TRACE", "/all/x", false, 404},
		{"GET", "/none", false, 404},
	} {
		c := b.As(alice)
		if tt.anonymous {
			c = nil
		}
		res, text := ask(t, c, tt.method, b.URL+"/api/proxy"+tt.path, "")
		if res.StatusCode != tt.want || tt.want == 404 && text != "" {
			t.Errorf("%s %s (anonymous: %v): %d %q, want %d", tt.method, tt.path, tt.anonymous, res.StatusCode, text, tt.want)
		}
	}
}

// Who may call, and whose token the target sees.
func TestCredentials(t *testing.T) {
	t.Parallel()
	to := newTarget(t, nil)
	b := start(t, to, `
/require: {target: TARGET, allowedHeaders: [Authorization, Cookie]}
/forward: {target: TARGET, credentials: forward, allowedHeaders: [Cookie]}
/public: {target: TARGET, credentials: dangerously-allow-unauthenticated, allowedHeaders: [Authorization]}
/own: {target: TARGET, headers: {authorization: Token abc}, allowedHeaders: [Authorization]}
/basic: {target: TARGET, auth: 'me:secret'}
/both: {target: TARGET, credentials: forward, headers: {Authorization: Token abc}}
`)
	for _, tt := range []struct {
		path string
		who  string
		want int
		auth string // what the target gets
	}{
		{"/require", "user", 200, ""},
		{"/require", "service", 200, ""},
		{"/require", "nobody", 401, ""},
		{"/require", "forged", 401, ""},
		{"/forward", "user", 200, "Bearer *"},
		{"/forward", "service", 200, "Bearer *"},
		{"/forward", "nobody", 401, ""},
		{"/public", "nobody", 200, ""},
		{"/public", "user", 200, ""},
		{"/public", "forged", 200, ""},
		{"/own", "user", 200, "Token abc"},
		{"/own", "nobody", 401, ""},
		{"/basic", "user", 200, "Basic bWU6c2VjcmV0"},
		{"/both", "user", 200, "Token abc"},
	} {
		var c *http.Client
		headers := []string{"Cookie: backstage-auth=x; session=y"}
		switch tt.who {
		case "user":
			c = b.As(alice)
		case "service":
			c = b.AsPlugin("auth")
		case "forged":
			headers = append(headers, "Authorization: Bearer nobody.has.signed")
		}
		before := len(to.requests())
		res, text := ask(t, c, "GET", b.URL+"/api/proxy"+tt.path+"/x", "", headers...)
		if res.StatusCode != tt.want {
			t.Errorf("%s as %s: %d %s, want %d", tt.path, tt.who, res.StatusCode, text, tt.want)
			continue
		}
		if tt.want != 200 {
			if len(to.requests()) != before {
				t.Errorf("%s as %s reached the target", tt.path, tt.who)
			}
			continue
		}
		r := to.last(t)
		got := r.Header.Get("Authorization")
		if want, some := strings.CutSuffix(tt.auth, "*"); some && !strings.HasPrefix(got, want) || !some && got != want {
			t.Errorf("%s as %s: the target got authorization %q, want %q", tt.path, tt.who, got, tt.auth)
		}
		if c := r.Header["Cookie"]; c != nil {
			t.Errorf("%s as %s: the target got cookies %q", tt.path, tt.who, c)
		}
	}
}

func TestHeadersThatPass(t *testing.T) {
	t.Parallel()
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		for _, name := range []string{"X-Allowed", "X-Other", "X-Hop", "Etag", "Location", "Set-Cookie", "Www-Authenticate", "Access-Control-Allow-Origin",
			"Content-Security-Policy", "Server", "Cache-Control", "Content-Language", "Last-Modified", "Pragma", "Expires"} {
			h.Set(name, "of-target")
		}
		h.Set("Connection", "x-hop")
		h.Set("Content-Type", "text/x-target")
		h.Set("Content-Encoding", "x-own")
		_, _ = io.WriteString(w, "body")
	})
	b := start(t, to, `
/usual: TARGET
/more: {target: TARGET, allowedHeaders: [x-allowed, x-hop, Idempotency-Key, Set-Cookie], headers: {X-Set: here, X-Empty-Not: v}, changeOrigin: false}
/forwarded: {target: TARGET, xfwd: true, headers: {Host: virtual.example}}
`)
	sent := []string{"X-Allowed: a", "X-Allowed: b", "X-Other: o", "X-Set: of-client", "X-Hop: h", "Connection: x-hop, close", "Accept: text/plain", "Accept-Language: de",
		"Content-Language: en", "User-Agent: test", "X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6", "Te: trailers", "Proxy-Authorization: Basic x", "X_Set: sneaky",
		"Idempotency-Key: k", "Upgrade: h2c", "Http2-Settings: AAMAAABkAAQAAP__", "Expect: nothing"}
	for _, tt := range []struct{ path, request, host, answer string }{
		{"/usual", "Accept=text/plain Accept-Language=de Content-Language=en User-Agent=test", "TARGET",
			"Cache-Control Content-Encoding Content-Language Content-Type Expires Last-Modified Pragma"},
		{"/more", "Accept=text/plain Accept-Language=de Content-Language=en Idempotency-Key=k User-Agent=test X-Allowed=a,b X-Empty-Not=v X-Set=here", "PORTAL",
			"Cache-Control Content-Encoding Content-Language Content-Type Expires Last-Modified Pragma X-Allowed"},
		{"/forwarded", "Accept=text/plain Accept-Language=de Content-Language=en User-Agent=test X-Forwarded-For=127.0.0.1 X-Forwarded-Host=PORTAL X-Forwarded-Port=PORT X-Forwarded-Proto=http", "virtual.example",
			"Cache-Control Content-Encoding Content-Language Content-Type Expires Last-Modified Pragma"},
	} {
		headers := sent
		if tt.path == "/more" {
			headers = sent[:len(sent)-1]
		}
		res, text := ask(t, b.As(alice), "GET", b.URL+"/api/proxy"+tt.path, "", headers[:len(headers)-1]...)
		if res.StatusCode != 200 || text != "body" {
			t.Fatalf("%s: %d %s", tt.path, res.StatusCode, text)
		}
		r := to.last(t)
		portal := strings.TrimPrefix(b.URL, "http://")
		names := strings.NewReplacer("PORTAL", portal, "PORT", portal[strings.LastIndex(portal, ":")+1:], "TARGET", strings.TrimPrefix(to.URL, "http://"))
		if got := flat(r.Header); got != names.Replace(tt.request) {
			t.Errorf("%s: the target got\n%s, want\n%s", tt.path, got, names.Replace(tt.request))
		}
		if want := names.Replace(tt.host); r.Host != want {
			t.Errorf("%s: the target is called %s, want %s", tt.path, r.Host, want)
		}
		var passed []string
		for _, name := range sorted(res.Header) {
			if v := res.Header.Get(name); v == "of-target" || name == "Content-Type" || name == "Content-Encoding" {
				passed = append(passed, name)
			}
		}
		if got := strings.Join(passed, " "); got != tt.answer {
			t.Errorf("%s: the client got %s, want %s", tt.path, got, tt.answer)
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(res.Header.Get("Content-Security-Policy"), "default-src") {
			t.Errorf("%s: the portal's own headers are %v", tt.path, res.Header)
		}
	}
}

// What is said of a client that says little: nothing is made up.
func TestNothingIsMadeUp(t *testing.T) {
	t.Parallel()
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = nil
		w.Header()["Date"] = nil
		_, _ = io.WriteString(w, "<html>")
	})
	b := start(t, to, `/public: {target: TARGET, credentials: dangerously-allow-unauthenticated}`)
	res, _ := ask(t, nil, "POST", b.URL+"/api/proxy/public", "", "User-Agent: ", "Accept-Encoding: ")
	if got := flat(to.last(t).Header); got != "Content-Length=0" {
		t.Errorf("the target got %s", got)
	}
	if ct, ok := res.Header["Content-Type"]; ok {
		t.Errorf("the answer is said to be %s", ct)
	}
}

func TestStatusesAndRedirectsPassAsTheyAre(t *testing.T) {
	t.Parallel()
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		var n int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d", &n); err != nil {
			n = 500
		}
		w.Header().Set("Location", "http://169.254.169.254/")
		w.WriteHeader(n)
	})
	b := start(t, to, "/x: {target: TARGET}\n/y: {target: TARGET, allowedHeaders: [Location]}")
	for _, n := range []int{200, 201, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 418, 429, 500, 503, 599} {
		res, _ := ask(t, b.As(alice), "GET", fmt.Sprintf("%s/api/proxy/x/%d", b.URL, n), "")
		if res.StatusCode != n || res.Header.Get("Location") != "" {
			t.Errorf("%d comes as %d with %q", n, res.StatusCode, res.Header.Get("Location"))
		}
	}
	if res, _ := ask(t, b.As(alice), "GET", b.URL+"/api/proxy/y/302", ""); res.Header.Get("Location") != "http://169.254.169.254/" {
		t.Errorf("an allowed Location comes as %q", res.Header.Get("Location"))
	}
	if n := len(to.requests()); n != 18 {
		t.Errorf("the target was asked %d times", n)
	}
}

// HEAD has the length of what GET would have sent, and no body.
func TestHead(t *testing.T) {
	t.Parallel()
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "12345") })
	b := start(t, to, "/x: TARGET")
	res, text := ask(t, b.As(alice), "HEAD", b.URL+"/api/proxy/x", "")
	if res.ContentLength != 12345 || text != "" || to.last(t).Method != "HEAD" {
		t.Errorf("%d bytes, %q", res.ContentLength, text)
	}
}

// Without endpoints, and without a section, there is nothing to find.
func TestNoEndpoints(t *testing.T) {
	t.Parallel()
	for _, yaml := range []string{"", "proxy: {}", "proxy: {endpoints: {}, reviveConsumedRequestBodies: true}", "proxy:"} {
		b := backendtest.Start(t, yaml, proxy.Plugin())
		if res, _ := ask(t, b.As(alice), "GET", b.URL+"/api/proxy/x", ""); res.StatusCode != 404 {
			t.Errorf("%q: %d", yaml, res.StatusCode)
		}
	}
}

// A plugin of the same process calls endpoints in memory, without a socket.
func TestCallsFromPlugins(t *testing.T) {
	t.Parallel()
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		rc := http.NewResponseController(w)
		for range 3 {
			_, _ = w.Write(body)
			_ = rc.Flush()
		}
	})
	var clients backend.Clients
	var auth backend.Auth
	start(t, to, "/x: {target: TARGET, xfwd: true}", backend.NewPlugin("caller", fx.Invoke(func(c backend.Clients, a backend.Auth) { clients, auth = c, a })))
	c, base, err := clients.Client(t.Context(), auth.Own(), "proxy")
	if err != nil {
		t.Fatal(err)
	}
	res, text := ask(t, c, "POST", base+"/x/y", "body")
	if res.StatusCode != 200 || text != "bodybodybody" {
		t.Errorf("%d %s", res.StatusCode, text)
	}
	if r := to.last(t); r.Header.Get("Authorization") != "" || strings.Contains(r.Header.Get("X-Forwarded-For"), "invalid") {
		t.Errorf("the target got %s", flat(r.Header))
	}
}

func flat(h http.Header) string {
	var out []string
	for _, name := range sorted(h) {
		out = append(out, name+"="+strings.Join(h[name], ","))
	}
	return strings.Join(out, " ")
}
