package oidcauth_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/authtest"
	"github.com/callboard-dev/callboard/auth/oidcauth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// provider is a client of an issuer, which runs until the test ends.
func provider(t *testing.T, o *authtest.OIDC) auth.Provider {
	t.Helper()
	c := oidcauth.Config{MetadataURL: o.URL + "/.well-known/openid-configuration"}
	c.SetDefaults()
	c.ClientID, c.ClientSecret = authtest.ClientID, config.NewSecret(authtest.ClientSecret)
	c.Prompt = "auto"
	p := oidcauth.New(c, o.Client().Transport, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return p
}

func TestConformance(t *testing.T) {
	t.Parallel()
	authtest.RunProvider(t, func(t *testing.T) authtest.ProviderCase {
		o := authtest.StartOIDC(t, authtest.Options{TLS: true})
		return authtest.ProviderCase{
			Provider: provider(t, o), Replica: provider(t, o), SignIn: o.SignIn,
			Subject: "alice-1", Scope: "openid profile email offline_access", Secret: authtest.ClientSecret,
		}
	})
}

// issuers are the OpenID providers of a portal, by environment.
type issuers map[string]*authtest.OIDC

// A portal signs in whoever the identity providers vouch for, with a verified address.
type portal struct {
	*backendtest.Backend
	audit *backendtest.Audit

	mu   sync.Mutex
	seen []auth.Profile
}

// production is the environment of tests with one issuer.
const production = "production"

func open(t *testing.T, o *authtest.OIDC, more string) *portal {
	t.Helper()
	return openAll(t, issuers{production: o}, map[string]string{production: more})
}

// openAll is open with an environment for each issuer, and what else it is configured with.
func openAll(t *testing.T, all issuers, more map[string]string) *portal {
	t.Helper()
	p := &portal{audit: new(backendtest.Audit)}
	yaml := `
app: {baseUrl: 'http://localhost:3000'}
auth:
  session: {secret: a-secret-of-these-tests}
  providers:
    oidc:
`
	for _, env := range slices.Sorted(maps.Keys(all)) {
		yaml += fmt.Sprintf(`
      %s:
        metadataUrl: %s/.well-known/openid-configuration
        clientId: %s
        clientSecret: %q
        prompt: auto
        %s
        signIn: {resolvers: [{resolver: subject}]}
`, env, all[env].URL, authtest.ClientID, authtest.ClientSecret, more[env])
	}
	p.Backend = backendtest.Start(t, yaml, auth.Plugin(), oidcauth.Module(),
		backend.NewPluginService(func(id backend.PluginID, base backend.Auditor) (backend.Auditor, error) {
			if id == "auth" {
				return p.audit, nil
			}
			return base, nil
		}),
		backend.NewModule("auth", "subject", fx.Invoke(func(x *auth.Extensions) { x.AddResolver("subject", auth.ResolverFunc(p.resolve)) })))
	return p
}

func (p *portal) resolve(_ context.Context, who auth.Profile, _ auth.Users) (auth.Identity, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, who)
	if who.Email == "" {
		return auth.Identity{}, apierr.Internal.New("no verified e-mail address")
	}
	return auth.Identity{User: entity.Ref{Kind: "user", Namespace: "default", Name: who.Subject}}, nil
}

func (p *portal) browser() *authtest.Browser {
	return authtest.NewBrowser(p.URL, "http://localhost:7007")
}

// way is the environment of a misbehaviour.
func way(i int) string { return fmt.Sprintf("way-%d", i) }

// TestAnIssuerThatMisbehaves has one subtest for each way: the sign-in is refused, one
// audit event says so, and no text of the issuer gets into a page as it is.
func TestAnIssuerThatMisbehaves(t *testing.T) {
	t.Parallel()
	all, more, ways := issuers{}, map[string]string{}, authtest.Misbehaviours()
	for i, m := range ways {
		o := authtest.StartOIDC(t, authtest.Options{TLS: true})
		o.Misbehave(m)
		all[way(i)] = o
		if m.Slow { // otherwise it is that of a busy machine
			more[way(i)] = "timeout: {milliseconds: 400}"
		}
	}
	p := openAll(t, all, more)
	for i, m := range ways {
		t.Run(m.Name, func(t *testing.T) {
			b := p.browser()
			res, err := b.SignIn("oidc", way(i), all[way(i)].SignIn)
			if err != nil {
				t.Fatal(err)
			}
			if res.Error == nil || res.Error.Name != m.ErrorName || res.Session != nil {
				t.Errorf("%d %+v %+v, want %s", res.Status, res.Error, res.Session, m.ErrorName)
			}
			if m.AtStart && res.Status != http.StatusServiceUnavailable {
				t.Errorf("the start is answered with %d", res.Status)
			}
			events := slices.DeleteFunc(p.audit.Events(), func(e backendtest.AuditRecord) bool { return e.Meta["env"] != way(i) })
			if len(events) != 1 || events[0].ID != "sign-in" || events[0].Status != "failed" || events[0].Outcome["error.name"] != m.ErrorName {
				t.Errorf("audited %+v", events)
			}
			if n := all[way(i)].Requests(authtest.Stolen); n != 0 {
				t.Errorf("the client has sent %d requests to where the issuer had no business to send it", n)
			}
			for _, endpoint := range []string{authtest.Discovery, authtest.Keys, authtest.TokenEndpoint, authtest.UserInfo} {
				if n := all[way(i)].Written(endpoint); n > authtest.Huge/2 {
					t.Errorf("the client has taken %d bytes of %s", n, endpoint)
				}
			}
			if strings.Contains(res.Body, "<script>alert") || strings.Contains(res.Body, "the issuer\")") {
				t.Errorf("the page has the issuer's markup: %s", res.Body)
			}
			if have := b.Cookies("oidc"); len(have) != 0 {
				t.Errorf("the browser has %v", have)
			}
		})
	}
	if len(p.seen) > 5 {
		t.Errorf("resolvers have seen %d profiles", len(p.seen))
	}
}

// TestSEC43_OnlyAnExpressTrueVerifiesAnAddress holds that the e-mail of a profile counts
// if the userinfo endpoint says email_verified: true, and in no other case.
func TestSEC43_OnlyAnExpressTrueVerifiesAnAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		verified any
		want     string
	}{
		{"true", true, "alice@acme.test"}, {"false", false, ""}, {"absent", nil, ""}, {"text", "true", ""}, {"number", 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			alice := authtest.Alice()
			delete(alice.Claims, "email_verified")
			if tt.verified != nil {
				alice.Claims["email_verified"] = tt.verified
			}
			o := authtest.StartOIDC(t, authtest.Options{Users: []authtest.User{alice}})
			p := open(t, o, "")
			res, err := p.browser().SignIn("oidc", production, o.SignIn)
			if err != nil || (res.Session != nil) != (tt.want != "") {
				t.Fatalf("%v %+v %+v", err, res.Error, res.Session)
			}
			if res.Session != nil && res.Session.Profile.Email != tt.want {
				t.Errorf("the page sees %+v", res.Session.Profile)
			}
			if seen := p.seen[0]; seen.Email != tt.want || seen.Subject != "alice-1" || seen.Username != "alice" || seen.Claims["email"] != "alice@acme.test" {
				t.Errorf("the resolver saw %+v", seen)
			}
		})
	}
}

// TestAnIssuerThatIsAwayAtStart holds that the backend starts without its identity
// provider, answers 503 meanwhile, and signs in once the issuer is there.
func TestAnIssuerThatIsAwayAtStart(t *testing.T) {
	t.Parallel()
	o := authtest.StartOIDC(t, authtest.Options{})
	var away authtest.Misbehaviour
	for _, m := range authtest.Misbehaviours() {
		if m.AtStart && !m.Slow {
			away = m
		}
	}
	o.Misbehave(away)
	p := open(t, o, "")
	_, res, err := p.browser().Start("oidc", production)
	if err != nil || res.Status != http.StatusServiceUnavailable || res.Error == nil || res.Error.Name != "ServiceUnavailableError" {
		t.Fatalf("meanwhile: %v %d %s", err, res.Status, res.Body)
	}
	o.Misbehave(authtest.Misbehaviour{})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		res, err := p.browser().SignIn("oidc", production, o.SignIn)
		if err == nil && res.Session != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v %d %s", err, res.Status, res.Body)
		}
	}
}

// TestWhatTheAddressSays holds the parameters of the start (contract/auth.md section 5.2).
func TestWhatTheAddressSays(t *testing.T) {
	t.Parallel()
	o := authtest.StartOIDC(t, authtest.Options{})
	for _, tt := range []struct {
		name, config string
		prompt       string
		further      string
	}{
		{"prompt left to the issuer", "", "", ""},
		{"prompt", "startUrlSearchParams: {acr_values: 'a b', prompt: login}", "login", "a b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			address, _, err := open(t, o, tt.config).browser().Start("oidc", production)
			if err != nil {
				t.Fatal(err)
			}
			r, err := http.NewRequest(http.MethodGet, address, nil)
			if err != nil {
				t.Fatal(err)
			}
			q := r.URL.Query()
			if q.Get("prompt") != tt.prompt || q.Get("acr_values") != tt.further || q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 ||
				q.Get("nonce") == "" || q.Get("response_type") != "code" || q.Get("redirect_uri") != "http://localhost:7007/api/auth/oidc/handler/frame" || q.Get("scope") != "openid profile email" {
				t.Errorf("%v", q)
			}
			if strings.Contains(address, "+") {
				t.Errorf("a plus is not a space to every issuer: %s", address)
			}
		})
	}
}
