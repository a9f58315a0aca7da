package auth

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/callboard-dev/callboard/auth/internal/session"
)

// A Provider is the client of this backend at an identity provider, in one environment
// (auth.providers.<id>.<env>). It says how its identity provider is spoken to; the state,
// the cookies, the scopes that were granted before, the answer to the page, the session,
// and who the user is in the catalog are the business of the plugin.
//
// Providers that have more abilities implement Refresher and SignOuter, too. Methods are
// called from many goroutines at once. Errors that are the identity provider's or the
// user's doing have a kind (package apierr) and a text fit for the user's eyes; tokens,
// and texts from the identity provider longer than an error code, are not part of it.
type Provider interface {
	// Start returns the address at the identity provider that the browser is sent to.
	// An apierr.ServiceUnavailable says that it is not known yet.
	Start(ctx context.Context, f Flow) (address string, err error)
	// Callback exchanges what the browser came back with for the user and their session.
	// It is called once per code. Errors that the identity provider has sent instead of a
	// code do not get here.
	Callback(ctx context.Context, f Flow, answer url.Values) (Profile, Session, error)
}

// A Refresher is a Provider whose sessions go on without the user. Providers without it
// keep nothing in the browser: users sign in again when their token ends.
type Refresher interface {
	// Refresh returns the user and a new session for s, of which RefreshToken and the
	// granted Scope are set. The new session has scope if the identity provider does not
	// say otherwise; its RefreshToken is empty if the old one stays in use. It is called
	// once at a time per session, over all replicas. If it fails when there is a new
	// RefreshToken already, it returns that with the error, and the next try is with it.
	// ErrSessionEnded among the causes of the
	// error says that the session will never be refreshed again.
	Refresh(ctx context.Context, s Session, scope string) (Profile, Session, error)
}

// A SignOuter is a Provider that can end a session at the identity provider.
type SignOuter interface {
	// SignOut revokes s, of which RefreshToken is set. The address, if there is one, is
	// where the page then sends the browser; it is https, or http on localhost. The user is
	// signed out of Callboard whatever it returns.
	SignOut(ctx context.Context, s Session) (address string, err error)
}

// ErrSessionEnded says that the identity provider has ended a session for good, as
// opposed to not having answered: the browser's cookie is removed then.
var ErrSessionEnded = session.ErrEnded

// A Flow is one sign-in: the same values at Start and at Callback, where they come from
// the browser's sealed cookie.
type Flow struct {
	// RedirectURL is where the identity provider sends the browser back to.
	RedirectURL string
	// Scope is what to ask for, separated by spaces.
	Scope string
	// State comes back with the browser. It is empty at Callback, where it was checked.
	State string
	// Nonce is 128 random bits that an ID token must repeat.
	Nonce string
	// Verifier is the secret of PKCE (RFC 7636), 43 characters. Its hash goes along at Start,
	// and itself with the code.
	Verifier string
}

// Profile is what the identity provider said of the user. Only Provider is set by the
// plugin.
type Profile struct {
	// Provider is the id of the provider.
	Provider string
	// Subject is the user's id at the identity provider, which never changes hands.
	Subject string
	// Username is the login name, if the identity provider has one. People may change it.
	Username string
	// Email counts only together with EmailVerified: the plugin clears it otherwise,
	// before any resolver or page sees it.
	Email string
	// EmailVerified says that the identity provider vouches for Email, either expressly or
	// because it lets nobody have an address that is not theirs.
	EmailVerified bool
	DisplayName   string
	Picture       string
	// Claims is the whole profile: the claims of the ID token and of the userinfo endpoint,
	// or the document of the identity provider's API. Resolvers may read it, and must not
	// change it.
	Claims map[string]any

	// unverified is why Email was cleared, for the error of those who need it.
	unverified bool
}

// Session is what the identity provider hands out with a user.
type Session struct {
	AccessToken string
	IDToken     string
	// RefreshToken is never shown to the page.
	RefreshToken string
	// Scope is what was granted, separated by spaces; empty if the identity provider does
	// not say, which means what was asked for (RFC 6749, 5.1).
	Scope string
	// ExpiresIn is for how long AccessToken is valid; 0 if it does not end.
	ExpiresIn time.Duration
}

// A ProxyProvider takes the word of a proxy in front of the backend, which has signed the
// user in. It has no cookies and no flow, only GET /api/auth/<id>/refresh.
type ProxyProvider interface {
	// Authenticate returns who r comes from, and what the page gets as providerInfo, which
	// may be nil. A request that the proxy has not vouched for is an apierr.Authentication.
	// It is called from many goroutines at once.
	Authenticate(ctx context.Context, r *http.Request) (Profile, map[string]any, error)
}
