package auth_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/guestauth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/httpx"
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
