package gcpiapauth

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/authtest"
	"github.com/callboard-dev/callboard/backend/apierr"
)

const audience = "/projects/1/global/backendServices/2"

var now = func() time.Time { return time.Unix(1_800_000_000, 0) }

func claims(change map[string]any) map[string]any {
	c := map[string]any{
		"iss": issuer, "aud": audience, "sub": "accounts.google.com:117", "email": "alice@acme.test",
		"iat": now().Unix(), "exp": now().Unix() + 600,
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func open(t *testing.T) (*Provider, *authtest.Signer) {
	t.Helper()
	s := authtest.NewSigner(t, "ES256", "k")
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(s.KeySet()) }))
	t.Cleanup(keys.Close)
	c := Config{Audience: audience}
	c.SetDefaults()
	return New(c, authtest.Elsewhere{keysURL: keys.URL}, now), s
}

func authenticate(t *testing.T, p *Provider, token string) (auth.Profile, map[string]any, error) {
	t.Helper()
	r := httptest.NewRequest("GET", "/api/auth/gcpIap/refresh", nil)
	r.Header.Set("X-Goog-Iap-Jwt-Assertion", token)
	return p.Authenticate(t.Context(), r)
}

func TestWhoTheProxyVouchesFor(t *testing.T) {
	p, s := open(t)
	for _, tt := range []struct {
		name     string
		change   map[string]any
		subject  string
		verified bool
	}{
		{"a Google account", nil, "117", true},
		{"an account of Identity Platform", map[string]any{"sub": "securetoken.google.com/p:x", "gcip": map[string]any{"email_verified": true}}, "x", true},
		{"one whose address nobody has checked", map[string]any{"gcip": map[string]any{"email_verified": false}}, "117", false},
		{"one that does not tell", map[string]any{"gcip": map[string]any{}}, "117", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			who, info, err := authenticate(t, p, s.Sign(nil, claims(tt.change)))
			if err != nil {
				t.Fatal(err)
			}
			if who.Subject != tt.subject || who.Email != "alice@acme.test" || who.EmailVerified != tt.verified || info["iapToken"] == nil {
				t.Errorf("the profile is %+v, the info %v", who, info)
			}
		})
	}
}

func TestWhatIsRefused(t *testing.T) {
	p, s := open(t)
	for _, tt := range []struct{ name, token, says string }{
		{"no token", "", "did it come through the proxy"},
		{"another application", s.Sign(nil, claims(map[string]any{"aud": "/projects/1/global/backendServices/3"})), "claim aud"},
		{"another issuer", s.Sign(nil, claims(map[string]any{"iss": "https://accounts.google.com"})), "claim iss"},
		{"no subject", s.Sign(nil, claims(map[string]any{"sub": nil})), "claims sub and email"},
		{"no address", s.Sign(nil, claims(map[string]any{"email": nil})), "claims sub and email"},
		{"signed with RSA", authtest.NewSigner(t, "RS256", "k").Sign(nil, claims(nil)), "not signed as it must be"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := authenticate(t, p, tt.token); !errors.Is(err, apierr.Authentication) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("the error is %v, want %q", err, tt.says)
			}
		})
	}
}

func TestResolvers(t *testing.T) {
	users := authtest.Users{authtest.Named("alice", "", "google.com/email", "alice@acme.test", "google.com/user-id", "117")}
	for name := range resolvers() {
		authtest.RunResolver(t, func(*testing.T) authtest.ResolverCase {
			return authtest.ResolverCase{
				Resolver: resolvers()[name], Users: users, Want: "user:default/alice",
				Known: auth.Profile{Subject: "117", Email: "alice@acme.test"}, Unknown: auth.Profile{Subject: "118", Email: "bob@acme.test"},
			}
		})
	}
}
