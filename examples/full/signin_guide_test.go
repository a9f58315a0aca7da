package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth/authtest"
	"github.com/callboard-dev/callboard/internal/wiretest"
)

// guideAuth is the section auth of the production guide. Only the address of the identity
// provider is another one.
const guideAuth = `
auth:
  environment: production
  session:
    secret: ${SESSION_SECRET}
  providers:
    oidc:
      production:
        metadataUrl: %s/.well-known/openid-configuration
        clientId: ${OKTA_CLIENT_ID}
        clientSecret: ${OKTA_CLIENT_SECRET}
        prompt: auto
        scope: 'openid profile email groups'
        signIn:
          resolvers:
            - resolver: emailMatchingUserEntityProfileEmail
            - resolver: emailLocalPartMatchingUserEntityName
`

// TestTheAuthSectionOfTheGuide signs in with the section as it stands, and goes on with its
// secret replaced and moved, as the page about sign-in says that it can be.
func TestTheAuthSectionOfTheGuide(t *testing.T) {
	account := func(subject, email string) authtest.User {
		return authtest.User{Subject: subject, Claims: map[string]any{"name": subject, "email": email, "email_verified": true}}
	}
	idp := authtest.StartOIDC(t, authtest.Options{Users: []authtest.User{
		account("alice", "alice@acme.test"), account("carol", "carol@acme.test"), account("dave", "dave@acme.test"),
	}})
	const old, renewed, other = "the-old-secret-of-a-test", "the-new-secret-of-a-test", "another-secret-of-a-test"
	t.Setenv("SESSION_SECRET", old)
	t.Setenv("OKTA_CLIENT_ID", authtest.ClientID)
	t.Setenv("OKTA_CLIENT_SECRET", authtest.ClientSecret)
	base := "http://" + strings.Replace(freeAddress(t), "127.0.0.1", "localhost", 1)
	portal := write(t, "app-config.yaml", fmt.Sprintf(`
app: {baseUrl: 'http://localhost:3000'}
backend:
  baseUrl: %[1]s
  listen: %[2]q
  auth: {externalAccess: [{type: static, options: {token: %[3]s, subject: test}}]}
catalog:
  rules: [{allow: [User, Group]}]
  locations: [{type: file, target: %[4]q}]
`, base, strings.TrimPrefix(base, "http://"), wiretest.StaticToken, write(t, "staff.yaml", staff)))
	database := write(t, "database.yaml", sqlite(t))
	guide := fmt.Sprintf(guideAuth, idp.URL)
	var running *process
	start := func(auth string) {
		t.Helper()
		if running != nil {
			if err := running.cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if err := running.cmd.Wait(); err != nil {
				t.Fatalf("stopping: %v", err)
			}
		}
		running = launch(t, portal, database, write(t, "auth.yaml", auth))
		running.ready(t)
	}
	start(guide)
	settled(t, base, 4)
	browsers := map[string]*authtest.Browser{}
	for who, user := range map[string]string{"alice": "user:default/alice", "carol": "user:default/carol", "dave": ""} {
		idp.As(who)
		b := authtest.NewBrowser(base, base)
		browsers[who] = b
		res, err := b.SignIn("oidc", "production", idp.SignIn)
		if err != nil {
			t.Fatal(err)
		}
		if user == "" {
			refusedSignIn(t, b, res, "unable to resolve user identity")
			continue
		}
		if res.Session == nil || res.Session.BackstageIdentity.Identity.UserEntityRef != user || res.Session.ProviderInfo.Scope != "openid profile email groups" {
			t.Fatalf("%s signs in with %d %+v %+v", who, res.Status, res.Error, res.Session)
		}
	}
	session := func(secret string) string {
		return strings.Replace(guide, "    secret: ${SESSION_SECRET}\n", "    secret: "+secret+"\n", 1)
	}
	keys := func(secretKeys string) string {
		return strings.Replace(guide, "  session:\n    secret: ${SESSION_SECRET}\n", "", 1) + "backend: {secretKeys: " + secretKeys + "}\n"
	}
	for _, tt := range []struct {
		name, auth string
		want       int
	}{
		{"as before", guide, http.StatusOK},
		{"a new secret in front", session("[" + renewed + ", " + old + "]"), http.StatusOK},
		{"the old one is taken out", session(renewed), http.StatusOK},
		{"it becomes a key of the backend", keys(renewed), http.StatusOK},
		{"with another one in front", keys("[" + other + ", " + renewed + "]"), http.StatusOK},
		{"which is the only one now", keys("[" + other + "]"), http.StatusOK},
		{"one that nothing was sealed with", keys("[" + old + "]"), http.StatusUnauthorized},
	} {
		start(tt.auth)
		res, err := browsers["alice"].Refresh("oidc", "production")
		if err != nil || res.Status != tt.want {
			t.Fatalf("%s: a refresh is answered with %d %+v, %v, want %d", tt.name, res.Status, res.Error, err, tt.want)
		}
	}
}
