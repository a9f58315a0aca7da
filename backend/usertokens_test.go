package backend_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/guestauth"
	"github.com/callboard-dev/callboard/backend/backendtest"
)

// TestUserTokensAsConfigured holds that auth.backstageTokenExpiration and
// auth.identityTokenAlgorithm are those of the tokens that the backend issues, lists the
// keys of, and accepts.
func TestUserTokensAsConfigured(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, `
auth:
  backstageTokenExpiration: {minutes: 30}
  identityTokenAlgorithm: RS256
  providers: {guest: {}}
`, auth.Plugin(), guestauth.Module())
	_, body := get(t, http.DefaultClient, b.URL+"/api/auth/guest/refresh")
	var session struct {
		BackstageIdentity struct{ ExpiresInSeconds int }
	}
	if err := json.Unmarshal([]byte(body), &session); err != nil {
		t.Fatal(err)
	}
	if s := session.BackstageIdentity.ExpiresInSeconds; s > 1800 || s < 1700 {
		t.Errorf("a token is valid for %d s, want half an hour", s)
	}
	if _, keys := get(t, http.DefaultClient, b.URL+"/api/auth/.well-known/jwks.json"); !strings.Contains(keys, `"kty":"RSA"`) || !strings.Contains(keys, `"alg":"RS256"`) {
		t.Errorf("listed are %s", keys)
	}
	alice := b.As("user:default/alice")
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{0, http.StatusOK}, {31 * time.Minute, http.StatusUnauthorized}} {
		b.Advance(tt.after)
		if status, body := get(t, alice, b.URL+"/api/auth/.well-known/backstage/permissions/metadata"); status != tt.want {
			t.Errorf("after %s: %d %s, want %d", tt.after, status, body, tt.want)
		}
	}
}
