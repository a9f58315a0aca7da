// Package auth signs users in.
//
// What it does today is the guest sign-in of development and the public keys of user
// tokens. A guest is somebody without an account:
//
//	auth:
//	  providers:
//	    guest: {}
//
// The page calls GET /api/auth/guest/refresh and gets a token that every plugin of the
// backend accepts.
package auth

import (
	"errors"
	"net/http"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// GuestConfig is auth.providers.guest (contract/auth.md section 5).
type GuestConfig struct {
	UserEntityRef                      string   `config:"userEntityRef" doc:"the user that guests are, user:development/guest if absent"`
	OwnershipEntityRefs                []string `config:"ownershipEntityRefs" doc:"what guests own things through; that user if absent"`
	DangerouslyAllowOutsideDevelopment bool     `config:"dangerouslyAllowOutsideDevelopment" doc:"let everybody sign in as guest in production, too"`
}

// SetDefaults implements config.Defaulter.
func (c *GuestConfig) SetDefaults() {
	if c.UserEntityRef == "" {
		c.UserEntityRef = "user:development/guest"
	}
}

// Validate implements config.Validator.
func (c *GuestConfig) Validate() error {
	var errs []error
	if _, err := entity.ParseRef(c.UserEntityRef); err != nil {
		errs = append(errs, config.At("userEntityRef", err))
	}
	return errors.Join(errs...)
}

// Plugin returns the auth plugin.
func Plugin() backend.Feature {
	return backend.NewPlugin("auth",
		backend.ExtensionPoint[Extensions](),
		backend.Section("auth", Config{}),
		backend.Section("auth.providers.guest", (*GuestConfig)(nil)),
		fx.Invoke(register))
}

type params struct {
	fx.In

	Config Config
	Guest  *GuestConfig
	Router backend.Router
	Tokens backend.UserTokens
	Env    backend.Environment
}

func register(p params) {
	a := &api{guest: p.Guest, tokens: p.Tokens, env: p.Env}
	open := backend.AllowUnauthenticated // whoever signs in has no credentials yet
	p.Router.Handle("GET /.well-known/jwks.json", p.Tokens.KeySet(), open)
	if p.Guest != nil {
		p.Router.Handle("GET /guest/refresh", a.guestRefresh, open)
		p.Router.Handle("POST /guest/refresh", a.guestRefresh, open)
		p.Router.Handle("GET /guest/start", a.guestStart, open)
	}
	p.Router.Handle("GET /.well-known/backstage/permissions/metadata", permissions)
	p.Router.Handle("/{provider}/{rest...}", a.unknownProvider, open)
	p.Router.Handle("/{provider}", a.unknownProvider, open)
}

type api struct {
	guest  *GuestConfig
	tokens backend.UserTokens
	env    backend.Environment
}

// session is what a sign-in answers; guests have no profile.
type session struct {
	Profile           struct{}          `json:"profile"`
	BackstageIdentity backstageIdentity `json:"backstageIdentity"`
}

type backstageIdentity struct {
	Token            string   `json:"token"`
	Identity         identity `json:"identity"`
	ExpiresInSeconds int      `json:"expiresInSeconds"`
}

type identity struct {
	Type                string   `json:"type"`
	UserEntityRef       string   `json:"userEntityRef"`
	OwnershipEntityRefs []string `json:"ownershipEntityRefs"`
}

func (a *api) guestRefresh(w http.ResponseWriter, r *http.Request) error {
	guest := a.guest
	if a.env != backend.DevelopmentEnvironment && !guest.DangerouslyAllowOutsideDevelopment {
		return apierr.NotAllowed.New("the guest sign-in is for development; auth.providers.guest.dangerouslyAllowOutsideDevelopment allows it elsewhere")
	}
	ownership := guest.OwnershipEntityRefs
	if len(ownership) == 0 {
		ownership = []string{guest.UserEntityRef}
	}
	token, expires, err := a.tokens.Issue(r.Context(), guest.UserEntityRef, ownership)
	if err != nil {
		return err
	}
	return httpx.JSON(w, http.StatusOK, session{BackstageIdentity: backstageIdentity{
		Token:            token,
		Identity:         identity{"user", guest.UserEntityRef, ownership},
		ExpiresInSeconds: int(time.Until(expires) / time.Second),
	}})
}

// guestStart answers what popups get from a provider that has none.
func (a *api) guestStart(http.ResponseWriter, *http.Request) error {
	return apierr.NotImplemented.New("the guest sign-in has no start page; use GET /guest/refresh")
}

// permissions says that the plugin has none.
func permissions(w http.ResponseWriter, _ *http.Request) error {
	return httpx.JSON(w, http.StatusOK, map[string]any{"permissions": []any{}, "rules": []any{}})
}

func (a *api) unknownProvider(_ http.ResponseWriter, r *http.Request) error {
	return apierr.NotFound.New("unknown auth provider %q", r.PathValue("provider"))
}
