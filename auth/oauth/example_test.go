package oauth_test

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/oauth"
	"github.com/callboard-dev/callboard/backend"
)

// Config is one environment of auth.providers.forge: the keys that all providers have, and
// what this identity provider has of its own.
type Config struct {
	auth.OAuthConfig
	Organization string `config:"organization" doc:"the organization whose members may sign in"`
}

// Environments is auth.providers.forge.
type Environments map[string]Config

// Module adds the sign-in with the accounts of a code forge. This is a whole provider: the
// plugin does what is the same for all of them.
func Module() backend.Feature {
	return backend.NewModule("auth", "forge",
		backend.Section("auth.providers.forge", Environments(nil)),
		fx.Invoke(register))
}

type params struct {
	fx.In

	Config Environments
	Auth   *auth.Extensions
}

func register(p params) {
	p.Auth.AddProvider(auth.ProviderSpec{
		ID:           "forge",
		Scopes:       auth.Scopes{Required: []string{"read:user"}, Persist: true},
		Resolvers:    map[string]auth.SignInResolver{"usernameMatchingUserEntityName": auth.MatchName("a username", username)},
		Environments: auth.Environments(p.Config, open),
	})
}

func username(p auth.Profile) string { return p.Username }

func open(_ string, c Config) auth.Provider {
	client := &oauth.Client{
		Credentials:  oauth.Credentials{ID: c.ClientID, Secret: c.ClientSecret},
		AuthorizeURL: "https://forge.example/login/oauth/authorize",
		TokenURL:     "https://forge.example/login/oauth/access_token",
		Params:       map[string]string{"organization": c.Organization},
		Challenge:    "S256",
		HTTP:         &http.Client{Timeout: 10 * time.Second},
	}
	client.Profile = func(ctx context.Context, t oauth.Token, _ string) (auth.Profile, error) {
		var who struct {
			ID    int64
			Login string
			Name  string
			Email string
		}
		if err := client.Get(ctx, "https://forge.example/api/user", t.AccessToken, &who); err != nil {
			return auth.Profile{}, err
		}
		return auth.Profile{
			Subject:       strconv.FormatInt(who.ID, 10),
			Username:      who.Login,
			DisplayName:   who.Name,
			Email:         who.Email,
			EmailVerified: true, // the forge shows addresses only after they were confirmed
		}, nil
	}
	return client
}

// A sign-in provider is a module of the auth plugin.
func Example() {
	backend := backend.New()
	backend.Add(auth.Plugin())
	backend.Add(Module())
	// backend.Main() starts it.
}
