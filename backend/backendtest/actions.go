package backendtest

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/internal/actions"
)

// Actions has registries of actions, and is the backend.ActionsClient of what is
// registered in them, without a backend. Schemas, secrets and permissions are checked as
// in one. The zero value is ready. It is safe for concurrent use, except that registries
// are filled before the first use of the client; it must not be copied.
type Actions struct {
	// Permissions decides about actions with a VisibilityPermission; nil: everybody may see
	// and invoke them. It is set before the first use.
	Permissions backend.ActionPermissions

	mu         sync.Mutex
	plugins    Clients
	registries map[string]*backend.Actions
	invoked    []ActionInvocation
}

// ActionInvocation is one call of Invoke, whatever came of it.
type ActionInvocation struct {
	Caller         backend.Credentials
	ID             string
	Input, Secrets json.RawMessage
}

var _ backend.ActionsClient = (*Actions)(nil)

// Of returns the registry of a plugin, always the same one: what a plugin under test is
// given as its *backend.Actions.
func (a *Actions) Of(plugin string) *backend.Actions {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.registries[plugin]; r != nil {
		return r
	}
	if a.plugins == nil {
		a.plugins, a.registries = Clients{}, map[string]*backend.Actions{}
	}
	var p backend.ActionPermissions = everybodyMay{}
	if a.Permissions != nil {
		p = a.Permissions
	}
	log := slog.New(slog.DiscardHandler)
	mux := &httpx.Mux{Errors: httpx.ErrorWriter{Log: log}}
	a.plugins[plugin] = mux
	a.registries[plugin] = backend.NewActions(backend.PluginID(plugin), muxRouter{mux}, p, log)
	return a.registries[plugin]
}

// List implements backend.ActionsClient. Plugins come in the order of their ids.
func (a *Actions) List(ctx context.Context, c backend.Credentials) ([]backend.ActionInfo, error) {
	return a.client().List(ctx, c)
}

// Invoke implements backend.ActionsClient.
func (a *Actions) Invoke(ctx context.Context, c backend.Credentials, id string, input, secrets json.RawMessage) (json.RawMessage, error) {
	a.mu.Lock()
	a.invoked = append(a.invoked, ActionInvocation{c, id, slices.Clone(input), slices.Clone(secrets)})
	a.mu.Unlock()
	return a.client().Invoke(ctx, c, id, input, secrets)
}

// Invoked returns the invocations so far, in order.
func (a *Actions) Invoked() []ActionInvocation {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.invoked)
}

func (a *Actions) client() *actions.Client {
	a.mu.Lock()
	defer a.mu.Unlock()
	sources := slices.Sorted(maps.Keys(a.plugins))
	plugins := maps.Clone(a.plugins)
	return &actions.Client{Config: actions.Config{PluginSources: &sources}, Open: plugins.Client, Log: slog.New(slog.DiscardHandler)}
}

type everybodyMay struct{}

// Allowed implements backend.ActionPermissions.
func (everybodyMay) Allowed(context.Context, backend.Credentials, string) (bool, error) {
	return true, nil
}

// muxRouter is a backend.Router without anybody who checks callers.
type muxRouter struct{ mux *httpx.Mux }

// Handle implements backend.Router.
func (m muxRouter) Handle(pattern string, h backend.Handler, allow ...backend.Access) {
	if err := m.mux.Handle(pattern, h, allow...); err != nil {
		panic(err)
	}
}
