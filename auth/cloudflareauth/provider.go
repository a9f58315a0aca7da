package cloudflareauth

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/internal/jws"
	"github.com/callboard-dev/callboard/auth/internal/resolve"
	"github.com/callboard-dev/callboard/backend/apierr"
)

// Provider checks the tokens of Cloudflare Access.
type Provider struct {
	header   string
	cookie   string
	team     string // its address
	services map[string]string
	tokens   *jws.Verifier
	http     *http.Client
	now      func() time.Time
}

var _ auth.ProxyProvider = (*Provider)(nil)

// Authenticate implements auth.ProxyProvider.
func (p *Provider) Authenticate(ctx context.Context, r *http.Request) (auth.Profile, map[string]any, error) {
	token := r.Header.Get(p.header)
	if token == "" {
		if c, err := r.Cookie(p.cookie); err == nil {
			token = c.Value
		}
	}
	if token == "" {
		return auth.Profile{}, nil, apierr.Authentication.New("the request has no %s and no cookie %s; did it come through Cloudflare Access?", p.header, p.cookie)
	}
	claims, err := p.tokens.Verify(ctx, token)
	if err != nil {
		return auth.Profile{}, nil, jws.Refused(err, p.header)
	}
	identity, err := p.identity(ctx, claims, token)
	if err != nil {
		return auth.Profile{}, nil, err
	}
	who := auth.Profile{Subject: claims.Text("sub"), Email: claims.Text("email"), Claims: map[string]any{"claims": map[string]any(claims), "identity": identity}}
	who.DisplayName, _ = identity["name"].(string)
	if service := claims.Text("common_name"); service != "" && who.Email == "" {
		who.Subject, who.Email = service, p.services[service]
	}
	if who.DisplayName == "" {
		who.DisplayName = who.Email
	}
	who.EmailVerified = who.Email != "" // Access knows people by it
	info := map[string]any{"claims": claims, "cfAccessIdentityProfile": identity}
	if expires, ok := claims.Time("exp"); ok {
		info["expiresInSeconds"] = int(expires.Sub(p.now()).Seconds())
	}
	return who, info, nil
}

// maxIdentity bounds the answer of Access.
const maxIdentity = 256 << 10

// identity is what Access knows of the user beyond the token. Service tokens are known
// here alone: Access has no user for them.
func (p *Provider) identity(ctx context.Context, claims jws.Claims, token string) (map[string]any, error) {
	if service := claims.Text("common_name"); service != "" && claims.Text("email") == "" {
		subject, ok := p.services[service]
		if !ok {
			return nil, apierr.Authentication.New("the service token is not among serviceTokens")
		}
		return map[string]any{"id": service, "name": subject, "email": subject}, nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.team+"/cdn-cgi/access/get-identity", nil)
	if err != nil {
		return nil, err
	}
	r.AddCookie(&http.Cookie{Name: "CF_Authorization", Value: token})
	resp, err := p.http.Do(r)
	if err != nil {
		return nil, apierr.ServiceUnavailable.Wrap(err, "Cloudflare Access does not answer")
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 500 {
		return nil, apierr.ServiceUnavailable.New("Cloudflare Access does not say who the user is: %d", resp.StatusCode)
	}
	identity := map[string]any{}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxIdentity))
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(body, &identity) != nil {
		return nil, apierr.Authentication.New("Cloudflare Access does not say who the user is: %d", resp.StatusCode)
	}
	// The session may have been revoked, or be another user's by now.
	if email, _ := identity["email"].(string); !resolve.Same(email, claims.Text("email")) {
		return nil, apierr.Authentication.New("Cloudflare Access speaks of another user than the token (email)")
	}
	return identity, nil
}
