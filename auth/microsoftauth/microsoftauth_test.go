package microsoftauth

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/authtest"
	"github.com/callboard-dev/callboard/backend/config"
)

const object = "11111111-2222-3333-4444-555555555555"

// entra answers like Entra ID and Graph: access tokens for other APIs than Graph are JWTs
// that Graph does not take.
func entra(t *testing.T, mail any) (*authtest.OIDC, authtest.Elsewhere) {
	t.Helper()
	alice := authtest.User{Subject: object, Claims: map[string]any{"oid": object, "name": "Alice Adams", "email": "claimed@elsewhere.test", "preferred_username": "alice@acme.test"}}
	o := authtest.StartOIDC(t, authtest.Options{
		Users: []authtest.User{alice},
		Token: func(fields map[string]any) {
			if scope, _ := fields["scope"].(string); strings.Contains(scope, "/") {
				claims, err := json.Marshal(map[string]any{"aud": "api://other", "scp": "read"})
				if err != nil {
					t.Error(err)
				}
				fields["access_token"] = "e30." + base64.RawURLEncoding.EncodeToString(claims) + ".e30"
			}
		},
		API: map[string]func(http.ResponseWriter, *http.Request, authtest.User, string){
			"GET /v1.0/me/": func(w http.ResponseWriter, _ *http.Request, u authtest.User, _ string) {
				_ = json.NewEncoder(w).Encode(map[string]any{"id": u.Subject, "displayName": "Alice Adams", "mail": mail, "userPrincipalName": "alice@acme.test"})
			},
			"GET /v1.0/me/photos/96x96/$value": func(w http.ResponseWriter, _ *http.Request, _ authtest.User, _ string) {
				w.Header().Set("Content-Type", "image/jpeg")
				_, _ = w.Write([]byte("photo"))
			},
		},
	})
	e := authtest.Elsewhere{"https://graph.microsoft.com": o.URL}
	for _, tenant := range []string{"acme", "common"} {
		e["https://login.microsoftonline.com/"+tenant+"/oauth2/v2.0"] = o.URL
	}
	return o, e
}

func configOf(tenant string) Config {
	return Config{OAuthConfig: auth.OAuthConfig{ClientID: authtest.ClientID, ClientSecret: config.NewSecret(authtest.ClientSecret)}, TenantID: tenant, DomainHint: "acme.test"}
}

func TestConformance(t *testing.T) {
	for name, scope := range map[string]string{"Graph": "email openid offline_access user.read", "another API": "openid api://other/read offline_access"} {
		t.Run(name, func(t *testing.T) {
			authtest.RunProvider(t, func(t *testing.T) authtest.ProviderCase {
				o, e := entra(t, "alice@acme.test")
				return authtest.ProviderCase{
					Provider: New(configOf("acme"), e), Replica: New(configOf("acme"), e), SignIn: e.SignIn(o),
					Subject: object, Scope: scope, Secret: authtest.ClientSecret,
				}
			})
		})
	}
}

func signIn(t *testing.T, o *authtest.OIDC, e authtest.Elsewhere, c Config, scope string) (auth.Profile, auth.Session) {
	t.Helper()
	p := New(c, e)
	f := auth.Flow{RedirectURL: "http://localhost/cb", Scope: scope, State: "s", Nonce: "n", Verifier: strings.Repeat("v", 43)}
	address, err := p.Start(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if u, err := url.Parse(address); err != nil || u.Query().Get("domain_hint") != "acme.test" {
		t.Errorf("the address is %s", address)
	}
	back, err := e.SignIn(o)(address)
	if err != nil {
		t.Fatal(err)
	}
	who, s, err := p.Callback(t.Context(), f, back.Query())
	if err != nil {
		t.Fatal(err)
	}
	return who, s
}

func TestProfiles(t *testing.T) {
	const graphScope = "openid user.read"
	skip := configOf("acme")
	skip.SkipUserProfile = true
	for _, tt := range []struct {
		name     string
		config   Config
		mail     any
		scope    string
		want     string
		verified bool
		picture  bool
	}{
		{"the mailbox of the tenant", configOf("acme"), "alice@acme.test", graphScope, "alice@acme.test", true, true},
		{"no mailbox: neither the principal name nor the claim stand in", configOf("acme"), nil, graphScope, "", false, true},
		{"anybody's tenant", configOf("common"), "ceo@acme.test", graphScope, "ceo@acme.test", false, true},
		{"a token for another API", configOf("acme"), "alice@acme.test", "openid api://other/read", "alice@acme.test", true, true},
		{"without Graph", skip, "alice@acme.test", graphScope, "claimed@elsewhere.test", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, e := entra(t, tt.mail)
			who, _ := signIn(t, o, e, tt.config, tt.scope)
			if who.Subject != object || who.Email != tt.want || who.EmailVerified != tt.verified || who.DisplayName != "Alice Adams" {
				t.Errorf("the profile is %+v", who)
			}
			if got := who.Picture == "data:image/jpeg;base64,cGhvdG8="; got != tt.picture {
				t.Errorf("the picture is %q", who.Picture)
			}
		})
	}
}

func TestScopesOfTwoAPIsAreKeptApart(t *testing.T) {
	union := []string{"api://other/read", "email", "openid", "offline_access", "user.read"}
	for _, tt := range []struct{ requested, want []string }{
		{nil, union},
		{[]string{"openid"}, union},
		{[]string{"api://other/read"}, []string{"api://other/read", "offline_access"}},
		{[]string{"offline_access", "api://other/read"}, []string{"offline_access", "api://other/read"}},
	} {
		if got := scopes(union, tt.requested); !slices.Equal(got, tt.want) {
			t.Errorf("%v becomes %v, want %v", tt.requested, got, tt.want)
		}
	}
}

func TestTenantsAreNoPaths(t *testing.T) {
	for tenant, ok := range map[string]bool{"acme.onmicrosoft.com": true, object: true, "common": true, "": false, "../x": false, "a/b": false, "a?b": false} {
		c := Config{TenantID: tenant}
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", tenant, err)
		}
	}
}
