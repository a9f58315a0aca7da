// Package githubauth signs users in with their accounts at GitHub, or at a GitHub
// Enterprise Server.
//
//	backend.Add(githubauth.Module())
//
//	auth:
//	  providers:
//	    github:
//	      production:
//	        clientId: ${GITHUB_CLIENT_ID}
//	        clientSecret: ${GITHUB_CLIENT_SECRET}
//	        signIn:
//	          resolvers:
//	            - resolver: userIdMatchingUserEntityAnnotation
//
// The callback URL to register is {backend.baseUrl}/api/auth/github/handler/frame.
//
// userIdMatchingUserEntityAnnotation compares the annotation github.com/user-id of users
// with the node id of the account, which never changes hands, letter by letter. Login names
// can: whoever takes a name that somebody has given up is that user for
// usernameMatchingUserEntityName.
package githubauth

import (
	"errors"
	"net/http"
	"strings"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/oauth"
	"github.com/callboard-dev/callboard/backend"
)

// Config is one environment of auth.providers.github.
type Config struct {
	auth.OAuthConfig
	EnterpriseInstanceURL string `config:"enterpriseInstanceUrl" doc:"the address of a GitHub Enterprise Server; github.com if absent"`
}

// Environments is auth.providers.github.
type Environments map[string]Config

// Validate implements config.Validator.
func (c *Config) Validate() error {
	err := c.OAuthConfig.Validate()
	if c.EnterpriseInstanceURL != "" {
		err = errors.Join(err, auth.CheckURL("enterpriseInstanceUrl", c.EnterpriseInstanceURL))
	}
	return err
}

// Module adds the provider github to the auth plugin.
func Module() backend.Feature {
	return backend.NewModule("auth", "github",
		backend.Section("auth.providers.github", Environments(nil)),
		fx.Invoke(register))
}

type params struct {
	fx.In

	Config Environments
	Auth   *auth.Extensions
}

func register(p params) {
	p.Auth.AddProvider(auth.ProviderSpec{
		ID: "github",
		// GitHub reports scopes in a normal form of its own, without those that are part of others.
		Scopes:       auth.Scopes{Required: []string{"read:user"}, Persist: true},
		Resolvers:    resolvers(),
		Environments: auth.Environments(p.Config, func(_ string, c Config) auth.Provider { return New(c, nil) }),
	})
}

func resolvers() map[string]auth.SignInResolver {
	return map[string]auth.SignInResolver{
		"usernameMatchingUserEntityName": auth.MatchName("a username", func(p auth.Profile) string { return p.Username }),
		"userIdMatchingUserEntityAnnotation": auth.MatchAnnotationOf("a user ID", true, func(p auth.Profile) (string, string) {
			return "github.com/user-id", p.Subject
		}),
	}
}

// New returns the client of an OAuth app or GitHub App; programs that do not use fx start
// here. Without a transport it is http.DefaultTransport.
func New(c Config, transport http.RoundTripper) *Provider {
	web, api := "https://github.com", "https://api.github.com"
	if enterprise := strings.TrimRight(c.EnterpriseInstanceURL, "/"); enterprise != "" {
		web, api = enterprise, enterprise+"/api/v3"
	}
	p := &Provider{api: api}
	p.Client = oauth.Client{
		Credentials:  oauth.Credentials{ID: c.ClientID, Secret: c.ClientSecret},
		AuthorizeURL: web + "/login/oauth/authorize",
		TokenURL:     web + "/login/oauth/access_token",
		Challenge:    "S256",
		Ended:        []string{"bad_refresh_token"},
		HTTP:         oauth.HTTPClient(transport, 0),
		Profile:      p.profile,
	}
	return p
}
