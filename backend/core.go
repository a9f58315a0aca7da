package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"reflect"
	"strings"
	"sync"
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
	watcher  *config.Watcher
	env      Environment
	boot     bootConfig

	log      *slog.Logger
	levels   *logging.Handler
	redactor *config.Redactor

	title        string
	startTimeout time.Duration
	stopTimeout  time.Duration

	sections coreSections
	parts
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
	landing      *landing
	shared       *sharedServices
	gates        map[PluginID]*gate
	muxes        map[PluginID]*httpx.Mux
	backgrounds  map[PluginID]*Background
	schedulers   map[PluginID]*scheduler.Scheduler
	locks        *lockSession
	mu           *sync.Mutex
}

// coreSections is the configuration of the core services, decoded once.
type coreSections struct {
	Server    rootserver.Config
	Database  db.Config
	Logger    logging.Config
	Discovery discoveryConfig
	SCM       scm.Config
	Reading   scm.ReadingConfig
	authSections
	telemetrySections
	sharedSections
	// WorkingDirectory is where trees are unpacked while they are read.
	WorkingDirectory string
}

// stopTimeout bounds a whole stop, a serverShutdownDelay that is configured comes on top.
const stopTimeout = 30 * time.Second

// prepare reads the configuration and makes the core of it. Without a core the
// problems say why; with one, they may still not be empty.
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
			return nil, found
		}
	}
	c.redactor = config.NewRedactor()
	c.readSections(&found)
	c.redactor.Add(c.cfg.Secrets()...) // those of the sections are known once they are decoded
	if err := c.openLog(); err != nil {
		found.add(nil, err)
	}
	c.watcher = config.NewWatcher(c.cfg, c.log)
	for _, err := range config.Problems(c.positioned(c.reset())) {
		found.add(nil, err)
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

// readSections decodes what the core services need, and reports all that is wrong.
func (c *core) readSections(found *problems) {
	s := &c.sections
	// A section with a mistake is put back to what it was: the parts that are made of it
	// can be checked on, and do not report the mistake again.
	decode := func(path string, out any) {
		v := reflect.ValueOf(out).Elem()
		before := reflect.New(v.Type()).Elem()
		before.Set(v)
		for _, err := range config.Problems(c.cfg.Decode(path, out)) {
			v.Set(before)
			found.add(nil, err)
		}
	}
	s.Server = rootserver.Defaults()
	decode("backend", &s.Server)
	decode("backend.logger", &s.Logger)
	decode("discovery", &s.Discovery)
	s.authSections.decode(decode)
	s.telemetrySections.decode(decode)
	decode("backend.workingDirectory", &s.WorkingDirectory)
	s.sharedSections.decode(decode)
	var err error
	if s.SCM, s.Reading, err = scm.ReadConfig(c.cfg); err != nil {
		s.SCM, s.Reading = scm.Config{}, scm.ReadingConfig{}
		for _, e := range config.Problems(err) {
			found.add(nil, e)
		}
	}
	if c.boot, err = readBootConfig(c.cfg); err != nil {
		for _, e := range config.Problems(err) {
			found.add(nil, e)
		}
	}
	if c.cfg.Has("backend.database") {
		decode("backend.database", &s.Database)
	} else if c.env == ProductionEnvironment {
		found.add(nil, c.noDatabase())
	}
	c.title, _, _ = c.cfg.String("app.title")
	if c.title == "" {
		c.title = "Callboard"
	}
	if d := s.Server.Lifecycle.ServerShutdownDelay; d > 0 {
		c.stopTimeout += time.Duration(d)
	}
}

// noDatabase is for the portal whose configuration was not found: without it the data
// would be in memory, and gone with the process.
func (c *core) noDatabase() error {
	read := "no file was read"
	if files := c.cfg.Files(); len(files) > 0 {
		read = "read: " + strings.Join(files, ", ")
	}
	return Fix(fmt.Sprintf("backend.database is not set, and a database in memory loses everything with the process (%s)", read),
		"name the file that sets it with --config FILE, or set backend.database in one of them; for a trial set NODE_ENV=development")
}

func (c *core) openLog() error {
	next := c.settings.handler
	if next == nil {
		out := c.redactor.Writer(c.settings.output)
		if c.env == ProductionEnvironment {
			next = logging.JSON(out)
		} else {
			next = logging.Pretty(out, isTerminal(c.settings.output))
		}
	}
	next = telemetry.LogHandler(next)
	h, err := logging.New(next, c.sections.Logger, c.settings.getenv("LOG_LEVEL"))
	if err != nil {
		err = Fix("environment variable LOG_LEVEL: "+err.Error(), "set it to error, warn, info or debug")
		h, _ = logging.New(next, c.sections.Logger, "") // the section itself was checked before
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

// reset makes the parts that a graph fills.
func (c *core) reset() error {
	var errs []error
	var closers []io.Closer // of rate limit stores
	p := parts{gates: map[PluginID]*gate{}, muxes: map[PluginID]*httpx.Mux{}, backgrounds: map[PluginID]*Background{}, schedulers: map[PluginID]*scheduler.Scheduler{}, mu: new(sync.Mutex)}
	var err error
	p.telemetry = c.newTelemetry()
	if p.db, err = db.New(c.sections.Database, db.WithLogger(c.log), db.WithObserver(p.telemetry.Statement)); err != nil {
		errs = append(errs, err)
	}
	p.locks = &lockSession{db: p.db}
	if p.server, err = rootserver.New(c.sections.Server, rootserver.Options{
		Log: c.log, Stacks: c.env == DevelopmentEnvironment, RateStores: c.rateStores(&closers), Observe: p.telemetry.Request,
	}); err != nil {
		errs = append(errs, err)
	}
	p.discovery = &discovery{
		internal:  c.sections.Server.Listen.InternalURL(c.sections.Server.HTTPS.Enabled),
		external:  c.sections.Server.BaseURL,
		endpoints: c.sections.Discovery.Endpoints,
		lookup: func(service, proto, name string) (string, []*net.SRV, error) {
			return net.DefaultResolver.LookupSRV(context.Background(), service, proto, name)
		},
	}
	if p.integrations, err = scm.NewIntegrations(c.sections.SCM); err != nil {
		errs = append(errs, err)
	} else if p.reader, err = scm.NewReader(p.integrations, scm.Options{
		Reading: c.sections.Reading, WorkingDirectory: c.sections.WorkingDirectory, Log: c.log,
	}); err != nil {
		errs = append(errs, err)
	}
	p.clients = newProcessClients()
	p.clients.wrap = p.telemetry.Transport
	if p.server != nil {
		p.clients.memory, p.clients.own = p.server.InMemory(), p.discovery.own
	}
	p.landing = &landing{c: c}
	if p.server != nil {
		p.server.SetIndex(p.landing)
	}
	if p.auth, err = newAuthenticator(c, p.discovery, newKeyStores(c.sections.authSections, p.db), p.clients.http); err != nil {
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
		fx.Supply(c.cfg, c.watcher, c.log, c.env, c.integrations),
		fx.Provide(
			func() Discovery { return c.discovery },
			func() InstanceMetadata { return comp.instance() },
			func(d Discovery) SystemMetadata { return system{comp.instance(), c.sections.Discovery.Endpoints, d} },
			func(d Discovery) UserInfo { return newUserInfo(c.clients, d) },
			func() scm.Reader { return c.reader },
		),
	)
}

// open takes the port and starts to follow the configuration files.
func (c *core) open(ctx context.Context) error {
	for _, f := range c.cfg.Files() {
		c.log.Info("configuration read", "file", f)
	}
	c.log.Info("database", "where", c.db.Summary())
	if c.sections.Auth.DangerouslyDisableDefaultAuthPolicy {
		c.log.Warn("backend.auth.dangerouslyDisableDefaultAuthPolicy is set: everybody who reaches this backend may use its API")
	}
	if err := c.auth.stores.load(c.auth.installed("auth")); err != nil {
		return err
	}
	if err := c.listenForScrapes(ctx); err != nil {
		return err
	}
	if err := c.server.Start(ctx); err != nil {
		return err
	}
	c.discovery.opened(c.server.Addr(), c.sections.Server)
	ctx, c.stopWatching = context.WithCancel(context.Background())
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

// reload takes over what may change while the backend runs: log levels, and secrets
// that must not be logged. Listener settings need a restart (contract/backend.md 3.6).
func (c *core) reload(next *config.Config) {
	added := c.redactor.Add(next.Secrets()...)
	var l logging.Config
	err := next.Decode("backend.logger", &l)
	if err == nil {
		err = c.levels.Set(l, c.settings.getenv("LOG_LEVEL"))
	}
	if err != nil {
		c.log.Error("the new log levels are refused, the old ones stay", "error", err)
	}
	var d discoveryConfig
	if err := next.Decode("discovery", &d); err != nil {
		c.log.Error("the new discovery.endpoints are refused, the old ones stay", "error", err)
	} else {
		c.discovery.set(d.Endpoints)
	}
	c.log.Info("configuration has changed", "newSecrets", added)
}

// ready lets load balancers in.
func (c *core) ready(comp *composition) {
	var failed []string
	for id, g := range c.gates {
		if g.state() == stateFailed {
			failed = append(failed, string(id))
		}
	}
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
	if d := time.Duration(c.sections.Server.Lifecycle.ServerShutdownDelay); d > 0 {
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
	if c.db != nil {
		_ = c.db.Close()
	}
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
