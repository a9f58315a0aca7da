package oidcauth_test

import (
	"net/http"
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
	all, ways := issuers{}, authtest.Misbehaviours()
	for i, m := range ways {
		if !atSignInOnly(m) && !m.Slow {
			all[way(i)] = authtest.StartOIDC(t, authtest.Options{TLS: true})
		}
	}
	p := openAll(t, all, nil)
	tried := 0
	for i, m := range ways {
		o := all[way(i)]
		if o == nil {
			continue
		}
		tried++
		t.Run(m.Name, func(t *testing.T) {
			b := p.browser()
			if res, err := b.SignIn("oidc", way(i), o.SignIn); err != nil || res.Session == nil {
				t.Fatalf("the sign-in: %d %+v, %v", res.Status, res.Error, err)
			}
			before := len(p.audit.Events())
			o.Misbehave(m)
			res, err := b.Refresh("oidc", way(i))
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
	if tried < 40 {
		t.Errorf("%d misbehaviours were tried, want 40", tried)
	}
}

// TestAHiccupOfTheIssuerEndsNoSession: the issuer gives out a new refresh token, and then
// fails. It ends sessions whose old token is used again, so that this must not be.
func TestAHiccupOfTheIssuerEndsNoSession(t *testing.T) {
	t.Parallel()
	o := authtest.StartOIDC(t, authtest.Options{TLS: true})
	p := open(t, o, "")
	b := p.browser()
	if res, err := b.SignIn("oidc", production, o.SignIn); err != nil || res.Session == nil {
		t.Fatalf("the sign-in: %d %+v, %v", res.Status, res.Error, err)
	}
	tried := 0
	for _, m := range authtest.Misbehaviours() {
		if m.Name != "the userinfo fails with a page" && m.Name != "the key set fails with a page" && m.Name != "the ID token is of another client" {
			continue
		}
		tried++
		o.Misbehave(m)
		if res, err := b.Refresh("oidc", production); err != nil || m.Name != "the key set fails with a page" && res.Status != http.StatusUnauthorized {
			t.Errorf("%s: %d, %v, want a refusal", m.Name, res.Status, err)
		}
		o.Misbehave(authtest.Misbehaviour{})
		if res, err := b.Refresh("oidc", production); err != nil || res.Status != http.StatusOK {
			t.Errorf("%s: afterwards %d %+v, %v", m.Name, res.Status, res.Error, err)
		}
	}
	if tried < 2 {
		t.Errorf("%d hiccups were tried", tried)
	}
}
