package oauth2proxyauth

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

func request(peer string, headers map[string]string) *http.Request {
	r := httptest.NewRequest("GET", "/api/auth/oauth2Proxy/refresh", nil)
	if peer != "" {
		r.RemoteAddr = peer
	}
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	return r
}

func claims(change map[string]any) map[string]any {
	now := time.Now().Unix()
	c := map[string]any{
		"iss": "https://sso.test", "aud": "portal", "sub": "u-1", "email": "alice@acme.test", "email_verified": true, "preferred_username": "alice",
		"iat": now, "exp": now + 600,
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func TestWhoTheProxyVouchesFor(t *testing.T) {
	s := authtest.NewSigner(t, "ES256", "k")
	p := New(Config{}, nil)
	for _, tt := range []struct {
		name            string
		headers         map[string]string
		user, preferred string
		email           string
		verified        bool
		display         string
	}{
		{
			"headers and a token", map[string]string{
				"x-oauth2-proxy-id-token": "Bearer " + s.Sign(nil, claims(nil)),
				"x-forwarded-user":        "u-1", "x-forwarded-preferred-username": "alice", "x-forwarded-email": "alice@acme.test",
			}, "u-1", "alice", "alice@acme.test", true, "alice",
		},
		{"the user alone", map[string]string{"x-forwarded-user": "alice"}, "alice", "", "", false, "alice"},
		{"user and address", map[string]string{"x-forwarded-user": "alice", "x-forwarded-email": "alice@acme.test"}, "alice", "", "alice@acme.test", true, "alice"},
		{
			"an address that the token says is not checked", map[string]string{
				"x-oauth2-proxy-id-token": "Bearer " + s.Sign(nil, claims(map[string]any{"email_verified": false})),
				"x-forwarded-user":        "alice", "x-forwarded-email": "alice@acme.test",
			}, "alice", "", "alice@acme.test", false, "alice",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			who, info, err := p.Authenticate(t.Context(), request("", tt.headers))
			if err != nil {
				t.Fatal(err)
			}
			user, _ := who.Claims[headerUser].(string)
			if user != tt.user || who.Username != tt.preferred || who.Email != tt.email || who.EmailVerified != tt.verified || who.DisplayName != tt.display {
				t.Errorf("the profile is %+v", who)
			}
			if want := strings.TrimPrefix(tt.headers["x-oauth2-proxy-id-token"], "Bearer "); info["accessToken"] != want {
				t.Errorf("the provider info is %v", info)
			}
		})
	}
	if _, _, err := p.Authenticate(t.Context(), request("", nil)); !errors.Is(err, apierr.Authentication) {
		t.Errorf("no headers: %v", err)
	}
	twice := request("", map[string]string{"x-forwarded-user": "alice"})
	twice.Header.Add("x-forwarded-user", "bob")
	if _, _, err := p.Authenticate(t.Context(), twice); !errors.Is(err, apierr.Authentication) {
		t.Errorf("a header that is there twice: %v", err)
	}
}

// S15 of the contract: headers count only if they come from the proxy.
func TestS15_HeadersOfOthersDoNotCount(t *testing.T) {
	p := New(Config{TrustedProxies: []string{"10.0.3.0/24", "127.0.0.1", "2001:db8::/32"}}, nil)
	for peer, ok := range map[string]bool{
		"10.0.3.7:1234": true, "127.0.0.1:1": true, "[2001:db8::1]:80": true, "[::ffff:10.0.3.7]:80": true,
		"10.0.4.7:1234": false, "127.0.0.2:1": false, "[2001:db9::1]:80": false, "[::ffff:10.0.4.7]:80": false, "@": false, "10.0.3.7": false,
	} {
		r := request(peer, map[string]string{"x-forwarded-user": "alice", "x-forwarded-for": "10.0.3.7"})
		if _, _, err := p.Authenticate(t.Context(), r); (err == nil) != ok {
			t.Errorf("%s: %v", peer, err)
		}
	}
}

// With keys, a header counts if the token says the same.
func TestS15_HeadersThatTheTokenDoesNotConfirmDoNotCount(t *testing.T) {
	s := authtest.NewSigner(t, "ES256", "k")
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(s.KeySet()) }))
	t.Cleanup(keys.Close)
	p := New(Config{JWKSURL: keys.URL, Issuer: "https://sso.test", Audience: "portal"}, nil)
	with := func(token string, headers map[string]string) *http.Request {
		h := map[string]string{headerToken: "Bearer " + token}
		maps.Copy(h, headers)
		return request("", h)
	}
	who, _, err := p.Authenticate(t.Context(), with(s.Sign(nil, claims(nil)), map[string]string{
		"x-forwarded-user": "admin", "x-forwarded-preferred-username": "admin", "x-forwarded-email": "admin@acme.test",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if who.Email != "" || who.Username != "" || who.Claims[headerUser] != nil || who.Claims[headerName] != nil || who.Subject != "u-1" {
		t.Errorf("somebody else's headers make %+v", who)
	}
	who, _, err = p.Authenticate(t.Context(), with(s.Sign(nil, claims(nil)), map[string]string{"x-forwarded-user": "u-1", "x-forwarded-email": "alice@acme.test"}))
	if err != nil || who.Email != "alice@acme.test" || !who.EmailVerified || who.Claims[headerUser] != "u-1" {
		t.Errorf("the user's own headers make %+v, %v", who, err)
	}
	// Claims cannot stand in for headers, whatever their names are.
	who, _, err = p.Authenticate(t.Context(), with(s.Sign(nil, claims(map[string]any{headerUser: "admin"})), nil))
	if err != nil || who.Claims[headerUser] != nil {
		t.Errorf("a claim with the name of a header makes %+v, %v", who, err)
	}
	for _, tt := range []struct{ name, token, says string }{
		{"no token", "", "has no X-OAUTH2-PROXY-ID-TOKEN"},
		{"another client's", s.Sign(nil, claims(map[string]any{"aud": "other"})), "claim aud"},
		{"another issuer's", s.Sign(nil, claims(map[string]any{"iss": "https://other.test"})), "claim iss"},
		{"somebody's own", authtest.NewSigner(t, "ES256", "k").Sign(nil, claims(nil)), "signature"},
	} {
		_, _, err := p.Authenticate(t.Context(), with(tt.token, map[string]string{"x-forwarded-user": "u-1"}))
		if !errors.Is(err, apierr.Authentication) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: the error is %v, want %q", tt.name, err, tt.says)
		}
	}
}

func TestResolvers(t *testing.T) {
	for name, header := range map[string]string{
		"forwardedUserMatchingUserEntityName": headerUser, "forwardedPreferredUsernameMatchingUserEntityName": headerName,
	} {
		authtest.RunResolver(t, func(*testing.T) authtest.ResolverCase {
			return authtest.ResolverCase{
				Resolver: resolvers()[name], Users: authtest.Users{authtest.Named("alice", "")}, Want: "user:default/alice",
				Known:   auth.Profile{Claims: map[string]any{header: "alice"}},
				Unknown: auth.Profile{Claims: map[string]any{header: "group:default/admins"}},
			}
		})
	}
}

func TestConfiguration(t *testing.T) {
	for _, tt := range []struct {
		config Config
		says   string
	}{
		{Config{TrustedProxies: []string{"10.0.0.0/8", "::1"}}, ""},
		{Config{TrustedProxies: []string{"10.0.0.0/8", "proxy.local"}}, "trustedProxies[1]"},
		{Config{JWKSURL: "keys"}, "jwksUrl"},
		{Config{Audience: "portal"}, "audience"},
	} {
		err := tt.config.Validate()
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%+v: %v", tt.config, err)
		}
	}
}
