package backend

import (
	"errors"
	"log/slog"
	"net/http"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend/internal/events"
)

// sharedSections is the configuration of events, caches and actions.
type sharedSections struct {
	Events events.Config
}

func (s *sharedSections) decode(decode func(path string, out any)) {
	decode("events", &s.Events)
}

// sharedServices are those services of a process of which each plugin sees its own part.
type sharedServices struct {
	events    *events.Hub
	transport *http.Transport // to plugins in other processes
}

func (c *core) newShared(p parts) (*sharedServices, error) {
	s := &sharedServices{}
	s.events, s.transport = c.newEvents(p)
	return s, nil
}

// close is called when no plugin runs any more.
func (s *sharedServices) close() error {
	if s == nil {
		return nil
	}
	s.transport.CloseIdleConnections()
	return errors.Join()
}

// sharedServices are the parts that a plugin sees.
func (c *core) sharedServices(id PluginID) fx.Option {
	opts := []fx.Option{fx.Provide(
		func(log *slog.Logger) Events { return pluginEvents{c.shared.events.Service(string(id), log)} },
		fx.Private,
	)}
	if id == "events" {
		opts = append(opts, fx.Provide(func() *events.Hub { return c.shared.events }, fx.Private))
	}
	return fx.Options(opts...)
}
