package auth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/auth/internal/flow"
	"github.com/callboard-dev/callboard/auth/internal/session"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// refresh answers with a new session, without the user (contract/auth.md section 2.7).
func (a *api) refresh(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	if p := a.proxies[r.PathValue("provider")]; p != nil {
		return a.proxyRefresh(w, r, p)
	}
	env, err := a.environment(r, "")
	if err != nil {
		return err
	}
	if err := a.checkScript(r); err != nil {
		return err
	}
	cookie, ok := env.cookies.Get(r, flow.RefreshToken)
	if !ok {
		// Nobody has signed in with this browser yet: the frontend asks at each start.
		a.log.DebugContext(r.Context(), "no session to refresh", "provider", env.provider, "env", env.name)
		return apierr.Authentication.Wrap(apierr.Input.New("Missing session cookie"), "Refresh failed")
	}
	at := a.watch.begin(r, env.provider, env.name, "refresh")
	answered, err := a.renew(at, w, r, env, cookie)
	at.end(err)
	switch {
	case err == nil:
		return httpx.JSON(w, http.StatusOK, answered)
	case errors.Is(err, session.ErrBusy):
		w.Header().Set("Retry-After", strconv.Itoa(int(session.RetryAfter/time.Second)))
		return err
	case sessionEnded(err):
		a.forget(w, r, env)
	}
	return apierr.Authentication.Wrap(err, "Refresh failed")
}

func (a *api) renew(at *attempt, w http.ResponseWriter, r *http.Request, env *environment, cookie string) (*sessionJSON, error) {
	client, ok := env.client.(Refresher)
	if !ok {
		return nil, apierr.Authentication.New("The provider '%s' has no sessions", env.provider)
	}
	before, _ := env.cookies.Get(r, flow.GrantedScope)
	scope := env.scope(r, flow.SplitScopes(r.URL.Query().Get("scope")))
	ask := func(ctx context.Context, kept string) (session.Answer, error) {
		subject, token := unbind(kept)
		who, s, err := client.Refresh(ctx, Session{RefreshToken: token, Scope: before}, scope)
		if err == nil {
			err = sameSubject(subject, who)
		}
		if err != nil {
			return unfinished(subject, s), err
		}
		return refreshed{Profile: clean(who, env.provider), Session: s}.answer(a.now())
	}
	got, err := a.sessions.Refresh(at.ctx, session.Request{Provider: env.provider, Env: env.name, Cookie: cookie, Scope: scope}, ask)
	if err != nil {
		return nil, err
	}
	answer, err := decodeRefreshed(got.Value)
	if err != nil {
		return nil, err
	}
	who := answer.Profile
	at.subject = who.Subject
	page := a.pageOrigin(r)
	if got.Cookie != cookie {
		// Before the user is looked up: a session whose token was used must not get lost
		// because the catalog is away.
		env.cookies.Set(w, r, flow.RefreshToken, got.Cookie, env.life, page, a.now())
	}
	identity, err := a.identify(at, env.chain, who)
	switch {
	case errors.Is(err, errNobody):
		// The user is gone from the catalog, and so is the session: it must not come back
		// to life with the next user of that name.
		if _, ended := a.sessions.End(at.ctx, env.provider, env.name, got.Cookie); ended != nil && !sessionEnded(ended) {
			a.log.WarnContext(at.ctx, "the session of a user who is gone was not ended", "provider", env.provider, "error", ended)
		}
	case err == nil && identity != nil && identity.UserEntityRef != got.User:
		err = a.sessions.Assign(at.ctx, env.provider, env.name, got.Cookie, identity.UserEntityRef)
	}
	if err != nil {
		return nil, err
	}
	if env.scopes.Persist {
		env.cookies.Set(w, r, flow.GrantedScope, scope, env.life, page, a.now())
	} else {
		scope = granted(answer.Session.Scope, scope)
	}
	return newSession(who, answer.Session, scope, identity, a.now()), nil
}

// forget removes the cookies of a session, and what this answer had set of them before.
func (a *api) forget(w http.ResponseWriter, r *http.Request, env *environment) {
	w.Header().Del("Set-Cookie")
	page := a.pageOrigin(r)
	env.cookies.Remove(w, r, flow.GrantedScope, page, a.now())
	env.cookies.Remove(w, r, flow.RefreshToken, page, a.now())
}

// logout ends a session (contract/auth.md section 2.8). The browser is signed out even if
// the identity provider does not want to hear of it.
func (a *api) logout(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("provider")
	if a.proxies[id] != nil {
		return apierr.NotFound.New("The sign-in '%s' goes through a proxy, which is where users sign out", id)
	}
	env, err := a.environment(r, "")
	if err != nil {
		return err
	}
	if err := a.checkScript(r); err != nil {
		return err
	}
	event := a.watch.signOut(r, env.provider, env.name)
	address := ""
	if cookie, ok := env.cookies.Get(r, flow.RefreshToken); ok {
		address, err = a.end(r.Context(), env, cookie)
	}
	a.forget(w, r, env)
	if err != nil {
		a.log.WarnContext(r.Context(), "signed out here, but not at the identity provider", "provider", env.provider, "env", env.name, "error", err)
		event.Fail(err, nil)
	} else {
		event.Success(nil)
	}
	if !safeLogout(address) {
		return httpx.Empty(w, http.StatusOK)
	}
	return httpx.JSON(w, http.StatusOK, map[string]string{"logoutUrl": address})
}

// end ends a session here, and then at the identity provider.
func (a *api) end(ctx context.Context, env *environment, cookie string) (address string, err error) {
	kept, err := a.sessions.End(ctx, env.provider, env.name, cookie)
	if err != nil {
		return "", err
	}
	_, token := unbind(kept)
	if client, ok := env.client.(SignOuter); ok && token != "" {
		return client.SignOut(ctx, Session{RefreshToken: token})
	}
	return "", nil
}

// safeLogout reports whether browsers may be sent to an address after a sign-out.
func safeLogout(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && (u.Scheme == "https" || strings.EqualFold(u.Hostname(), "localhost"))
}

// proxyRefresh signs in whoever the proxy in front of the backend vouches for (contract/
// auth.md section 5.3). Errors keep their status.
func (a *api) proxyRefresh(w http.ResponseWriter, r *http.Request, p *proxy) error {
	if p.client == nil {
		return apierr.NotFound.New("No auth provider registered for '%s'", p.id)
	}
	if p.scriptsOnly && fromBrowser(r) {
		if err := a.checkScript(r); err != nil {
			return err
		}
	} else if err := a.checkOrigin(r); err != nil {
		return err
	}
	at := a.watch.begin(r, p.id, "", "proxy")
	answered, err := a.proxySignIn(at, r, p)
	at.end(err)
	if err != nil {
		return err
	}
	return httpx.JSON(w, http.StatusOK, answered)
}

func (a *api) proxySignIn(at *attempt, r *http.Request, p *proxy) (*sessionJSON, error) {
	who, info, err := p.client.Authenticate(at.ctx, r)
	if err != nil {
		return nil, err
	}
	who = clean(who, p.id)
	at.subject = who.Subject
	identity, err := a.identify(at, p.chain, who)
	if err != nil {
		return nil, err
	}
	s := &sessionJSON{Profile: newProfile(who), Identity: identity.at(a.now())}
	if info != nil {
		s.ProviderInfo = info
	}
	return s, nil
}

// fromBrowser reports whether a page caused the request, as opposed to a program, which
// nobody can trick into sending one.
func fromBrowser(r *http.Request) bool {
	for _, name := range []string{"Origin", "Referer", "Sec-Fetch-Site", "Sec-Fetch-Mode"} {
		if r.Header.Get(name) != "" {
			return true
		}
	}
	return false
}
