package googleauth

import (
	"net/url"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/authtest"
	"github.com/callboard-dev/callboard/backend/config"
)

func google(o *authtest.OIDC) authtest.Elsewhere {
	return authtest.Elsewhere{
		authorizeURL: o.URL + authtest.Authorization, tokenURL: o.URL + authtest.TokenEndpoint,
		revokeURL: o.URL + authtest.Revocation, userinfoURL: o.URL + authtest.UserInfo,
	}
}

func open(o *authtest.OIDC) *Provider {
	return New(Config{auth.OAuthConfig{ClientID: authtest.ClientID, ClientSecret: config.NewSecret(authtest.ClientSecret)}}, google(o))
}

func TestConformance(t *testing.T) {
	authtest.RunProvider(t, func(t *testing.T) authtest.ProviderCase {
		o := authtest.StartOIDC(t, authtest.Options{})
		return authtest.ProviderCase{
			Provider: open(o), Replica: open(o), SignIn: google(o).SignIn(o),
			Subject: "alice-1", Scope: "openid", Secret: authtest.ClientSecret,
		}
	})
}

func TestTheAddressAsksForARefreshToken(t *testing.T) {
	address, err := New(Config{}, nil).Start(t.Context(), auth.Flow{Scope: "openid"})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Host != "accounts.google.com" || q.Get("access_type") != "offline" || q.Get("prompt") != "consent" || q.Get("include_granted_scopes") != "true" {
		t.Errorf("the address is %s", address)
	}
}

func TestSignOutRevokesTheSession(t *testing.T) {
	o := authtest.StartOIDC(t, authtest.Options{})
	_, s := signIn(t, o)
	if _, err := open(o).SignOut(t.Context(), s); err != nil || o.Requests(authtest.Revocation) != 1 {
		t.Errorf("%v, asked %d times", err, o.Requests(authtest.Revocation))
	}
	if _, _, err := open(o).Refresh(t.Context(), s, ""); err == nil {
		t.Error("the session goes on")
	}
}

func signIn(t *testing.T, o *authtest.OIDC) (auth.Profile, auth.Session) {
	t.Helper()
	f := auth.Flow{RedirectURL: "http://localhost/cb", Scope: "openid", State: "s", Nonce: "n", Verifier: strings.Repeat("v", 43)}
	address, err := open(o).Start(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	back, err := google(o).SignIn(o)(address)
	if err != nil {
		t.Fatal(err)
	}
	who, s, err := open(o).Callback(t.Context(), f, back.Query())
	if err != nil {
		t.Fatal(err)
	}
	return who, s
}

func TestOnlyVerifiedAddressesCount(t *testing.T) {
	for _, verified := range []any{true, false, "false"} {
		alice := authtest.Alice()
		alice.Claims["email_verified"] = verified
		who, _ := signIn(t, authtest.StartOIDC(t, authtest.Options{Users: []authtest.User{alice}}))
		if who.EmailVerified != (verified == true) {
			t.Errorf("email_verified %v: verified is %t", verified, who.EmailVerified)
		}
	}
}

// What the ID token of an issuer can have wrong that is checked without its keys.
func TestIDTokensOfOthersAreRefused(t *testing.T) {
	o := authtest.StartOIDC(t, authtest.Options{})
	for _, m := range authtest.Misbehaviours() {
		switch m.Name {
		case "the nonce of the ID token is another", "the ID token has no nonce", "the ID token is for another client",
			"the userinfo is that of another user", "the userinfo has no subject", "the ID token is garbage":
		default:
			continue
		}
		o.Misbehave(m)
		f := auth.Flow{RedirectURL: "http://localhost/cb", Scope: "openid", State: "s", Nonce: "n", Verifier: strings.Repeat("v", 43)}
		address, err := open(o).Start(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		back, err := google(o).SignIn(o)(address)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := open(o).Callback(t.Context(), f, back.Query()); err == nil {
			t.Errorf("%s: signed in", m.Name)
		}
	}
}
