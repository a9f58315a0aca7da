package oauth2auth

import (
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/authtest"
	"github.com/callboard-dev/callboard/backend/config"
)

func configOf(o *authtest.OIDC) Config {
	return Config{
		OAuthConfig:      auth.OAuthConfig{ClientID: authtest.ClientID, ClientSecret: config.NewSecret(authtest.ClientSecret)},
		AuthorizationURL: o.URL + authtest.Authorization, TokenURL: o.URL + authtest.TokenEndpoint,
	}
}

func TestConformance(t *testing.T) {
	for name, basic := range map[string]bool{"credentials in the body": false, "credentials in the header": true} {
		t.Run(name, func(t *testing.T) {
			authtest.RunProvider(t, func(t *testing.T) authtest.ProviderCase {
				o := authtest.StartOIDC(t, authtest.Options{})
				c := configOf(o)
				c.IncludeBasicAuth = basic
				return authtest.ProviderCase{
					Provider: New(c, nil), Replica: New(c, nil), SignIn: o.SignIn,
					Subject: "alice-1", Scope: "openid email", Secret: authtest.ClientSecret,
				}
			})
		})
	}
}

func TestWithoutRefreshTheSessionEndsWithItsToken(t *testing.T) {
	c := Config{DisableRefresh: true}
	if _, ok := New(c, nil).(auth.Refresher); ok {
		t.Error("it refreshes")
	}
	if _, ok := New(Config{}, nil).(auth.Refresher); !ok {
		t.Error("it does not refresh without the option, either")
	}
}

// Servers without ID tokens hand out access tokens for others to use.
func TestAServerWithoutIDTokensKnowsNobody(t *testing.T) {
	o := authtest.StartOIDC(t, authtest.Options{Plain: true})
	p := New(configOf(o), nil)
	f := auth.Flow{RedirectURL: "http://localhost/cb", State: "s", Verifier: strings.Repeat("v", 43)}
	address, err := p.Start(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	back, err := o.SignIn(address)
	if err != nil {
		t.Fatal(err)
	}
	who, s, err := p.Callback(t.Context(), f, back.Query())
	if err != nil || who.Subject != "" || who.Email != "" || s.AccessToken == "" {
		t.Errorf("%+v, %d characters of access token, %v", who, len(s.AccessToken), err)
	}
}
