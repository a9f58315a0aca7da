// Package oktaauth signs users in at Okta.
//
//	backend.Add(oktaauth.Module())
//
//	auth:
//	  providers:
//	    okta:
//	      production:
//	        clientId: ${OKTA_CLIENT_ID}
//	        clientSecret: ${OKTA_CLIENT_SECRET}
//	        audience: https://acme.okta.com
//	        signIn:
//	          resolvers:
//	            - resolver: emailMatchingUserEntityProfileEmail
//	              allowedDomains: [acme.com]
//
// The redirect URI to register is {backend.baseUrl}/api/auth/okta/handler/frame, with the
// grants authorization_code and refresh_token. Package oidcauth works with Okta, too.
package oktaauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/oauth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
)

// Config is one environment of auth.providers.okta.
type Config struct {
	auth.OAuthConfig
	Audience     string `config:"audience" doc:"the address of the Okta organization; https://okta.com if absent"`
	AuthServerID string `config:"authServerId" doc:"the authorization server, such as default; that of the organization if absent"`
	IDP          string `config:"idp" doc:"the identity provider to send users on to"`
}

// Environments is auth.providers.okta.
type Environments map[string]Config

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() { c.Audience = "https://okta.com" }

// Validate implements config.Validator.
func (c *Config) Validate() error {
	return errors.Join(c.OAuthConfig.Validate(), auth.CheckURL("audience", c.Audience))
}

// Module adds the provider okta to the auth plugin.
func Module() backend.Feature {
	return backend.NewModule("auth", "okta",
		backend.Section("auth.providers.okta", Environments(nil)),
		fx.Invoke(register))
}

type params struct {
	fx.In

	Config Environments
	Auth   *auth.Extensions
}

func register(p params) {
	p.Auth.AddProvider(auth.ProviderSpec{
		ID:           "okta",
		Scopes:       auth.Scopes{Required: []string{"openid", "email", "profile", "offline_access"}},
		Resolvers:    resolvers(),
		Environments: auth.Environments(p.Config, func(_ string, c Config) auth.Provider { return New(c, nil) }),
	})
}

func resolvers() map[string]auth.SignInResolver {
	return map[string]auth.SignInResolver{
		"emailMatchingUserEntityAnnotation": auth.MatchEmailAnnotation("okta.com/email"),
	}
}

// New returns the client of an application at Okta; programs that do not use fx start
// here. Without a transport it is http.DefaultTransport.
func New(c Config, transport http.RoundTripper) auth.Provider {
	base := strings.TrimRight(c.Audience, "/") + "/oauth2"
	if c.AuthServerID != "" {
		base += "/" + url.PathEscape(c.AuthServerID)
	}
	client := &oauth.Client{
		Credentials:  oauth.Credentials{ID: c.ClientID, Secret: c.ClientSecret},
		AuthorizeURL: base + "/v1/authorize",
		TokenURL:     base + "/v1/token",
		Basic:        true,
		Challenge:    "S256",
		SendNonce:    true,
		HTTP:         oauth.HTTPClient(transport, 0),
	}
	if c.IDP != "" {
		client.Params = map[string]string{"idp": c.IDP}
	}
	client.Profile = func(ctx context.Context, t oauth.Token, nonce string) (auth.Profile, error) {
		token, err := client.IDToken(t, nonce)
		if err != nil {
			return auth.Profile{}, err
		}
		info := map[string]any{}
		if err := client.Get(ctx, base+"/v1/userinfo", t.AccessToken, &info); err != nil {
			return auth.Profile{}, err
		}
		if info["sub"] == nil || token != nil && token["sub"] != info["sub"] {
			return auth.Profile{}, apierr.Authentication.New("Okta's userinfo speaks of another user than the ID token (claim sub)")
		}
		return oauth.StandardProfile(info, token), nil
	}
	return client
}
