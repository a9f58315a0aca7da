package events

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/events/internal/store"
	"github.com/callboard-dev/callboard/backend/internal/events"
)

// HTTP is the subtree events.http.
type HTTP struct {
	Topics []string `config:"topics" doc:"topics that everybody may post to, unchecked unless a module checks them"`
}

// Validate implements config.Validator.
func (h *HTTP) Validate() error {
	for i, t := range h.Topics {
		if t == "" || strings.Contains(t, "/") {
			return config.At(fmt.Sprintf("topics[%d]", i), fmt.Errorf("%q is empty or contains a slash", t))
		}
	}
	return nil
}

// notifyTimeout is events.notifyTimeoutMs: how long a reader of the bus is kept waiting.
type notifyTimeout int

// Validate implements config.Validator.
func (n notifyTimeout) Validate() error {
	if n < 1 {
		return errors.New("must be at least 1 millisecond")
	}
	return nil
}

//go:embed migrations
var migrations embed.FS

// Plugin adds webhooks and the event bus. It is extended by modules through *Extensions.
func Plugin() backend.Feature {
	return backend.NewPlugin("events",
		backend.Section("events.http", HTTP{}),
		backend.Section("events.notifyTimeoutMs", notifyTimeout(55000)),
		backend.ExtensionPoint[Extensions](),
		backend.Migrations(tables()),
		fx.Invoke(register),
	)
}

func tables() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is part of the binary
	}
	return sub
}

type params struct {
	fx.In

	HTTP       HTTP
	Timeout    notifyTimeout
	Extensions *Extensions
	Hub        *events.Hub
	Events     backend.Events
	DB         db.DB
	Database   backend.Database
	Router     backend.Router
	Background *backend.Background
	Scheduler  backend.Scheduler
	Lifecycle  fx.Lifecycle
	Log        *slog.Logger
}

func register(p params) error {
	publisher, ok := p.Events.(backend.EventPublisher)
	if !ok {
		return fmt.Errorf("%T, which replaces backend.Events, is no backend.EventPublisher", p.Events)
	}
	if err := errors.Join(p.Extensions.errs...); err != nil {
		return err
	}
	in := &ingress{topics: p.Extensions.topics(p.HTTP.Topics), publisher: publisher}
	in.routes(p.Router)
	bus := &bus{timeout: time.Duration(p.Timeout) * time.Millisecond}
	bus.routes(p.Router)
	describe(p.Router)
	p.Lifecycle.Append(fx.Hook{OnStart: func(ctx context.Context) error {
		var err error
		if bus.broker, err = open(p); err != nil {
			return err
		}
		p.Hub.Attach(bus.broker)
		for _, s := range p.Extensions.subscribers {
			// Before the first request comes in, so that none of its events is missed by a
			// subscriber whose goroutine has not run yet.
			if err := bus.broker.Subscribe(ctx, subscriptionID(s), s.Topics); err != nil {
				return fmt.Errorf("subscriber %s: %w", s.ID, err)
			}
			p.Background.Go(func(ctx context.Context) {
				run(context.WithValue(ctx, publisherKey{}, publisher), s, p.Events, p.Log)
			})
		}
		return nil
	}})
	return nil
}

// open returns the broker that this database allows.
func open(p params) (events.Broker, error) {
	if db.DialectOf(p.DB) != db.Postgres {
		m := events.NewMemory(nil)
		return m, p.Scheduler.Schedule("event-bus-cleanup", cleanup, func(ctx context.Context) error {
			if dropped, stale := m.Cleanup(); dropped+stale > 0 {
				p.Log.InfoContext(ctx, "old events that were not read, and subscriptions that nobody reads, were dropped", "events", dropped, "subscriptions", stale)
			}
			return nil
		})
	}
	pool, _ := p.Database.Pgx()
	s := store.New(p.DB, pool, p.Log)
	p.Background.Go(s.Listen)
	return s, p.Scheduler.Schedule("event-bus-cleanup", cleanup, s.Cleanup)
}

// cleanup is how often old events are looked for.
var cleanup = config.Schedule{
	Frequency:    config.Cadence{Every: config.Duration(10 * time.Second)},
	Timeout:      config.Duration(time.Minute),
	InitialDelay: config.Duration(10 * time.Second),
}

// subscriptionID is the id that Events.Subscribe uses for a subscriber of this plugin.
func subscriptionID(s Subscriber) string { return "events." + s.ID }

// run hands events to a subscriber until ctx is done.
func run(ctx context.Context, s Subscriber, in backend.Events, log *slog.Logger) {
	for e, err := range in.Subscribe(ctx, s.ID, s.Topics...) {
		if err != nil {
			log.WarnContext(ctx, "subscriber has no events", "subscriber", s.ID, "error", err)
			continue
		}
		if err := s.Handle(ctx, e); err != nil {
			log.ErrorContext(ctx, "event not handled", "subscriber", s.ID, "topic", e.Topic, "error", err)
		}
	}
}
