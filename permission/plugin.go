package permission

import (
	"net/http"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/httpx"
)

const pluginID = "permission"

// Plugin returns the plugin that answers who may do what (contract permission.md 1.2).
// It needs one module with a policy, unless permission.enabled is false.
func Plugin() backend.Feature {
	return backend.NewPlugin(pluginID,
		backend.Section("permission", defaults),
		backend.Section("backend.auth", switches{}),
		backend.ExtensionPoint[Extensions](),
		fx.Provide(newAuthorizer, newHost, fx.Private),
		fx.Invoke(serve),
	)
}

// switches is what concerns this plugin of backend.auth.
type switches struct {
	DangerouslyDisableDefaultAuthPolicy bool `config:"dangerouslyDisableDefaultAuthPolicy" doc:"let everybody use the API; for trials only"`
}

type plugin struct {
	config   Config
	switches switches
	host     *host
}

type pluginParams struct {
	fx.In

	Use      useParams
	Host     *host
	Switches switches
}

func serve(p pluginParams) error {
	x := p.Use.Extensions
	if err := x.onePolicy(p.Use.Config.Enabled); err != nil {
		return err
	}
	s := &plugin{p.Use.Config, p.Switches, p.Host}
	r := p.Use.Router
	r.Handle("GET /health", s.health, backend.AllowUnauthenticated)
	r.Handle("POST /authorize", s.authorize)
	backend.Offer(p.Use.Local, pluginID, p.Host)
	offer(p.Use)
	if m := x.Metadata(); len(m.Permissions) > 0 {
		(&wellKnown{x, p.Use.Config.Limits.ApplyConditionsBytes}).mount(r)
	}
	return nil
}

// onePolicy checks that there is exactly one policy. Modules have run before.
func (x *Extensions) onePolicy(enabled bool) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	const either = "add exactly one of backend.Add(rbac.Module()), backend.Add(allowall.Module()) and a module of your own that calls SetPolicy"
	switch {
	case x.policies > 1:
		return backend.Fix("policy already set: two modules of plugin permission have one", either)
	case x.policies == 0 && enabled:
		return backend.Fix("permission.enabled is true, but no policy is part of this backend", either)
	case x.policies == 0:
		x.policy = everything
	}
	return nil
}

func (p *plugin) health(w http.ResponseWriter, r *http.Request) error {
	return httpx.JSON(w, http.StatusOK, map[string]string{"status": "ok"})
}
