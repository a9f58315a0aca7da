package backend

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/internal/tokens"
)

// UserTokens issues the tokens of users who have signed in. It is injected into the
// plugin auth and its modules only: nobody else may say who somebody is.
type UserTokens interface {
	// Issue returns a token for the user with the full reference sub, and when it ends.
	// ownership goes into the token as the claim ent unless it is nil.
	Issue(ctx context.Context, sub string, ownership []string) (token string, expires time.Time, err error)
	// IssueWith is Issue with further claims in the token. An apierr.Input says that one of
	// them has a name that tokens have themselves.
	IssueWith(ctx context.Context, sub string, ownership []string, extra map[string]any) (token string, expires time.Time, err error)
	// KeySet answers with the public keys that verify these tokens.
	KeySet() Handler
	// Now is the time that tokens go by, see WithClock.
	Now() time.Time
}

// authenticator checks the tokens of a process, and holds the keys of its plugins.
type authenticator struct {
	checker   *tokens.Checker
	users     *tokens.UserIssuer
	userKeys  tokens.KeyStore
	stores    *keyStores
	discovery *discovery
	appURL    string
	open      bool // the default auth policy is disabled
	errs      httpx.ErrorWriter
	now       func() time.Time

	remote *tokens.RemotePlugins

	mu      sync.Mutex
	plugins map[PluginID]*pluginAuth
}

// pluginAuth is the Auth of one plugin, and what guards its routes.
type pluginAuth struct {
	id      PluginID
	keys    tokens.KeyStore
	issuer  *tokens.PluginIssuer
	barrier *tokens.Barrier
	serve   func(http.ResponseWriter, *http.Request) bool
}

var (
	_ Auth       = (*pluginAuth)(nil)
	_ UserTokens = (*authenticator)(nil)
)

func newAuthenticator(c *core, d *discovery, stores *keyStores, remote *http.Client) (*authenticator, error) {
	issuer, err := d.ExternalBaseURL("auth")
	if err != nil {
		return nil, err
	}
	appURL, _, _ := c.cfg.String("app.baseUrl")
	keys := stores.users()
	a := &authenticator{
		users:     &tokens.UserIssuer{Issuer: issuer, Keys: keys, Life: c.sections.UserLife.Std(), Now: c.settings.now()},
		userKeys:  keys,
		stores:    stores,
		discovery: d,
		appURL:    appURL,
		open:      c.sections.Auth.DangerouslyDisableDefaultAuthPolicy,
		errs:      c.errorWriter(c.log),
		now:       c.settings.now(),
		plugins:   map[PluginID]*pluginAuth{},
	}
	a.remote = tokens.NewRemotePlugins(func(plugin string) (string, error) {
		base, err := d.BaseURL(plugin)
		return base + "/.backstage/auth/v1/jwks.json", err
	}, remote, a.now)
	a.checker = tokens.NewChecker(tokens.Options{
		Config: c.sections.Auth, Issuer: issuer, UserKeys: a.keysOfUsers(remote), PluginKeys: a.keysOf, Client: remote, Log: c.log, Now: a.now,
	})
	return a, nil
}

// keysOfUsers are those of this process, or of the one that runs the auth plugin.
func (a *authenticator) keysOfUsers(remote *http.Client) tokens.Keys {
	if a.discovery.local("auth") {
		return localUserKeys{a}
	}
	return tokens.NewRemoteKeys(func() (string, error) {
		base, err := a.discovery.BaseURL("auth")
		return base + "/.well-known/jwks.json", err
	}, remote, a.now)
}

// installed reports whether the plugin is part of this process.
func (a *authenticator) installed(id PluginID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.plugins[id]
	return ok
}

// keysOf finds the keys of a plugin here, or where discovery says that it runs.
func (a *authenticator) keysOf(plugin string) (tokens.Keys, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p, ok := a.plugins[PluginID(plugin)]; ok {
		return p.keys, nil
	}
	if a.discovery.local(plugin) {
		return nil, fmt.Errorf("plugin %q is not part of this backend", plugin)
	}
	return a.remote.Keys(plugin)
}

// plugin returns the Auth of a plugin, always the same one.
func (a *authenticator) plugin(id PluginID) *pluginAuth {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p, ok := a.plugins[id]; ok {
		return p
	}
	keys := a.stores.plugin(id)
	p := &pluginAuth{
		id:      id,
		keys:    keys,
		issuer:  &tokens.PluginIssuer{Plugin: string(id), Keys: keys, AllowNobody: a.open, Now: a.now},
		barrier: a.checker.Barrier(string(id)),
		serve:   tokens.ServeKeys(keys, a.errs),
	}
	a.plugins[id] = p
	return p
}

// cookieRoutes gives a plugin the routes that set the cookie of its users. Every plugin has
// them (contract/auth.md section 7.4), whether or not a route of its own accepts one.
func (a *authenticator) cookieRoutes(p *pluginAuth, mux *httpx.Mux) error {
	external, err := a.discovery.ExternalBaseURL(string(p.id))
	if err != nil {
		return err
	}
	return p.barrier.CookieRoutes(mux, external, a.appURL)
}

// userCookie returns the UserCookie of a plugin.
func (a *authenticator) userCookie(id PluginID) (UserCookie, error) {
	external, err := a.discovery.ExternalBaseURL(string(id))
	if err != nil {
		return nil, err
	}
	return a.plugin(id).barrier.Cookie(external, a.appURL)
}

// Credentials implements Auth.
func (p *pluginAuth) Credentials(r *http.Request) (Credentials, error) {
	return p.barrier.Credentials(r)
}

// Own implements Auth.
func (p *pluginAuth) Own() Credentials { return p.issuer.Own() }

// TokenFor implements Auth.
func (p *pluginAuth) TokenFor(ctx context.Context, c Credentials, plugin string) (string, error) {
	return p.issuer.TokenFor(ctx, c, plugin)
}

// Issue implements UserTokens.
func (a *authenticator) Issue(ctx context.Context, sub string, ownership []string) (string, time.Time, error) {
	return a.users.Issue(ctx, tokens.UserClaims{Sub: sub, Ent: ownership})
}

// IssueWith implements UserTokens.
func (a *authenticator) IssueWith(ctx context.Context, sub string, ownership []string, extra map[string]any) (string, time.Time, error) {
	return a.users.Issue(ctx, tokens.UserClaims{Sub: sub, Ent: ownership, Extra: extra})
}

// KeySet implements UserTokens.
func (a *authenticator) KeySet() Handler { return tokens.KeySet(a.userKeys) }

// Now implements UserTokens.
func (a *authenticator) Now() time.Time { return a.now() }
