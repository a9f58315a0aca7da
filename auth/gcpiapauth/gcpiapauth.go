// Package gcpiapauth takes the word of Google Cloud's Identity-Aware Proxy.
//
//	backend.Add(gcpiapauth.Module())
//
//	auth:
//	  providers:
//	    gcpIap:
//	      audience: /projects/123456789012/global/backendServices/987654321
//	      signIn:
//	        resolvers:
//	          - resolver: emailMatchingUserEntityAnnotation
//
// emailMatchingUserEntityAnnotation compares the annotation google.com/email of users,
// idMatchingUserEntityAnnotation google.com/user-id: the number behind
// accounts.google.com: in the token.
package gcpiapauth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/internal/jws"
	"github.com/callboard-dev/callboard/auth/oauth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
)

// Config is auth.providers.gcpIap.
type Config struct {
	Audience  string            `config:"audience,required" doc:"the audience of the backend service, /projects/<number>/global/backendServices/<id>"`
	JWTHeader string            `config:"jwtHeader" doc:"the header that has the token; x-goog-iap-jwt-assertion if absent"`
	SignIn    auth.SignInConfig `config:"signIn"`
}

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() { c.JWTHeader = "x-goog-iap-jwt-assertion" }

// Validate implements config.Validator.
func (c *Config) Validate() error {
	if c.Audience == "" {
		return config.At("audience", errors.New("is empty: tokens for every application would count"))
	}
	return nil
}

// Module adds the provider gcpIap to the auth plugin.
func Module() backend.Feature {
	return backend.NewModule("auth", "gcp-iap",
		backend.Section("auth.providers.gcpIap", (*Config)(nil)),
		fx.Invoke(register))
}

type params struct {
	fx.In

	Config *Config
	Auth   *auth.Extensions
}

func register(p params) {
	spec := auth.ProxySpec{ID: "gcpIap", Resolvers: resolvers()}
	if p.Config != nil {
		spec.Provider, spec.SignIn = New(*p.Config, nil, time.Now), p.Config.SignIn
	}
	p.Auth.AddProxyProvider(spec)
}

func resolvers() map[string]auth.SignInResolver {
	return map[string]auth.SignInResolver{
		"emailMatchingUserEntityAnnotation": auth.MatchEmailAnnotation("google.com/email"),
		"idMatchingUserEntityAnnotation": auth.MatchAnnotationOf("a user ID", true, func(p auth.Profile) (string, string) {
			return "google.com/user-id", p.Subject
		}),
	}
}

// Where the proxy has its keys, and what it calls itself.
const (
	keysURL = "https://www.gstatic.com/iap/verify/public_key-jwk"
	issuer  = "https://cloud.google.com/iap"
)

// Provider checks the tokens of the proxy.
type Provider struct {
	header string
	tokens *jws.Verifier
}

var _ auth.ProxyProvider = (*Provider)(nil)

// New returns the provider; programs that do not use fx start here. Without a transport it
// is http.DefaultTransport.
func New(c Config, transport http.RoundTripper, now func() time.Time) *Provider {
	return &Provider{header: c.JWTHeader, tokens: &jws.Verifier{
		Keys:       &jws.Set{URL: keysURL, Client: oauth.HTTPClient(transport, 0), Now: now},
		Algorithms: []jose.SignatureAlgorithm{jose.ES256},
		Issuer:     issuer,
		Audiences:  []string{c.Audience},
		Now:        now,
	}}
}

// Authenticate implements auth.ProxyProvider.
func (p *Provider) Authenticate(ctx context.Context, r *http.Request) (auth.Profile, map[string]any, error) {
	token := r.Header.Get(p.header)
	if token == "" {
		return auth.Profile{}, nil, apierr.Authentication.New("the request has no %s; did it come through the proxy?", p.header)
	}
	claims, err := p.tokens.Verify(ctx, token)
	if err != nil {
		return auth.Profile{}, nil, jws.Refused(err, p.header)
	}
	subject, email := claims.Text("sub"), claims.Text("email")
	if subject == "" || email == "" {
		return auth.Profile{}, nil, apierr.Authentication.New("the token in %s does not say who the user is (claims sub and email)", p.header)
	}
	who := auth.Profile{Subject: subject, Email: email, EmailVerified: true, DisplayName: email, Claims: claims}
	if _, id, ok := strings.Cut(subject, ":"); ok {
		who.Subject = id
	}
	// Accounts of Identity Platform, which the proxy takes, too, choose their address.
	if external, ok := claims["gcip"].(map[string]any); ok {
		who.EmailVerified = external["email_verified"] == true
	}
	return who, map[string]any{"iapToken": claims}, nil
}
