package auth_test

import (
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth"
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
