package backendtest

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/principal"
	"github.com/callboard-dev/callboard/backend/seal"
)

// Auth is a backend.Auth of the plugin that it names. The caller of a request is
// httpx.CallerOf, and tokens say in plain text who may do what where; nobody else
// accepts them.
type Auth string

var _ backend.Auth = Auth("")

// Credentials implements backend.Auth.
func (a Auth) Credentials(r *http.Request) (backend.Credentials, error) {
	return httpx.CallerOf(r), nil
}

// Own implements backend.Auth.
func (a Auth) Own() backend.Credentials {
	return backend.Credentials{Principal: principal.Service{Subject: "plugin:" + string(a)}}
}

// TokenFor implements backend.Auth. The token is "CALLER as PLUGIN for TARGET".
func (a Auth) TokenFor(_ context.Context, c backend.Credentials, plugin string) (string, error) {
	if c.Type() == principal.TypeNone {
		return "", apierr.Authentication.New("nobody can act towards plugin %s", plugin)
	}
	return c.String() + " as " + string(a) + " for " + plugin, nil
}

// Scheduler is a backend.Scheduler that runs tasks when Trigger asks for it, and never by
// itself. The zero value is ready; it is safe for concurrent use.
type Scheduler struct {
	mu    sync.Mutex
	tasks map[string]scheduled
}

type scheduled struct {
	schedule config.Schedule
	run      func(context.Context) error
}

var _ backend.Scheduler = (*Scheduler)(nil)

// Schedule implements backend.Scheduler. An id that is known is an error, as in a backend.
func (s *Scheduler) Schedule(id string, schedule config.Schedule, task func(context.Context) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.tasks[id]; ok {
		return apierr.Conflict.New("Task %s is scheduled already", id)
	}
	if s.tasks == nil {
		s.tasks = map[string]scheduled{}
	}
	s.tasks[id] = scheduled{schedule, task}
	return nil
}

// Trigger implements backend.Scheduler. It runs the task here and now, in the time that
// its schedule gives it, and returns its error.
func (s *Scheduler) Trigger(ctx context.Context, id string) error {
	s.mu.Lock()
	t, ok := s.tasks[id]
	s.mu.Unlock()
	if !ok {
		return apierr.NotFound.New("Task %s does not exist", id)
	}
	if d := time.Duration(t.schedule.Timeout); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	return t.run(ctx)
}

// Tasks returns the schedules by task.
func (s *Scheduler) Tasks() map[string]config.Schedule {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]config.Schedule{}
	for id, t := range s.tasks {
		out[id] = t.schedule
	}
	return out
}

// Discovery is a backend.Discovery that says where plugins answer, by id, and for those
// that it does not name http://localhost/api/<id>.
type Discovery map[string]string

var _ backend.Discovery = Discovery{}

// BaseURL implements backend.Discovery.
func (d Discovery) BaseURL(plugin string) (string, error) {
	if base, ok := d[plugin]; ok {
		return base, nil
	}
	return "http://localhost/api/" + url.PathEscape(plugin), nil
}

// ExternalBaseURL implements backend.Discovery; it is the same as BaseURL.
func (d Discovery) ExternalBaseURL(plugin string) (string, error) { return d.BaseURL(plugin) }

// Installed is a backend.InstanceMetadata, and a backend.SystemMetadata by System: plugins
// with their modules.
type Installed map[string][]string

var _ backend.InstanceMetadata = Installed{}

// Plugins implements backend.InstanceMetadata.
func (p Installed) Plugins() []backend.InstalledPlugin {
	out := make([]backend.InstalledPlugin, 0, len(p))
	for id, modules := range p {
		out = append(out, backend.InstalledPlugin{ID: backend.PluginID(id), Modules: slices.Sorted(slices.Values(modules))})
	}
	slices.SortFunc(out, func(a, b backend.InstalledPlugin) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// System is the backend.SystemMetadata of a system that consists of these plugins, which
// answer where d says.
func (p Installed) System(d backend.Discovery) backend.SystemMetadata { return system{p, d} }

type system struct {
	installed Installed
	discovery backend.Discovery
}

// Plugins implements backend.SystemMetadata.
func (s system) Plugins() ([]backend.SystemPlugin, error) {
	var out []backend.SystemPlugin
	var errs []error
	for _, p := range s.installed.Plugins() {
		internal, err := s.discovery.BaseURL(string(p.ID))
		external, other := s.discovery.ExternalBaseURL(string(p.ID))
		errs = append(errs, err, other)
		out = append(out, backend.SystemPlugin{ID: p.ID, BaseURL: internal, External: external})
	}
	return out, errors.Join(errs...)
}

// Grants is a backend.ActionPermissions that allows callers, by what their credentials
// print as, the permissions that it names, and everything else to nobody.
type Grants map[string][]string

var _ backend.ActionPermissions = Grants{}

// Allowed implements backend.ActionPermissions.
func (g Grants) Allowed(_ context.Context, caller backend.Credentials, permission string) (bool, error) {
	return slices.Contains(g[caller.String()], permission), nil
}

// Health is a backend.Health with set answers; nil is well.
type Health struct{ Dead, Busy error }

var _ backend.Health = Health{}

// Live implements backend.Health.
func (h Health) Live(context.Context) error { return h.Dead }

// Ready implements backend.Health.
func (h Health) Ready(context.Context) error { return errors.Join(h.Dead, h.Busy) }

// Rates is a backend.RateStore in memory, for tests of what counts requests. Its windows
// are those of Clock. The zero value is ready.
type Rates struct {
	Clock Clock

	mu      sync.Mutex
	windows map[string]*rateWindow
}

type rateWindow struct {
	count int
	ends  time.Time
}

var _ backend.RateStore = (*Rates)(nil)

// Hit implements backend.RateStore.
func (r *Rates) Hit(_ context.Context, key string, window time.Duration) (int, time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Clock.Now()
	w := r.windows[key]
	if w == nil || !now.Before(w.ends) {
		w = &rateWindow{ends: now.Add(window)}
		if r.windows == nil {
			r.windows = map[string]*rateWindow{}
		}
		r.windows[key] = w
	}
	w.count++
	return w.count, w.ends, nil
}

// Undo implements backend.RateStore.
func (r *Rates) Undo(_ context.Context, key string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.windows[key]; w != nil && w.count > 0 {
		w.count--
	}
	return nil
}

// SecretKeys is a backend.SecretKeys for the plugin that it names, with a key of its own:
// what one sealer of a SecretKeys of that name sealed, every other of it opens.
type SecretKeys string

var _ backend.SecretKeys = SecretKeys("")

// Sealer implements backend.SecretKeys.
func (k SecretKeys) Sealer() (backend.Sealer, error) {
	return seal.New(string(k), []string{"a key of tests"})
}
