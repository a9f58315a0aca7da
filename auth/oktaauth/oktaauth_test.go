package oktaauth

import (
	"net/url"
	"testing"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/authtest"
	"github.com/callboard-dev/callboard/backend/config"
)

func configOf() Config {
	return Config{
		OAuthConfig: auth.OAuthConfig{ClientID: authtest.ClientID, ClientSecret: config.NewSecret(authtest.ClientSecret)},
		Audience:    "https://acme.okta.test/", AuthServerID: "default", IDP: "0oa1",
	}
}

func okta(o *authtest.OIDC) authtest.Elsewhere {
	return authtest.Elsewhere{"https://acme.okta.test/oauth2/default/v1": o.URL}
}

func TestConformance(t *testing.T) {
	authtest.RunProvider(t, func(t *testing.T) authtest.ProviderCase {
		o := authtest.StartOIDC(t, authtest.Options{})
		return authtest.ProviderCase{
			Provider: New(configOf(), okta(o)), Replica: New(configOf(), okta(o)), SignIn: okta(o).SignIn(o),
			Subject: "alice-1", Scope: "openid email profile offline_access", Secret: authtest.ClientSecret,
		}
	})
}

func TestTheAddressIsThatOfTheAuthorizationServer(t *testing.T) {
	for _, tt := range []struct{ server, want string }{
		{"", "https://acme.okta.test/oauth2/v1/authorize"},
		{"default", "https://acme.okta.test/oauth2/default/v1/authorize"},
	} {
		c := configOf()
		c.AuthServerID = tt.server
		address, err := New(c, nil).Start(t.Context(), auth.Flow{Scope: "openid"})
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Scheme + "://" + u.Host + u.Path; got != tt.want || u.Query().Get("idp") != "0oa1" {
			t.Errorf("the address is %s, want %s", address, tt.want)
		}
	}
}

func TestAudienceMustBeAnAddress(t *testing.T) {
	for audience, ok := range map[string]bool{"https://acme.okta.com": true, "http://localhost:1234": true, "acme.okta.com": false, "ftp://acme.okta.com": false} {
		c := Config{Audience: audience}
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", audience, err)
		}
	}
}
