// Package oauth2proxyauth takes the word of an oauth2-proxy in front of the backend.
//
//	backend.Add(oauth2proxyauth.Module())
//
//	auth:
//	  providers:
//	    oauth2Proxy:
//	      trustedProxies: [10.0.3.0/24]
//	      jwksUrl: https://sso.acme.com/keys
//	      audience: portal
//	      signIn:
//	        resolvers:
//	          - resolver: forwardedUserMatchingUserEntityName
//
// The proxy says in headers who the user is. Whoever reaches the backend past the proxy can
// send them, too, unless one of two things is configured: trustedProxies, the addresses
// that requests must come from, or jwksUrl, the keys that the ID token in
// X-OAUTH2-PROXY-ID-TOKEN must be signed with. With jwksUrl other headers count only if the
// token says the same.
package oauth2proxyauth

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/internal/jws"
	"github.com/callboard-dev/callboard/auth/oauth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

// Config is auth.providers.oauth2Proxy.
type Config struct {
	TrustedProxies []string          `config:"trustedProxies" doc:"the networks that requests must come from, such as 10.0.3.0/24; any if absent"`
	JWKSURL        string            `config:"jwksUrl" doc:"the keys that ID tokens must be signed with; they are not checked if absent"`
	Issuer         string            `config:"issuer" doc:"with jwksUrl, whose ID tokens count; anybody's with these keys if absent"`
	Audience       string            `config:"audience" doc:"with jwksUrl, the client whose ID tokens count; any if absent"`
	SignIn         auth.SignInConfig `config:"signIn"`
}

// Validate implements config.Validator.
func (c *Config) Validate() error {
	var errs []error
	for i, network := range c.TrustedProxies {
		if _, err := prefix(network); err != nil {
			errs = append(errs, config.At(fmt.Sprintf("trustedProxies[%d]", i), fmt.Errorf("%q is not an address or a network such as 10.0.3.0/24", network)))
		}
	}
	if c.JWKSURL != "" {
		errs = append(errs, auth.CheckURL("jwksUrl", c.JWKSURL))
	}
	for _, f := range []struct{ key, value string }{{"issuer", c.Issuer}, {"audience", c.Audience}} {
		if f.value != "" && c.JWKSURL == "" {
			errs = append(errs, config.At(f.key, errors.New("is of no use without jwksUrl")))
		}
	}
	return errors.Join(errs...)
}

// prefix reads a network, or an address that stands for itself.
func prefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// Module adds the provider oauth2Proxy to the auth plugin.
func Module() backend.Feature {
	return backend.NewModule("auth", "oauth2-proxy",
		backend.Section("auth.providers.oauth2Proxy", (*Config)(nil)),
		fx.Invoke(register))
}

type params struct {
	fx.In

	Config *Config
	Auth   *auth.Extensions
	Env    backend.Environment
	Log    *slog.Logger
}

func register(p params) {
	spec := auth.ProxySpec{ID: "oauth2Proxy", Resolvers: resolvers()}
	if p.Config != nil {
		spec.Provider, spec.SignIn = New(*p.Config, nil), p.Config.SignIn
		if p.Env != backend.DevelopmentEnvironment && len(p.Config.TrustedProxies) == 0 && p.Config.JWKSURL == "" {
			p.Log.Warn("everybody who reaches this backend past the proxy can sign in as anybody; set trustedProxies or jwksUrl", "option", "auth.providers.oauth2Proxy")
		}
	}
	p.Auth.AddProxyProvider(spec)
}

func resolvers() map[string]auth.SignInResolver {
	claim := func(name string) func(auth.Profile) string {
		return func(p auth.Profile) string {
			s, _ := p.Claims[name].(string)
			return s
		}
	}
	return map[string]auth.SignInResolver{
		"forwardedUserMatchingUserEntityName":              auth.MatchName("a user (header "+headerUser+")", claim(headerUser)),
		"forwardedPreferredUsernameMatchingUserEntityName": auth.MatchName("a user name (header "+headerName+")", claim(headerName)),
	}
}

// New returns the provider; programs that do not use fx start here. Without a transport it
// is http.DefaultTransport.
func New(c Config, transport http.RoundTripper) *Provider {
	p := &Provider{}
	for _, network := range c.TrustedProxies {
		if n, err := prefix(network); err == nil { // Validate has said so
			p.trusted = append(p.trusted, n.Masked())
		}
	}
	if c.JWKSURL != "" {
		p.tokens = &jws.Verifier{
			Keys:       &jws.Set{URL: c.JWKSURL, Client: oauth.HTTPClient(transport, 0), Now: time.Now},
			Algorithms: []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA},
			Issuer:     c.Issuer,
			Now:        time.Now,
		}
		if c.Audience != "" {
			p.tokens.Audiences = []string{c.Audience}
		}
	}
	return p
}
