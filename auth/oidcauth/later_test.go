package oidcauth_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth/authtest"
)

// atSignInOnly are misbehaviours that a refresh does not meet, since no browser is sent
// anywhere, there is no nonce, and no ID token has to come (OpenID Connect Core, 12.2).
func atSignInOnly(m authtest.Misbehaviour) bool {
	for _, part := range []string{"the browser comes back", "the answer ", "the code ", "the sign-in ", "nonce", "there is no ID token", "the ID token is a number"} {
		if strings.Contains(m.Name, part) {
			return true
		}
	}
	return m.AtStart
}

// TestAnIssuerThatMisbehavesLater has the misbehaviours begin after the sign-in: a refresh
// is refused and audited, and nobody gets a token out of it.
func TestAnIssuerThatMisbehavesLater(t *testing.T) {
	t.Parallel()
	ways := slices.DeleteFunc(authtest.Misbehaviours(), func(m authtest.Misbehaviour) bool { return m.Slow || atSignInOnly(m) })
	if len(ways) < 40 {
		t.Errorf("there are %d misbehaviours of this kind, want 40", len(ways))
	}
	env := func(i int) string { return fmt.Sprintf("way-%d", i) }
	all := issuers{}
	for i := range ways {
		all[env(i)] = authtest.StartOIDC(t, authtest.Options{TLS: true})
	}
	p := openAll(t, all, nil)
	for i, m := range ways {
		t.Run(m.Name, func(t *testing.T) {
			o, b := all[env(i)], p.browser()
			if res, err := b.SignIn("oidc", env(i), o.SignIn); err != nil || res.Session == nil {
				t.Fatalf("the sign-in: %d %+v, %v", res.Status, res.Error, err)
			}
			o.Misbehave(m)
			before := len(p.audit.Events())
			res, err := b.Refresh("oidc", env(i))
			if err != nil {
				t.Fatal(err)
			}
			if res.Status != http.StatusUnauthorized || res.Error == nil || res.Error.Name != "AuthenticationError" || !strings.HasPrefix(res.Error.Message, "Refresh failed; caused by "+m.ErrorName) {
				t.Errorf("%d %+v, want %s", res.Status, res.Error, m.ErrorName)
			}
			if strings.Contains(res.Body, "<script>") {
				t.Errorf("the answer has the issuer's markup: %s", res.Body)
			}
			events := p.audit.Events()[before:]
			if len(events) != 1 || events[0].ID != "sign-in" || events[0].Status != "failed" || events[0].Outcome["error.name"] != m.ErrorName {
				t.Errorf("audited %+v", events)
			}
			if n := o.Requests(authtest.Stolen); n != 0 {
				t.Errorf("the client has sent %d requests to where the issuer had no business to send it", n)
			}
		})
	}
}
