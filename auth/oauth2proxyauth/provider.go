package oauth2proxyauth

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/internal/jws"
	"github.com/callboard-dev/callboard/backend/apierr"
)

// The headers of an oauth2-proxy.
const (
	headerToken = "X-OAUTH2-PROXY-ID-TOKEN"
	headerEmail = "X-Forwarded-Email"
	headerUser  = "X-Forwarded-User"
	headerName  = "X-Forwarded-Preferred-Username"
)

// Provider reads the headers of an oauth2-proxy.
type Provider struct {
	trusted []netip.Prefix // any peer if there are none
	tokens  *jws.Verifier  // nil: tokens are read and not checked
}

var _ auth.ProxyProvider = (*Provider)(nil)

// Authenticate implements auth.ProxyProvider.
func (p *Provider) Authenticate(ctx context.Context, r *http.Request) (auth.Profile, map[string]any, error) {
	if !p.trusts(r.RemoteAddr) {
		return auth.Profile{}, nil, apierr.Authentication.New("the request does not come from a trusted proxy (trustedProxies)")
	}
	headers := map[string]string{}
	for _, name := range []string{headerToken, headerEmail, headerUser, headerName} {
		values := r.Header.Values(name)
		if len(values) > 1 { // one of them is not the proxy's
			return auth.Profile{}, nil, apierr.Authentication.New("the request has the header %s more than once", name)
		}
		headers[name] = r.Header.Get(name)
	}
	token := headers[headerToken]
	if scheme, rest, ok := strings.Cut(token, " "); ok && strings.EqualFold(scheme, "Bearer") {
		token = strings.TrimSpace(rest)
	}
	claims, err := p.claims(ctx, token)
	if err != nil {
		return auth.Profile{}, nil, err
	}
	if p.tokens != nil {
		headers = confirmed(headers, claims)
	}
	who := profile(headers, claims)
	if who.Subject == "" && who.Email == "" && who.Username == "" {
		return auth.Profile{}, nil, apierr.Authentication.New("the request has none of the headers of oauth2-proxy: %s, %s, %s; does the proxy pass them on (--pass-user-headers)?", headerToken, headerUser, headerEmail)
	}
	return who, map[string]any{"accessToken": token}, nil
}

func (p *Provider) trusts(peer string) bool {
	if len(p.trusted) == 0 {
		return true
	}
	from, err := netip.ParseAddrPort(peer)
	return err == nil && slices.ContainsFunc(p.trusted, func(n netip.Prefix) bool { return n.Contains(from.Addr().Unmap()) })
}

// claims are those of the ID token, checked if there are keys to check it with.
func (p *Provider) claims(ctx context.Context, token string) (jws.Claims, error) {
	if p.tokens == nil {
		return jws.Unchecked(token), nil
	}
	if token == "" {
		return nil, apierr.Authentication.New("the request has no %s; does the proxy pass it on (--pass-authorization-header)?", headerToken)
	}
	claims, err := p.tokens.Verify(ctx, token)
	if err != nil {
		return nil, jws.Refused(err, headerToken)
	}
	return claims, nil
}

// confirmed returns those headers that say what the token says.
func confirmed(headers map[string]string, c jws.Claims) map[string]string {
	out := map[string]string{}
	for header, claims := range map[string][]string{
		headerEmail: {"email"}, headerName: {"preferred_username"}, headerUser: {"sub", "preferred_username", "email"},
	} {
		value := headers[header]
		if value != "" && slices.ContainsFunc(claims, func(name string) bool { return c.Text(name) == value }) {
			out[header] = value
		}
	}
	return out
}

func profile(headers map[string]string, c jws.Claims) auth.Profile {
	who := auth.Profile{
		Subject:     c.Text("sub"),
		Username:    headers[headerName],
		Email:       headers[headerEmail],
		DisplayName: headers[headerName],
		Claims:      map[string]any{},
	}
	for name, value := range c {
		who.Claims[name] = value
	}
	for _, name := range []string{headerUser, headerName, headerEmail} {
		delete(who.Claims, name)
		if headers[name] != "" {
			who.Claims[name] = headers[name]
		}
	}
	if who.DisplayName == "" {
		who.DisplayName = headers[headerUser]
	}
	if who.Subject == "" {
		who.Subject = headers[headerUser]
	}
	// oauth2-proxy lets nobody in whose address the identity provider has not checked, unless
	// it is told to. What the token says counts more.
	who.EmailVerified = who.Email != "" && c["email_verified"] != false && c["email_verified"] != "false"
	return who
}
