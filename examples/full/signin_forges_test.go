package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth/authtest"
	"github.com/callboard-dev/callboard/internal/wiretest"
)

// front serves an issuer under the paths of another kind of server.
func front(t *testing.T, o *authtest.OIDC, paths map[string]string) string {
	t.Helper()
	to, err := url.Parse(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		if path, ok := paths[r.In.URL.Path]; ok {
			r.Out.URL.Path = path
		}
	}})
	t.Cleanup(s.Close)
	return s.URL
}

// account serves the claims of a user.
func account(w http.ResponseWriter, _ *http.Request, u authtest.User, _ string) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(u.Claims)
}

type api = map[string]func(http.ResponseWriter, *http.Request, authtest.User, string)

// TestSignInWithOtherProviders signs alice in at a portal with several providers, each with
// what it knows her by: sign-in, refresh, sign-out.
func TestSignInWithOtherProviders(t *testing.T) {
	hub := authtest.StartOIDC(t, authtest.Options{
		Plain: true, API: api{"GET /user": account},
		Users: []authtest.User{{Subject: "MDQ6VXNlcjE=", Claims: map[string]any{"node_id": "MDQ6VXNlcjE=", "login": "alice-at-acme", "name": "Alice"}}},
		Token: func(fields map[string]any) { // that of an OAuth app, which does not expire
			delete(fields, "refresh_token")
			delete(fields, "expires_in")
			fields["scope"] = strings.ReplaceAll(fields["scope"].(string), " ", ",")
		},
	})
	lab := authtest.StartOIDC(t, authtest.Options{
		Plain: true, API: api{"GET /api/v4/user": account},
		Users: []authtest.User{{Subject: "4711", Claims: map[string]any{"id": 4711, "username": "aa", "name": "Alice", "web_url": "https://gitlab.acme.test/aa"}}},
	})
	idp := authtest.StartOIDC(t, authtest.Options{})
	githubURL := front(t, hub, map[string]string{"/login/oauth/authorize": authtest.Authorization, "/login/oauth/access_token": authtest.TokenEndpoint, "/api/v3/user": "/user"})
	gitlabURL := front(t, lab, map[string]string{"/oauth/authorize": authtest.Authorization, "/oauth/token": authtest.TokenEndpoint})
	oktaURL := front(t, idp, map[string]string{"/oauth2/default/v1/authorize": authtest.Authorization, "/oauth2/default/v1/token": authtest.TokenEndpoint, "/oauth2/default/v1/userinfo": authtest.UserInfo})

	people := strings.Replace(staff, "metadata: {name: alice}", "metadata: {name: alice, annotations: {github.com/user-id: MDQ6VXNlcjE=, gitlab.acme.test/user-id: '4711'}}", 1)
	base := "http://" + strings.Replace(freeAddress(t), "127.0.0.1", "localhost", 1)
	client := fmt.Sprintf("clientId: %s, clientSecret: %q", authtest.ClientID, authtest.ClientSecret)
	p := launch(t, write(t, "app-config.yaml", fmt.Sprintf(`
app: {baseUrl: 'http://localhost:3000'}
backend:
  baseUrl: %[1]s
  listen: %[2]q
  auth: {externalAccess: [{type: static, options: {token: %[3]s, subject: test}}]}
auth:
  session: {secret: the-secret-of-a-test}
  providers:
    github: {production: {%[4]s, enterpriseInstanceUrl: '%[5]s/', signIn: {resolvers: [{resolver: userIdMatchingUserEntityAnnotation}]}}}
    gitlab: {production: {%[4]s, audience: %[6]s, signIn: {resolvers: [{resolver: userIdMatchingUserEntityAnnotation}]}}}
    okta: {production: {%[4]s, audience: %[7]s, authServerId: default, signIn: {resolvers: [{resolver: emailMatchingUserEntityProfileEmail, allowedDomains: [acme.test]}]}}}
    oauth2: {production: {%[4]s, authorizationUrl: %[8]s/authorize, tokenUrl: %[8]s/token, scope: openid email, signIn: {resolvers: [{resolver: usernameMatchingUserEntityName}]}}}
    oauth2Proxy: {trustedProxies: [127.0.0.1, '::1'], signIn: {resolvers: [{resolver: forwardedUserMatchingUserEntityName}]}}
catalog:
  rules: [{allow: [User, Group]}]
  locations: [{type: file, target: %[9]q}]
`, base, strings.TrimPrefix(base, "http://"), wiretest.StaticToken, client, githubURL, gitlabURL, oktaURL, idp.URL, write(t, "staff.yaml", people))), write(t, "database.yaml", sqlite(t)))
	p.ready(t)
	settled(t, p.url, 4)

	for _, tt := range []struct {
		provider string
		idp      *authtest.OIDC
		front    string
		scope    string
		idToken  bool
	}{
		{"github", hub, githubURL, "read:user", false},
		{"gitlab", lab, gitlabURL, "read_user", false},
		{"okta", idp, oktaURL, "openid email profile offline_access", true},
		{"oauth2", idp, idp.URL, "openid email", true},
	} {
		t.Run(tt.provider, func(t *testing.T) {
			b := authtest.NewBrowser(p.url, base)
			res, err := b.SignIn(tt.provider, "production", func(address string) (*url.URL, error) {
				if !strings.HasPrefix(address, tt.front) {
					t.Errorf("the browser is sent to %s", address)
				}
				return tt.idp.SignIn(address)
			})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if res.Session == nil {
					t.Fatalf("it ends with %d %+v", res.Status, res.Error)
				}
				s := res.Session
				if s.BackstageIdentity.Identity.UserEntityRef != "user:default/alice" || s.ProviderInfo.AccessToken == "" || s.ProviderInfo.Scope != tt.scope || (s.ProviderInfo.IDToken != "") != tt.idToken {
					t.Errorf("the session is %+v", s)
				}
				if res, err = b.Refresh(tt.provider, "production"); err != nil {
					t.Fatal(err)
				}
			}
			if res, err := b.SignOut(tt.provider, "production"); err != nil || res.Status != http.StatusOK {
				t.Errorf("the sign-out is answered with %d %+v, %v", res.Status, res.Error, err)
			}
			if res, err := b.Refresh(tt.provider, "production"); err != nil || res.Status != http.StatusUnauthorized {
				t.Errorf("after the sign-out: %d, %v", res.Status, err)
			}
		})
	}
	t.Run("oauth2Proxy", func(t *testing.T) {
		for user, status := range map[string]int{"alice": http.StatusOK, "": http.StatusUnauthorized, "nobody": http.StatusInternalServerError, "group:default/platform": http.StatusInternalServerError} {
			r, err := http.NewRequest(http.MethodGet, p.url+"/api/auth/oauth2Proxy/refresh", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Forwarded-User", user)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			var s authtest.Session
			_ = json.NewDecoder(resp.Body).Decode(&s) // an error has none
			resp.Body.Close()
			if resp.StatusCode != status || (s.BackstageIdentity.Identity.UserEntityRef == "user:default/alice") != (status == http.StatusOK) {
				t.Errorf("%q: %d %+v", user, resp.StatusCode, s.BackstageIdentity)
			}
		}
	})
}
