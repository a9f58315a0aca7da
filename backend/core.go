package backend

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/internal/logging"
	"github.com/callboard-dev/callboard/backend/internal/rootserver"
	"github.com/callboard-dev/callboard/backend/internal/scheduler"
	"github.com/callboard-dev/callboard/backend/internal/telemetry"
	"github.com/callboard-dev/callboard/backend/scm"
)

// core is what one backend shares between its plugins. It is made without I/O, once
// for each time a graph is built, and opened when the backend starts.
type core struct {
	settings settings
	features []*feature
	cfg      *config.Config
	// unreadable is set if cfg stands for one that could not be parsed.
	unreadable bool
	watcher    *config.Watcher
	env        Environment

	log      *slog.Logger
	levels   *logging.Handler
	redactor *config.Redactor

	title        string
	startTimeout time.Duration
	stopTimeout  time.Duration

	sections coreSections
	parts
	wasReady     atomic.Bool // load balancers may know of this process
	stopWatching context.CancelFunc
	watching     sync.WaitGroup
}

// parts are made anew for each graph, because plugins leave traces in them.
type parts struct {
	db           *db.Manager
	server       *rootserver.Server
	discovery    *discovery
	integrations *scm.Integrations
	reader       *scm.Mux
	clients      *processClients
	telemetry    *telemetry.Telemetry
	scrapes      *telemetry.Listener
	auth         *authenticator
	secretKeys   *secretKeys
	landing      *landing
	index        *index
	shared       *sharedServices
	gates        map[PluginID]*gate
	muxes        map[PluginID]*httpx.Mux
	backgrounds  map[PluginID]*Background
	schedulers   map[PluginID]*scheduler.Scheduler
	locks        *lockSession
	mu           *sync.Mutex
}

// stopTimeout bounds a whole stop, a serverShutdownDelay that is configured comes on top.
const stopTimeout = 30 * time.Second

// prepare reads the configuration and makes the core of it, and returns all that is wrong
// with it. Of a configuration that cannot be read there is a core, too, so that the
// composition can be checked.
func (b *Backend) prepare(ctx context.Context) (*core, problems) {
	var found problems
	s := b.settings
	c := &core{settings: s, features: b.list(), cfg: s.config, env: environment(s), startTimeout: s.startTimeout, stopTimeout: stopTimeout}
	if c.cfg == nil {
		var err error
		c.cfg, err = config.Load(ctx, config.Sources{Files: s.files, Remote: s.remote})
		for _, e := range config.Problems(err) {
			found.add(nil, e)
		}
		if c.cfg == nil {
			c.unreadable = true
			if c.cfg, err = config.Parse("", nil); err != nil {
				found.add(nil, err) // cannot be: it is empty
			}
		}
	}
	c.redactor = config.NewRedactor()
	found.redact = c.redactor.Redact
	errs := c.readSections()
	c.redactor.Add(c.cfg.Secrets()...) // those of the sections are known once they are decoded
	if err := c.openLog(); err != nil {
		found.add(nil, err)
	}
	c.watcher = config.NewWatcher(c.cfg, c.log)
	errs = c.furnish(errs)
	if !c.unreadable {
		for _, err := range errs {
			found.add(nil, err)
		}
	}
	return c, found
}

func environment(s settings) Environment {
	if s.development {
		return DevelopmentEnvironment
	}
	for _, name := range []string{"CALLBOARD_ENV", "NODE_ENV"} {
		if v := s.getenv(name); v != "" {
			if v == "development" {
				return DevelopmentEnvironment
			}
			return ProductionEnvironment
		}
	}
	return ProductionEnvironment
}

func (c *core) openLog() error {
	next := c.settings.handler
	if next != nil {
		next = logging.Redact(next, c.redactor.Redact)
	} else {
		out := c.redactor.Writer(c.settings.output)
		if c.env == ProductionEnvironment {
			next = logging.JSON(out)
		} else {
			next = logging.Pretty(out, isTerminal(c.settings.output))
		}
	}
	next = telemetry.LogHandler(next)
	var err error
	level := c.settings.getenv("LOG_LEVEL")
	if level != "" {
		if _, err = logging.ParseLevel(level); err != nil {
			err = Fix("environment variable LOG_LEVEL: "+err.Error(), "set it to error, warn, info or debug")
			level = ""
		}
	}
	h, failed := logging.New(next, c.sections.Logger, level)
	if failed != nil { // the section was checked before
		h, _ = logging.New(next, logging.Config{}, level)
	}
	c.levels = h
	c.log = slog.New(h)
	for k, v := range c.sections.Logger.Meta {
		c.log = c.log.With(k, v)
	}
	return err
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// reset makes the parts that a graph fills. What cannot be made of the configuration is
// made of nothing, so that graphs can be checked all the same.
func (c *core) reset() error {
	var errs []error
	var closers []io.Closer // of rate limit stores
	p := parts{gates: map[PluginID]*gate{}, muxes: map[PluginID]*httpx.Mux{}, backgrounds: map[PluginID]*Background{}, schedulers: map[PluginID]*scheduler.Scheduler{}, mu: new(sync.Mutex)}
	var err error
	p.telemetry = c.newTelemetry()
	if p.db, err = db.New(c.sections.Database, append(c.connectionTypes(), db.WithLogger(c.log), db.WithObserver(p.telemetry.Statement))...); err != nil {
		errs = append(errs, err)
		p.db, _ = db.New(db.Config{})
	}
	p.locks = &lockSession{db: p.db}
	options := rootserver.Options{
		Log: c.log, Stacks: c.env == DevelopmentEnvironment, RateStores: c.rateStores(&closers), Observe: p.telemetry.Request,
	}
	if p.server, err = rootserver.New(c.sections.Server, options); err != nil {
		errs = append(errs, err)
		p.server, _ = rootserver.New(rootserver.Defaults(), options)
	}
	p.discovery = &discovery{
		internal:  c.sections.Server.Listen.InternalURL(c.sections.Server.HTTPS.Enabled),
		external:  c.sections.Server.BaseURL,
		endpoints: c.sections.Discovery.Endpoints,
		now:       c.settings.now(),
		lookup: func(service, proto, name string) (string, []*net.SRV, error) {
			return net.DefaultResolver.LookupSRV(context.Background(), service, proto, name)
		},
	}
	if p.integrations, err = scm.NewIntegrations(c.sections.SCM); err != nil {
		errs = append(errs, err)
		p.integrations, _ = scm.NewIntegrations(scm.Config{})
	}
	if p.reader, err = scm.NewReader(p.integrations, scm.Options{
		Reading: c.sections.Reading, WorkingDirectory: c.sections.WorkingDirectory, Log: c.log,
	}); err != nil {
		errs = append(errs, err)
		p.reader, _ = scm.NewReader(p.integrations, scm.Options{Log: c.log})
	}
	p.clients = newProcessClients(c.settings.now())
	p.clients.wrap = p.telemetry.Transport
	p.clients.memory, p.clients.own = p.server.InMemory(), p.discovery.own
	p.landing = &landing{c: c}
	p.secretKeys = newSecretKeys(c.sections.SecretKeys, c.env)
	p.index = &index{landing: p.landing}
	p.server.SetIndex(p.index)
	if p.auth, err = newAuthenticator(c, p.discovery, newKeyStores(c.sections.authSections, p.db, c.settings.now()), p.clients.http); err != nil {
		errs = append(errs, err)
	}
	if p.shared, err = c.newShared(closers); err != nil {
		errs = append(errs, err)
	}
	c.parts = p
	return errors.Join(errs...)
}

// rootServices is what features see everywhere.
func (c *core) rootServices(comp *composition) fx.Option {
	return fx.Options(
		c.healthService(),
		fx.Supply(c.cfg, c.watcher, c.log, c.env, c.integrations),
		fx.Provide(
			func() Discovery { return c.discovery },
			func() InstanceMetadata { return comp.instance() },
			func(i InstanceMetadata, d Discovery) SystemMetadata {
				return system{i, c.sections.Discovery.Endpoints, d}
			},
			func(d Discovery) UserInfo { return newUserInfo(c.clients, d, c.settings.now()) },
			func() scm.Reader { return c.reader },
			func() *Local { return newLocal(c.discovery.local) },
		),
	)
}

// open takes the port and starts to follow the configuration files.
func (c *core) open(ctx context.Context, comp *composition) error {
	for _, f := range c.cfg.Files() {
		c.log.Info("configuration read", "file", f)
	}
	c.log.Info("database", "where", c.db.Summary())
	if c.sections.Auth.DangerouslyDisableDefaultAuthPolicy {
		c.log.Warn("backend.auth.dangerouslyDisableDefaultAuthPolicy is set: everybody who reaches this backend may use its API")
	}
	if err := errors.Join(c.listenForScrapes(ctx), c.server.Start(ctx)); err != nil {
		_ = c.server.Close()
		return c.cfg.Locate(err)
	}
	c.discovery.opened(c.server.Addr(), c.sections.Server)
	ctx, c.stopWatching = context.WithCancel(context.Background())
	c.watcher.Check(func(next *config.Config) error { return c.checkReload(ctx, comp, next) })
	c.watcher.Subscribe(c.reload)
	c.watching.Go(func() {
		if err := c.watcher.Run(ctx); err != nil {
			c.log.Error("the configuration files are not watched any more", "error", err)
		}
	})
	c.watching.Go(func() { c.db.KeepAlive(ctx) })
	c.watching.Go(func() { c.watchDatabase(ctx) })
	return nil
}

// ready lets load balancers in.
func (c *core) ready(comp *composition) {
	var failed []string
	for id, g := range c.gates {
		if g.state() == stateFailed {
			failed = append(failed, string(id))
		}
	}
	c.wasReady.Store(true)
	c.server.SetReady(failed...)
	c.tell(context.Background())
	c.log.Info("Listening on " + listenText(c.server.Addr(), c.sections.Server.Listen))
}

func listenText(addr net.Addr, l rootserver.Listen) string {
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil || l.Host != "" {
		return addr.String()
	}
	return ":" + port
}

// drain turns readiness off, goes on serving for as long as configured, and then waits
// for the requests in flight.
func (c *core) drain(ctx context.Context) error {
	c.server.SetStopping()
	if d := time.Duration(c.sections.Server.Lifecycle.ServerShutdownDelay); d > 0 && c.wasReady.Load() {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
	}
	c.log.Info("stopping")
	return c.server.Drain(ctx)
}

// shut closes what open opened, the database last.
func (c *core) shut(context.Context) error {
	err := c.server.Close()
	if c.stopWatching != nil {
		c.stopWatching()
		c.watching.Wait()
	}
	c.clients.close()
	err = errors.Join(err, c.shared.close(), c.locks.close(), c.db.Close())
	c.closeTelemetry() // what the database did last is part of it
	return err
}

// abandon gives up a core that was never opened.
func (c *core) abandon() {
	c.closeTelemetry()
	_ = c.shared.close()
	_ = c.db.Close()
}

// migrate brings the tables of a plugin and its modules up to date.
func (c *core) migrate(ctx context.Context, g *pluginGroup) (*feature, error) {
	for _, f := range append([]*feature{g.plugin}, g.modules...) {
		for _, fsys := range f.migrations() {
			m, err := c.db.Plugin(string(g.id())).Migrate(ctx, fsys)
			if err != nil {
				return f, err
			}
			c.log.Info("database ready", "plugin", string(g.id()), "from", m.From, "to", m.To, "skipped", m.Skipped, "took", m.Took.Round(time.Millisecond))
		}
	}
	return nil, nil
}

// errorWriter is how the routes of a plugin answer errors.
func (c *core) errorWriter(log *slog.Logger) httpx.ErrorWriter {
	return httpx.ErrorWriter{Log: log, Stacks: c.env == DevelopmentEnvironment}
}
