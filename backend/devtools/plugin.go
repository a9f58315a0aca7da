package devtools

import (
	"context"
	"net/http"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/scm"
)

// Permissions that the routes ask for. Package devtoolspermission registers them, and those
// that the frontend alone asks for.
const (
	maySeeInfo     = "devtools.info"
	maySeeConfig   = "devtools.config"
	maySeeServices = "devtools.external-dependencies"
)

// Plugin shows administrators what the portal runs on. With permission.enabled it needs
// the module of package devtoolspermission.
func Plugin() backend.Feature {
	return backend.NewPlugin("devtools",
		backend.Section("devTools", Config{}),
		backend.Section("backend.reading", scm.ReadingConfig{}),
		backend.Section("permission", switches{}),
		fx.Invoke(register),
	)
}

// switches is what concerns this plugin of the section permission.
type switches struct {
	Enabled bool `config:"enabled" doc:"ask the policy; everything is allowed while this is false"`
}

type params struct {
	fx.In

	Config      Config
	Reading     scm.ReadingConfig
	Switches    switches
	Plugin      backend.PluginID
	Local       *backend.Local
	Watcher     *config.Watcher
	Router      backend.Router
	Permissions backend.ActionPermissions
}

func register(p params) error {
	// Modules have run before. Without the one that is missing, everything would be denied.
	if _, asked := backend.Find[backend.ActionPermissions](p.Local, p.Plugin); p.Switches.Enabled && !asked {
		return backend.Fix("permission.enabled is true, but nothing asks the policy about devtools", "backend.Add(devtoolspermission.Module())")
	}
	services, err := newProber(p.Config.ExternalDependencies.Endpoints, p.Reading)
	if err != nil {
		return err
	}
	a := &api{local: p.Local, watcher: p.Watcher, permissions: p.Permissions, services: services}
	p.Router.Handle("GET /health", a.health, backend.AllowUnauthenticated)
	p.Router.Handle("GET /info", a.guarded(maySeeInfo, a.info))
	p.Router.Handle("GET /config", a.guarded(maySeeConfig, a.config))
	p.Router.Handle("GET /external-dependencies", a.guarded(maySeeServices, a.externalDependencies))
	return nil
}

type api struct {
	local       *backend.Local
	watcher     *config.Watcher
	permissions backend.ActionPermissions
	services    *prober
}

func (a *api) health(w http.ResponseWriter, _ *http.Request) error {
	return httpx.JSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// guarded lets through who has the permission.
func (a *api) guarded(permission string, answer func(ctx context.Context) any) backend.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		may, err := a.permissions.Allowed(r.Context(), httpx.CallerOf(r), permission)
		if err != nil {
			return err
		}
		if !may {
			return apierr.NotAllowed.New("Unauthorized")
		}
		return httpx.JSON(w, http.StatusOK, answer(r.Context()))
	}
}
