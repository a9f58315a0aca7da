package guestauth_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/guestauth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/catalogtest"
	"github.com/callboard-dev/callboard/catalog/entity"
)

func ask(t *testing.T, method, url, token string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// whoami answers with the caller's reference, for those who are signed in.
func whoami() backend.Feature {
	return backend.NewPlugin("whoami", fx.Invoke(func(r backend.Router) {
		r.Handle("GET /me", func(w http.ResponseWriter, r *http.Request) error {
			u, err := httpx.UserOf(r)
			if err != nil {
				return err
			}
			return httpx.JSON(w, http.StatusOK, u.Ref)
		})
	}))
}

// TestGuestSignIn holds that a guest's token is somebody to every plugin.
func TestGuestSignIn(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "auth: {providers: {guest: {userEntityRef: 'user:default/visitor'}}}", auth.Plugin(), guestauth.Module(), whoami())
	code, body := ask(t, "GET", b.URL+"/api/auth/guest/refresh", "")
	var s struct {
		BackstageIdentity struct {
			Token            string
			ExpiresInSeconds int
			Identity         struct {
				Type, UserEntityRef string
				OwnershipEntityRefs []string
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &s); err != nil || code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	id := s.BackstageIdentity
	if id.Identity.UserEntityRef != "user:default/visitor" || len(id.Identity.OwnershipEntityRefs) != 1 || id.ExpiresInSeconds < 3500 {
		t.Errorf("identity %+v", id)
	}
	if code, body := ask(t, "GET", b.URL+"/api/whoami/me", id.Token); code != 200 || body != `"user:default/visitor"` {
		t.Errorf("with the token: %d %s", code, body)
	}
	if code, _ := ask(t, "GET", b.URL+"/api/whoami/me", id.Token[:len(id.Token)-4]+"AAAA"); code != 401 {
		t.Errorf("with a forged token: %d", code)
	}
	for _, tt := range []struct {
		method, path string
		code         int
		has          string
	}{
		{"POST", "/guest/refresh", 200, "user:default/visitor"},
		{"GET", "/guest/start", 501, "NotImplementedError"},
		{"GET", "/nope/start", 404, "NotFoundError"},
		{"POST", "/guest/logout", 404, "NotFoundError"},
		{"GET", "/.well-known/jwks.json", 200, `"kty":"EC"`},
	} {
		if code, body := ask(t, tt.method, b.URL+"/api/auth"+tt.path, ""); code != tt.code || !strings.Contains(body, tt.has) {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, code, body)
		}
	}
}

// guest is the identity of a session.
func guest(t *testing.T, body string) (user string, owned []string) {
	t.Helper()
	var s struct {
		BackstageIdentity struct {
			Identity struct {
				UserEntityRef       string
				OwnershipEntityRefs []string
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatal(body)
	}
	return s.BackstageIdentity.Identity.UserEntityRef, s.BackstageIdentity.Identity.OwnershipEntityRefs
}

// TestGuestsOfTheCatalog holds that a guest who is in the catalog owns what that user
// owns, and that one who is not is signed in all the same.
func TestGuestsOfTheCatalog(t *testing.T) {
	t.Parallel()
	team := entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "Group", "metadata": map[string]any{"name": "team"}, "spec": map[string]any{"type": "team", "children": []any{}}}
	visitor := entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "User", "metadata": map[string]any{"name": "visitor"}, "spec": map[string]any{"memberOf": []any{"team"}}}
	for _, tt := range []struct{ config, user, owned string }{
		{"{userEntityRef: 'user:default/visitor', ownershipEntityRefs: ['group:default/other']}", "user:default/visitor", "user:default/visitor group:default/team"},
		{"{userEntityRef: Visitor}", "user:default/visitor", "user:default/visitor group:default/team"},
		{"{}", "user:development/guest", "user:development/guest"},
		{"{ownershipEntityRefs: ['group:default/other']}", "user:development/guest", "group:default/other"},
	} {
		b := backendtest.Start(t, "auth: {providers: {guest: "+tt.config+"}}", auth.Plugin(), guestauth.Module(), catalog.Plugin(), catalogtest.Entities(team, visitor))
		var code int
		var body string
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			code, body = ask(t, "GET", b.URL+"/api/auth/guest/refresh", "")
			if user, owned := guest(t, body); code == 200 && user == tt.user && strings.Join(owned, " ") == tt.owned {
				break
			}
		}
		if user, owned := guest(t, body); code != 200 || user != tt.user || strings.Join(owned, " ") != tt.owned {
			t.Errorf("%s: %d %s", tt.config, code, body)
		}
	}
}

// TestNoGuestsInProduction holds that the guest is for development, and says what to do.
func TestNoGuestsInProduction(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		config string
		status int
		has    string
	}{
		{"{}", 403, "dangerouslyAllowOutsideDevelopment"},
		{"{dangerouslyAllowOutsideDevelopment: true}", 200, "user:development/guest"},
	} {
		cfg, err := backendtest.Config(t, "auth: {providers: {guest: "+tt.config+"}}")
		if err != nil {
			t.Fatal(err)
		}
		b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))
		b.Add(auth.Plugin(), guestauth.Module())
		if err := b.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		code, body := ask(t, "GET", "http://"+b.Addr().String()+"/api/auth/guest/refresh", "")
		if code != tt.status || !strings.Contains(body, tt.has) {
			t.Errorf("%s: %d %s", tt.config, code, body)
		}
		if err := b.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestAPageOfAnotherSiteIsNoGuest holds that what a browser sends must come from a script
// of a page that may sign in.
func TestAPageOfAnotherSiteIsNoGuest(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "app: {baseUrl: 'http://app.example'}\nauth: {providers: {guest: {}}}", auth.Plugin(), guestauth.Module())
	for _, tt := range []struct {
		name   string
		header map[string]string
		status int
	}{
		{"a program", nil, 200},
		{"the frontend", map[string]string{"Origin": "http://app.example", "X-Requested-With": "XMLHttpRequest", "Sec-Fetch-Site": "same-origin"}, 200},
		{"an image of another page", map[string]string{"Referer": "https://evil.example/", "Sec-Fetch-Site": "cross-site"}, 401},
		{"a link", map[string]string{"Sec-Fetch-Mode": "navigate"}, 401},
		{"a script of another page", map[string]string{"Origin": "https://evil.example", "X-Requested-With": "XMLHttpRequest"}, 403},
		{"another page without the header", map[string]string{"Origin": "https://evil.example"}, 401},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", b.URL+"/api/auth/guest/refresh", nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range tt.header {
			r.Header.Set(k, v)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tt.status {
			t.Errorf("%s: %d, want %d", tt.name, res.StatusCode, tt.status)
		}
	}
}

// TestNotConfigured holds that a module alone lets nobody in.
func TestNotConfigured(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "auth: {}", auth.Plugin(), guestauth.Module())
	if code, body := ask(t, "GET", b.URL+"/api/auth/guest/refresh", ""); code != 404 || !strings.Contains(body, "No auth provider registered for 'guest'") {
		t.Errorf("%d %s", code, body)
	}
}
