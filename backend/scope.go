package backend

import (
	"errors"
	"log/slog"
	"net/http"
	"sync"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/internal/rootserver"
)

// pluginServices are the core services of one plugin, visible in its scope only.
func (c *core) pluginServices(id PluginID) fx.Option {
	var userTokens fx.Option = fx.Options()
	if id == "auth" {
		userTokens = fx.Provide(func() UserTokens { return c.auth }, fx.Private)
	}
	return fx.Options(userTokens, c.sharedServices(id), c.telemetryServices(id), c.auditServices(id), c.secretServices(id), fx.Provide(
		func() (Database, db.DB) { p := c.db.Plugin(string(id)); return p, p.DB() },
		func(log *slog.Logger) (Router, Auth, error) { return c.mount(id, log) },
		func() *Background { return c.background(id) },
		func() Scheduler { return c.scheduler(id) },
		func() RateLimits { return pluginRateLimits{c, id} },
		func() Landing { return pluginLanding{c.landing, id} },
		func(log *slog.Logger) WellKnown { return wellKnown{c, c.errorWriter(log)} },
		func(log *slog.Logger) Index {
			return pluginIndex{c.index, id, c.errorWriter(log), func() *gate { return c.gates[id] }}
		},
		func() (UserCookie, error) { return c.auth.userCookie(id) },
		fx.Private,
	))
}

func (c *core) background(id PluginID) *Background {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.backgrounds[id]
	if !ok {
		b = newBackground()
		c.backgrounds[id] = b
	}
	return b
}

// mount gives the plugin its place at /api/<id>, shut until it has started.
func (c *core) mount(id PluginID, log *slog.Logger) (Router, Auth, error) {
	auth := c.auth.plugin(id)
	mux := &httpx.Mux{Guard: c.telemetry.Guard(auth.barrier.Guard), Errors: c.errorWriter(log)}
	routes, err := c.scheduled(id, mux, log)
	if err == nil {
		err = c.auth.cookieRoutes(auth, mux)
	}
	if err != nil {
		return nil, nil, err
	}
	g, err := c.server.Mount(rootserver.Plugin{ID: string(id), Before: auth.serve, Routes: c.telemetry.Routes(string(id), mux.Pattern, routes), Errors: mux.Errors, App: id == "app"})
	if err != nil {
		return nil, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gates[id], c.muxes[id] = &gate{gate: g}, mux
	return &router{mux}, auth, nil
}

// ensureMounted gives plugins that have no routes of their own a place too, so that
// their state is known and their paths are not anybody's.
func (c *core) ensureMounted(comp *composition) error {
	var errs []error
	for _, g := range comp.plugins {
		if c.gates[g.id()] == nil {
			_, _, err := c.mount(g.id(), c.log.With("plugin", string(g.id())))
			errs = append(errs, err)
		}
	}
	for name, err := range comp.left {
		id := PluginID(name)
		if c.gates[id] == nil && idPattern.MatchString(name) {
			if _, _, merr := c.mount(id, c.log); merr == nil {
				c.gates[id].fail(err)
			}
		}
	}
	return errors.Join(errs...)
}

// router is the Router of one plugin.
type router struct{ mux *httpx.Mux }

// Handle panics on a bad pattern: the panic is a boot error that names the constructor
// or invoked function that called it.
func (r *router) Handle(pattern string, h Handler, allow ...Access) {
	if err := r.mux.Handle(pattern, h, allow...); err != nil {
		panic(err)
	}
}

var _ http.Handler = (*index)(nil)

// gate is the gate of a plugin's routes, with a memory of why it is shut.
type gate struct {
	gate *rootserver.Gate
	mu   sync.Mutex
	text string
	why  error
}

const (
	stateStarting = "starting"
	stateRunning  = "running"
	stateFailed   = "failed"
	stateStopping = "stopping"
)

func (g *gate) set(text string, why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.text, g.why = text, why
}

func (g *gate) open()          { g.set(stateRunning, nil); g.gate.Open() }
func (g *gate) fail(err error) { g.set(stateFailed, err); g.gate.Fail() }
func (g *gate) close()         { g.set(stateStopping, nil); g.gate.Close() }

func (g *gate) state() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.text == "" {
		return stateStarting
	}
	return g.text
}
