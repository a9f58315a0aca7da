package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/proxy"
)

// TestSEC33_TheLongestPathDecidesWhoMayCall: an endpoint that everybody may call does not open
// those below it, however their paths are written.
func TestSEC33_TheLongestPathDecidesWhoMayCall(t *testing.T) {
	t.Parallel()
	open, closed := newTarget(t, nil), newTarget(t, nil)
	b := backendtest.Start(t, fmt.Sprintf(`
proxy:
  endpoints:
    /public: {target: %[1]q, credentials: dangerously-allow-unauthenticated}
    /public/admin: {target: %[2]q}
    /public/admin/assets: {target: %[1]q, credentials: dangerously-allow-unauthenticated}
    /closed: {target: %[2]q}
    /closed/open: {target: %[1]q, credentials: dangerously-allow-unauthenticated}
`, open.URL, closed.URL), proxy.Plugin())
	for _, tt := range []struct {
		path string
		want int
	}{
		{"/public/x", 200},
		{"/public/administrators", 200},
		{"/public/x/admin", 200},
		{"/public/admin/assets/logo.png", 200},
		{"/closed/open/x", 200},
		{"/public/admin", 401},
		{"/public/admin/", 401},
		{"/public/admin/users", 401},
		{"/public/admin/assetsx", 401},
		{"/PUBLIC/Admin/users", 401},
		{"/public/%61dmin/users", 401},
		{"/%70ublic/%41DMIN", 401},
		{"/closed", 401},
		{"/closed/opening", 401},
		// The two readings of these lead to different endpoints.
		{"/public/%2561dmin/users", 401},
		{"/public/admin%2Fusers", 400},
		{"/public%2Fadmin", 401},
		{"/public/admin;x=1/users", 400},
		{"/public/admin%3Bx/users", 400},
		{"/public/admin%252fusers", 400},
		{"/public/admin%EF%BC%8Fusers", 400},
		{"/public//admin", 400},
		{"/public/./admin", 400},
		{"/public/x/../admin", 400},
		{`/public/x\..\admin`, 400},
		{"/closed/open/../x", 400},
		{"/closed/open/%2e%2e/x", 400},
		{"//public/admin", 401},
	} {
		if got := raw(t, b.URL, "GET /api/proxy"+tt.path+" HTTP/1.1\r\nHost: portal\r\nConnection: close\r\n\r\n"); got != tt.want {
			t.Errorf("%s without credentials: %d, want %d", tt.path, got, tt.want)
		}
	}
	if n := len(closed.requests()); n > 0 {
		t.Errorf("%d requests without credentials reached the endpoint that needs them", n)
	}
}

// A page of a target is not one of the portal: what it runs has no origin that it could act as.
func TestPagesOfTargetsHaveNoOrigin(t *testing.T) {
	t.Parallel()
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.URL.Query().Get("type"))
		_, _ = io.WriteString(w, "<script>alert(1)</script>")
	})
	b := start(t, to, `
/public: {target: TARGET, credentials: dangerously-allow-unauthenticated, allowedHeaders: [Content-Security-Policy]}
/trusted: {target: TARGET, credentials: dangerously-allow-unauthenticated, sandbox: false}
`)
	for kind, want := range map[string]bool{
		"text/html": true, "Text/HTML; charset=utf-8": true, "application/xhtml+xml": true, "image/svg+xml": true, "text/xml": true, "application/xml": true,
		"application/json": false, "text/plain": false, "image/png": false, "text/event-stream": false,
	} {
		for _, path := range []string{"/public", "/trusted"} {
			res, _ := ask(t, nil, "GET", b.URL+"/api/proxy"+path+"?type="+url.QueryEscape(kind), "")
			policies := strings.Join(res.Header.Values("Content-Security-Policy"), "\n")
			if got := strings.Contains(policies, "sandbox"); got != (want && path == "/public") || strings.Contains(policies, "allow-same-origin") || !strings.Contains(policies, "default-src 'self'") {
				t.Errorf("%s of %s has the policies\n%s", kind, path, policies)
			}
		}
	}
}

// dangerous are paths below an endpoint that somebody on the way may take for one above it.
var dangerous = []string{
	"/..", "/../x", "/x/..", "/x/../..", "/x/../../secret", "/.", "/./x", "/x/.",
	"/%2e%2e/x", "/%2E%2E/x", "/.%2e/x", "/%2e./x", "/%2e/x", "/%252e%252e/x", "/%25252e%25252e/x", "/%25%32%65%25%32%65/x",
	"/..%2fx", "/..%2Fx", "/%2e%2e%2fx", "/%252e%252e%252fx", "/x%2f..%2f..%2fsecret", "/x%2f%2e%2e", "/%2f..%2f",
	`/..\x`, `/\..\x`, "/..%5cx", "/%5c..%5cx", "/..%255cx", `/x\y`, "/x%5Cy", "/x%255cy",
	"//x", "//evil.example/x", "/x//y", "//", "/x//",
	"/..;/x", "/..;a=b/x", "/.;/x", "/%2e%2e;/x", "/..%3b/x", "/..%253bx/y",
	"/..%20/x", "/%20../x", "/..%00/x", "/x%00", "/x%0d%0aX-Injected:%201", "/x%0a", "/%09../x", "/x%7f",
	"/%c0%ae%c0%ae/x", "/%c0%ae./x", "/%e0%80%ae%e0%80%ae/x", "/%f0%80%80%ae/x", "/%c0%afx", "/%c1%9cx", "/..%c0%afx",
	"/%ef%bc%8e%ef%bc%8e/x", "/%e2%80%a4%e2%80%a4/x", "/%e2%80%a5/x", "/%ef%b9%92%ef%b9%92/x", "/..%ef%bc%8fx", "/..%e2%88%95x", "/..%ef%bc%bcx", "/%ef%bc%bcx",
	"/%25252525252525252525252e",
}

// TestSEC46_PathsStayBelowTheTarget: dot segments in any encoding, empty segments and backslashes
// are answered with 400, and reach nobody.
func TestSEC46_PathsStayBelowTheTarget(t *testing.T) {
	t.Parallel()
	to := newTarget(t, nil)
	b := start(t, to, `
/public: {target: TARGET/base, credentials: dangerously-allow-unauthenticated}
/deep/path: {target: TARGET/base, credentials: dangerously-allow-unauthenticated}
/rewrite: {target: TARGET/base, credentials: dangerously-allow-unauthenticated, pathRewrite: {'^/api/proxy/rewrite': ''}}
/joins: {target: TARGET/base, credentials: dangerously-allow-unauthenticated, pathRewrite: {'^/api/proxy/joins/(.)-(.)': '/$1$2'}}
`)
	send := func(path string) int {
		return raw(t, b.URL, "GET "+path+" HTTP/1.1\r\nHost: portal\r\nConnection: close\r\n\r\n")
	}
	for _, endpoint := range []string{"/public", "/deep/path", "/rewrite"} {
		for _, p := range dangerous {
			if got := send("/api/proxy" + endpoint + p); got != 400 {
				t.Errorf("%s%s: %d", endpoint, p, got)
			}
		}
	}
	// A rewriting that makes one of what was none.
	for _, p := range []string{"/joins/.-.", "/joins/.-./x"} {
		if got := send("/api/proxy" + p); got != 400 {
			t.Errorf("%s: %d", p, got)
		}
	}
	for _, r := range to.requests() {
		t.Errorf("%s reached the target", r.RequestURI)
	}
	if got := send("/api/proxy/joins/a-b/x"); got != 200 || to.last(t).RequestURI != "/base/ab/x" {
		t.Errorf("a rewriting that does no harm: %d", got)
	}
	res, text := ask(t, nil, "GET", b.URL+"/api/proxy/public/%2e%2e/x", "")
	if text != "Bad Request" || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("answered %q as %q", text, res.Header.Get("Content-Type"))
	}
}

// FuzzSEC46: whatever path comes in, what reaches the target lies below the target's base path,
// also for readers that decode it more often than they should.
func FuzzSEC46(f *testing.F) {
	for _, p := range dangerous {
		f.Add(p, "")
	}
	for _, p := range []string{"", "/", "/x/y", "/a%2Fb", "/%C3%BC", "/a;b=c", "/compare/a...b", "/%", "/%zz", "/%%32%65", "/x?y", "/x#y", "/x y", "/\u00fc", "/.%252e/..."} {
		f.Add(p, "q=/../&r=%2e%2e")
	}
	// The backend is started once, and the table of routes is asked through HTTP handlers.
	var reached []*http.Request
	to := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reached = append(reached, r) }))
	f.Cleanup(to.Close)
	serve := proxy.HandlerForTest(f, map[string]proxy.Endpoint{
		"/plain":   open(proxy.NewEndpoint(to.URL + "/base/path")),
		"/rewrite": open(rewriting(proxy.NewEndpoint(to.URL+"/base/path"), proxy.PathRule{Pattern: "^/api/proxy/rewrite", Replace: ""})),
		"/greedy":  open(rewriting(proxy.NewEndpoint(to.URL+"/base/path"), proxy.PathRule{Pattern: "^/api/proxy/greedy(.*)/(.*)", Replace: "$2$1"})),
	})
	f.Fuzz(func(t *testing.T, p, query string) {
		for _, endpoint := range []string{"/plain", "/rewrite", "/greedy"} {
			u, err := url.ParseRequestURI(endpoint + p)
			if err != nil || strings.ContainsAny(p, " \r\n") { // net/http's server answers 400
				continue
			}
			u.RawQuery = strings.Map(func(r rune) rune {
				if r <= ' ' || r == 0x7f {
					return -1
				}
				return r
			}, query)
			reached = nil
			w := httptest.NewRecorder()
			r := httptest.NewRequest("GET", "/", nil)
			r.URL = u
			serve(w, r)
			switch {
			case w.Code == 200 && len(reached) == 1:
				below(t, endpoint+p, reached[0].RequestURI)
			case len(reached) > 0:
				t.Errorf("%q is answered %d and reached the target as %q", endpoint+p, w.Code, reached[0].RequestURI)
			case w.Code != 400 && w.Code != 404:
				t.Errorf("%q is answered %d", endpoint+p, w.Code)
			}
		}
	})
}

func open(e proxy.Endpoint) proxy.Endpoint {
	e.Credentials = proxy.CredentialsUnauthenticated
	return e
}

func rewriting(e proxy.Endpoint, rules ...proxy.PathRule) proxy.Endpoint {
	e.PathRewrite = rules
	return e
}

// below checks every reading of what the target was asked for.
func below(t *testing.T, sent, uri string) {
	t.Helper()
	got, _, _ := strings.Cut(uri, "?")
	for range 6 {
		for _, reading := range []string{got, strings.ReplaceAll(got, `\`, "/")} {
			segments := strings.Split(reading, "/")
			for i, s := range segments {
				segments[i], _, _ = strings.Cut(s, ";")
			}
			if clean := path.Clean(strings.Join(segments, "/")); clean != "/base/path" && !strings.HasPrefix(clean, "/base/path/") {
				t.Errorf("%q reached the target as %q, which may be read as %q", sent, uri, clean)
			}
		}
		next, err := url.PathUnescape(got)
		if err != nil {
			next = strings.ReplaceAll(got, "%2e", ".")
		}
		got = next
	}
}
