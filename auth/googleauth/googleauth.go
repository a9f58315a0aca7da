// Package googleauth signs users in with their Google accounts.
//
//	backend.Add(googleauth.Module())
//
//	auth:
//	  providers:
//	    google:
//	      production:
//	        clientId: ${GOOGLE_CLIENT_ID}
//	        clientSecret: ${GOOGLE_CLIENT_SECRET}
//	        signIn:
//	          resolvers:
//	            - resolver: emailMatchingUserEntityAnnotation
//
// The redirect URI to register is {backend.baseUrl}/api/auth/google/handler/frame.
//
// emailMatchingUserEntityAnnotation compares the verified address of the account with the
// annotation google.com/email of users. Everybody can have a Google account, with an
// address of any domain: with the resolvers that go by spec.profile.email, say
// allowedDomains.
package googleauth

import (
	"context"
	"net/http"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/oauth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
)

// Config is one environment of auth.providers.google.
type Config struct{ auth.OAuthConfig }

// Environments is auth.providers.google.
type Environments map[string]Config

// Module adds the provider google to the auth plugin.
func Module() backend.Feature {
	return backend.NewModule("auth", "google",
		backend.Section("auth.providers.google", Environments(nil)),
		fx.Invoke(register))
}

type params struct {
	fx.In

	Config Environments
	Auth   *auth.Extensions
}

func register(p params) {
	p.Auth.AddProvider(auth.ProviderSpec{
		ID: "google",
		Scopes: auth.Scopes{Required: []string{
			"openid", "https://www.googleapis.com/auth/userinfo.email", "https://www.googleapis.com/auth/userinfo.profile",
		}},
		Resolvers:    resolvers(),
		Environments: auth.Environments(p.Config, func(_ string, c Config) auth.Provider { return New(c, nil) }),
	})
}

func resolvers() map[string]auth.SignInResolver {
	return map[string]auth.SignInResolver{
		"emailMatchingUserEntityAnnotation": auth.MatchEmailAnnotation("google.com/email"),
	}
}

// Google's endpoints.
const (
	authorizeURL = "https://accounts.google.com/o/oauth2/v2/auth"
	tokenURL     = "https://oauth2.googleapis.com/token"
	revokeURL    = "https://oauth2.googleapis.com/revoke"
	userinfoURL  = "https://www.googleapis.com/oauth2/v3/userinfo"
)

// Provider is the client of an application at Google.
type Provider struct{ oauth.Client }

var (
	_ auth.Provider  = (*Provider)(nil)
	_ auth.Refresher = (*Provider)(nil)
	_ auth.SignOuter = (*Provider)(nil)
)

// New returns the client of an application at Google; programs that do not use fx start
// here. Without a transport it is http.DefaultTransport.
func New(c Config, transport http.RoundTripper) *Provider {
	p := &Provider{}
	p.Client = oauth.Client{
		Credentials:  oauth.Credentials{ID: c.ClientID, Secret: c.ClientSecret},
		AuthorizeURL: authorizeURL,
		TokenURL:     tokenURL,
		// Google issues a refresh token when the user consents, and only then.
		Params:    map[string]string{"access_type": "offline", "prompt": "consent", "include_granted_scopes": "true"},
		Challenge: "S256",
		SendNonce: true,
		HTTP:      oauth.HTTPClient(transport, 0),
		Profile:   p.profile,
	}
	return p
}

func (p *Provider) profile(ctx context.Context, t oauth.Token, nonce string) (auth.Profile, error) {
	token, err := p.IDToken(t, nonce)
	if err != nil {
		return auth.Profile{}, err
	}
	info := map[string]any{}
	if err := p.Get(ctx, userinfoURL, t.AccessToken, &info); err != nil {
		return auth.Profile{}, err
	}
	who := oauth.StandardProfile(info, token)
	if info["sub"] == nil || token != nil && token["sub"] != info["sub"] {
		return auth.Profile{}, apierr.Authentication.New("Google's userinfo speaks of another user than the ID token (claim sub)")
	}
	return who, nil
}

// SignOut implements auth.SignOuter.
func (p *Provider) SignOut(ctx context.Context, s auth.Session) (string, error) {
	return "", p.Revoke(ctx, revokeURL, s.RefreshToken)
}
