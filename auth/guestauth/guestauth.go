// Package guestauth lets people into a portal without an account, for development.
//
//	backend.Add(guestauth.Module())
//
//	auth:
//	  providers:
//	    guest: {}
//
// Whoever presses Enter on the sign-in page is user:development/guest, or the user of the
// catalog that userEntityRef names. Outside of development it refuses, unless
// dangerouslyAllowOutsideDevelopment says otherwise: then the portal is open to everybody
// who reaches it.
package guestauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// Config is auth.providers.guest.
type Config struct {
	UserEntityRef                      string   `config:"userEntityRef" doc:"the user that guests are, user:development/guest if absent"`
	OwnershipEntityRefs                []string `config:"ownershipEntityRefs" doc:"what guests own things through if that user is not in the catalog; that user if absent"`
	DangerouslyAllowOutsideDevelopment bool     `config:"dangerouslyAllowOutsideDevelopment" doc:"let everybody sign in as guest in production, too"`
}

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() {
	if c.UserEntityRef == "" {
		c.UserEntityRef = "user:development/guest"
	}
}

// Validate implements config.Validator.
func (c *Config) Validate() error {
	user, err := entity.ParseRef(c.UserEntityRef, entity.Default{Kind: "user"})
	if err == nil && entity.Lower(user.Kind) != "user" {
		err = fmt.Errorf("%s is not a user", user)
	}
	errs := []error{config.At("userEntityRef", err)}
	for i, ref := range c.OwnershipEntityRefs {
		_, err := entity.ParseRef(ref)
		errs = append(errs, config.At("ownershipEntityRefs["+strconv.Itoa(i)+"]", err))
	}
	return errors.Join(errs...)
}

// Module adds the provider guest to the auth plugin.
func Module() backend.Feature {
	return backend.NewModule("auth", "guest",
		backend.Section("auth.providers.guest", (*Config)(nil)),
		fx.Invoke(register))
}

type params struct {
	fx.In

	Config *Config
	Auth   *auth.Extensions
	Env    backend.Environment
	Log    *slog.Logger
}

func register(p params) error {
	spec := auth.ProxySpec{ID: "guest", ScriptsOnly: true}
	if p.Config != nil {
		g, err := newGuest(*p.Config, p.Env)
		if err != nil {
			return err
		}
		spec.Provider, spec.Default, spec.Refuses = g, auth.ResolverFunc(g.resolve), g.refuses
		if p.Config.DangerouslyAllowOutsideDevelopment && p.Env != backend.DevelopmentEnvironment {
			p.Log.Warn("everybody who reaches this portal can sign in as guest", "user", p.Config.UserEntityRef, "option", "auth.providers.guest.dangerouslyAllowOutsideDevelopment")
		}
	}
	p.Auth.AddProxyProvider(spec)
	return nil
}

// guest is who everybody is.
type guest struct {
	user    entity.Ref
	owns    []entity.Ref
	refuses bool
}

var _ auth.ProxyProvider = (*guest)(nil)

func newGuest(c Config, env backend.Environment) (*guest, error) {
	user, err := entity.ParseRef(c.UserEntityRef, entity.Default{Kind: "user"})
	if err != nil {
		return nil, err
	}
	g := &guest{user: user, refuses: env != backend.DevelopmentEnvironment && !c.DangerouslyAllowOutsideDevelopment}
	for _, s := range c.OwnershipEntityRefs {
		ref, err := entity.ParseRef(s)
		if err != nil {
			return nil, err
		}
		g.owns = append(g.owns, ref)
	}
	return g, nil
}

// Authenticate implements auth.ProxyProvider.
func (g *guest) Authenticate(context.Context, *http.Request) (auth.Profile, map[string]any, error) {
	if g.refuses {
		return auth.Profile{}, nil, apierr.NotAllowed.New("The guest provider is for development: NODE_ENV=development turns it on, and auth.providers.guest.dangerouslyAllowOutsideDevelopment allows it elsewhere")
	}
	return auth.Profile{}, nil, nil
}

// resolve signs in as the user of the catalog, or as one who is not in it. A catalog that
// is not part of the portal, whose path is not found either, has no users.
func (g *guest) resolve(ctx context.Context, _ auth.Profile, users auth.Users) (auth.Identity, error) {
	user, err := users.ByRef(ctx, g.user)
	if err != nil {
		if errors.Is(err, apierr.NotFound) || apierr.StatusOf(errors.Unwrap(err)) == http.StatusNotFound {
			return auth.Identity{User: g.user, Ownership: g.owns}, nil
		}
		return auth.Identity{}, err
	}
	return auth.SignInAs(ctx, users, user)
}
