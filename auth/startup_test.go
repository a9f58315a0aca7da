package auth_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/guestauth"
	"github.com/callboard-dev/callboard/auth/oidcauth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
)

// boot starts a production backend, and returns why it does not start, and what it logged.
// Check, which is --check, must say the same without starting.
func boot(t *testing.T, yaml string, features ...backend.Feature) (why, log string) {
	t.Helper()
	cfg, err := backendtest.Config(t, yaml)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.NewTextHandler(&out, nil)), backend.Rehearse())
	unstarted := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))
	for _, b := range []*backend.Backend{b, unstarted} {
		b.Add(features...)
	}
	err = b.Start(t.Context())
	if checked := unstarted.Check(); fmt.Sprint(checked) != fmt.Sprint(err) {
		t.Errorf("--check says %v, the start %v", checked, err)
	}
	if err != nil {
		var boot *backend.BootError
		if !errors.As(err, &boot) {
			t.Fatal(err)
		}
		return err.Error(), out.String()
	}
	if err := b.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	return "", out.String()
}

// TestWhatDoesNotStart holds the texts by which operators find what is wrong: the key, the
// place, what was expected, and what to do (contract/auth.md section 5.4).
func TestWhatDoesNotStart(t *testing.T) {
	t.Parallel()
	const oidc = `
auth:
  session: {secret: a-secret-of-these-tests}
  providers:
    oidc:
      production:
        metadataUrl: https://idp.example/.well-known/openid-configuration
        clientId: id
        clientSecret: not-so-secret
        signIn:
          resolvers:
            - resolver: emailMatchingUserEntityProfileEmail
`
	change := func(old, new string) string {
		if !strings.Contains(oidc, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(oidc, old, new, 1)
	}
	for _, tt := range []struct {
		name, yaml string
		want       []string // none: it starts
	}{
		{"as it should be", oidc, nil},
		{"the key scope of earlier versions", change("clientId: id", "clientId: id\n        scope: 'openid profile email groups'"), nil},
		{"a resolver that is misspelt", change("emailMatchingUserEntityProfileEmail", "emailMatchingUserEntityProfilEmail"), []string{
			"auth.providers.oidc.production.signIn.resolvers[0].resolver: sign-in resolver 'emailMatchingUserEntityProfilEmail' is not available; did you mean emailMatchingUserEntityProfileEmail? This provider knows emailLocalPartMatchingUserEntityName, emailMatchingUserEntityProfileEmail, preferredUsernameMatchingUserEntityName, subClaimMatchingUserEntityAnnotation (app-config.yaml:12:25)"}},
		{"a resolver of another provider", change("emailMatchingUserEntityProfileEmail", "userIdMatchingUserEntityAnnotation"), []string{
			"sign-in resolver 'userIdMatchingUserEntityAnnotation' is not available; ", "his provider knows emailLocalPartMatchingUserEntityName, emailMatchingUserEntityProfileEmail, preferredUsernameMatchingUserEntityName, subClaimMatchingUserEntityAnnotation"}},
		{"an option that the resolver does not have", change("ProfileEmail\n", "ProfileEmail\n              allowedDomain: [acme.example]\n"), []string{
			"auth.providers.oidc.production.signIn.resolvers[0].allowedDomain", "allowedDomains", "(app-config.yaml:13:"}},
		{"an option of the wrong type", change("ProfileEmail\n", "ProfileEmail\n              allowedDomains: acme.example\n"), []string{
			"resolvers[0].allowedDomains: expected a list", "(app-config.yaml:13:31)"}},
		{"a required option that is missing", change("emailMatchingUserEntityProfileEmail", "subClaimMatchingUserEntityAnnotation"), []string{
			"auth.providers.oidc.production.signIn.resolvers[0].annotation: required key is missing (app-config.yaml:12:"}},
		{"no name of a resolver", change("- resolver: emailMatchingUserEntityProfileEmail", "- allowedDomains: []"), []string{
			"auth.providers.oidc.production.signIn.resolvers[0].resolver: required key is missing"}},
		{"no resolver at all", change("- resolver: emailMatchingUserEntityProfileEmail", "[]"), []string{
			"auth.providers.oidc.production.signIn.resolvers: nobody can sign in: no provider (oidc) has a sign-in resolver, and there is no default one (app-config.yaml:12:13)", "fix: list one"}},
		{"no resolver beside a guest whom production refuses", strings.Replace(change("- resolver: emailMatchingUserEntityProfileEmail", "[]"), "  providers:\n", "  providers:\n    guest: {}\n", 1), []string{
			"auth.providers.oidc.production.signIn.resolvers: nobody can sign in: no provider (oidc) has a sign-in resolver, and there is no default one: guest refuses everybody in this environment (app-config.yaml:13:13)", "fix: list one"}},
		{"no resolver beside a guest", strings.Replace(change("- resolver: emailMatchingUserEntityProfileEmail", "[]"), "  providers:\n", "  providers:\n    guest: {dangerouslyAllowOutsideDevelopment: true}\n", 1), nil},
		{"no secret", change("secret: a-secret-of-these-tests", ""), []string{
			"auth.session.secret: required key is missing, and so is backend.secretKeys: the sign-in with oidc seals its cookies with one of them (app-config.yaml:3:3)", "fix: make one with: openssl rand -base64 32"}},
		{"a secret that is none", change("a-secret-of-these-tests", "changeme"), []string{
			"auth.session.secret: is shorter than 16 characters; make one with: openssl rand -base64 32 (app-config.yaml:3:21)"}},
		{"one of the secrets is none", change("a-secret-of-these-tests", "[a-secret-of-these-tests, old]"), []string{"auth.session.secret"}},
		{"several secrets", change("a-secret-of-these-tests", "[a-newer-secret-of-these-tests, a-secret-of-these-tests]"), nil},
		{"no client", change("clientId: id", "clientID: id"), []string{
			"auth.providers.oidc.production.clientId: required key is missing", "clientID"}},
		{"a callback that is no URL", change("clientId: id", "clientId: id\n        callbackUrl: /api/auth/oidc/handler/frame"), []string{
			"auth.providers.oidc.production.callbackUrl: is not an http or https URL (app-config.yaml:9:22)"}},
		{"an unknown way to show the secret", change("clientId: id", "clientId: id\n        tokenEndpointAuthMethod: none"), []string{
			`auth.providers.oidc.production.tokenEndpointAuthMethod: expected client_secret_basic or client_secret_post, got "none" (app-config.yaml:9:34)`}},
		{"an algorithm with a shared key", change("clientId: id", "clientId: id\n        tokenSignedResponseAlg: HS256"), []string{
			`auth.providers.oidc.production.tokenSignedResponseAlg: "HS256" is not one of RS256,`}},
		{"a pattern without a scheme", change("  session:", "  experimentalExtraAllowedOrigins: ['*.acme.example']\n  session:"), []string{
			`auth.experimentalExtraAllowedOrigins[0]: "*.acme.example" does not begin with http:// or https:// (app-config.yaml:3:37)`}},
		{"a guest that is no reference", "auth: {providers: {guest: {userEntityRef: 'a:b:c/'}}}", []string{
			"auth.providers.guest.userEntityRef: ", "(app-config.yaml:1:43)"}},
		{"a guest that is a group", "auth: {providers: {guest: {userEntityRef: 'group:default/guests'}}}", []string{
			"auth.providers.guest.userEntityRef: group:default/guests is not a user (app-config.yaml:1:43)"}},
		{"keys in Firestore", "auth: {keyStore: {provider: firestore}}", []string{
			"auth.keyStore.provider: firestore is not supported: use database, which all replicas share, too (app-config.yaml:1:29)"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			why, _ := boot(t, tt.yaml, auth.Plugin(), oidcauth.Module(), guestauth.Module())
			if len(tt.want) == 0 && why != "" {
				t.Errorf("does not start: %s", why)
			}
			for _, want := range tt.want {
				if !strings.Contains(why, want) {
					t.Errorf("%q is not in: %s", want, why)
				}
			}
			if strings.Contains(why, "not-so-secret") || strings.Contains(why, "a-secret") {
				t.Errorf("shows a secret: %s", why)
			}
		})
	}
}

// TestProvidersWithPeopleInCommon holds that two providers that go by e-mail are told of,
// or refused, unless their domains differ (contract/auth.md section 6.3).
func TestProvidersWithPeopleInCommon(t *testing.T) {
	t.Parallel()
	yaml := func(rules, one, other string) string {
		return `
auth:
  session: {secret: a-secret-of-these-tests}
  signIn: {` + rules + `}
  providers:
    one: {production: {clientId: id, clientSecret: x, signIn: {resolvers: [{resolver: emailMatchingUserEntityProfileEmail` + one + `}]}}}
    other: {production: {clientId: id, clientSecret: x, signIn: {resolvers: [{resolver: emailLocalPartMatchingUserEntityName` + other + `}]}}}
`
	}
	const acme, corp = ", allowedDomains: [acme.example]", ", allowedDomains: [Corp.example, '@corp.test']"
	for _, tt := range []struct{ name, rules, one, other, boot, log string }{
		{"open, warned", "", "", "", "", "one and other both go by e-mail"},
		{"half open, warned", "", acme, "", "", "one and other both go by e-mail"},
		{"in common, warned", "", acme, acme, "", "both sign in people of acme.example"},
		{"exclusive", "", acme, corp, "", ""},
		{"open, refused", "requireExclusiveDomains: true", "", "", "auth.signIn.requireExclusiveDomains: one and other both go by e-mail, and not both say for which domains (app-config.yaml:4:", ""},
		{"in common, refused", "requireExclusiveDomains: true", acme, acme, "one and other both sign in people of acme.example", ""},
		{"exclusive, allowed", "requireExclusiveDomains: true", acme, corp, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			i := &idp{}
			why, log := boot(t, yaml(tt.rules, tt.one, tt.other), auth.Plugin(), i.module("one", auth.Scopes{}), i.module("other", auth.Scopes{}))
			if (why != "") != (tt.boot != "") || !strings.Contains(why, tt.boot) {
				t.Errorf("boot: %s, want %q", why, tt.boot)
			}
			if strings.Contains(log, "two providers could sign in the same user") != (tt.log != "") || !strings.Contains(log, tt.log) {
				t.Errorf("log: %s, want %q", log, tt.log)
			}
		})
	}
}

// TestWhatIsToldAtEachStart holds the warnings about what lets people in.
func TestWhatIsToldAtEachStart(t *testing.T) {
	t.Parallel()
	_, log := boot(t, `
auth:
  session: {secret: a-secret-of-these-tests}
  providers:
    guest: {dangerouslyAllowOutsideDevelopment: true}
    github: {production: {clientId: x}}
    one: {production: {clientId: id, clientSecret: x, scope: a, signIn: {resolvers: [{resolver: emailMatchingUserEntityProfileEmail, dangerouslyAllowSignInWithoutUserInCatalog: true}]}}}
`, auth.Plugin(), guestauth.Module(), (&idp{}).module("one", auth.Scopes{}))
	for _, want := range []string{
		"everybody who reaches this portal can sign in as guest",
		"people are signed in who are not in the catalog", "who is added to the catalog under that name later is the same user to every plugin",
		"a sign-in is configured that no module of this backend knows", "fix=backend.Add(githubauth.Module())",
		"the key scope is deprecated: use additionalScopes",
		"callback=http://localhost:7007/api/auth/one/handler/frame", `cookies="HttpOnly; SameSite=Lax; Path=/api/auth/one"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q: %s", want, log)
		}
	}
}

// TestTwoOfOneName holds that modules cannot shadow each other.
func TestTwoOfOneName(t *testing.T) {
	t.Parallel()
	for name, features := range map[string][]backend.Feature{
		`there are two auth providers with the id "one"`:                                      {(&idp{}).module("one", auth.Scopes{}), renamed("second", func(x *auth.Extensions) { x.AddProxyProvider(auth.ProxySpec{ID: "one"}) })},
		`there are two sign-in resolvers with the name "mine"`:                                {resolverModule("mine", nil), renamed("second", func(x *auth.Extensions) { x.AddResolver("mine", nil) })},
		`there are two sign-in resolvers with the name "emailMatchingUserEntityProfileEmail"`: {renamed("second", func(x *auth.Extensions) { x.AddResolver("emailMatchingUserEntityProfileEmail", nil) })},
		`two modules replace the ownership of users`:                                          {renamed("a", func(x *auth.Extensions) { x.SetOwnership(noOwnership) }), renamed("b", func(x *auth.Extensions) { x.SetOwnership(noOwnership) })},
	} {
		if why, _ := boot(t, "auth: {}", append(features, auth.Plugin())...); !strings.Contains(why, name) {
			t.Errorf("%q is not in: %s", name, why)
		}
	}
}
