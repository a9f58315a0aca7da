package auth_test

import (
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/gcpiapauth"
	"github.com/callboard-dev/callboard/auth/googleauth"
	"github.com/callboard-dev/callboard/auth/microsoftauth"
	"github.com/callboard-dev/callboard/auth/oktaauth"
)

// TestAddressesOfAnnotations holds that a resolver by an annotation with the address tells
// an address that is not verified from none, with the claim and its own name.
func TestAddressesOfAnnotations(t *testing.T) {
	t.Parallel()
	yaml := strings.Replace(production, "emailMatchingUserEntityProfileEmail", "byAddress", 1)
	p := open(t, yaml, resolverModule("byAddress", auth.MatchEmailAnnotation("acme.example/email")))
	for who, says := range map[string][]string{
		"unverified": {"sign-in resolver byAddress: ", "the identity provider sent one", `is verified (claim "email_verified")`},
		"nomail":     {"sign-in resolver byAddress: ", `the claim "email" is missing or empty`},
	} {
		m, _ := p.browser().signIn(who, "")
		if m.Error == nil {
			t.Errorf("%s is signed in as %+v", who, m.Response.BackstageIdentity)
			continue
		}
		for _, want := range says {
			if !strings.Contains(m.Error.Message, want) {
				t.Errorf("%s: %q does not say %q", who, m.Error.Message, want)
			}
		}
	}
}

// TestAnnotationsGoByEMail holds that the rule about domains in common counts the resolvers
// by an annotation with the address, of all providers that have one (contract/auth.md
// section 6.3).
func TestAnnotationsGoByEMail(t *testing.T) {
	t.Parallel()
	yaml := func(required, googles, others string) string {
		resolver := func(domains string) string {
			return "signIn: {resolvers: [{resolver: emailMatchingUserEntityAnnotation" + domains + "}]}"
		}
		return `
auth:
  session: {secret: a-secret-of-these-tests}
  signIn: {requireExclusiveDomains: ` + required + `}
  providers:
    google: {production: {clientId: id, clientSecret: x, ` + resolver(googles) + `}}
    okta: {production: {clientId: id, clientSecret: x, audience: 'https://acme.okta.test', ` + resolver(others) + `}}
    microsoft: {production: {clientId: id, clientSecret: x, tenantId: acme, ` + resolver(strings.Replace(others, "okta", "microsoft", 1)) + `}}
    gcpIap: {audience: a, ` + resolver(strings.Replace(others, "okta", "iap", 1)) + `}
`
	}
	const google, other = ", allowedDomains: [google.example]", ", allowedDomains: [okta.example]"
	for _, tt := range []struct{ name, required, google, other, boot, log string }{
		{"open, warned", "false", "", "", "", "gcpIap and google both go by e-mail"},
		{"open, refused", "true", "", "", "auth.signIn.requireExclusiveDomains: gcpIap and google both go by e-mail", ""},
		{"in common, refused", "true", google, google, "gcpIap and google both sign in people of google.example", ""},
		{"exclusive", "true", google, other, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			why, log := boot(t, yaml(tt.required, tt.google, tt.other), auth.Plugin(), googleauth.Module(), oktaauth.Module(), microsoftauth.Module(), gcpiapauth.Module())
			if (why != "") != (tt.boot != "") || !strings.Contains(why, tt.boot) {
				t.Errorf("boot: %s, want %q", why, tt.boot)
			}
			if strings.Contains(log, "two providers could sign in the same user") != (tt.log != "") || !strings.Contains(log, tt.log) {
				t.Errorf("log: %s, want %q", log, tt.log)
			}
		})
	}
	restricted := strings.Replace(production, "emailMatchingUserEntityProfileEmail", "byAddress, allowedDomains: [corp.example]", 1)
	m, _ := open(t, restricted, resolverModule("byAddress", auth.MatchEmailAnnotation("acme.example/email"))).browser().signIn("alice", "")
	if m.Error == nil || m.Error.Name != "NotAllowedError" {
		t.Errorf("an address of another domain: %+v", m)
	}
}
