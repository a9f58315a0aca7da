package backend_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/scm"
)

// callLog is an Auth that tells which plugins are called, and by whom.
type callLog struct {
	backend.Auth
	id backend.PluginID
}

// TokenFor implements backend.Auth.
func (c callLog) TokenFor(ctx context.Context, creds backend.Credentials, plugin string) (string, error) {
	fmt.Printf("%s calls %s as %s\n", c.id, plugin, creds)
	return c.Auth.TokenFor(ctx, creds, plugin)
}

// The Auth of every plugin is replaced. The clients of the plugin, its events and its
// actions use the replacement, too.
func ExampleNewPluginService_auth() {
	service := backend.NewPluginService(func(id backend.PluginID, base backend.Auth) (backend.Auth, error) {
		return callLog{base, id}, nil
	})
	done := make(chan struct{})
	greeter := backend.NewPlugin("greeter", fx.Invoke(func(r backend.Router) {
		r.Handle("GET /greeting", func(w http.ResponseWriter, r *http.Request) error {
			return httpx.JSON(w, http.StatusOK, "hello, "+httpx.CallerOf(r).String())
		})
	}))
	visitor := backend.NewPlugin("visitor", fx.Invoke(func(clients backend.Clients, a backend.Auth, life fx.Lifecycle) {
		life.Append(fx.StartHook(func(ctx context.Context) error {
			defer close(done)
			text, err := greeting(ctx, clients, a.Own())
			fmt.Println(text)
			return err
		}))
	}))
	runExample(done, service, greeter, visitor)
	// Output:
	// visitor calls greeter as plugin:visitor
	// hello, plugin:visitor
}

// sparing is a Clients that calls no plugin named in it.
type sparing struct {
	backend.Clients
	spared string
}

// Client implements backend.Clients.
func (s sparing) Client(ctx context.Context, c backend.Credentials, plugin string) (*http.Client, string, error) {
	if plugin == s.spared {
		return nil, "", apierr.ServiceUnavailable.New("%s is being moved, and not called today", plugin)
	}
	return s.Clients.Client(ctx, c, plugin)
}

// The Clients of every plugin are replaced, so that nobody calls a plugin that is being
// moved.
func ExampleNewPluginService_clients() {
	service := backend.NewPluginService(func(_ backend.PluginID, base backend.Clients) (backend.Clients, error) {
		return sparing{base, "catalog"}, nil
	})
	done := make(chan struct{})
	visitor := backend.NewPlugin("visitor", fx.Invoke(func(clients backend.Clients, a backend.Auth, life fx.Lifecycle) {
		life.Append(fx.StartHook(func(ctx context.Context) {
			defer close(done)
			_, _, err := clients.Client(ctx, a.Own(), "catalog")
			fmt.Println(err)
		}))
	}))
	runExample(done, service, visitor)
	// Output: catalog is being moved, and not called today
}

// closed is a Router whose routes are not for services.
type closed struct{ backend.Router }

// Handle implements backend.Router.
func (c closed) Handle(pattern string, h backend.Handler, allow ...backend.Access) {
	c.Router.Handle(pattern, func(w http.ResponseWriter, r *http.Request) error {
		if _, isUser := httpx.CallerOf(r).User(); !isUser {
			return apierr.NotAllowed.New("this portal has no routes for programs")
		}
		return h(w, r)
	}, allow...)
}

// The Router of every plugin is replaced by one that asks more of callers than that they
// are signed in.
func ExampleNewPluginService_router() {
	service := backend.NewPluginService(func(_ backend.PluginID, base backend.Router) (backend.Router, error) {
		return closed{base}, nil
	})
	done := make(chan struct{})
	greeter := backend.NewPlugin("greeter", fx.Invoke(func(r backend.Router) {
		r.Handle("GET /greeting", func(w http.ResponseWriter, _ *http.Request) error {
			return httpx.JSON(w, http.StatusOK, "hello")
		})
	}))
	visitor := backend.NewPlugin("visitor", fx.Invoke(func(clients backend.Clients, a backend.Auth, life fx.Lifecycle) {
		life.Append(fx.StartHook(func(ctx context.Context) error {
			defer close(done)
			client, base, err := clients.Client(ctx, a.Own(), "greeter")
			if err != nil {
				return err
			}
			res, err := client.Get(base + "/greeting")
			if err != nil {
				return err
			}
			defer res.Body.Close()
			fmt.Println(apierr.FromResponse(res))
			return nil
		}))
	}))
	runExample(done, service, greeter, visitor)
	// Output: Request failed with 403 Forbidden; caused by NotAllowedError: this portal has no routes for programs
}

// behindGateway is a Discovery for browsers that reach all plugins through a gateway.
type behindGateway struct{ backend.Discovery }

// ExternalBaseURL implements backend.Discovery.
func (behindGateway) ExternalBaseURL(plugin string) (string, error) {
	return "https://gateway.acme.example/portal/" + plugin, nil
}

// The process gets another Discovery.
func ExampleNewService_discovery() {
	service := backend.NewService(fx.Decorate(func(base backend.Discovery) backend.Discovery {
		return behindGateway{base}
	}))
	done := make(chan struct{})
	plugin := backend.NewPlugin("links", fx.Invoke(func(d backend.Discovery, life fx.Lifecycle) {
		life.Append(fx.StartHook(func() {
			defer close(done)
			fmt.Println(d.ExternalBaseURL("catalog"))
		}))
	}))
	runExample(done, service, plugin)
	// Output: https://gateway.acme.example/portal/catalog <nil>
}

// quietScheduler runs nothing: this process serves requests, others do the rest.
type quietScheduler struct {
	backend.Scheduler
	id backend.PluginID
}

// Schedule implements backend.Scheduler.
func (q quietScheduler) Schedule(id string, _ config.Schedule, _ func(context.Context) error) error {
	fmt.Printf("%s of %s does not run here\n", id, q.id)
	return nil
}

// The Scheduler of every plugin is replaced.
func ExampleNewPluginService_scheduler() {
	service := backend.NewPluginService(func(id backend.PluginID, base backend.Scheduler) (backend.Scheduler, error) {
		return quietScheduler{base, id}, nil
	})
	done := make(chan struct{})
	plugin := backend.NewPlugin("costs", fx.Invoke(func(s backend.Scheduler) error {
		defer close(done)
		nightly := config.Schedule{Frequency: config.Cadence{Cron: "0 3 * * *"}, Timeout: config.Duration(time.Hour)}
		return s.Schedule("prices", nightly, func(context.Context) error { return nil })
	}))
	runExample(done, service, plugin)
	// Output: prices of costs does not run here
}

// tellingEvents is an Events that shows what is published.
type tellingEvents struct{ backend.Events }

// Publish implements backend.Events.
func (t tellingEvents) Publish(ctx context.Context, topic string, payload any) error {
	fmt.Println("on", topic, "goes", payload)
	return t.Events.Publish(ctx, topic, payload)
}

// PublishEvent implements backend.EventPublisher, which webhooks need.
func (t tellingEvents) PublishEvent(ctx context.Context, e backend.Event) error {
	fmt.Println("on", e.Topic, "goes", string(e.Payload))
	p, ok := t.Events.(backend.EventPublisher)
	if !ok {
		return errors.New("events have no metadata here")
	}
	return p.PublishEvent(ctx, e)
}

// The Events of every plugin are replaced.
func ExampleNewPluginService_events() {
	service := backend.NewPluginService(func(_ backend.PluginID, base backend.Events) (backend.Events, error) {
		return tellingEvents{base}, nil
	})
	done := make(chan struct{})
	plugin := backend.NewPlugin("accounts", fx.Invoke(func(events backend.Events, life fx.Lifecycle) {
		life.Append(fx.StartHook(func(ctx context.Context) error {
			defer close(done)
			return events.Publish(ctx, "user.created", "alice")
		}))
	}))
	runExample(done, service, plugin)
	// Output: on user.created goes alice
}

// nobodyMay is an ActionPermissions that keeps actions with a permission to itself.
type nobodyMay struct{}

// Allowed implements backend.ActionPermissions.
func (nobodyMay) Allowed(_ context.Context, c backend.Credentials, permission string) (bool, error) {
	fmt.Println(c, "may not", permission)
	return false, nil
}

// What decides who may see and invoke actions is replaced. The registry of each plugin
// asks it when it lists actions, and again when one is invoked.
func ExampleNewPluginService_actionPermissions() {
	service := backend.NewPluginService(func(backend.PluginID, backend.ActionPermissions) (backend.ActionPermissions, error) {
		return nobodyMay{}, nil
	})
	greeter := backend.NewPlugin("greeter", fx.Invoke(func(a *backend.Actions) {
		a.Register(backend.NewAction(backend.ActionOptions{
			Name: "greet", Title: "Greet", Description: "Greets.", VisibilityPermission: "greeter.greet",
		}, func(context.Context, backend.ActionCall[GreetInput]) (GreetOutput, error) { return GreetOutput{}, nil }))
	}))
	done := make(chan struct{})
	assistant := backend.NewPlugin("assistant", fx.Invoke(func(actions backend.ActionsClient, auth backend.Auth, bg *backend.Background, life fx.Lifecycle) {
		life.Append(fx.StartHook(func() {
			bg.Go(func(ctx context.Context) {
				defer close(done)
				list, err := actions.List(ctx, auth.Own())
				fmt.Println(len(list), "actions", err)
			})
		}))
	}))
	runExample(done, service, greeter, assistant)
	// Output:
	// plugin:assistant may not greeter.greet
	// 0 actions <nil>
}

// withoutModules is an InstanceMetadata that does not tell which modules there are.
type withoutModules struct{ backend.InstanceMetadata }

// Plugins implements backend.InstanceMetadata.
func (w withoutModules) Plugins() []backend.InstalledPlugin {
	list := w.InstanceMetadata.Plugins()
	for i := range list {
		list[i].Modules = nil
	}
	return list
}

// What the process tells of itself is replaced.
func ExampleNewService_instanceMetadata() {
	service := backend.NewService(fx.Decorate(func(base backend.InstanceMetadata) backend.InstanceMetadata {
		return withoutModules{base}
	}))
	done := make(chan struct{})
	plugin := backend.NewPlugin("about", fx.Invoke(func(m backend.InstanceMetadata) {
		fmt.Println(m.Plugins())
		close(done)
	}))
	runExample(done, service, plugin, backend.NewModule("about", "secret"))
	// Output: [{about []}]
}

// fixedWindow is a backend.RateStore: the simplest one, for one key.
type fixedWindow struct {
	hits atomic.Int64
}

// Hit implements backend.RateStore.
func (f *fixedWindow) Hit(_ context.Context, _ string, window time.Duration) (int, time.Time, error) {
	return int(f.hits.Add(1)), time.Now().Add(window), nil
}

// Undo implements backend.RateStore.
func (f *fixedWindow) Undo(context.Context, string) error { f.hits.Add(-1); return nil }

// With this service in main, app-config.yaml may say backend.rateLimit.store.type: fixed.
func ExampleRateStoreOption() {
	service := backend.NewService(backend.RateStoreOption("fixed", func(config.Secret) (backend.RateStore, error) {
		return &fixedWindow{}, nil
	}))
	cfg, err := config.Parse("app-config.yaml", []byte(`
backend: {baseUrl: "http://localhost:7007", rateLimit: {store: {type: fixed}}}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	b := backend.New(backend.WithConfig(cfg), backend.Development(), backend.WithLogger(slog.DiscardHandler))
	b.Add(service)
	fmt.Println(b.Check())
	// Output: <nil>
}

// A route that costs a lot is limited wherever the plugin runs.
func ExampleRateLimits() {
	plugin := backend.NewPlugin("reports", fx.Invoke(func(r backend.Router, limits backend.RateLimits) {
		report := func(w http.ResponseWriter, _ *http.Request) error { return httpx.Empty(w, http.StatusAccepted) }
		r.Handle("POST /report", limits.Limit("report", 2, time.Minute, report), backend.AllowUnauthenticated)
	}))
	cfg, err := config.Parse("app-config.yaml", []byte(`
backend: {baseUrl: "http://localhost:7007", listen: "127.0.0.1:0", rateLimit: {global: false, ipAllowList: []}}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	b := backend.New(backend.WithConfig(cfg), backend.Development(), backend.WithLogger(slog.DiscardHandler))
	b.Add(plugin)
	if err := b.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	defer b.Stop(context.Background())
	for range 3 {
		res, err := http.Post("http://"+b.Addr().String()+"/api/reports/report", "", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		res.Body.Close()
		fmt.Println(res.StatusCode, res.Header.Get("X-RateLimit-Remaining"))
	}
	// Output:
	// 202 1
	// 202 0
	// 429 0
}

// handbook answers for a host of its own, and leaves all others to the readers that are there.
type handbook struct{ scm.Reader }

// ReadURL implements scm.Reader.
func (h handbook) ReadURL(ctx context.Context, rawURL string, opts scm.ReadOptions) (*scm.Response, error) {
	if !strings.HasPrefix(rawURL, "https://handbook.acme.example/") {
		return h.Reader.ReadURL(ctx, rawURL, opts)
	}
	return scm.NewResponse(rawURL, "", time.Time{}, io.NopCloser(strings.NewReader("be kind")), opts.MaxBytes), nil
}

// What reads URLs is replaced for the whole process.
func ExampleNewService_urlReader() {
	service := backend.NewService(fx.Decorate(func(base scm.Reader) scm.Reader { return handbook{base} }))
	done := make(chan struct{})
	plugin := backend.NewPlugin("rules", fx.Invoke(func(reader scm.Reader, life fx.Lifecycle) {
		life.Append(fx.StartHook(func(ctx context.Context) error {
			defer close(done)
			res, err := reader.ReadURL(ctx, "https://handbook.acme.example/first", scm.ReadOptions{})
			if err != nil {
				return err
			}
			defer res.Close()
			text, err := res.Bytes()
			fmt.Println(string(text))
			return err
		}))
	}))
	runExample(done, service, plugin)
	// Output: be kind
}

// counted is a db.DB that counts the statements of a plugin.
type counted struct {
	db.DB
	id backend.PluginID
	n  *atomic.Int64
}

// QueryRow implements db.DB.
func (c counted) QueryRow(ctx context.Context, q db.SQL, args ...any) db.Row {
	fmt.Printf("statement %d of %s\n", c.n.Add(1), c.id)
	return c.DB.QueryRow(ctx, q, args...)
}

// The database of every plugin is replaced. Migrations and scheduled tasks do not go
// through it.
func ExampleNewPluginService_database() {
	service := backend.NewPluginService(func(id backend.PluginID, base db.DB) (db.DB, error) {
		return counted{base, id, new(atomic.Int64)}, nil
	})
	done := make(chan struct{})
	plugin := backend.NewPlugin("answers", fx.Invoke(func(d db.DB, life fx.Lifecycle) {
		life.Append(fx.StartHook(func(ctx context.Context) error {
			defer close(done)
			var n int
			err := d.QueryRow(ctx, db.Same(`SELECT 6 * 7`)).Scan(&n)
			fmt.Println(n)
			return err
		}))
	}))
	runExample(done, service, plugin)
	// Output:
	// statement 1 of answers
	// 42
}

// The logger of every plugin gets a field. All records of a process go elsewhere with the
// option WithLogger.
func ExampleNewPluginService_logger() {
	service := backend.NewPluginService(func(id backend.PluginID, base *slog.Logger) (*slog.Logger, error) {
		return base.With("team", "team of "+string(id)), nil
	})
	plugin := backend.NewPlugin("answers", fx.Invoke(func(log *slog.Logger, life fx.Lifecycle) {
		life.Append(fx.StartHook(func() { log.Info("thinking") }))
	}))
	out := slog.NewTextHandler(onlyMessage{"thinking"}, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	cfg, err := config.Parse("app-config.yaml", []byte(`backend: {baseUrl: "http://localhost:7007", listen: "127.0.0.1:0"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	b := backend.New(backend.WithConfig(cfg), backend.Development(), backend.WithLogger(out))
	b.Add(service, plugin)
	if err := errors.Join(b.Start(context.Background()), b.Stop(context.Background())); err != nil {
		fmt.Println(err)
	}
	// Output: level=INFO msg=thinking plugin=answers team="team of answers"
}

// onlyMessage prints the lines that have a word.
type onlyMessage struct{ word string }

func (o onlyMessage) Write(p []byte) (int, error) {
	if strings.Contains(string(p), o.word) {
		fmt.Print(string(p))
	}
	return len(p), nil
}

// A service has hooks of the whole process: they start before all plugins do, and stop
// after them. Hooks of a plugin are around its own work.
func ExampleNewService_lifecycle() {
	hook := func(what string) fx.Hook {
		return fx.StartStopHook(func() { fmt.Println("start", what) }, func() { fmt.Println("stop", what) })
	}
	service := backend.NewService(fx.Invoke(func(life fx.Lifecycle) { life.Append(hook("process")) }))
	done := make(chan struct{})
	plugin := backend.NewPlugin("costs", fx.Invoke(func(life fx.Lifecycle) {
		life.Append(hook("plugin"))
		close(done)
	}))
	runExample(done, service, plugin)
	// Output:
	// start process
	// start plugin
	// stop plugin
	// stop process
}

// inMaintenance is a Health whose process gets no requests while a switch is on.
type inMaintenance struct {
	backend.Health
	on *atomic.Bool
}

// Ready implements backend.Health.
func (m inMaintenance) Ready(ctx context.Context) error {
	if m.on.Load() {
		return errors.New("maintenance")
	}
	return m.Health.Ready(ctx)
}

// What the health routes answer is decided by a service.
func ExampleHealth() {
	var on atomic.Bool
	service := backend.NewService(fx.Decorate(func(base backend.Health) backend.Health { return inMaintenance{base, &on} }))
	cfg, err := config.Parse("app-config.yaml", []byte(`backend: {baseUrl: "http://localhost:7007", listen: "127.0.0.1:0"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	b := backend.New(backend.WithConfig(cfg), backend.Development(), backend.WithLogger(slog.DiscardHandler))
	b.Add(service)
	if err := b.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	for _, maintenance := range []bool{false, true} {
		on.Store(maintenance)
		res, err := http.Get("http://" + b.Addr().String() + "/.backstage/health/v1/readiness")
		if err != nil {
			fmt.Println(err)
			return
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Println(res.StatusCode, string(text), err)
	}
	if err := b.Stop(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 200 {"status":"ok"} <nil>
	// 503 {"message":"maintenance","status":"error"} <nil>
}
