// Package oauth2auth signs users in at any OAuth 2.0 server that issues ID tokens, and gets
// access tokens from any other. Where there is a discovery document, package oidcauth is
// the better choice: it checks more.
//
//	backend.Add(oauth2auth.Module())
//
//	auth:
//	  providers:
//	    oauth2:
//	      production:
//	        clientId: ${OAUTH2_CLIENT_ID}
//	        clientSecret: ${OAUTH2_CLIENT_SECRET}
//	        authorizationUrl: https://sso.acme.com/oauth/authorize
//	        tokenUrl: https://sso.acme.com/oauth/token
//	        additionalScopes: [openid, profile, email]
//	        signIn:
//	          resolvers:
//	            - resolver: usernameMatchingUserEntityName
//
// The redirect URI to register is {backend.baseUrl}/api/auth/oauth2/handler/frame.
//
// Who the user is comes from the ID token that the token endpoint answers with: without
// one, there is nobody for a resolver to find.
package oauth2auth

import (
	"context"
	"errors"
	"net/http"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/oauth"
	"github.com/callboard-dev/callboard/backend"
)

// Config is one environment of auth.providers.oauth2.
type Config struct {
	auth.OAuthConfig
	AuthorizationURL string `config:"authorizationUrl,required" doc:"where users sign in"`
	TokenURL         string `config:"tokenUrl,required" doc:"where codes are exchanged for tokens"`
	IncludeBasicAuth bool   `config:"includeBasicAuth" doc:"send the client's credentials in the header Authorization instead of in the body"`
	DisableRefresh   bool   `config:"disableRefresh" doc:"keep no session: users sign in again when their token ends"`
}

// Environments is auth.providers.oauth2.
type Environments map[string]Config

// Validate implements config.Validator.
func (c *Config) Validate() error {
	return errors.Join(c.OAuthConfig.Validate(), auth.CheckURL("authorizationUrl", c.AuthorizationURL), auth.CheckURL("tokenUrl", c.TokenURL))
}

// Module adds the provider oauth2 to the auth plugin.
func Module() backend.Feature {
	return backend.NewModule("auth", "oauth2",
		backend.Section("auth.providers.oauth2", Environments(nil)),
		fx.Invoke(register))
}

type params struct {
	fx.In

	Config Environments
	Auth   *auth.Extensions
}

func register(p params) {
	p.Auth.AddProvider(auth.ProviderSpec{
		ID: "oauth2",
		Resolvers: map[string]auth.SignInResolver{
			"usernameMatchingUserEntityName": auth.MatchName(`a username (claim "preferred_username" of the ID token)`, func(p auth.Profile) string { return p.Username }),
		},
		Environments: auth.Environments(p.Config, func(_ string, c Config) auth.Provider { return New(c, nil) }),
	})
}

// endless is a Provider whose sessions end with their token.
type endless struct{ auth.Provider }

// New returns the client of an application; programs that do not use fx start here. Without
// a transport it is http.DefaultTransport.
func New(c Config, transport http.RoundTripper) auth.Provider {
	client := &oauth.Client{
		Credentials:  oauth.Credentials{ID: c.ClientID, Secret: c.ClientSecret},
		AuthorizeURL: c.AuthorizationURL,
		TokenURL:     c.TokenURL,
		Basic:        c.IncludeBasicAuth,
		Challenge:    "S256",
		HTTP:         oauth.HTTPClient(transport, 0),
	}
	client.Profile = func(_ context.Context, t oauth.Token, nonce string) (auth.Profile, error) {
		token, err := client.IDToken(t, nonce)
		if err != nil {
			return auth.Profile{}, err
		}
		return oauth.StandardProfile(nil, token), nil
	}
	if c.DisableRefresh {
		return endless{client}
	}
	return client
}
