package permission

import (
	"errors"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

// Config is the part of the section permission that every plugin reads.
type Config struct {
	Enabled bool   `config:"enabled" doc:"ask the policy; everything is allowed while this is false"`
	Limits  Limits `config:"limits"`
	// EnableBatchedRequests is read by the frontend, too.
	EnableBatchedRequests bool `config:"EXPERIMENTAL_enableBatchedRequests" doc:"ask a permission plugin elsewhere about several resources in one item"`
}

// Limits bound request bodies.
type Limits struct {
	AuthorizeBytes       int `config:"authorizeBytes" doc:"largest body of POST /api/permission/authorize"`
	ApplyConditionsBytes int `config:"applyConditionsBytes" doc:"largest body of requests to apply conditions"`
}

// Validate implements config.Validator.
func (l *Limits) Validate() error {
	var errs []error
	for _, one := range []struct {
		key   string
		value int
	}{{"authorizeBytes", l.AuthorizeBytes}, {"applyConditionsBytes", l.ApplyConditionsBytes}} {
		if one.value <= 0 {
			errs = append(errs, config.At(one.key, errors.New("must be greater than 0")))
		}
	}
	return errors.Join(errs...)
}

var defaults = Config{Limits: Limits{AuthorizeBytes: 1 << 20, ApplyConditionsBytes: 5 << 20}}

// Use gives a plugin, and its modules, a *Extensions to register its permissions with and
// a *Authorizer to ask, and serves what the permission framework asks plugins for. It is
// an option of NewPlugin.
func Use() fx.Option {
	return backend.Options(
		backend.Section("permission", defaults),
		backend.ExtensionPoint[Extensions](),
		fx.Provide(newAuthorizer, fx.Private),
		fx.Invoke(serveWellKnown),
	)
}

type useParams struct {
	fx.In

	Plugin     backend.PluginID
	Config     Config
	Extensions *Extensions
	Authorizer *Authorizer
	Router     backend.Router
	Local      *backend.Local
	Lifecycle  fx.Lifecycle
}

func serveWellKnown(p useParams) {
	offer(p)
	(&wellKnown{p.Extensions, p.Config.Limits.ApplyConditionsBytes}).mount(p.Router)
}

// offer lets plugins of this process apply conditions without HTTP, and ends registration.
func offer(p useParams) {
	backend.Offer(p.Local, p.Plugin, p.Extensions)
	backend.Offer[backend.ActionPermissions](p.Local, p.Plugin, p.Authorizer)
	p.Lifecycle.Append(fx.StartHook(func() error { return p.Extensions.seal(p.Plugin) }))
}
