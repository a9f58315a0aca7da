package mcpactions

import (
	"log/slog"
	"maps"
	"slices"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

const pluginID = "mcp-actions"

var defaults = Config{
	NamespacedToolNames: true,
	Limits:              Limits{RequestBytes: 1 << 20, ResultBytes: 4 << 20, Calls: 64, CallsPerCaller: 8, CallTimeout: config.Duration(time.Minute)},
}

// Plugin serves actions as tools.
func Plugin() backend.Feature {
	return backend.NewPlugin(pluginID,
		backend.Section("mcpActions", defaults),
		fx.Invoke(register),
	)
}

type params struct {
	fx.In

	Config    Config
	File      *config.Config
	Actions   backend.ActionsClient
	Router    backend.Router
	WellKnown backend.WellKnown
	Discovery backend.Discovery
	Clients   backend.Clients
	Auth      backend.Auth
	Auditor   backend.Auditor
	Log       *slog.Logger
}

func register(p params) error {
	switches, err := readSwitches(p.File)
	if err != nil {
		return err
	}
	calls := newTurns(p.Config.Limits.Calls, p.Config.Limits.CallsPerCaller)
	add := func(path string, s Server) {
		e := &endpoint{
			server: s, namespaced: p.Config.NamespacedToolNames, limits: p.Config.Limits,
			actions: p.Actions, calls: calls, auditor: p.Auditor, log: p.Log,
		}
		p.Router.Handle("POST "+path, e.serve)
		p.Router.Handle("GET "+path, e.noStream)
		p.Router.Handle("DELETE "+path, e.noStream)
	}
	add("/v1", Server{Name: "backstage"})
	for _, key := range slices.Sorted(maps.Keys(p.Config.Servers)) {
		add("/v1/"+key, p.Config.Servers[key])
	}
	(&oauth{switches, p.Discovery, p.Clients, p.Auth}).routes(p.WellKnown, slices.Sorted(maps.Keys(p.Config.Servers)))
	return nil
}
