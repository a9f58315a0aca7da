// Package oidcauth signs users in at an OpenID Connect provider: Okta, Keycloak, Entra ID,
// Auth0, Dex, and whatever else has a discovery document.
//
//	backend.Add(oidcauth.Module())
//
//	auth:
//	  providers:
//	    oidc:
//	      production:
//	        metadataUrl: https://acme.okta.com/.well-known/openid-configuration
//	        clientId: ${OKTA_CLIENT_ID}
//	        clientSecret: ${OKTA_CLIENT_SECRET}
//	        prompt: auto
//	        signIn:
//	          resolvers:
//	            - resolver: emailMatchingUserEntityProfileEmail
//
// The redirect URI to register is {backend.baseUrl}/api/auth/oidc/handler/frame.
//
// The e-mail address counts only if the userinfo endpoint says email_verified: true. To be
// independent of addresses, list subClaimMatchingUserEntityAnnotation, which compares the
// claim sub with an annotation of the user.
package oidcauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

// Config is one environment of auth.providers.oidc.
type Config struct {
	auth.OAuthConfig
	MetadataURL             string            `config:"metadataUrl,required" doc:"the discovery document, https://.../.well-known/openid-configuration"`
	TokenEndpointAuthMethod string            `config:"tokenEndpointAuthMethod" doc:"how the client shows its secret: client_secret_basic, which is the default, or client_secret_post"`
	TokenSignedResponseAlg  string            `config:"tokenSignedResponseAlg" doc:"the only algorithm that ID tokens may be signed with; RS256 if absent"`
	Prompt                  string            `config:"prompt" doc:"the parameter prompt: none if absent; auto leaves it out, so that the identity provider decides"`
	Timeout                 config.Duration   `config:"timeout" doc:"how long a request to the identity provider may take, 10 seconds if absent"`
	StartURLSearchParams    map[string]string `config:"startUrlSearchParams" doc:"further parameters for the identity provider's sign-in page"`
}

// Environments is auth.providers.oidc.
type Environments map[string]Config

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() {
	c.TokenEndpointAuthMethod = "client_secret_basic"
	c.TokenSignedResponseAlg = "RS256"
	c.Prompt = "none"
	c.Timeout = config.Duration(10 * time.Second)
}

// algorithms are those whose keys are public. With a shared secret, whoever can check a
// token can make one.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Validate implements config.Validator.
func (c *Config) Validate() error {
	errs := []error{c.OAuthConfig.Validate(), auth.CheckURL("metadataUrl", c.MetadataURL)}
	if m := c.TokenEndpointAuthMethod; m != "client_secret_basic" && m != "client_secret_post" {
		errs = append(errs, config.At("tokenEndpointAuthMethod", fmt.Errorf("expected client_secret_basic or client_secret_post, got %q", m)))
	}
	if !slices.Contains(algorithms, c.TokenSignedResponseAlg) {
		errs = append(errs, config.At("tokenSignedResponseAlg", fmt.Errorf("%q is not one of %s", c.TokenSignedResponseAlg, strings.Join(algorithms, ", "))))
	}
	return errors.Join(errs...)
}

// Module adds the provider oidc to the auth plugin.
func Module() backend.Feature {
	return backend.NewModule("auth", "oidc",
		backend.Section("auth.providers.oidc", Environments(nil)),
		fx.Invoke(register))
}

type params struct {
	fx.In

	Config     Environments
	Auth       *auth.Extensions
	Background *backend.Background
	Lifecycle  fx.Lifecycle
	Log        *slog.Logger
}

func register(p params) {
	open := func(env string, c Config) auth.Provider {
		one := New(c, nil, p.Log.With("env", env))
		p.Lifecycle.Append(fx.StartHook(func() { p.Background.Go(one.Run) }))
		return one
	}
	p.Auth.AddProvider(auth.ProviderSpec{
		ID:     "oidc",
		Scopes: auth.Scopes{Required: []string{"openid", "profile", "email"}, Persist: true},
		Resolvers: map[string]auth.SignInResolver{
			"preferredUsernameMatchingUserEntityName": auth.MatchName(`a username (claim "preferred_username")`, func(p auth.Profile) string { return p.Username }),
			"subClaimMatchingUserEntityAnnotation":    matchSubject{},
		},
		Environments: auth.Environments(p.Config, open),
	})
}

// matchSubject looks for the user whose annotation is the claim sub.
type matchSubject struct {
	Annotation string `config:"annotation,required"`
}

var _ auth.Configurable = matchSubject{}

// Configure implements auth.Configurable.
func (m matchSubject) Configure(options *config.Config) (auth.SignInResolver, error) {
	err := auth.Options(options, &m)
	return m, err
}

// Resolve implements auth.SignInResolver.
func (m matchSubject) Resolve(ctx context.Context, who auth.Profile, users auth.Users) (auth.Identity, error) {
	user, err := users.ByExactAnnotation(ctx, m.Annotation, who.Subject)
	if err != nil {
		return auth.Identity{}, err
	}
	return auth.SignInAs(ctx, users, user)
}
