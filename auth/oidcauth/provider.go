package oidcauth

import (
	"context"
	"crypto/subtle"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/oauth"
	"github.com/callboard-dev/callboard/backend/apierr"
)

// Provider is the client of one application at an OpenID Connect provider. Until Run has
// read the discovery document, its methods return an apierr.ServiceUnavailable.
type Provider struct {
	config Config
	http   *http.Client
	log    *slog.Logger
	found  discovery
}

var (
	_ auth.Provider  = (*Provider)(nil)
	_ auth.Refresher = (*Provider)(nil)
	_ auth.SignOuter = (*Provider)(nil)
)

// New returns a Provider, whose Run the caller runs; programs that do not use fx start
// here. Without a transport it is http.DefaultTransport.
func New(c Config, transport http.RoundTripper, log *slog.Logger) *Provider {
	return &Provider{config: c, http: oauth.HTTPClient(transport, c.Timeout.Std()), log: log, found: discovery{first: make(chan struct{})}}
}

// Start implements auth.Provider.
func (p *Provider) Start(ctx context.Context, f auth.Flow) (string, error) {
	d, err := p.found.get(ctx)
	if err != nil {
		return "", err
	}
	return d.client.Start(ctx, f)
}

// Callback implements auth.Provider.
func (p *Provider) Callback(ctx context.Context, f auth.Flow, answer url.Values) (auth.Profile, auth.Session, error) {
	d, err := p.found.get(ctx)
	if err == nil {
		err = d.checkIssuer(answer)
	}
	if err != nil {
		return auth.Profile{}, auth.Session{}, err
	}
	return d.client.Callback(ctx, f, answer)
}

// Refresh implements auth.Refresher.
func (p *Provider) Refresh(ctx context.Context, s auth.Session, scope string) (auth.Profile, auth.Session, error) {
	d, err := p.found.get(ctx)
	if err != nil {
		return auth.Profile{}, auth.Session{}, err
	}
	return d.client.Refresh(ctx, s, scope)
}

// SignOut implements auth.SignOuter: it revokes the refresh token where the identity
// provider can do that (RFC 7009).
func (p *Provider) SignOut(ctx context.Context, s auth.Session) (string, error) {
	d, err := p.found.get(ctx)
	if err != nil || d.RevocationEndpoint == "" {
		return "", err
	}
	return "", d.client.Revoke(ctx, d.RevocationEndpoint, s.RefreshToken)
}

// checkIssuer refuses answers of another identity provider (RFC 9207): its code would be
// sent to the wrong one.
func (d *discovered) checkIssuer(answer url.Values) error {
	if !answer.Has("iss") {
		if d.SendsIssuer {
			return apierr.Authentication.New("The answer of the identity provider lacks the parameter iss")
		}
		return nil
	}
	if answer.Get("iss") != d.Issuer {
		return apierr.Authentication.New("The answer comes from another identity provider (parameter iss)")
	}
	return nil
}

// profile checks the ID token and asks the userinfo endpoint. At a refresh there may be no
// ID token; one that is there must be valid all the same.
func (d *discovered) profile(ctx context.Context, t oauth.Token, nonce string) (auth.Profile, error) {
	claims := map[string]any{}
	subject := ""
	if t.IDToken != "" {
		token, err := d.verify(ctx, t, nonce)
		if err != nil {
			return auth.Profile{}, err
		}
		if err := token.Claims(&claims); err != nil {
			return auth.Profile{}, apierr.Authentication.New("The claims of the ID token cannot be read")
		}
		subject = token.Subject
	} else if nonce != "" {
		return auth.Profile{}, apierr.Authentication.New("The identity provider has issued no ID token; is the scope openid allowed for this client?")
	}
	info := map[string]any{}
	if err := d.client.Get(ctx, d.UserinfoEndpoint, t.AccessToken, &info); err != nil {
		return auth.Profile{}, err
	}
	who, _ := info["sub"].(string)
	if who == "" || subject != "" && who != subject {
		return auth.Profile{}, apierr.Authentication.New("The userinfo endpoint speaks of another user than the ID token (claim sub)")
	}
	maps.Copy(claims, info)
	p := auth.Profile{Subject: who, Claims: claims}
	p.Username, _ = info["preferred_username"].(string)
	p.DisplayName, _ = info["name"].(string)
	p.Picture, _ = info["picture"].(string)
	p.Email, _ = info["email"].(string)
	// A text "true" or an absent claim does not count.
	p.EmailVerified = info["email_verified"] == true
	return p, nil
}

// refuse is the error for an ID token that is not valid.
func refuse(why string) error {
	return apierr.Authentication.New("The ID token of the identity provider is not valid: %s", why)
}

// skew is by how much the clock of the identity provider may be ahead.
const skew = 10 * time.Second

// verify checks an ID token (OpenID Connect Core, 3.1.3.7). Why it is refused is in the
// error's cause, which has no kind: pages do not see it.
func (d *discovered) verify(ctx context.Context, t oauth.Token, nonce string) (*oidc.IDToken, error) {
	if _, err := d.keys.VerifySignature(ctx, t.IDToken); err != nil {
		return nil, err // go-oidc would make one error of all
	}
	token, err := d.verifier.Verify(ctx, t.IDToken)
	if err != nil {
		var expired *oidc.TokenExpiredError
		if errors.As(err, &expired) {
			return nil, refuse("it has expired; are the clocks right?")
		}
		return nil, apierr.Authentication.Wrap(err, "The ID token of the identity provider is not valid")
	}
	var more struct {
		AuthorizedParty *string `json:"azp"`
	}
	if err := token.Claims(&more); err != nil {
		return nil, refuse("its claims cannot be read")
	}
	switch {
	case nonce != "" && subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1:
		return nil, refuse("it was not issued for this sign-in (claim nonce)")
	case more.AuthorizedParty != nil && *more.AuthorizedParty != d.client.ID:
		return nil, refuse("it was issued to another client (claim azp)")
	case more.AuthorizedParty == nil && len(token.Audience) > 1:
		return nil, refuse("it has several audiences and does not say to whom it was issued (claim azp)")
	case token.Subject == "":
		return nil, refuse("it does not say for whom it is (claim sub)")
	case token.IssuedAt.IsZero() || token.IssuedAt.Unix() <= 0:
		return nil, refuse("it does not say when it was issued (claim iat)")
	case token.IssuedAt.After(time.Now().Add(skew)):
		return nil, refuse("it was issued in the future (claim iat); are the clocks right?")
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(t.AccessToken); err != nil {
			return nil, refuse("it belongs to another access token (claim at_hash)")
		}
	}
	return token, nil
}
