package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// get answers status and body of a GET.
func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func hello(w http.ResponseWriter, r *http.Request) error {
	return httpx.JSON(w, http.StatusOK, map[string]any{"caller": httpx.CallerOf(r).Principal})
}

// TestRoutesDenyByDefault holds who gets in where nobody has said anything.
func TestRoutesDenyByDefault(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "", backend.NewPlugin("costs", fx.Invoke(func(r backend.Router) {
		r.Handle("GET /prices", hello)
		r.Handle("GET /open", hello, backend.AllowUnauthenticated)
	})))
	anybody := http.DefaultClient
	for _, tt := range []struct {
		name   string
		client *http.Client
		path   string
		want   int
	}{
		{"nobody", anybody, "/api/costs/prices", 401},
		{"nobody, where everybody may", anybody, "/api/costs/open", 200},
		{"nobody, where no route is", anybody, "/api/costs/none", 401},
		{"a user", b.As("user:default/alice"), "/api/costs/prices", 200},
		{"a plugin", b.AsPlugin("costs"), "/api/costs/prices", 200},
		{"a user, where no route is", b.As("user:default/alice"), "/api/costs/none", 404},
		{"no plugin", b.As("user:default/alice"), "/api/nothing", 404},
	} {
		if got, body := get(t, tt.client, b.URL+tt.path); got != tt.want {
			t.Errorf("%s: %s is %d, want %d: %s", tt.name, tt.path, got, tt.want, body)
		}
	}
}

// TestScope holds what a plugin is given, and that it is the plugin's own.
func TestScope(t *testing.T) {
	t.Parallel()
	type params struct {
		fx.In

		ID        backend.PluginID
		Log       *slog.Logger
		DB        db.DB
		Database  backend.Database
		Auth      backend.Auth
		Discovery backend.Discovery
		Env       backend.Environment
	}
	var mu sync.Mutex
	seen := map[backend.PluginID]params{}
	plugin := func(id string) backend.Feature {
		return backend.NewPlugin(id, fx.Invoke(func(p params) {
			mu.Lock()
			defer mu.Unlock()
			seen[p.ID] = p
		}))
	}
	b := backendtest.Start(t, "", plugin("one"), plugin("two"))
	if len(seen) != 2 {
		t.Fatalf("%d scopes", len(seen))
	}
	if seen["one"].DB == seen["two"].DB {
		t.Error("two plugins share a database")
	}
	ctx := t.Context()
	create := db.Same("CREATE TABLE t (x INTEGER)")
	for id, p := range seen {
		if _, err := p.DB.Exec(ctx, create); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		url, err := p.Discovery.BaseURL("one")
		if err != nil || url != b.URL+"/api/one" {
			t.Errorf("BaseURL is %q, %v; want %s/api/one", url, err, b.URL)
		}
	}
}

// TestOrder holds the order of boot: modules fill the extension point before the plugin
// reads it, hooks run in the order of construction, and stop in reverse.
func TestOrder(t *testing.T) {
	t.Parallel()
	type points struct{ names []string }
	var log []string
	hook := func(name string) fx.Hook {
		return fx.StartStopHook(func() { log = append(log, "start "+name) }, func() { log = append(log, "stop "+name) })
	}
	cfg, err := backendtest.Config(t, "")
	if err != nil {
		t.Fatal(err)
	}
	var read []string
	b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))
	module := func(id string) backend.Feature {
		return backend.NewModule("costs", id, fx.Invoke(func(x *points, lc fx.Lifecycle) {
			x.names = append(x.names, id)
			lc.Append(hook(id))
		}))
	}
	b.Add(module("first"))
	b.Add(backend.NewPlugin("costs", backend.ExtensionPoint[points](), fx.Invoke(func(x *points, lc fx.Lifecycle) {
		read = slices.Clone(x.names)
		lc.Append(hook("plugin"))
	})))
	b.Add(module("second"))
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(read, ","); got != "first,second" {
		t.Errorf("the plugin saw the modules %s", got)
	}
	want := "start first,start second,start plugin,stop plugin,stop second,stop first"
	if got := strings.Join(log, ","); got != want {
		t.Errorf("hooks: %s\nwant:  %s", got, want)
	}
}

// TestModuleExtensionPoint holds that a module's own extension point is filled by its
// siblings before the module reads it.
func TestModuleExtensionPoint(t *testing.T) {
	t.Parallel()
	type policies struct{ names []string }
	var read []string
	backendtest.Start(t, "",
		backend.NewPlugin("permission"),
		backend.NewModule("permission", "rbac", backend.ExtensionPoint[policies](), fx.Invoke(func(p *policies) { read = slices.Clone(p.names) })),
		backend.NewModule("permission", "acme", fx.Invoke(func(p *policies) { p.names = append(p.names, "acme") })),
	)
	if len(read) != 1 {
		t.Errorf("the module saw %v, want its sibling's entry", read)
	}
}

// TestReplaceServices holds NewService and NewPluginService.
func TestReplaceServices(t *testing.T) {
	t.Parallel()
	var got []string
	var mu sync.Mutex
	plugin := func(id string) backend.Feature {
		return backend.NewPlugin(id, fx.Invoke(func(d backend.Discovery, l backend.Landing) {
			url, _ := d.BaseURL("x")
			mu.Lock()
			defer mu.Unlock()
			got = append(got, id+" "+url+" "+l.(named).name)
		}))
	}
	named := func(suffix string) backend.Feature {
		return backend.NewPluginService(func(id backend.PluginID, base backend.Landing) (backend.Landing, error) {
			n, _ := base.(named)
			return named{base, n.name + string(id) + suffix}, nil
		})
	}
	cfg, err := backendtest.Config(t, "")
	if err != nil {
		t.Fatal(err)
	}
	b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))
	b.Add(plugin("one"), plugin("two"), named("-a"), named("-b"))
	b.Add(backend.NewService(fx.Decorate(func(backend.Discovery) backend.Discovery { return fixedDiscovery("http://elsewhere") })))
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer b.Stop(context.Background())
	slices.Sort(got)
	if s := strings.Join(got, "; "); s != "one http://elsewhere one-aone-b; two http://elsewhere two-atwo-b" {
		t.Errorf("services: %s", s)
	}
}

type named struct {
	backend.Landing
	name string
}

type fixedDiscovery string

func (f fixedDiscovery) BaseURL(string) (string, error)         { return string(f), nil }
func (f fixedDiscovery) ExternalBaseURL(string) (string, error) { return string(f), nil }

// TestBootFailurePolicy holds backend.startup: who is left out, what answers in its place,
// and that the rest runs.
func TestBootFailurePolicy(t *testing.T) {
	t.Parallel()
	broken := map[string]func() fx.Option{
		"hook": func() fx.Option {
			return fx.Invoke(func(lc fx.Lifecycle) {
				lc.Append(fx.StartHook(func() error { return errors.New("no price list") }))
			})
		},
		"constructor": func() fx.Option {
			return fx.Options(fx.Provide(func() (*costsStore, error) { return nil, errors.New("no price list") }, fx.Private), fx.Invoke(func(*costsStore) {}))
		},
		"missing dependency": func() fx.Option { return fx.Invoke(func(*costsStore) {}) },
	}
	good := func() backend.Feature {
		return backend.NewPlugin("good", fx.Invoke(func(r backend.Router) { r.Handle("GET /ok", hello, backend.AllowUnauthenticated) }))
	}
	for name, option := range broken {
		t.Run("a plugin with a failing "+name, func(t *testing.T) {
			t.Parallel()
			yaml := "backend: {startup: {plugins: {costs: {onPluginBootFailure: continue}}}}\n"
			b := backendtest.Start(t, yaml, good(), backend.NewPlugin("costs", option()))
			if code, _ := get(t, http.DefaultClient, b.URL+"/api/good/ok"); code != 200 {
				t.Errorf("the other plugin answers %d", code)
			}
			if code, body := get(t, b.As("user:default/a"), b.URL+"/api/costs/prices"); code != 503 || !strings.Contains(body, "ServiceUnavailableError") {
				t.Errorf("the plugin left out answers %d %s", code, body)
			}
			code, body := get(t, http.DefaultClient, b.URL+"/.backstage/health/v1/readiness")
			if code != 200 || !strings.Contains(body, "costs") {
				t.Errorf("readiness is %d %s, want 200 and the plugin's name", code, body)
			}
		})
		t.Run("a module with a failing "+name, func(t *testing.T) {
			t.Parallel()
			yaml := "backend: {startup: {default: {onPluginModuleBootFailure: continue}}}\n"
			b := backendtest.Start(t, yaml, good(), backend.NewModule("good", "costs", option()))
			if code, _ := get(t, http.DefaultClient, b.URL+"/api/good/ok"); code != 200 {
				t.Errorf("the plugin answers %d", code)
			}
			var body map[string]any
			_, text := get(t, http.DefaultClient, b.URL+"/.backstage/health/v1/readiness")
			if err := json.Unmarshal([]byte(text), &body); err != nil || body["status"] != "ok" {
				t.Errorf("readiness %s", text)
			}
		})
		t.Run("abort on a failing "+name, func(t *testing.T) {
			t.Parallel()
			stopped := false
			ok := backend.NewPlugin("good", fx.Invoke(func(lc fx.Lifecycle) { lc.Append(fx.StopHook(func() { stopped = true })) }))
			_, err := backendtest.Boot(t, "", ok, backend.NewPlugin("costs", option()))
			if err == nil {
				t.Fatal("backend started")
			}
			if name == "hook" && !stopped {
				t.Error("the other plugin was not stopped")
			}
		})
	}
}

// TestRequestsWaitForThePlugin holds that a request that comes while its plugin starts is
// answered when it has.
func TestRequestsWaitForThePlugin(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	cfg, err := backendtest.Config(t, "")
	if err != nil {
		t.Fatal(err)
	}
	b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))
	b.Add(backend.NewPlugin("costs", fx.Invoke(func(r backend.Router, lc fx.Lifecycle) {
		r.Handle("GET /ok", hello, backend.AllowUnauthenticated)
		lc.Append(fx.StartHook(func() { <-release }))
	})))
	started := make(chan error, 1)
	go func() { started <- b.Start(context.Background()) }()
	for b.Addr() == nil {
		time.Sleep(time.Millisecond)
	}
	base := "http://" + b.Addr().String()
	if code, _ := get(t, http.DefaultClient, base+"/.backstage/health/v1/liveness"); code != 200 {
		t.Errorf("liveness while starting is %d", code)
	}
	if code, _ := get(t, http.DefaultClient, base+"/.backstage/health/v1/readiness"); code != 503 {
		t.Errorf("readiness while starting is %d", code)
	}
	answered := make(chan int, 1)
	go func() {
		res, err := http.Get(base + "/api/costs/ok")
		if err != nil {
			answered <- 0
			return
		}
		res.Body.Close()
		answered <- res.StatusCode
	}()
	select {
	case code := <-answered:
		t.Errorf("answered %d before the plugin has started", code)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if code := <-answered; code != 200 {
		t.Errorf("answered %d after the start", code)
	}
	if err := b.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := http.Get(base + "/.backstage/health/v1/liveness"); err == nil {
		t.Error("the port is still open after Stop")
	}
}

// TestAddAfterStart holds that a late feature changes nothing and is not silent.
func TestAddAfterStart(t *testing.T) {
	t.Parallel()
	cfg, err := backendtest.Config(t, "")
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.NewTextHandler(&log, nil)))
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Add(backend.NewPlugin("late"))
	if err := b.Start(t.Context()); err == nil {
		t.Error("a backend started twice")
	}
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "feature=late") {
		t.Errorf("the log does not name the late feature:\n%s", log.String())
	}
}
