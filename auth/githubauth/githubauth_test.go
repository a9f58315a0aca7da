package githubauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/authtest"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
)

// hub answers like GitHub: scopes are separated by commas, refusals are 200, and the tokens
// of OAuth apps do not expire.
type hub struct {
	*authtest.OIDC
	authtest.Elsewhere
	emails string
}

func start(t *testing.T, expiring bool) *hub {
	h := &hub{emails: `[{"email":"old@acme.test","primary":false,"verified":true},{"email":"octocat@acme.test","primary":true,"verified":true}]`}
	octocat := authtest.User{Subject: "MDQ6VXNlcjE=", Claims: map[string]any{
		"node_id": "MDQ6VXNlcjE=", "id": 583231, "login": "octocat", "name": "The Octocat", "email": "public@acme.test", "avatar_url": "https://avatars.test/1",
	}}
	h.OIDC = authtest.StartOIDC(t, authtest.Options{
		Plain: true, Users: []authtest.User{octocat},
		Token: func(fields map[string]any) {
			fields["scope"] = strings.ReplaceAll(fields["scope"].(string), " ", ",")
			if !expiring {
				delete(fields, "refresh_token")
				delete(fields, "expires_in")
			}
		},
		Refuse: func(w http.ResponseWriter, _ string) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"error":"bad_refresh_token","error_description":"The refresh token passed is incorrect or expired."}`))
		},
		API: map[string]func(http.ResponseWriter, *http.Request, authtest.User, string){
			"GET /user": func(w http.ResponseWriter, _ *http.Request, u authtest.User, _ string) {
				_ = json.NewEncoder(w).Encode(u.Claims)
			},
			"GET /user/emails": func(w http.ResponseWriter, _ *http.Request, _ authtest.User, scope string) {
				if !strings.Contains(scope, "user:email") {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				_, _ = w.Write([]byte(h.emails))
			},
		},
	})
	h.Elsewhere = authtest.Elsewhere{
		"https://github.com/login/oauth/authorize":       h.URL + authtest.Authorization,
		"https://github.com/login/oauth/access_token":    h.URL + authtest.TokenEndpoint,
		"https://api.github.com":                         h.URL,
		"https://ghe.acme.test/login/oauth/authorize":    h.URL + authtest.Authorization,
		"https://ghe.acme.test/login/oauth/access_token": h.URL + authtest.TokenEndpoint,
		"https://ghe.acme.test/api/v3":                   h.URL,
	}
	return h
}

func configOf(enterprise string) Config {
	return Config{
		OAuthConfig:           auth.OAuthConfig{ClientID: authtest.ClientID, ClientSecret: config.NewSecret(authtest.ClientSecret)},
		EnterpriseInstanceURL: enterprise,
	}
}

func (h *hub) open(enterprise string) *Provider { return New(configOf(enterprise), h) }

// signIn returns what a sign-in with a scope comes to.
func (h *hub) signIn(t *testing.T, p *Provider, scope string) (auth.Profile, auth.Session, error) {
	t.Helper()
	f := auth.Flow{RedirectURL: "http://localhost/cb", Scope: scope, State: "s", Verifier: strings.Repeat("v", 43)}
	address, err := p.Start(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	back, err := h.Elsewhere.SignIn(h.OIDC)(address)
	if err != nil {
		t.Fatal(err)
	}
	return p.Callback(t.Context(), f, back.Query())
}

func TestConformance(t *testing.T) {
	for name, c := range map[string]struct {
		enterprise string
		expiring   bool
	}{
		"OAuth app":         {},
		"GitHub App":        {expiring: true},
		"Enterprise Server": {enterprise: "https://ghe.acme.test/"},
	} {
		t.Run(name, func(t *testing.T) {
			authtest.RunProvider(t, func(t *testing.T) authtest.ProviderCase {
				h := start(t, c.expiring)
				return authtest.ProviderCase{
					Provider: h.open(c.enterprise), Replica: h.open(c.enterprise), SignIn: h.Elsewhere.SignIn(h.OIDC),
					Subject: "MDQ6VXNlcjE=", Scope: "read:user", Secret: authtest.ClientSecret,
				}
			})
		})
	}
}

func TestTheAddressIsThatOfGitHub(t *testing.T) {
	for enterprise, want := range map[string]string{
		"": "https://github.com/login/oauth/authorize", "https://ghe.acme.test/": "https://ghe.acme.test/login/oauth/authorize",
	} {
		address, err := New(configOf(enterprise), nil).Start(t.Context(), auth.Flow{RedirectURL: "http://localhost/cb", Scope: "read:user user:email", State: "s"})
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if got := u.Scheme + "://" + u.Host + u.Path; got != want || q.Get("scope") != "read:user user:email" || q.Get("client_id") != authtest.ClientID || q.Get("response_type") != "code" {
			t.Errorf("the address is %s", address)
		}
	}
}

func TestProfiles(t *testing.T) {
	for _, tt := range []struct{ name, scope, emails, want string }{
		{name: "the public address", scope: "read:user", want: "public@acme.test"},
		{name: "the primary address for who may see it", scope: "read:user user:email", want: "octocat@acme.test"},
		{name: "no address if the primary one was not confirmed", scope: "user:email", emails: `[{"email":"a@acme.test","primary":true,"verified":false},{"email":"b@acme.test","primary":false,"verified":true}]`},
		{name: "no address if there is none", scope: "user:email", emails: `[]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := start(t, false)
			if tt.emails != "" {
				h.emails = tt.emails
			}
			who, _, err := h.signIn(t, h.open(""), tt.scope)
			if err != nil {
				t.Fatal(err)
			}
			if who.Email != tt.want || who.EmailVerified != (tt.want != "") {
				t.Errorf("the address is %q, verified %t, want %q", who.Email, who.EmailVerified, tt.want)
			}
			if who.Subject != "MDQ6VXNlcjE=" || who.Username != "octocat" || who.DisplayName != "The Octocat" || who.Picture != "https://avatars.test/1" {
				t.Errorf("the profile is %+v", who)
			}
		})
	}
}

// Tokens of OAuth apps do not expire. They stand in for the refresh token.
func TestTokensThatDoNotExpireAreRefreshedByLookingAtThem(t *testing.T) {
	h := start(t, false)
	p := h.open("")
	_, s, err := h.signIn(t, p, "read:user")
	if err != nil || s.RefreshToken != "access-token-v2."+s.AccessToken || s.ExpiresIn != 0 {
		t.Fatalf("the session is %+v, %v", s, err)
	}
	asked := h.Requests(authtest.TokenEndpoint)
	who, next, err := p.Refresh(t.Context(), auth.Session{RefreshToken: s.RefreshToken, Scope: "read:user"}, "read:user")
	if err != nil || who.Username != "octocat" || next.AccessToken != s.AccessToken || next.RefreshToken != "" || next.ExpiresIn != 0 {
		t.Errorf("refreshed to %+v %+v, %v", who, next, err)
	}
	if _, _, err := p.Refresh(t.Context(), auth.Session{RefreshToken: s.RefreshToken, Scope: "read:user"}, "read:user repo"); !errors.Is(err, apierr.Authentication) || errors.Is(err, auth.ErrSessionEnded) {
		t.Errorf("a scope that was not granted: %v", err)
	}
	if h.Requests(authtest.TokenEndpoint) != asked {
		t.Error("the token endpoint was asked")
	}
	_, _, err = p.Refresh(t.Context(), auth.Session{RefreshToken: "access-token-v2.withdrawn", Scope: "read:user"}, "read:user")
	if !errors.Is(err, auth.ErrSessionEnded) || !strings.HasPrefix(err.Error(), "Invalid access token") {
		t.Errorf("a token that was withdrawn: %v", err)
	}
}

// Node ids differ by case alone. Somebody with another case is somebody else.
func TestSEC83_AccountsAreComparedByTheirExactID(t *testing.T) {
	known := func(subject string) auth.Profile { return auth.Profile{Provider: "github", Subject: subject} }
	users := authtest.Users{
		authtest.Named("octocat", "", "github.com/user-id", "MDQ6VXNlcjE="),
		authtest.Named("evil", "", "github.com/user-id", "mdq6vxnlcje="),
		authtest.Named("lower", "", "github.com/user-id", "abc"),
		authtest.Named("one", "", "github.com/user-id", "SAME"),
		authtest.Named("two", "", "github.com/user-id", "SAME"),
	}
	r := resolvers()["userIdMatchingUserEntityAnnotation"]
	authtest.RunResolver(t, func(*testing.T) authtest.ResolverCase {
		return authtest.ResolverCase{Resolver: r, Users: users[2:3], Known: known("abc"), Unknown: known("xyz"), Want: "user:default/lower"}
	})
	_, err := r.Resolve(t.Context(), known("ABC"), users)
	if err == nil || errors.Is(err, apierr.NotFound) {
		t.Errorf("an id in another case: %v", err)
	}
	if _, err := r.Resolve(t.Context(), known("SAME"), users); !errors.Is(err, apierr.Conflict) {
		t.Errorf("two users with one id: %v", err)
	}
	if _, err := r.Resolve(t.Context(), auth.Profile{Provider: "github", Username: "octocat"}, users); err == nil || errors.Is(err, apierr.NotFound) {
		t.Errorf("no id: %v", err)
	}
}
