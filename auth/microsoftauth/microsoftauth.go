// Package microsoftauth signs users in with their accounts at Microsoft Entra ID.
//
//	backend.Add(microsoftauth.Module())
//
//	auth:
//	  providers:
//	    microsoft:
//	      production:
//	        clientId: ${AZURE_CLIENT_ID}
//	        clientSecret: ${AZURE_CLIENT_SECRET}
//	        tenantId: ${AZURE_TENANT_ID}
//	        domainHint: ${AZURE_TENANT_ID}
//	        signIn:
//	          resolvers:
//	            - resolver: userIdMatchingUserEntityAnnotation
//
// The redirect URI to register is {backend.baseUrl}/api/auth/microsoft/handler/frame.
//
// userIdMatchingUserEntityAnnotation compares the object id of the account with the
// annotation graph.microsoft.com/user-id of users, emailMatchingUserEntityAnnotation the
// address with microsoft.com/email. The address is the mailbox (mail), never the user
// principal name. With a tenantId that stands for many tenants (common, organizations,
// consumers) addresses do not count: the administrator of any tenant can write what they
// like there. Go by the object id then.
package microsoftauth

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/oauth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

// Config is one environment of auth.providers.microsoft.
type Config struct {
	auth.OAuthConfig
	TenantID        string `config:"tenantId,required" doc:"the id or a domain of the tenant"`
	DomainHint      string `config:"domainHint" doc:"the tenant whose accounts the sign-in page offers"`
	SkipUserProfile bool   `config:"skipUserProfile" doc:"do not read the profile from Microsoft Graph; what is in the ID token has to do"`
}

// Environments is auth.providers.microsoft.
type Environments map[string]Config

// tenants is what may stand in the path of an address.
var tenants = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*$`)

// Validate implements config.Validator.
func (c *Config) Validate() error {
	err := c.OAuthConfig.Validate()
	if !tenants.MatchString(c.TenantID) {
		err = errors.Join(err, config.At("tenantId", errors.New("is not the id or the domain of a tenant")))
	}
	return err
}

// Module adds the provider microsoft to the auth plugin.
func Module() backend.Feature {
	return backend.NewModule("auth", "microsoft",
		backend.Section("auth.providers.microsoft", Environments(nil)),
		fx.Invoke(register))
}

type params struct {
	fx.In

	Config Environments
	Auth   *auth.Extensions
}

func register(p params) {
	p.Auth.AddProvider(auth.ProviderSpec{
		ID: "microsoft",
		Scopes: auth.Scopes{
			Required:  []string{"email", "openid", "offline_access", "user.read"},
			Transform: scopes,
		},
		Resolvers:    resolvers(),
		Environments: auth.Environments(p.Config, func(_ string, c Config) auth.Provider { return New(c, nil) }),
	})
}

// scopes keeps the scopes of two APIs apart: Entra ID issues a token for one of them.
func scopes(union, requested []string) []string {
	if !slices.ContainsFunc(requested, func(s string) bool { return strings.Contains(s, "/") }) {
		return union
	}
	out := slices.Clone(requested)
	if !slices.Contains(out, "offline_access") {
		out = append(out, "offline_access")
	}
	return out
}

func resolvers() map[string]auth.SignInResolver {
	return map[string]auth.SignInResolver{
		"emailMatchingUserEntityAnnotation": auth.MatchEmailAnnotation("microsoft.com/email"),
		"userIdMatchingUserEntityAnnotation": auth.MatchAnnotationOf("a user ID", true, func(p auth.Profile) (string, string) {
			return "graph.microsoft.com/user-id", p.Subject
		}),
	}
}

// New returns the client of an application at Entra ID; programs that do not use fx start
// here. Without a transport it is http.DefaultTransport.
func New(c Config, transport http.RoundTripper) *Provider {
	base := "https://login.microsoftonline.com/" + c.TenantID + "/oauth2/v2.0"
	p := &Provider{skipProfile: c.SkipUserProfile, oneTenant: !slices.Contains([]string{"common", "organizations", "consumers"}, strings.ToLower(c.TenantID))}
	p.Client = oauth.Client{
		Credentials:  oauth.Credentials{ID: c.ClientID, Secret: c.ClientSecret},
		AuthorizeURL: base + "/authorize",
		TokenURL:     base + "/token",
		Challenge:    "S256",
		SendNonce:    true,
		HTTP:         oauth.HTTPClient(transport, 0),
	}
	if c.DomainHint != "" {
		p.Params = map[string]string{"domain_hint": c.DomainHint}
	}
	return p
}
