package oidctest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
)

func TestUsersSignIn(t *testing.T) {
	const redirect = "http://localhost:7007/api/auth/oidc/handler/frame"
	alice := User{Name: "alice", Display: "Alice", Email: "alice@acme.test", Verified: true}
	for name, open := range map[string]func(testing.TB, string, ...User) *Server{"zitadel": Zitadel, "panva": Panva} {
		t.Run(name, func(t *testing.T) {
			s := open(t, redirect, alice)
			resp, err := http.Get(s.Issuer + "/.well-known/openid-configuration")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var doc struct {
				Endpoint string `json:"authorization_endpoint"`
			}
			if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
				t.Fatal(err)
			}
			q := url.Values{
				"client_id": {s.ClientID}, "response_type": {"code"}, "scope": {"openid email"}, "redirect_uri": {redirect}, "state": {"s"},
				"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
			}
			back, err := s.SignIn("alice")(doc.Endpoint + "?" + q.Encode())
			if err != nil {
				t.Fatal(err)
			}
			if back.Query().Get("code") == "" || back.Query().Get("state") != "s" {
				t.Errorf("the browser is sent to %s", back)
			}
		})
	}
}
