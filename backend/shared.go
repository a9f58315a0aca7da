package backend

import (
	"errors"
	"io"
	"log/slog"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend/internal/actions"
	"github.com/callboard-dev/callboard/backend/internal/cache"
	"github.com/callboard-dev/callboard/backend/internal/events"
)

// sharedSections is the configuration of events, caches and actions.
type sharedSections struct {
	Events  events.Config
	Cache   cache.Config
	Actions actions.Config
}

func (s *sharedSections) decode(decode func(path string, out any)) {
	decode("events", &s.Events)
	decode("backend.cache", &s.Cache)
	decode("backend.actions", &s.Actions)
}

// sharedServices are those services of a process of which each plugin sees its own part.
type sharedServices struct {
	events  *events.Hub
	caches  *caches
	closers []io.Closer // of what is not closed elsewhere
}

func (c *core) newShared(closers []io.Closer) (*sharedServices, error) {
	s := &sharedServices{events: events.NewHub(c.sections.Events, c.log, c.whereEvents), closers: closers}
	var err error
	if s.caches, err = c.newCaches(); err == nil {
		s.closers = append(s.closers, s.caches.store)
	}
	return s, err
}

// close is called when no plugin runs any more.
func (s *sharedServices) close() error {
	if s == nil {
		return nil
	}
	var errs []error
	for _, c := range s.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// sharedServices are the parts that a plugin sees.
func (c *core) sharedServices(id PluginID) fx.Option {
	opts := []fx.Option{fx.Provide(
		func(log *slog.Logger) Cache { return c.shared.caches.plugin(id, log) },
		func(l *Local) ActionPermissions { return c.actionPermissions(id, l) },
		fx.Private,
	)}
	if id == "events" {
		opts = append(opts, fx.Provide(func() *events.Hub { return c.shared.events }, fx.Private))
	}
	return fx.Options(opts...)
}

// derivedServices are made of other services of the plugin, as NewPluginService has
// replaced them.
func (c *core) derivedServices(id PluginID) fx.Option {
	return fx.Provide(
		func(d Discovery, a Auth) Clients { return &pluginClients{c.clients, d, a} },
		func(r Router, p ActionPermissions, log *slog.Logger) *Actions { return c.newActions(id, r, p, log) },
		func(in Clients, log *slog.Logger) ActionsClient { return c.actionsClient(in, log) },
		func(a Auth, in Clients, log *slog.Logger) Events { return c.newEvents(id, a, in, log) },
		fx.Private,
	)
}
