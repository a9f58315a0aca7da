// Package azureeasyauth takes the word of Azure App Service, which can sign users in with
// Entra ID before requests get to the backend.
//
//	backend.Add(azureeasyauth.Module())
//
//	auth:
//	  providers:
//	    azureEasyAuth:
//	      signIn:
//	        resolvers:
//	          - resolver: idMatchingUserEntityAnnotation
//
// App Service takes its headers out of requests that others have put them into. Anywhere
// else nobody does: outside of an App Service that signs users in with Entra ID the backend
// does not start with this provider.
//
// idMatchingUserEntityAnnotation compares the object id of the account with the annotation
// graph.microsoft.com/user-id of users.
package azureeasyauth

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/internal/jws"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
)

// Config is auth.providers.azureEasyAuth.
type Config struct {
	SignIn auth.SignInConfig `config:"signIn"`
}

// Module adds the provider azureEasyAuth to the auth plugin.
func Module() backend.Feature {
	return backend.NewModule("auth", "azure-easy-auth",
		backend.Section("auth.providers.azureEasyAuth", (*Config)(nil)),
		fx.Invoke(register))
}

type params struct {
	fx.In

	Config *Config
	Auth   *auth.Extensions
}

func register(p params) error {
	spec := auth.ProxySpec{ID: "azureEasyAuth", Resolvers: resolvers()}
	if p.Config != nil {
		if err := protected(os.Getenv); err != nil {
			return config.At("auth.providers.azureEasyAuth", err)
		}
		spec.Provider, spec.SignIn = Provider{}, p.Config.SignIn
	}
	p.Auth.AddProxyProvider(spec)
	return nil
}

// protected says why the headers of requests cannot be believed here, if they cannot. The
// variables are those that App Service sets.
func protected(env func(string) string) error {
	switch {
	case !strings.EqualFold(env("WEBSITE_AUTH_ENABLED"), "true"):
		return errors.New("this is no App Service that signs users in (WEBSITE_AUTH_ENABLED): everybody could say who they are")
	case !strings.EqualFold(env("WEBSITE_AUTH_DEFAULT_PROVIDER"), "AzureActiveDirectory"):
		return errors.New("this App Service does not sign users in with Entra ID (WEBSITE_AUTH_DEFAULT_PROVIDER)")
	}
	return nil
}

func resolvers() map[string]auth.SignInResolver {
	return map[string]auth.SignInResolver{
		"idMatchingUserEntityAnnotation": auth.MatchAnnotationOf("a user ID", true, func(p auth.Profile) (string, string) {
			return "graph.microsoft.com/user-id", p.Subject
		}),
	}
}

// The headers of App Service.
const (
	headerID     = "X-Ms-Token-Aad-Id-Token"
	headerAccess = "X-Ms-Token-Aad-Access-Token"
)

// Provider reads the headers of App Service.
type Provider struct{}

var _ auth.ProxyProvider = Provider{}

// Authenticate implements auth.ProxyProvider.
func (Provider) Authenticate(_ context.Context, r *http.Request) (auth.Profile, map[string]any, error) {
	ids := r.Header.Values(headerID)
	if len(ids) != 1 || ids[0] == "" {
		return auth.Profile{}, nil, apierr.Authentication.New("the request has no %s; is the token store of the App Service on?", headerID)
	}
	claims := jws.Unchecked(ids[0])
	switch {
	case claims == nil:
		return auth.Profile{}, nil, apierr.Authentication.New("the token in %s cannot be read", headerID)
	case claims.Text("ver") != "2.0":
		return auth.Profile{}, nil, apierr.Authentication.New("the token in %s is not of version 2.0; is the issuer of the App Service https://login.microsoftonline.com/<tenant>/v2.0?", headerID)
	case claims.Text("oid") == "":
		return auth.Profile{}, nil, apierr.Authentication.New("the token in %s does not say who the user is (claim oid)", headerID)
	}
	who := auth.Profile{
		Subject: claims.Text("oid"), Username: claims.Text("preferred_username"), DisplayName: claims.Text("name"),
		Email: claims.Text("email"), Claims: claims,
	}
	// Entra ID says with xms_edov whether somebody has shown that the domain is theirs.
	owned, tells := claims["xms_edov"]
	who.EmailVerified = who.Email != "" && (!tells || owned == true || owned == "1" || owned == "true" || owned == float64(1))
	return who, map[string]any{"accessToken": r.Header.Get(headerAccess)}, nil
}
