package notifications

import (
	"context"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/notifications/internal/store"
	signals "github.com/callboard-dev/callboard/backend/signals/client"
	catalog "github.com/callboard-dev/callboard/catalog/client"
)

// Plugin adds notifications. It is extended by modules through *Extensions.
func Plugin() backend.Feature {
	return backend.NewPlugin("notifications",
		backend.Section("notifications", defaults),
		backend.ExtensionPoint[Extensions](),
		backend.Migrations(store.Migrations()),
		fx.Invoke(register),
	)
}

type params struct {
	fx.In

	Config     Config
	Root       *config.Config
	Extensions *Extensions
	DB         db.DB
	Auth       backend.Auth
	Clients    backend.Clients
	Events     backend.Events
	Actions    *backend.Actions
	Router     backend.Router
	Scheduler  backend.Scheduler
	Background *backend.Background
	Lifecycle  fx.Lifecycle
	Log        *slog.Logger
}

// plugin is what the routes and the background work are methods of.
type plugin struct {
	config     Config
	defaults   settings
	processors []NotificationProcessor
	channels   []string
	base       *url.URL // what links are relative to
	store      *store.Store
	catalog    func(context.Context) (entities, error)
	signals    *signals.Client
	log        *slog.Logger
	now        func() time.Time

	woken  chan struct{} // there may be deliveries
	signal chan struct{} // there are signals

	mu      sync.Mutex
	pending []signals.Signal
	dropped int
}

func register(p params) error {
	if err := p.Extensions.err(); err != nil {
		return err
	}
	channels := p.Extensions.channels()
	app, _, err := p.Root.String("app.baseUrl")
	if err != nil {
		return err
	}
	host, _, err := p.Root.String("backend.baseUrl")
	if err != nil {
		return err
	}
	base, err := baseURL(app, host)
	if err != nil {
		return config.At("app.baseUrl", err)
	}
	n := &plugin{
		config: p.Config, defaults: p.Config.toSettings(), processors: p.Extensions.processors, channels: channels, base: base,
		store: store.New(p.DB), signals: signals.New(p.Events), log: p.Log, now: time.Now,
		catalog: func(ctx context.Context) (entities, error) {
			hc, base, err := p.Clients.Client(ctx, p.Auth.Own(), "catalog")
			if err != nil {
				return nil, err
			}
			return catalog.At(base, hc), nil
		},
		woken: make(chan struct{}, 1), signal: make(chan struct{}, 1),
	}
	n.routes(p.Router)
	p.Actions.Register(n.actions()...)
	if p.Config.Retention > 0 {
		if err := p.Scheduler.Schedule("notification-cleaner", daily, n.expire); err != nil {
			return err
		}
	}
	p.Lifecycle.Append(fx.StartHook(func() {
		if unknown := p.Config.unknownChannels(channels); len(unknown) > 0 {
			p.Log.Warn("notifications.defaultSettings speaks of channels that no processor of this backend has", "unknown", unknown, "known", channels)
		}
		p.Background.Go(n.publish)
		if len(n.processors) > 0 {
			p.Background.Go(n.deliver)
		}
	}))
	return nil
}

// daily is how often old notifications are deleted.
var daily = config.Schedule{
	Frequency:    config.Cadence{Cron: "0 0 * * *"},
	Timeout:      config.Duration(time.Hour),
	InitialDelay: config.Duration(time.Hour),
}

// expire deletes what is older than notifications.retention.
func (p *plugin) expire(ctx context.Context) error {
	n, err := p.store.Expire(ctx, p.now().Add(-time.Duration(p.config.Retention)))
	if n > 0 {
		p.log.InfoContext(ctx, "old notifications deleted", "notifications", n)
	}
	return err
}
