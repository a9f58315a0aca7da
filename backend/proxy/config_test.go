package proxy_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/proxy"
)

// Every mistake is told with key and line, and none is told twice.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ yaml, want string }{
		{`/x: ftp://host`, `proxy.endpoints./x.target: proxy target is not a valid URL: ftp://host (app-config.yaml:3:9)`},
		{`/x: nothing`, `proxy.endpoints./x.target: proxy target is not a valid URL: nothing`},
		{`/x: {target: 'http://'}`, `proxy.endpoints./x.target: proxy target is not a valid URL: http://`},
		{`/x: {target: 'https://user:hunter2@host'}`, `target has a user in it: put user:password into auth`},
		{`/x: {target: 'https://host/?key=hunter2'}`, `proxy target has a query or a fragment`},
		{`/x: {target: 'https://host/a/../b'}`, `has a path with dot segments`},
		{`/x: {target: 'wss://host'}`, `say http or https, and ws: true beside it`},
		{`/x: {}`, `proxy.endpoints./x.target: required key is missing (app-config.yaml:3:`},
		{`/x: 5`, `proxy.endpoints./x: expected the URL of a target, or an object with target and options (app-config.yaml:3:9)`},
		{`/x: [a]`, `proxy.endpoints./x: expected the URL of a target`},
		{`/x: {target: 'http://h', credentials: maybe}`, `proxy.endpoints./x.credentials: unknown credentials policy 'maybe'; expected one of 'require', 'forward', 'dangerously-allow-unauthenticated' (app-config.yaml:3:43)`},
		{`/x: {target: 'http://h', allowedMethod: [GET]}`, `proxy.endpoints./x.allowedMethod: unknown key; did you mean allowedMethods? (app-config.yaml:3:30)`},
		{`/x: {target: 'http://h', timeouts: {read: 5s}}`, `proxy.endpoints./x.timeouts.read: unknown key (app-config.yaml:3:41)`},
		{`/x: {target: 'http://h', timeouts: {idle: -1}}`, `proxy.endpoints./x.timeouts.idle`},
		{`/x: {target: 'http://h', timeout: 5, timeouts: {idle: 1s}}`, `proxy.endpoints./x.timeout: is another name for timeouts.idle, which is set too (app-config.yaml:3:39)`},
		{`/x: {target: 'http://h', followRedirects: true}`, `proxy.endpoints./x.followRedirects: is not supported: a redirect would take the headers of this endpoint to another place (app-config.yaml:3:47)`},
		{`/x: {target: 'http://h', cookieDomainRewrite: a.example}`, `proxy.endpoints./x.cookieDomainRewrite: is not supported: cookies do not pass`},
		{`/x: {target: 'http://h', router: {a: b}}`, `proxy.endpoints./x.router: is not supported`},
		{`/x: {target: 'http://h', allowedMethods: [GET, TRACE]}`, `proxy.endpoints./x.allowedMethods[1]: TRACE never passes`},
		{`/x: {target: 'http://h', allowedMethods: ['a b']}`, `proxy.endpoints./x.allowedMethods[0]: "a b" is no HTTP method`},
		{`/x: {target: 'http://h', allowedHeaders: [transfer-encoding]}`, `proxy.endpoints./x.allowedHeaders[0]: transfer-encoding is about one connection and never passes`},
		{`/x: {target: 'http://h', allowedHeaders: ['a b']}`, `proxy.endpoints./x.allowedHeaders[0]: "a b" is no name of a header`},
		{`/x: {target: 'http://h', headers: {X: "hunter2\nX-Other: 1"}}`, `proxy.endpoints./x.headers.X: the value has characters that no header may have`},
		{`/x: {target: 'http://h', headers: {X-A: hunter2, x-a: hunter2}}`, `proxy.endpoints./x.headers.x-a: X-A is the same header, and set too`},
		{`/x: {target: 'http://h', headers: {Content-Length: '5'}}`, `cannot be set`},
		{`/x: {target: 'http://h', auth: 'hunter2'}`, `proxy.endpoints./x.auth: expected user:password`},
		{`/x: {target: 'http://h', auth: 'a:hunter2', headers: {authorization: hunter2}}`, `proxy.endpoints./x.auth: headers sets Authorization too`},
		{`/x: {target: 'http://h', auth: 'a:hunter2', credentials: forward}`, `proxy.endpoints./x.auth: the caller's Authorization is passed on`},
		{`/x: {target: 'http://h', pathRewrite: {'^/api(?=x).y': ''}}`, `proxy.endpoints./x.pathRewrite["^/api(?=x).y"]: is no regular expression that is understood here`},
		{`/x: {target: 'http://h', pathRewrite: {a: [b]}}`, `proxy.endpoints./x.pathRewrite.a: expected text that replaces the match`},
		{`/x: {target: 'http://h', pathRewrite: [a]}`, `proxy.endpoints./x.pathRewrite: expected regular expressions with their replacements`},
		{`/: http://h`, `proxy.endpoints./: the path of an endpoint needs at least one segment`},
		{`/a/../b: http://h`, `proxy.endpoints["/a/../b"]: the path of an endpoint is plain segments`},
		{`/a/:id: http://h`, `the path of an endpoint is plain segments`},
		{`/.backstage/x: http://h`, `/.backstage belongs to the plugin itself`},
		{"/x: http://h\n    /X/: http://h", `proxy.endpoints./X/: is the same path as proxy.endpoints./x: paths match in any case (app-config.yaml:4:10)`},
		{"/x: http://h\n  skipInvalidProxy: true", `proxy.skipInvalidProxy: unknown key; did you mean skipInvalidProxies? (app-config.yaml:4:21)`},
		{"/x: http://h\n  skipInvalidProxies: perhaps", `proxy.skipInvalidProxies: expected a boolean`},
		{"/x: http://h\n  other: http://h", `proxy.other: unknown key; endpoints stand below proxy.endpoints`},
	} {
		_, err := backendtest.Boot(t, "proxy:\n  endpoints:\n    "+tt.yaml+"\n", proxy.Plugin())
		var boot *backend.BootError
		if !errors.As(err, &boot) {
			t.Errorf("%s: error %v", tt.yaml, err)
			continue
		}
		if text := err.Error(); !strings.Contains(text, tt.want) || !strings.Contains(text, "1 problem") || strings.Contains(text, "hunter2") {
			t.Errorf("%s:\n%s\nwant %s", tt.yaml, text, tt.want)
		}
	}
	_, err := backendtest.Boot(t, "proxy: [a]", proxy.Plugin())
	if err == nil || !strings.Contains(err.Error(), "proxy: expected an object with endpoints") {
		t.Errorf("a list: %v", err)
	}
}

// What has no effect, and what does less than its name says, is told with key and line.
func TestWarnings(t *testing.T) {
	t.Parallel()
	url, log := logged(t, `
backend: {database: {client: better-sqlite3, connection: ':memory:'}}
proxy:
  skipInvalidProxies: true
  /old: http://127.0.0.1:1
  endpoints:
    /bad: {target: 'http://127.0.0.1:1', credentials: maybe}
    /good:
      target: http://127.0.0.1:1
      logLevel: debug
      followRedirects: false
      prependPath: true
      allowedHeaders: [Authorization, cookie]
`)
	for _, want := range []string{
		`proxy./old: is deprecated: move it below proxy.endpoints (app-config.yaml:5:9)`,
		`left out: proxy.endpoints./bad.credentials: unknown credentials policy 'maybe'`,
		`proxy.endpoints./good.logLevel: has no effect: the proxy logs as plugin proxy, see backend.logger.overrides (app-config.yaml:10:17)`,
		`proxy.endpoints./good.allowedHeaders[0]: Authorization is not passed on, because credentials is require; say credentials: forward, or set it in headers (app-config.yaml:13:24)`,
		`proxy.endpoints./good.allowedHeaders[1]: cookie is not passed on: cookies of the portal are for the portal (app-config.yaml:13:39)`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %s:\n%s", want, log)
		}
	}
	for path, want := range map[string]int{"/old": 401, "/good": 401, "/bad": 401} {
		if res, _ := ask(t, nil, "GET", url+"/api/proxy"+path, ""); res.StatusCode != want {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

// A key in the old place is an endpoint like others.
func TestDeprecatedPlace(t *testing.T) {
	t.Parallel()
	to := newTarget(t, nil)
	b := backendtest.Start(t, fmt.Sprintf("proxy: {/old: %q, '/with.dots/v1.0': {target: %q}}", to.URL, to.URL), proxy.Plugin())
	for _, path := range []string{"/old/x", "/with.dots/v1.0/x"} {
		if res, _ := ask(t, b.As(alice), "GET", b.URL+"/api/proxy"+path, ""); res.StatusCode != 200 || to.last(t).RequestURI != "/x" {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

// TestReload holds that new endpoints count at once, that requests in flight end as they began,
// that a secret in a file follows it, and that of a version with a mistake nothing counts.
func TestReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one, two := newTarget(t, nil), newTarget(t, nil)
	endpoints := func(lines string) string {
		return "backend: {baseUrl: 'http://localhost:7007', listen: '127.0.0.1:0', database: {client: better-sqlite3, connection: ':memory:'}}\nproxy:\n  endpoints:\n" +
			strings.NewReplacer("ONE", one.URL, "TWO", two.URL, "OPEN", "credentials: dangerously-allow-unauthenticated").Replace(lines)
	}
	write("key.txt", "first")
	write("app-config.yaml", endpoints("    /a: {target: ONE, OPEN, headers: {X-Key: {$file: key.txt}}}\n    /gone: {target: ONE, OPEN}\n"))
	cfg, err := config.Load(t.Context(), config.Sources{Files: []string{filepath.Join(dir, "app-config.yaml")}})
	if err != nil {
		t.Fatal(err)
	}
	var watcher *config.Watcher
	b := backend.New(backend.WithConfig(cfg), backend.Development())
	b.Add(proxy.Plugin(), backend.NewModule("proxy", "test", fx.Invoke(func(w *config.Watcher) { watcher = w })))
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop(t.Context()) })
	url := "http://" + b.Addr().String() + "/api/proxy"
	status := func(path string) int {
		res, _ := ask(t, nil, "GET", url+path, "")
		return res.StatusCode
	}
	reload := func() error {
		_, err := watcher.Reload(t.Context())
		return err
	}
	if status("/a") != 200 || status("/gone") != 200 || one.requests()[0].Header.Get("X-Key") != "first" {
		t.Fatal("the first version does not work")
	}

	write("key.txt", "second")
	if err := reload(); err != nil {
		t.Fatal(err)
	}
	if status("/a") != 200 || one.last(t).Header.Get("X-Key") != "second" {
		t.Errorf("the target got key %q", one.last(t).Header.Get("X-Key"))
	}

	write("app-config.yaml", endpoints("    /a: {target: TWO, OPEN}\n    /bad: {target: TWO, credentials: maybe}\n"))
	if err := reload(); err == nil || !strings.Contains(err.Error(), "app-config.yaml:5:57") {
		t.Errorf("a version with a mistake: %v", err)
	}
	if status("/a") != 200 || status("/gone") != 200 || len(two.requests()) > 0 {
		t.Error("a version with a mistake is in force in parts")
	}

	write("app-config.yaml", endpoints("    /a: {target: TWO, OPEN}\n    /new: {target: ONE}\n"))
	if err := reload(); err != nil {
		t.Fatal(err)
	}
	if status("/a") != 200 || len(two.requests()) != 1 {
		t.Error("the new target was not asked")
	}
	if got := [2]int{status("/gone"), status("/new")}; got != [2]int{401, 401} {
		t.Errorf("what is gone, and what needs credentials now: %v", got)
	}
}

// Requests that are under way when the configuration changes end as they began.
func TestReloadLeavesRequestsAlone(t *testing.T) {
	t.Parallel()
	began, release := make(chan struct{}), make(chan struct{})
	to := newTarget(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begin")
		_ = http.NewResponseController(w).Flush()
		close(began)
		<-release
		_, _ = io.WriteString(w, "end")
	})
	var watcher *config.Watcher
	b := start(t, to, "/x: {target: TARGET, credentials: dangerously-allow-unauthenticated}", backend.NewModule("proxy", "test", fx.Invoke(func(w *config.Watcher) { watcher = w })))
	done := make(chan string)
	go func() {
		_, text := ask(t, nil, "GET", b.URL+"/api/proxy/x", "")
		done <- text
	}()
	<-began
	next, err := backendtest.Config(t, "proxy: {endpoints: {}}")
	if err != nil {
		t.Fatal(err)
	}
	watcher.Replace(next)
	if res, _ := ask(t, b.As(alice), "GET", b.URL+"/api/proxy/x", ""); res.StatusCode != 404 {
		t.Errorf("after the change: %d", res.StatusCode)
	}
	close(release)
	select {
	case text := <-done:
		if text != "beginend" {
			t.Errorf("answered %q", text)
		}
	case <-time.After(time.Minute):
		t.Fatal("no answer")
	}
}
