package tokens

import (
	"net/http"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/principal"
)

// cookieName is the cookie that carries a limited user token.
const cookieName = "backstage-auth"

// A Barrier guards the routes of one plugin (contract/auth.md section 9). Its policies
// are set before it is used; after that it is safe for concurrent use.
type Barrier struct {
	checker  *Checker
	plugin   string
	policies policies
}

// Barrier returns the barrier of a plugin, which lets in users and services only.
func (c *Checker) Barrier(plugin string) *Barrier { return &Barrier{checker: c, plugin: plugin} }

// Allow widens the access to a path and all below it. The path begins at the mount;
// "/" and "*" mean every path, and segments like {id} or :id match any one segment.
func (b *Barrier) Allow(path string, access httpx.Access) error { return b.policies.add(path, access) }

// Guard is an httpx.Guard. The request that it returns knows its caller.
func (b *Barrier) Guard(r *http.Request, access httpx.Access) (*http.Request, error) {
	access = httpx.Wider(access, b.policies.access(r))
	creds, err := b.credentials(r, access == httpx.AllowUserCookie)
	if access == httpx.AllowUnauthenticated {
		// The handler decides whom it serves; it asks Credentials if it wants the reason.
		if err != nil || creds.Type() == principal.TypeNone {
			return r, nil
		}
		return httpx.WithCaller(r, creds), nil
	}
	if err != nil {
		return nil, err
	}
	if creds.Type() == principal.TypeNone {
		if b.checker.opts.Config.DangerouslyDisableDefaultAuthPolicy {
			return r, nil
		}
		return nil, apierr.Authentication.New("Missing credentials")
	}
	return httpx.WithCaller(r, creds), nil
}

// Credentials returns the credentials of r, which must be of one of the allowed types
// (principal.TypeUser and so on; none listed means users and services). It is for
// handlers of routes that let everybody in; behind the barrier httpx.CallerOf knows.
func (b *Barrier) Credentials(r *http.Request, allowed ...string) (principal.Credentials, error) {
	creds := httpx.CallerOf(r)
	if creds.Type() == principal.TypeNone {
		var err error
		if creds, err = b.credentials(r, false); err != nil {
			return creds, err
		}
	}
	if len(allowed) == 0 {
		allowed = []string{principal.TypeUser, principal.TypeService}
		if b.checker.opts.Config.DangerouslyDisableDefaultAuthPolicy {
			allowed = append(allowed, principal.TypeNone)
		}
	}
	if !slices.Contains(allowed, creds.Type()) {
		return principal.Nobody(), httpx.Refuse(creds)
	}
	return creds, nil
}

// credentials reads what r shows: a bearer token, or the cookie where limited access is
// allowed and the request only reads.
func (b *Barrier) credentials(r *http.Request, limited bool) (principal.Credentials, error) {
	if token, ok := Bearer(r); ok {
		return b.checker.Check(r.Context(), token, b.plugin, limited)
	}
	if !limited || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return principal.Nobody(), nil
	}
	return b.cookie(r)
}

// cookie returns the user whose token is in the cookie of r; nobody without a cookie.
func (b *Barrier) cookie(r *http.Request) (principal.Credentials, error) {
	c, err := r.Cookie(cookieName)
	if err != nil || c.Value == "" {
		return principal.Nobody(), nil
	}
	if h, ok := peek(c.Value); !ok || h.Type != typLimited && h.Type != typUser {
		return principal.Nobody(), apierr.Authentication.New("Illegal limited user token")
	}
	return b.checker.Check(r.Context(), c.Value, b.plugin, true)
}

// Bearer returns the token in the Authorization header of r. Other schemes are ignored,
// and so is a header with several words after the scheme.
func Bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	token = strings.TrimLeft(token, " ")
	if token == "" || strings.ContainsAny(token, " \t") {
		return "", false
	}
	return token, true
}
