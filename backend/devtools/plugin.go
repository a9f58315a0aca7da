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
	"github.com/callboard-dev/callboard/permission"
)

// Permissions that the routes ask for.
const (
	maySeeInfo     = "devtools.info"
	maySeeConfig   = "devtools.config"
	maySeeServices = "devtools.external-dependencies"
)

// Plugin shows administrators what the portal runs on.
func Plugin() backend.Feature {
	return backend.NewPlugin("devtools",
		backend.Section("devTools", Config{}),
		backend.Section("backend.reading", scm.ReadingConfig{}),
		permission.Use(),
		fx.Invoke(register),
	)
}

type params struct {
	fx.In

	Config      Config
	Reading     scm.ReadingConfig
	Local       *backend.Local
	Watcher     *config.Watcher
	Router      backend.Router
	Permissions backend.ActionPermissions
	Extensions  *permission.Extensions
}

func register(p params) error {
	services, err := newProber(p.Config.ExternalDependencies.Endpoints, p.Reading)
	if err != nil {
		return err
	}
	a := &api{local: p.Local, watcher: p.Watcher, permissions: p.Permissions, services: services}
	registerPermissions(p.Extensions)
	p.Router.Handle("GET /health", a.health, backend.AllowUnauthenticated)
	p.Router.Handle("GET /info", a.guarded(maySeeInfo, a.info))
	p.Router.Handle("GET /config", a.guarded(maySeeConfig, a.config))
	p.Router.Handle("GET /external-dependencies", a.guarded(maySeeServices, a.externalDependencies))
	return nil
}

// registerPermissions adds those of contract permission.md section 1.5. The scheduler's are
// for the frontend, which asks them before it shows the tasks of plugins; the routes of
// tasks are the plugins' own, and so is devtools.administer the frontend's.
func registerPermissions(x *permission.Extensions) {
	for _, name := range []string{"devtools.administer", maySeeInfo, maySeeConfig, maySeeServices, "devtools.scheduler.read"} {
		x.AddPermissions(permission.Permission{Name: name, Action: permission.Read})
	}
	x.AddPermissions(permission.Permission{Name: "devtools.scheduler.trigger", Action: permission.Update})
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
func (a *api) guarded(name string, answer func(ctx context.Context) any) backend.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		may, err := a.permissions.Allowed(r.Context(), httpx.CallerOf(r), name)
		if err != nil {
			return err
		}
		if !may {
			return apierr.NotAllowed.New("Unauthorized")
		}
		return httpx.JSON(w, http.StatusOK, answer(r.Context()))
	}
}
