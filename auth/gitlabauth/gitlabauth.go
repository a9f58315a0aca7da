// Package gitlabauth signs users in with their accounts at gitlab.com, or at a GitLab of
// one's own.
//
//	backend.Add(gitlabauth.Module())
//
//	auth:
//	  providers:
//	    gitlab:
//	      production:
//	        clientId: ${GITLAB_CLIENT_ID}
//	        clientSecret: ${GITLAB_CLIENT_SECRET}
//	        audience: https://gitlab.acme.com
//	        signIn:
//	          resolvers:
//	            - resolver: userIdMatchingUserEntityAnnotation
//
// The redirect URI to register is {backend.baseUrl}/api/auth/gitlab/handler/frame, with the
// scope read_user.
//
// userIdMatchingUserEntityAnnotation compares the number of the account with the annotation
// <host>/user-id of users, gitlab.acme.com/user-id here. Usernames can change hands.
package gitlabauth

import (
	"context"
	"encoding/json"
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

// Config is one environment of auth.providers.gitlab.
type Config struct {
	auth.OAuthConfig
	Audience string `config:"audience" doc:"the address of the GitLab; https://gitlab.com if absent"`
}

// Environments is auth.providers.gitlab.
type Environments map[string]Config

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() { c.Audience = "https://gitlab.com" }

// Validate implements config.Validator.
func (c *Config) Validate() error {
	return errors.Join(c.OAuthConfig.Validate(), auth.CheckURL("audience", c.Audience))
}

// Module adds the provider gitlab to the auth plugin.
func Module() backend.Feature {
	return backend.NewModule("auth", "gitlab",
		backend.Section("auth.providers.gitlab", Environments(nil)),
		fx.Invoke(register))
}

type params struct {
	fx.In

	Config Environments
	Auth   *auth.Extensions
}

func register(p params) {
	p.Auth.AddProvider(auth.ProviderSpec{
		ID:           "gitlab",
		Scopes:       auth.Scopes{Required: []string{"read_user"}},
		Resolvers:    resolvers(),
		Environments: auth.Environments(p.Config, func(_ string, c Config) auth.Provider { return New(c, nil) }),
	})
}

func resolvers() map[string]auth.SignInResolver {
	return map[string]auth.SignInResolver{
		"usernameMatchingUserEntityName":     auth.MatchName("a username", func(p auth.Profile) string { return p.Username }),
		"userIdMatchingUserEntityAnnotation": auth.MatchAnnotationOf("a user ID", true, annotation),
	}
}

// annotation is the name of the annotation for an account, by the host of its page, and
// the number of the account.
func annotation(p auth.Profile) (name, value string) {
	page, _ := p.Claims["web_url"].(string)
	u, err := url.Parse(page)
	if err != nil || u.Host == "" {
		return "", ""
	}
	return u.Host + "/user-id", p.Subject
}

// New returns the client of an application at a GitLab; programs that do not use fx start
// here. Without a transport it is http.DefaultTransport.
func New(c Config, transport http.RoundTripper) auth.Provider {
	base := strings.TrimRight(c.Audience, "/")
	client := &oauth.Client{
		Credentials:  oauth.Credentials{ID: c.ClientID, Secret: c.ClientSecret},
		AuthorizeURL: base + "/oauth/authorize",
		TokenURL:     base + "/oauth/token",
		Challenge:    "S256",
		HTTP:         oauth.HTTPClient(transport, 0),
	}
	client.Profile = func(ctx context.Context, t oauth.Token, _ string) (auth.Profile, error) {
		var doc json.RawMessage
		if err := client.Get(ctx, base+"/api/v4/user", t.AccessToken, &doc); err != nil {
			return auth.Profile{}, err
		}
		return profile(doc)
	}
	return client
}

// profile reads a user of GitLab's API.
func profile(doc []byte) (auth.Profile, error) {
	var a struct {
		ID          json.Number `json:"id"`
		Username    string      `json:"username"`
		Name        string      `json:"name"`
		Email       string      `json:"email"`
		AvatarURL   string      `json:"avatar_url"`
		ConfirmedAt *string     `json:"confirmed_at"`
	}
	claims := map[string]any{}
	if err := errors.Join(json.Unmarshal(doc, &a), json.Unmarshal(doc, &claims)); err != nil || a.ID == "" {
		return auth.Profile{}, apierr.Authentication.New("GitLab did not say whose token it is (id)")
	}
	who := auth.Profile{Subject: a.ID.String(), Username: a.Username, DisplayName: a.Name, Picture: a.AvatarURL, Email: a.Email, Claims: claims}
	if who.DisplayName == "" {
		who.DisplayName = a.Username
	}
	// Accounts that were never confirmed have an address that nobody has checked. Old
	// versions do not tell.
	_, tells := claims["confirmed_at"]
	who.EmailVerified = a.Email != "" && (!tells || a.ConfirmedAt != nil)
	return who, nil
}
