package cloudflareauth

import (
	"encoding/json"
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

const team = "https://acme.cloudflareaccess.com"

var now = func() time.Time { return time.Unix(1_800_000_000, 0) }

func claims(change map[string]any) map[string]any {
	c := map[string]any{
		"iss": team, "aud": []string{"portal"}, "sub": "u-1", "email": "alice@acme.test", "type": "app",
		"iat": now().Unix(), "nbf": now().Unix(), "exp": now().Unix() + 600,
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func open(t *testing.T, identity string, status int) (*Provider, *authtest.Signer) {
	t.Helper()
	s := authtest.NewSigner(t, "RS256", "k")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cdn-cgi/access/certs", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(s.KeySet()) })
	mux.HandleFunc("GET /cdn-cgi/access/get-identity", func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie("CF_Authorization"); err != nil || c.Value == "" {
			status = http.StatusBadRequest
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(identity))
	})
	access := httptest.NewServer(mux)
	t.Cleanup(access.Close)
	c := Config{TeamName: "acme", Audience: "portal", ServiceTokens: []ServiceToken{{Token: "1be5.access", Subject: "pipeline@acme.test"}}}
	c.SetDefaults()
	return New(c, authtest.Elsewhere{team: access.URL}, now), s
}

const known = `{"id":"u-1","name":"Alice Adams","email":"alice@acme.test","groups":[{"id":"1","name":"platform"}]}`

func authenticate(t *testing.T, p *Provider, token string, cookie bool) (auth.Profile, map[string]any, error) {
	t.Helper()
	r := httptest.NewRequest("GET", "/api/auth/cfaccess/refresh", nil)
	if cookie {
		r.AddCookie(&http.Cookie{Name: "CF_Authorization", Value: token})
	} else {
		r.Header.Set("cf-access-jwt-assertion", token)
	}
	return p.Authenticate(t.Context(), r)
}

func TestWhoAccessVouchesFor(t *testing.T) {
	p, s := open(t, known, http.StatusOK)
	service := claims(map[string]any{"common_name": "1be5.access", "email": nil, "sub": ""})
	for _, tt := range []struct {
		name           string
		claims         map[string]any
		cookie         bool
		email, display string
	}{
		{"a user", claims(nil), false, "alice@acme.test", "Alice Adams"},
		{"a user with a cookie", claims(nil), true, "alice@acme.test", "Alice Adams"},
		{"a service token", service, false, "pipeline@acme.test", "pipeline@acme.test"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			who, info, err := authenticate(t, p, s.Sign(nil, tt.claims), tt.cookie)
			if err != nil {
				t.Fatal(err)
			}
			if who.Email != tt.email || who.DisplayName != tt.display || !who.EmailVerified || who.Subject == "" {
				t.Errorf("the profile is %+v", who)
			}
			if info["expiresInSeconds"] != 600 || info["claims"] == nil || info["cfAccessIdentityProfile"] == nil {
				t.Errorf("the provider info is %v", info)
			}
			if _, err := json.Marshal(info); err != nil {
				t.Error(err)
			}
		})
	}
}

// Tokens of all applications of a team are signed with the same keys.
func TestSEC34_TokensOfOtherApplicationsAreRefused(t *testing.T) {
	p, s := open(t, known, http.StatusOK)
	for _, tt := range []struct{ name, token, says string }{
		{"another application", s.Sign(nil, claims(map[string]any{"aud": []string{"payroll"}})), "claim aud"},
		{"no application", s.Sign(nil, claims(map[string]any{"aud": nil})), "claim aud"},
		{"an application that contains the name", s.Sign(nil, claims(map[string]any{"aud": "portal-2"})), "claim aud"},
		{"another team", s.Sign(nil, claims(map[string]any{"iss": "https://evil.cloudflareaccess.com"})), "claim iss"},
		{"expired", s.Sign(nil, claims(map[string]any{"exp": now().Unix() - 60})), "claim exp"},
		{"another algorithm", authtest.NewSigner(t, "ES256", "k").Sign(nil, claims(nil)), "not signed as it must be"},
		{"signed by somebody else", authtest.NewSigner(t, "RS256", "k").Sign(nil, claims(nil)), "signature"},
		{"a service token that is not listed", s.Sign(nil, claims(map[string]any{"common_name": "other.access", "email": nil})), "not among serviceTokens"},
		{"no token", "", "did it come through"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := authenticate(t, p, tt.token, false); !errors.Is(err, apierr.Authentication) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("the error is %v, want %q", err, tt.says)
			}
		})
	}
	var missing Config
	missing.TeamName = "acme"
	if err := missing.Validate(); err == nil || !strings.Contains(err.Error(), "audience") {
		t.Errorf("without an audience: %v", err)
	}
}

func TestWhatAccessSaysOfTheUser(t *testing.T) {
	for _, tt := range []struct {
		name, identity string
		status         int
		want           apierr.Kind
	}{
		{"another user", `{"email":"bob@acme.test"}`, http.StatusOK, apierr.Authentication},
		{"nobody", `{}`, http.StatusOK, apierr.Authentication},
		{"a page", `<html>`, http.StatusOK, apierr.Authentication},
		{"a session that was revoked", `{"err":"x"}`, http.StatusForbidden, apierr.Authentication},
		{"nothing", ``, http.StatusBadGateway, apierr.ServiceUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, s := open(t, tt.identity, tt.status)
			if _, _, err := authenticate(t, p, s.Sign(nil, claims(nil)), false); !errors.Is(err, tt.want) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestTeamsAreNoHosts(t *testing.T) {
	for name, ok := range map[string]bool{"acme": true, "acme-2": true, "": false, "evil.test/": false, "evil.test#": false, "-x": false} {
		c := Config{TeamName: name, Audience: "portal"}
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
