package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth/authtest"
	"github.com/callboard-dev/callboard/internal/testbed/oidctest"
	"github.com/callboard-dev/callboard/internal/wiretest"
)

// staff is a catalog with those who work at Acme. Dave does not.
const staff = `
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: platform}
spec: {type: team, children: []}
---
apiVersion: backstage.io/v1alpha1
kind: User
metadata: {name: alice}
spec: {profile: {email: alice@acme.test}, memberOf: [platform]}
---
apiVersion: backstage.io/v1alpha1
kind: User
metadata: {name: bob}
spec: {profile: {email: bob@acme.test}, memberOf: [platform]}
---
apiVersion: backstage.io/v1alpha1
kind: User
metadata: {name: carol}
spec: {memberOf: [platform]}
`

// accounts are those at the identity provider.
var accounts = []oidctest.User{
	{Name: "alice", Display: "Alice", Email: "Alice@acme.test", Verified: true},
	{Name: "bob", Display: "Bob", Email: "bob@acme.test", Verified: false},
	{Name: "carol", Display: "Carol"},
	{Name: "dave", Display: "Dave", Email: "dave@acme.test", Verified: true},
}

// providers are the OpenID providers that others have written, and how each is asked for a
// refresh token.
var providers = []struct {
	name   string
	start  func(testing.TB, string, ...oidctest.User) *oidctest.Server
	prompt string
}{
	{"zitadel", oidctest.Zitadel, "auto"},
	{"panva", oidctest.Panva, "consent"},
}

// acme starts a portal at which staff sign in with an OpenID provider.
func acme(t *testing.T, app, database string, start func(testing.TB, string, ...oidctest.User) *oidctest.Server, prompt string) (*process, *oidctest.Server) {
	t.Helper()
	base := "http://" + strings.Replace(freeAddress(t), "127.0.0.1", "localhost", 1)
	idp := start(t, base+"/api/auth/oidc/handler/frame", accounts...)
	p := launch(t, write(t, "app-config.yaml", fmt.Sprintf(`
app: {baseUrl: %[9]q}
backend:
  baseUrl: %[1]s
  listen: %[2]q
  cors: {origin: %[9]q, credentials: true}
  auth: {externalAccess: [{type: static, options: {token: %[3]s, subject: test}}]}
auth:
  environment: production
  session: {secret: the-secret-of-a-test}
  providers:
    oidc:
      production:
        metadataUrl: %[4]s/.well-known/openid-configuration
        clientId: %[5]s
        clientSecret: %[6]s
        prompt: %[7]s
        additionalScopes: [offline_access]
        signIn:
          resolvers:
            - resolver: emailMatchingUserEntityProfileEmail
            - resolver: emailLocalPartMatchingUserEntityName
catalog:
  rules: [{allow: [User, Group]}]
  locations: [{type: file, target: %[8]q}]
`, base, strings.TrimPrefix(base, "http://"), wiretest.StaticToken, idp.Issuer, idp.ClientID, idp.ClientSecret, prompt, write(t, "staff.yaml", staff), app)), write(t, "database.yaml", database))
	p.ready(t)
	p.url = base
	settled(t, p.url, 4)
	return p, idp
}

// TestSignInWithOpenIDProviders is the table of the production guide: who may sign in, and
// what the others are told.
func TestSignInWithOpenIDProviders(t *testing.T) {
	for _, provider := range providers {
		t.Run(provider.name, func(t *testing.T) {
			databases(t, func(t *testing.T, database string) {
				p, idp := acme(t, "http://localhost:3000", database, provider.start, provider.prompt)
				for _, tt := range []struct {
					who, user string // user is empty for those who may not sign in
					says      string
				}{
					{who: "alice", user: "user:default/alice"},
					{who: "bob", says: "does not say that it is verified"},
					{who: "carol", says: `the claim "email" is missing or empty`},
					{who: "dave", says: "unable to resolve user identity"},
				} {
					t.Run(tt.who, func(t *testing.T) {
						b := authtest.NewBrowser(p.url, p.url)
						res, err := b.SignIn("oidc", "production", idp.SignIn(tt.who))
						if err != nil {
							t.Fatal(err)
						}
						if tt.user == "" {
							refusedSignIn(t, b, res, tt.says)
							return
						}
						signedIn(t, res, tt.user)
						session(t, p, b, tt.user)
					})
				}
			})
		})
	}
}

func signedIn(t *testing.T, res authtest.Result, user string) {
	t.Helper()
	if res.Session == nil {
		t.Fatalf("the sign-in ends with %d %+v", res.Status, res.Error)
	}
	s := res.Session
	identity := s.BackstageIdentity.Identity
	if identity.Type != "user" || identity.UserEntityRef != user || strings.Join(identity.OwnershipEntityRefs, " ") != user+" group:default/platform" {
		t.Errorf("the identity is %+v", identity)
	}
	if s.BackstageIdentity.Token == "" || s.ProviderInfo.AccessToken == "" || s.ProviderInfo.IDToken == "" || s.Profile.Email == "" || s.Profile.DisplayName == "" {
		t.Errorf("the session lacks something: %+v", s)
	}
	for _, scope := range []string{"openid", "profile", "email", "offline_access"} {
		if !strings.Contains(" "+s.ProviderInfo.Scope+" ", " "+scope+" ") {
			t.Errorf("the scope %q lacks %s", s.ProviderInfo.Scope, scope)
		}
	}
}

// session goes on with a sign-in: the token is good for the catalog, refreshes give new
// ones, and a sign-out is the end.
func session(t *testing.T, p *process, b *authtest.Browser, user string) {
	t.Helper()
	for range 3 { // the identity provider rotates its refresh token
		res, err := b.Refresh("oidc", "production")
		if err != nil {
			t.Fatal(err)
		}
		signedIn(t, res, user)
		r, err := http.NewRequest(http.MethodGet, p.url+"/api/catalog/entities/by-name/user/default/alice", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+res.Session.BackstageIdentity.Token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("the catalog answers the token with %s", resp.Status)
		}
	}
	if res, err := b.SignOut("oidc", "production"); err != nil || res.Status != http.StatusOK {
		t.Errorf("the sign-out is answered with %d %+v, %v", res.Status, res.Error, err)
	}
	if res, err := b.Refresh("oidc", "production"); err != nil || res.Status != http.StatusUnauthorized || len(b.Cookies("oidc")) != 0 {
		t.Errorf("after the sign-out: %d, cookies %v, %v", res.Status, b.Cookies("oidc"), err)
	}
}

func refusedSignIn(t *testing.T, b *authtest.Browser, res authtest.Result, says string) {
	t.Helper()
	if res.Error == nil || res.Error.Name != "Error" || !strings.Contains(res.Error.Message, says) {
		t.Errorf("the sign-in ends with %d %+v %+v, want %q", res.Status, res.Error, res.Session, says)
	}
	if have := b.Cookies("oidc"); len(have) != 0 {
		t.Errorf("the sign-in leaves the cookies %v", have)
	}
	if res, err := b.Refresh("oidc", "production"); err != nil || res.Status != http.StatusUnauthorized {
		t.Errorf("a refresh after it is answered with %d, %v", res.Status, err)
	}
}
