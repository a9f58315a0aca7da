package gitlabauth

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/authtest"
	"github.com/callboard-dev/callboard/backend/config"
)

func start(t *testing.T, account string) (*authtest.OIDC, auth.Provider) {
	t.Helper()
	var claims map[string]any
	if err := json.Unmarshal([]byte(account), &claims); err != nil {
		t.Fatal(err)
	}
	o := authtest.StartOIDC(t, authtest.Options{
		Plain: true, Users: []authtest.User{{Subject: "9007199254740993", Claims: claims}},
		API: map[string]func(http.ResponseWriter, *http.Request, authtest.User, string){
			"GET /api/v4/user": func(w http.ResponseWriter, _ *http.Request, _ authtest.User, _ string) {
				_, _ = w.Write([]byte(account))
			},
		},
	})
	return o, open(o)
}

func open(o *authtest.OIDC) auth.Provider {
	return New(Config{
		OAuthConfig: auth.OAuthConfig{ClientID: authtest.ClientID, ClientSecret: config.NewSecret(authtest.ClientSecret)},
		Audience:    "https://gitlab.acme.test/",
	}, authtest.Elsewhere{"https://gitlab.acme.test/oauth/token": o.URL + authtest.TokenEndpoint, "https://gitlab.acme.test/api": o.URL + "/api"})
}

// The id is larger than a floating point number can hold.
const account = `{"id":9007199254740993,"username":"alice","name":"Alice Adams","email":"alice@acme.test","avatar_url":"https://gitlab.acme.test/a.png","web_url":"https://gitlab.acme.test/alice","confirmed_at":"2020-01-01T00:00:00Z"}`

func browse(o *authtest.OIDC) authtest.Elsewhere {
	return authtest.Elsewhere{"https://gitlab.acme.test/oauth/authorize": o.URL + authtest.Authorization}
}

func TestConformance(t *testing.T) {
	authtest.RunProvider(t, func(t *testing.T) authtest.ProviderCase {
		o, p := start(t, account)
		return authtest.ProviderCase{
			Provider: p, Replica: open(o), SignIn: browse(o).SignIn(o),
			Subject: "9007199254740993", Scope: "read_user", Secret: authtest.ClientSecret,
		}
	})
}

func TestProfiles(t *testing.T) {
	for _, tt := range []struct {
		name, account, want string
		verified            bool
	}{
		{"confirmed", account, "alice@acme.test", true},
		{"never confirmed", strings.Replace(account, `"2020-01-01T00:00:00Z"`, "null", 1), "alice@acme.test", false},
		{"an old version that does not tell", strings.Replace(account, `,"confirmed_at":"2020-01-01T00:00:00Z"`, "", 1), "alice@acme.test", true},
		{"without an address", strings.Replace(account, `"email":"alice@acme.test",`, "", 1), "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			who, err := profile([]byte(tt.account))
			if err != nil {
				t.Fatal(err)
			}
			if who.Email != tt.want || who.EmailVerified != tt.verified || who.Username != "alice" || who.DisplayName != "Alice Adams" || who.Picture != "https://gitlab.acme.test/a.png" {
				t.Errorf("the profile is %+v", who)
			}
		})
	}
	for _, doc := range []string{`{}`, `[]`, `{"id":null}`, `{"id":{"a":1}}`} {
		if _, err := profile([]byte(doc)); err == nil {
			t.Errorf("%s is a profile", doc)
		}
	}
}

func TestTheAnnotationIsThatOfTheHost(t *testing.T) {
	known, err := profile([]byte(account))
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := profile([]byte(strings.Replace(account, "gitlab.acme.test/alice", "gitlab.com/alice", 1)))
	if err != nil {
		t.Fatal(err)
	}
	authtest.RunResolver(t, func(*testing.T) authtest.ResolverCase {
		return authtest.ResolverCase{
			Resolver: resolvers()["userIdMatchingUserEntityAnnotation"],
			Users:    authtest.Users{authtest.Named("alice", "", "gitlab.acme.test/user-id", "9007199254740993")},
			Known:    known, Unknown: unknown, Want: "user:default/alice",
		}
	})
}
