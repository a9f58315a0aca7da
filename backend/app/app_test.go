package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/app"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
)

const (
	template = `<html><head><title><%= config.getOptionalString('app.title') ?? 'Backstage' %></title>` +
		`<script src="<%= publicPath %>/static/main.abc.js"></script></head><body>main</body></html>`
	schema = `{"backstageConfigSchemaVersion": 1, "schemas": [{"path": "a", "value": {"type": "object", "properties": {
		"app": {"type": "object", "properties": {"title": {"type": "string", "visibility": "frontend"}, "baseUrl": {"type": "string", "visibility": "frontend"}}},
		"backend": {"type": "object", "properties": {"baseUrl": {"type": "string", "visibility": "frontend"}}}}}}]}`
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

// release is a bundle with a template; main is the name of its script.
func release(main string) fstest.MapFS {
	return fstest.MapFS{
		"index.html.tmpl": file(template), "index.html": file("built"), ".config-schema.json": file(schema), ".env": file("hidden"),
		"static/" + main: file("script of " + main), "static/" + main + ".map": file("map"), "robots.txt": file("User-agent: *"), "docs.html": file("<p>"),
	}
}

// answer is what a request got.
type answer struct {
	status int
	body   string
	header http.Header
}

func send(t *testing.T, c *http.Client, method, url string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return do(t, c, r)
}

func do(t *testing.T, c *http.Client, r *http.Request) answer {
	t.Helper()
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, string(body), res.Header}
}

func get(t *testing.T, url string) answer {
	t.Helper()
	return send(t, http.DefaultClient, http.MethodGet, url)
}

func TestPlugin(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "app: {title: Acme, bundleDirectory: x}", app.Plugin(), app.Bundle(release("main.abc.js")))
	for _, tt := range []struct {
		method, path string
		status       int
		cache, typ   string
		body         string // a part of it
	}{
		{"GET", "/", 200, "no-store, max-age=0", "text/html; charset=utf-8", "<title>Acme</title>"},
		{"GET", "/index.html", 200, "no-store, max-age=0", "text/html; charset=utf-8", "<title>Acme</title>"},
		{"GET", "/index.html.tmpl", 200, "no-store, max-age=0", "text/html; charset=utf-8", "<title>Acme</title>"},
		{"GET", "/catalog/default/component/x?y=z", 200, "no-store, max-age=0", "text/html; charset=utf-8", `src="/static/main.abc.js"`},
		{"GET", "/static/main.abc.js", 200, "public, max-age=1209600", "application/javascript; charset=UTF-8", "script of"},
		{"GET", "/%73tatic/main%2Eabc.js", 200, "public, max-age=1209600", "application/javascript; charset=UTF-8", "script of"},
		{"GET", "/static/main.abc.js.map", 200, "public, max-age=1209600", "application/json; charset=UTF-8", "map"},
		{"GET", "/static/none.js", 404, "", "", ""},
		{"GET", "/static/", 404, "", "", ""},
		{"GET", "/static", 404, "", "", ""},
		{"GET", "/static/%00", 404, "", "", ""},
		{"GET", "/static/" + strings.Repeat("x", 3000), 404, "", "", ""},
		{"GET", "/static/../.env", 404, "", "", ""},
		{"GET", "/robots.txt", 200, "public, max-age=0", "text/plain; charset=UTF-8", "User-agent"},
		{"GET", "/docs.html", 200, "no-store, max-age=0", "text/html; charset=utf-8", "<p>"},
		{"GET", "/.env", 200, "no-store, max-age=0", "text/html; charset=utf-8", "<title>Acme</title>"},
		{"GET", "/.config-schema.json", 200, "no-store, max-age=0", "text/html; charset=utf-8", "<title>Acme</title>"},
		{"GET", "/x/../../.env", 200, "no-store, max-age=0", "text/html; charset=utf-8", "<title>Acme</title>"},
		{"GET", "/..%2f.env", 200, "no-store, max-age=0", "text/html; charset=utf-8", "<title>Acme</title>"},
		{"GET", "//etc/passwd", 200, "no-store, max-age=0", "text/html; charset=utf-8", "<title>Acme</title>"},
		{"HEAD", "/", 200, "no-store, max-age=0", "text/html; charset=utf-8", ""},
		{"POST", "/catalog", 404, "", "", ""},
		{"DELETE", "/static/main.abc.js", 404, "", "", ""},
		{"GET", "/api/app", 200, "no-store, max-age=0", "text/html; charset=utf-8", "<title>Acme</title>"},
		{"GET", "/api/app/static/main.abc.js", 200, "public, max-age=1209600", "application/javascript; charset=UTF-8", "script of"},
		{"POST", "/api/app/catalog", 404, "", "", ""},
		{"GET", "/api/none", 404, "", "", ""},
		{"GET", "/api", 404, "", "", ""},
	} {
		u, err := url.Parse(b.URL)
		if err != nil {
			t.Fatal(err)
		}
		u.Opaque = "//" + u.Host + tt.path // as it is
		r := &http.Request{Method: tt.method, URL: u, Host: u.Host, Header: http.Header{}}
		got := do(t, http.DefaultClient, r.WithContext(t.Context()))
		h := got.header
		if got.status != tt.status || h.Get("Cache-Control") != tt.cache || tt.status == 200 && h.Get("Content-Type") != tt.typ ||
			!strings.Contains(got.body, tt.body) || tt.body == "" && got.body != "" || strings.Contains(got.body, "hidden") {
			t.Errorf("%s %.80s: %d, %q, %q, %.200s", tt.method, tt.path, got.status, h.Get("Cache-Control"), h.Get("Content-Type"), got.body)
		}
		if tt.status == 200 && (h.Get("X-Frame-Options") != "DENY" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") == "") {
			t.Errorf("%s %s: headers %v", tt.method, tt.path, h)
		}
	}
}

var scriptElement = regexp.MustCompile(`(?s)<script type="backstage.io/config">\n(.*)\n</script>`)

// injected is what a page tells the frontend.
func injected(t *testing.T, page string) []config.VisibleSource {
	t.Helper()
	m := scriptElement.FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no configuration in %s", page)
	}
	var out []config.VisibleSource
	if err := json.Unmarshal([]byte(m[1]), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestConfigurationFollowsTheFiles holds what the frontend gets, and that a new version of
// the configuration reaches the next page load; one that cannot be rendered does not.
func TestConfigurationFollowsTheFiles(t *testing.T) {
	t.Parallel()
	var watcher *config.Watcher
	spy := backend.NewPlugin("spy", fx.Invoke(func(w *config.Watcher) { watcher = w }))
	files := release("main.abc.js")
	files["index.html.tmpl"] = file(strings.Replace(template, "getOptionalString", "getString", 1))
	const yaml = "app: {title: %s, baseUrl: 'https://acme.test/portal/', secret: hidden}\nbackend: {baseUrl: 'https://acme.test', secret: hidden}"
	b := backendtest.Start(t, fmt.Sprintf(yaml, "Acme"), app.Plugin(), app.Bundle(files), spy)
	page := get(t, b.URL+"/").body
	got := injected(t, page)
	text, err := json.Marshal(got)
	if want := `[{"context":"app","deprecatedKeys":[],"data":{"app":{"baseUrl":"https://acme.test/portal/","title":"Acme"},"backend":{"baseUrl":"https://acme.test"}}}]`; err != nil || string(text) != want {
		t.Errorf("injected %s, want %s", text, want)
	}
	if !strings.Contains(page, `src="/portal/static/main.abc.js"`) {
		t.Errorf("the page is %s", page)
	}
	// Proxies may take the path of app.baseUrl away, or leave it.
	for path, want := range map[string]string{"/portal/static/main.abc.js": "script of", "/static/main.abc.js": "script of", "/portal/robots.txt": "User-agent", "/portal": "main", "/portalx/robots.txt": "main"} {
		if got := get(t, b.URL+path); got.status != 200 || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d, %.100s", path, got.status, got.body)
		}
	}
	for _, tt := range []struct{ yaml, want string }{
		{fmt.Sprintf(yaml, "Other"), "Other"},
		{"app: {title: {a: b}}\nbackend: {baseUrl: 'https://acme.test'}", "Other"},
		{fmt.Sprintf(yaml, "Third"), "Third"},
	} {
		next, err := config.Parse("app-config.yaml", []byte(tt.yaml))
		if err != nil {
			t.Fatal(err)
		}
		watcher.Replace(next)
		page := get(t, b.URL+"/").body
		if title := injected(t, page)[0].Data["app"].(map[string]any)["title"]; title != tt.want || !strings.Contains(page, "<title>"+tt.want+"</title>") {
			t.Errorf("after the change to %s the title is %v", tt.yaml, title)
		}
	}
}

// TestOlderBundles holds that the configuration goes into the script that has the marker,
// in memory and never on disk.
func TestOlderBundles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const script = `x("__APP_INJECTED_RUNTIME_CONFIG__")`
	for name, text := range map[string]string{"index.html": "<head></head>old", ".config-schema.json": schema, "static/a.js": "a", "static/b.js": script} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b := backendtest.Start(t, fmt.Sprintf("app: {title: \"It's\", bundleDir: %q}", dir), app.Plugin())
	got := get(t, b.URL+"/static/b.js")
	if want := `{\"context\":\"app\",\"deprecatedKeys\":[],\"data\":{\"app\":{\"title\":\"It\'s\"},`; !strings.HasPrefix(got.body, `x(/*__APP_INJECTED_CONFIG_MARKER__*/"[{`) || !strings.Contains(got.body, want) || got.header.Get("Cache-Control") != "no-cache" {
		t.Errorf("%s, %v", got.body, got.header)
	}
	if got := get(t, b.URL+"/static/a.js"); got.body != "a" || got.header.Get("Cache-Control") != "public, max-age=1209600" {
		t.Errorf("%s, %v", got.body, got.header)
	}
	if got := get(t, b.URL+"/x"); got.body != "<head></head>old" {
		t.Errorf("the page is %s", got.body)
	}
	onDisk, err := os.ReadFile(filepath.Join(dir, "static/b.js"))
	if err != nil || string(onDisk) != script {
		t.Errorf("on disk is %s, %v", onDisk, err)
	}
	off := backendtest.Start(t, fmt.Sprintf("app: {bundleDir: %q, disableConfigInjection: true}", dir), app.Plugin())
	if got := get(t, off.URL+"/static/b.js"); got.body != script || got.header.Get("Cache-Control") != "public, max-age=1209600" {
		t.Errorf("without injection: %s, %v", got.body, got.header)
	}
}

func TestDisabledInjectionServesTheBuiltPage(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "app: {disableConfigInjection: true}", app.Plugin(), app.Bundle(release("a.js")))
	if got := get(t, b.URL+"/x"); got.body != "built" {
		t.Errorf("the page is %s", got.body)
	}
}

// TestRollout holds that pages of an earlier release find their scripts, also where the
// configuration goes into a script, for a week after the last replica of it.
func TestRollout(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	yaml := fmt.Sprintf("app: {title: Acme}\nbackend: {database: {client: better-sqlite3, connection: {directory: %q}}}", data)
	old := release("main.old.js")
	old["static/marked.js"] = file(`x("__APP_INJECTED_RUNTIME_CONFIG__")`)
	old["static/main.old.js.br"] = file("packed")
	t.Run("old release", func(t *testing.T) {
		var stored db.DB
		spy := backend.NewModule("app", "spy", fx.Invoke(func(d db.DB) { stored = d }))
		backendtest.Start(t, yaml, app.Plugin(), app.Bundle(old), spy)
		// The task that stores them runs at the start.
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			n := 0
			if err := stored.QueryRow(t.Context(), db.Same("SELECT count(*) FROM static_assets_cache")).Scan(&n); err != nil {
				t.Fatal(err)
			}
			if n == 2 {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%d files are stored, want 2", n)
			}
		}
	})
	fallback := backend.NewModule("app", "store", fx.Invoke(func(x *app.Extensions) {
		x.SetStaticFallback(func(w http.ResponseWriter, r *http.Request) error {
			if r.URL.Path != "/static/archive.js" {
				w.WriteHeader(http.StatusNotFound)
				return nil
			}
			_, err := io.WriteString(w, "archived")
			return err
		})
	}))
	b := backendtest.Start(t, yaml, app.Plugin(), app.Bundle(release("main.new.js")), fallback)
	got := get(t, b.URL+"/static/main.old.js")
	if got.status != 200 || got.body != "script of main.old.js" || got.header.Get("Cache-Control") != "public, max-age=1209600" ||
		got.header.Get("Last-Modified") == "" || got.header.Get("Content-Type") != "application/javascript; charset=UTF-8" {
		t.Errorf("%d %s %v", got.status, got.body, got.header)
	}
	if again := send(t, http.DefaultClient, "GET", b.URL+"/static/main.old.js", "If-None-Match", got.header.Get("Etag")); again.status != 304 {
		t.Errorf("with its tag: %d", again.status)
	}
	if got := get(t, b.URL+"/static/marked.js"); !strings.Contains(got.body, `\"title\":\"Acme\"`) || got.header.Get("Cache-Control") != "no-cache" {
		t.Errorf("%d %s %v", got.status, got.body, got.header)
	}
	for path, want := range map[string]int{"/static/main.old.js.map": 404, "/static/main.old.js.br": 404, "/static/main.new.js": 200, "/static/archive.js": 200, "/static/none.js": 404} {
		if got := get(t, b.URL+path); got.status != want {
			t.Errorf("%s: %d, want %d", path, got.status, want)
		}
	}
}

// TestWithoutABundle holds that the plain page stays, and what is said about it.
func TestWithoutABundle(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "app: {title: Acme}", app.Plugin())
	if got := get(t, b.URL+"/"); got.status != 200 || !strings.Contains(got.body, "<h2>Plugins</h2>") {
		t.Errorf("%d %s", got.status, got.body)
	}
	for _, path := range []string{"/catalog", "/api/app", "/static/a.js"} {
		if got := get(t, b.URL+path); got.status != 404 || got.body != "" {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

// TestMistakes holds that each mistake is a boot error that says what to do.
func TestMistakes(t *testing.T) {
	t.Parallel()
	with := func(name, text string) fs.FS {
		files := release("a.js")
		delete(files, name)
		if text != "" {
			files[name] = file(text)
		}
		return files
	}
	none := with("index.html.tmpl", "").(fstest.MapFS)
	delete(none, "index.html")
	for _, tt := range []struct {
		name, yaml, want string
		features         []backend.Feature
	}{
		{"a folder that is not there", "app: {bundleDir: /nowhere/dist}", "app.bundleDir: ", nil},
		{"a folder without static", fmt.Sprintf("app: {bundleDir: %q}", t.TempDir()), "has no folder static", nil},
		{"a package name that is a path", "app: {packageName: ../x}", `"../x" is not the name of a folder`, nil},
		{"a template that is not understood", "", "index.html.tmpl:1:3: the script \"alert(1)\" is not supported", []backend.Feature{app.Bundle(with("index.html.tmpl", "<% alert(1) %>"))}},
		{"a template without a head", "", "index.html.tmpl: there is no </head>", []backend.Feature{app.Bundle(with("index.html.tmpl", "<body>"))}},
		{"a key that the template needs", "", "no value at app.none", []backend.Feature{app.Bundle(with("index.html.tmpl", "<%= config.getString('app.none') %></head>"))}},
		{"a schema that cannot be read", "", ".config-schema.json of the bundle", []backend.Feature{app.Bundle(with(".config-schema.json", "{"))}},
		{"no page", "", "neither index.html.tmpl nor index.html", []backend.Feature{app.Bundle(none)}},
		{"the folder around dist", "", "no folder static: give it what the build left in dist", []backend.Feature{app.Bundle(fstest.MapFS{"dist/static/a.js": file("a")})}},
	} {
		_, err := backendtest.Boot(t, tt.yaml, append(tt.features, app.Plugin())...)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	second := backend.NewPlugin("pages", fx.Invoke(func(x backend.Index) { x.Handle(nil) }))
	if _, err := backendtest.Boot(t, "", app.Plugin(), second); err == nil || !strings.Contains(err.Error(), "already answers the paths outside of /api") {
		t.Errorf("two plugins with pages: %v", err)
	}
}
