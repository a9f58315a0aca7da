package auth_test

import (
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth"
)

// TestLookalikesAreOthers holds that comparisons in any case mean the case of ASCII letters:
// U+212A, the sign of Kelvin, is k in lower case for Unicode, and so for the catalog's
// search, and somebody else's address for the servers of e-mail.
func TestLookalikesAreOthers(t *testing.T) {
	t.Parallel()
	const kelvin = "\u212a"
	i := &idp{people: people()}
	address := func(s string) auth.Profile { return auth.Profile{Subject: s, Email: s, EmailVerified: true} }
	i.people["local"] = address("s" + kelvin + "y@kites.example")
	i.people["domain"] = address("sky@" + kelvin + "ites.example")
	i.people["tagged-domain"] = address("sky+x@" + kelvin + "ites.example")
	i.people["itself"] = address("SKY@Kites.example")
	module := i.module("idp", auth.Scopes{Required: []string{"openid"}, Persist: true})
	for _, resolver := range []string{"emailMatchingUserEntityProfileEmail", "byAddress", "emailMatchingUserEntityProfileEmail, allowedDomains: [kites.example]", "emailLocalPartMatchingUserEntityName, allowedDomains: [kites.example]"} {
		t.Run(resolver, func(t *testing.T) {
			yaml := strings.Replace(production, "[{resolver: emailMatchingUserEntityProfileEmail}, {resolver: emailLocalPartMatchingUserEntityName}]", "[{resolver: "+resolver+"}]", 1)
			p := openWith(t, yaml, i, module, resolverModule("byAddress", auth.MatchEmailAnnotation("acme.example/email")))
			for _, who := range []string{"local", "domain", "tagged-domain"} {
				if m, _ := p.browser().signIn(who, ""); m.Error == nil {
					t.Errorf("%s is signed in as %+v", i.people[who].Email, m.Response.BackstageIdentity.Identity)
				}
			}
			if m, _ := p.browser().signIn("itself", ""); m.Response == nil || m.Response.BackstageIdentity.Identity.UserEntityRef != "user:default/sky" {
				t.Errorf("another case: %+v", m.Error)
			}
		})
	}
}
