// Package auth signs users in.
//
// A portal adds the plugin, and a module for each way to sign in:
//
//	backend.Add(auth.Plugin())
//	backend.Add(oidcauth.Module())
//
// Three concepts: a provider knows how to talk to an identity provider, and comes back with
// a Profile; the sign-in resolvers that the configuration lists decide which user of the
// catalog that is; and the user gets a token that every plugin of the backend accepts, with
// a session in the browser's cookie that renews it.
//
//	auth:
//	  session: { secret: "${SESSION_SECRET}" }
//	  providers:
//	    oidc:
//	      production:
//	        metadataUrl: https://acme.okta.com/.well-known/openid-configuration
//	        clientId: ${OKTA_CLIENT_ID}
//	        clientSecret: ${OKTA_CLIENT_SECRET}
//	        signIn:
//	          resolvers:
//	            - resolver: emailMatchingUserEntityProfileEmail
//
// Nobody is let in by default: a profile without a verified e-mail address, or one that no
// resolver finds a user for, is an error that says what was missing.
//
// Programs extend it with Extensions: AddResolver for a rule of their own, AddProvider with
// package auth/oauth for another identity provider.
package auth

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth/internal/flow"
	"github.com/callboard-dev/callboard/auth/internal/resolve"
	"github.com/callboard-dev/callboard/auth/internal/session"
	"github.com/callboard-dev/callboard/auth/internal/store"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/seal"
)

// Plugin returns the auth plugin.
func Plugin() backend.Feature {
	return backend.NewPlugin("auth",
		backend.ExtensionPoint[Extensions](),
		backend.Section("auth", Config{}),
		backend.Migrations(store.Migrations()),
		backend.Subcommand("auth", "lists and ends the sessions of users", runAuth),
		fx.Invoke(register))
}

type params struct {
	fx.In

	Config     Config
	Root       *config.Config
	Extensions *Extensions
	Router     backend.Router
	Limits     backend.RateLimits
	Auth       backend.Auth
	Tokens     backend.UserTokens
	Keys       backend.SecretKeys
	Clients    backend.Clients
	Users      backend.UserInfo
	Actions    *backend.Actions
	DB         db.DB
	Background *backend.Background
	Events     backend.Events
	Lifecycle  fx.Lifecycle
	Discovery  backend.Discovery
	Env        backend.Environment
	Auditor    backend.Auditor
	Tracer     trace.Tracer
	Meter      metric.Meter
	Log        *slog.Logger
}

func register(p params) error {
	a, err := assemble(p)
	if err != nil {
		return err
	}
	programs, err := a.programs(p)
	if err != nil {
		return err
	}
	p.Lifecycle.Append(fx.StartStopHook(func() { p.Background.Go(a.clean(programs)) }, a.sessions.Drain))
	registerActions(p.Actions, p.Users, p.Clients)
	open := backend.AllowUnauthenticated // whoever signs in has no credentials yet
	p.Router.Handle("GET /.well-known/jwks.json", p.Tokens.KeySet(), open)
	p.Router.Handle("GET /v1/userinfo", a.userInfo, backend.AllowUserCookie)
	limited := limits(p.Limits)
	for _, r := range programs.Routes() {
		p.Router.Handle(r.Pattern, limited(r.Limit, r.Handler), open)
	}
	p.Router.Handle("GET /callboard/v1/sessions", a.listSessions)
	p.Router.Handle("DELETE /callboard/v1/sessions", a.endSessions)
	p.Router.Handle("DELETE /callboard/v1/sessions/{id}", a.endOneSession)
	p.Router.Handle("GET /{provider}/start", limited("start", a.start), open)
	p.Router.Handle("GET /{provider}/handler/frame", limited("callback", a.callback), open)
	p.Router.Handle("POST /{provider}/handler/frame", limited("callback", a.callback), open)
	p.Router.Handle("GET /{provider}/refresh", limited("refresh", a.refresh), open)
	p.Router.Handle("POST /{provider}/refresh", limited("refresh", a.refresh), open)
	p.Router.Handle("POST /{provider}/logout", a.logout, open)
	p.Router.Handle("GET /.well-known/backstage/permissions/metadata", permissions)
	p.Router.Handle("/{provider}/{rest...}", a.unknownRoute, open)
	p.Router.Handle("/{provider}", a.unknownRoute, open)
	return nil
}

// api is what the routes are methods of.
type api struct {
	providers map[string]*provider
	proxies   map[string]*proxy
	origins   *flow.Origins
	users     *resolve.Users
	issuer    issuer
	sealer    seal.Sealer
	sessions  *session.Keeper
	watch     *watch
	dev       bool
	now       func() time.Time
	log       *slog.Logger
	store     *store.Store
	events    backend.Events
	// administrators may see and end the sessions of others.
	administrators []string
}

// provider is a ProviderSpec put in order.
type provider struct {
	id   string
	envs map[string]*environment
}

// environment is one client at an identity provider.
type environment struct {
	provider   string
	name       string
	client     Provider
	scopes     Scopes
	additional []string // of the configuration
	callback   string   // the callback URL
	cookies    *flow.Cookies
	life       time.Duration // of the cookies that outlive a flow
	chain      chain
}

// proxy is a ProxySpec put in order.
type proxy struct {
	id          string
	client      ProxyProvider
	chain       chain
	scriptsOnly bool
	refuses     bool
}

// environment finds the one that a request is about: the query says it, or else the state.
func (a *api) environment(r *http.Request, fromState string) (*environment, error) {
	id := r.PathValue("provider")
	p, ok := a.providers[id]
	switch {
	case a.proxies[id] != nil:
		return nil, apierr.NotImplemented.New("The sign-in '%s' goes through a proxy and has no pages; use GET /%s/refresh", id, id)
	case !ok:
		return nil, unknownProvider(id)
	case len(p.envs) == 0:
		return nil, apierr.NotFound.New("No auth provider registered for '%s'", id)
	}
	env := r.URL.Query().Get("env")
	if env == "" {
		env = fromState
	}
	if env == "" {
		return nil, apierr.Input.New("Must specify 'env' query to select environment")
	}
	e, ok := p.envs[env]
	if !ok {
		return nil, apierr.NotFound.New("No configuration available for the '%s' environment of this provider.", env)
	}
	return e, nil
}

func unknownProvider(id string) error { return apierr.NotFound.New("Unknown auth provider '%s'", id) }

// unknownRoute answers for paths that no provider has.
func (a *api) unknownRoute(_ http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("provider")
	if a.providers[id] == nil && a.proxies[id] == nil {
		return unknownProvider(id)
	}
	return apierr.NotFound.New("The auth provider '%s' has no %s %s", id, r.Method, httpx.RelativeURL(r))
}

// permissions says that the plugin has none.
func permissions(w http.ResponseWriter, _ *http.Request) error {
	return httpx.JSON(w, http.StatusOK, map[string]any{"permissions": []any{}, "rules": []any{}})
}

// checkScript refuses requests that a page of another site could make: those without the
// header that only scripts can set, and those of a page that may not sign users in
// (contract/auth.md sections 2.7 and 2.8).
func (a *api) checkScript(r *http.Request) error {
	if r.Header.Get("X-Requested-With") != "XMLHttpRequest" {
		return apierr.Authentication.New("Invalid X-Requested-With header")
	}
	return a.checkOrigin(r)
}

func (a *api) checkOrigin(r *http.Request) error {
	from := r.Header.Get("Origin")
	if from == "" {
		return nil
	}
	origin, err := flow.Origin(from)
	if err != nil || !a.origins.Allowed(origin) {
		return apierr.NotAllowed.New("Origin '%s' is not allowed", from)
	}
	return nil
}

// pageOrigin is the origin of the page that r comes from, or of the app.
func (a *api) pageOrigin(r *http.Request) string {
	if origin, err := flow.Origin(r.Header.Get("Origin")); err == nil && a.origins.Allowed(origin) {
		return origin
	}
	return a.origins.App()
}

// clean applies what holds for the profiles of all providers.
func clean(who Profile, provider string) Profile {
	who.Provider = provider
	if !who.EmailVerified && who.Email != "" {
		who.Email, who.unverified = "", true
	}
	return who
}

// sessionEnded reports whether a session will never be refreshed again.
func sessionEnded(err error) bool {
	return errors.Is(err, ErrSessionEnded) || errors.Is(err, errNobody)
}
