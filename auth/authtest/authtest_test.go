package authtest_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/authtest"
	"github.com/callboard-dev/callboard/auth/oauth"
	"github.com/callboard-dev/callboard/backend/config"
)

// plain is a provider for the issuer that takes its word for everything.
func plain(o *authtest.OIDC) auth.Provider {
	c := &oauth.Client{
		Credentials:  oauth.Credentials{ID: authtest.ClientID, Secret: config.NewSecret(authtest.ClientSecret)},
		AuthorizeURL: o.URL + authtest.Authorization, TokenURL: o.URL + authtest.TokenEndpoint,
		Basic: true, Challenge: "S256", SendNonce: true, HTTP: o.Client(),
	}
	c.Profile = func(ctx context.Context, t oauth.Token, _ string) (auth.Profile, error) {
		var who struct{ Sub, Email, Name string }
		if err := c.Get(ctx, o.URL+authtest.UserInfo, t.AccessToken, &who); err != nil {
			return auth.Profile{}, err
		}
		return auth.Profile{Subject: who.Sub, Email: who.Email, EmailVerified: true, DisplayName: who.Name}, nil
	}
	return c
}

func TestTheIssuerServesClientsThatBehave(t *testing.T) {
	for _, tls := range []bool{false, true} {
		authtest.RunProvider(t, func(t *testing.T) authtest.ProviderCase {
			o := authtest.StartOIDC(t, authtest.Options{TLS: tls})
			return authtest.ProviderCase{
				Provider: plain(o), Replica: plain(o), SignIn: o.SignIn,
				Subject: "alice-1", Scope: "openid profile", Secret: authtest.ClientSecret,
			}
		})
	}
}

func TestResolversOfThePluginKeepTheRules(t *testing.T) {
	users := authtest.Users{
		authtest.Named("alice", "alice@acme.test", "acme.test/id", "A1"),
		authtest.Named("bob", "bob@acme.test", "acme.test/id", "B1"),
	}
	id := func(p auth.Profile) string { return p.Subject }
	for name, c := range map[string]struct {
		resolver       auth.SignInResolver
		known, unknown auth.Profile
	}{
		"email": {auth.MatchEmail(true), auth.Profile{Email: "alice@acme.test", EmailVerified: true}, auth.Profile{Email: "eve@acme.test", EmailVerified: true}},
		"name":  {auth.MatchName("a username", id), auth.Profile{Subject: "alice"}, auth.Profile{Subject: "eve"}},
		"annotation": {
			auth.MatchAnnotation("acme.test/id", "an id", id),
			auth.Profile{Subject: "a1"}, auth.Profile{Subject: "E1"},
		},
		"exact": {
			auth.MatchAnnotationOf("an id", true, func(p auth.Profile) (string, string) { return "acme.test/id", p.Subject }),
			auth.Profile{Subject: "A1"}, auth.Profile{Subject: "E1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			authtest.RunResolver(t, func(*testing.T) authtest.ResolverCase {
				return authtest.ResolverCase{Resolver: c.resolver, Users: users, Known: c.known, Unknown: c.unknown, Want: "user:default/alice"}
			})
		})
	}
}

// signIn returns the answer of the token endpoint.
func signIn(t *testing.T, o *authtest.OIDC) map[string]any {
	t.Helper()
	f := auth.Flow{RedirectURL: "http://localhost/cb", Scope: "openid", State: "s", Nonce: "n", Verifier: strings.Repeat("v", 43)}
	p := plain(o).(*oauth.Client)
	address, err := p.Start(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	back, err := o.SignIn(address)
	if err != nil {
		t.Fatal(err)
	}
	token, err := p.Exchange(t.Context(), f, back.Query())
	if err != nil {
		t.Fatal(err)
	}
	return token.Fields
}

func post(t *testing.T, o *authtest.OIDC, endpoint string, form url.Values) int {
	t.Helper()
	form.Set("client_id", authtest.ClientID)
	form.Set("client_secret", authtest.ClientSecret)
	resp, err := o.Client().PostForm(o.URL+endpoint, form)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestAReusedRefreshTokenEndsTheFamily(t *testing.T) {
	o := authtest.StartOIDC(t, authtest.Options{})
	first := signIn(t, o)["refresh_token"].(string)
	p := plain(o).(*oauth.Client)
	token, err := p.Renew(t.Context(), first, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Renew(t.Context(), first, ""); !errors.Is(err, auth.ErrSessionEnded) {
		t.Errorf("the used up token is answered with %v", err)
	}
	if _, err := p.Renew(t.Context(), token.RefreshToken, ""); !errors.Is(err, auth.ErrSessionEnded) {
		t.Errorf("the newest token is answered with %v after the reuse", err)
	}
}

func TestRevokedTokensAreWorthNothing(t *testing.T) {
	o := authtest.StartOIDC(t, authtest.Options{})
	fields := signIn(t, o)
	if status := post(t, o, authtest.Revocation, url.Values{"token": {fields["refresh_token"].(string)}}); status != http.StatusOK {
		t.Errorf("the revocation is answered with %d", status)
	}
	if status := post(t, o, authtest.TokenEndpoint, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {fields["refresh_token"].(string)}}); status != http.StatusBadRequest {
		t.Errorf("the refresh is answered with %d", status)
	}
}

func TestKeysRotate(t *testing.T) {
	o := authtest.StartOIDC(t, authtest.Options{})
	header := func() (h struct{ Kid, Alg, Typ string }) {
		text, _, _ := strings.Cut(signIn(t, o)["id_token"].(string), ".")
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err == nil {
			err = json.Unmarshal(b, &h)
		}
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	one := header()
	o.RotateKeys()
	if two := header(); one.Kid == two.Kid || two.Alg != "RS256" {
		t.Errorf("the headers are %v and %v", one, two)
	}
}

func TestMisbehavioursAreManyAndHaveNamesOfTheirOwn(t *testing.T) {
	all := authtest.Misbehaviours()
	names := map[string]bool{}
	for _, m := range all {
		if m.Name == "" || names[m.Name] || m.ErrorName == "" {
			t.Errorf("%+v has no name of its own, or no error name", m)
		}
		names[m.Name] = true
	}
	if len(all) < 40 {
		t.Errorf("there are %d, want 40", len(all))
	}
}
