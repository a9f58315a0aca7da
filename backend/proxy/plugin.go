package proxy

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

// section is where the configuration of this plugin is.
const section = "proxy"

// Plugin adds the endpoints of app-config.yaml. Modules extend it through *Extensions.
func Plugin() backend.Feature {
	return backend.NewPlugin("proxy",
		backend.Section(section, Config{}),
		backend.ExtensionPoint[Extensions](),
		fx.Invoke(register),
	)
}

type params struct {
	fx.In

	Extensions *Extensions
	Watcher    *config.Watcher
	Router     backend.Router
	Auth       backend.Auth
	Auditor    backend.Auditor
	Tracer     trace.Tracer
	Meter      metric.Meter
	Lifecycle  fx.Lifecycle
	Log        *slog.Logger
}

func register(p params) error {
	if err := p.Extensions.err(); err != nil {
		return err
	}
	w, err := newWatch(p.Tracer, p.Meter, p.Auditor)
	if err != nil {
		return err
	}
	g := &gateway{auth: p.Auth, log: p.Log, watch: w, stopped: make(chan struct{})}
	l := &loader{g: g, extensions: p.Extensions, transports: newTransports(), log: p.Log}
	// Who may call depends on the endpoint, and is asked there.
	p.Router.Handle("/{rest...}", g.serve, backend.AllowUnauthenticated)
	var live *config.Live[Config]
	p.Lifecycle.Append(fx.Hook{
		OnStart: func(ctx context.Context) error {
			for _, text := range p.Extensions.warnings() {
				p.Log.WarnContext(ctx, text)
			}
			var err error
			if live, err = config.NewLive(p.Watcher, section, Config{}); err != nil {
				return err
			}
			if err = l.load(ctx, live.Get()); err != nil {
				return err
			}
			live.OnChange(l.changed)
			return nil
		},
		OnStop: func(ctx context.Context) error {
			if live != nil {
				live.Close()
			}
			defer l.transports.keep(nil)
			return g.stop(ctx)
		},
	})
	return nil
}

// A loader puts a version of the configuration in force.
type loader struct {
	g          *gateway
	extensions *Extensions
	transports *transports
	log        *slog.Logger
}

func (l *loader) load(ctx context.Context, c Config) error {
	t, err := newTable(l.extensions.with(c.Endpoints), l.transports)
	if err != nil {
		return err
	}
	for _, text := range c.warnings {
		l.log.WarnContext(ctx, text)
	}
	l.g.table.Store(t)
	l.transports.keep(t.routes)
	return nil
}

// changed is called with a configuration that is valid. Requests in flight go on as they began.
func (l *loader) changed(c Config) {
	ctx := context.Background()
	if err := l.load(ctx, c); err != nil {
		l.log.ErrorContext(ctx, "the new proxy endpoints are refused, the old ones stay", "error", err)
		return
	}
	l.log.InfoContext(ctx, "proxy endpoints have changed", "endpoints", len(l.g.table.Load().routes))
}
