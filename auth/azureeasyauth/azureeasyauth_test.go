package azureeasyauth

import (
	"errors"
	"maps"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/authtest"
	"github.com/callboard-dev/callboard/backend/apierr"
)

const object = "11111111-2222-3333-4444-555555555555"

func TestWhoAppServiceVouchesFor(t *testing.T) {
	s := authtest.NewSigner(t, "RS256", "k")
	token := func(change map[string]any) string {
		c := map[string]any{"ver": "2.0", "oid": object, "name": "Alice Adams", "email": "alice@acme.test", "preferred_username": "alice@acme.test"}
		maps.Copy(c, change)
		return s.Sign(nil, c)
	}
	for _, tt := range []struct {
		name, token string
		verified    bool
		says        string // empty: signed in
	}{
		{"a user", token(nil), true, ""},
		{"a domain that is the tenant's", token(map[string]any{"xms_edov": true}), true, ""},
		{"a domain that is nobody's", token(map[string]any{"xms_edov": false}), false, ""},
		{"an old token", token(map[string]any{"ver": "1.0"}), false, "version 2.0"},
		{"a token of nobody", token(map[string]any{"oid": ""}), false, "claim oid"},
		{"garbage", "garbage", false, "cannot be read"},
		{"nothing", "", false, "token store"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/api/auth/azureEasyAuth/refresh", nil)
			r.Header.Set("x-ms-token-aad-id-token", tt.token)
			r.Header.Set("x-ms-token-aad-access-token", "access")
			who, info, err := Provider{}.Authenticate(t.Context(), r)
			if tt.says != "" {
				if !errors.Is(err, apierr.Authentication) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("the error is %v, want %q", err, tt.says)
				}
				return
			}
			if err != nil || who.Subject != object || who.Email != "alice@acme.test" || who.EmailVerified != tt.verified || info["accessToken"] != "access" {
				t.Errorf("%+v, %v, %v", who, info, err)
			}
		})
	}
}

// S15 of the contract: where nobody takes the headers out of requests, they do not count.
func TestS15_OnlyAppServiceIsBelieved(t *testing.T) {
	for _, tt := range []struct {
		enabled, provider string
		ok                bool
	}{
		{"True", "AzureActiveDirectory", true},
		{"true", "azureactivedirectory", true},
		{"", "", false}, {"False", "AzureActiveDirectory", false}, {"True", "", false}, {"True", "Google", false},
	} {
		err := protected(func(name string) string {
			return map[string]string{"WEBSITE_AUTH_ENABLED": tt.enabled, "WEBSITE_AUTH_DEFAULT_PROVIDER": tt.provider}[name]
		})
		if (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func TestResolver(t *testing.T) {
	authtest.RunResolver(t, func(*testing.T) authtest.ResolverCase {
		return authtest.ResolverCase{
			Resolver: resolvers()["idMatchingUserEntityAnnotation"],
			Users:    authtest.Users{authtest.Named("alice", "", "graph.microsoft.com/user-id", object)},
			Known:    auth.Profile{Subject: object}, Unknown: auth.Profile{Subject: "other"}, Want: "user:default/alice",
		}
	})
}
