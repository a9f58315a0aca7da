// Package cloudflareauth takes the word of Cloudflare Access.
//
//	backend.Add(cloudflareauth.Module())
//
//	auth:
//	  providers:
//	    cfaccess:
//	      teamName: acme
//	      audience: 4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2
//	      serviceTokens:
//	        - token: 1be5a0a9a1f5d0d9b6b6.access
//	          subject: pipeline@acme.com
//	      signIn:
//	        resolvers:
//	          - resolver: emailMatchingUserEntityProfileEmail
//
// The audience is the tag of the application in Access: without it, whoever may use any
// application of the team could use this one. A service token signs in as the user with the
// address of its subject.
package cloudflareauth

import (
	"errors"
	"net/http"
	"regexp"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/internal/jws"
	"github.com/callboard-dev/callboard/auth/oauth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

// Config is auth.providers.cfaccess.
type Config struct {
	TeamName                string            `config:"teamName,required" doc:"the name of the team in https://<team>.cloudflareaccess.com"`
	Audience                string            `config:"audience,required" doc:"the audience tag of the application in Access"`
	ServiceTokens           []ServiceToken    `config:"serviceTokens" doc:"the service tokens that may sign in, and as whom"`
	JWTHeaderName           string            `config:"jwtHeaderName" doc:"the header that has the token; cf-access-jwt-assertion if absent"`
	AuthorizationCookieName string            `config:"authorizationCookieName" doc:"the cookie that has the token where the header is missing; CF_Authorization if absent"`
	SignIn                  auth.SignInConfig `config:"signIn"`
}

// ServiceToken is one entry of serviceTokens.
type ServiceToken struct {
	Token   string `config:"token,required" doc:"the client id of the service token"`
	Subject string `config:"subject,required" doc:"the e-mail address of the user that it is"`
}

// SetDefaults implements config.Defaulter.
func (c *Config) SetDefaults() {
	c.JWTHeaderName = "cf-access-jwt-assertion"
	c.AuthorizationCookieName = "CF_Authorization"
}

// teams is what may stand in the name of a host.
var teams = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)

// Validate implements config.Validator.
func (c *Config) Validate() error {
	var errs []error
	if !teams.MatchString(c.TeamName) {
		errs = append(errs, config.At("teamName", errors.New("is not the name of a team: letters, digits and dashes")))
	}
	if c.Audience == "" {
		errs = append(errs, config.At("audience", errors.New("is empty: tokens of every application of the team would count")))
	}
	return errors.Join(errs...)
}

// Module adds the provider cfaccess to the auth plugin.
func Module() backend.Feature {
	return backend.NewModule("auth", "cloudflare-access",
		backend.Section("auth.providers.cfaccess", (*Config)(nil)),
		fx.Invoke(register))
}

type params struct {
	fx.In

	Config *Config
	Auth   *auth.Extensions
}

func register(p params) {
	spec := auth.ProxySpec{ID: "cfaccess", Resolvers: map[string]auth.SignInResolver{"emailMatchingUserEntityProfileEmail": auth.MatchEmail(false)}}
	if p.Config != nil {
		spec.Provider, spec.SignIn = New(*p.Config, nil, time.Now), p.Config.SignIn
	}
	p.Auth.AddProxyProvider(spec)
}

// New returns the provider; programs that do not use fx start here. Without a transport it
// is http.DefaultTransport.
func New(c Config, transport http.RoundTripper, now func() time.Time) *Provider {
	team := "https://" + c.TeamName + ".cloudflareaccess.com"
	p := &Provider{header: c.JWTHeaderName, cookie: c.AuthorizationCookieName, team: team, http: oauth.HTTPClient(transport, 0), now: now, services: map[string]string{}}
	for _, s := range c.ServiceTokens {
		p.services[s.Token] = s.Subject
	}
	p.tokens = &jws.Verifier{
		Keys:       &jws.Set{URL: team + "/cdn-cgi/access/certs", Client: p.http, Now: now},
		Algorithms: []jose.SignatureAlgorithm{jose.RS256},
		Issuer:     team,
		Audiences:  []string{c.Audience},
		Now:        now,
	}
	return p
}
