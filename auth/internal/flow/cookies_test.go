package flow

import (
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

var at = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)

// TestCookieAttributes is the matrix of callback URLs and app origins (contract/auth.md
// section 3), with base paths and trailing slashes.
func TestCookieAttributes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		callback, app, path, flags string
	}{
		{"https://portal.acme.com/api/auth/oidc/handler/frame", "https://portal.acme.com", "/api/auth/oidc", "; HttpOnly; Secure; SameSite=Lax"},
		{"https://portal.acme.com/api/auth/oidc/handler/frame", "", "/api/auth/oidc", "; HttpOnly; Secure; SameSite=Lax"},
		{"https://PORTAL.acme.com/api/auth/oidc/handler/frame", "https://portal.acme.com:8443", "/api/auth/oidc", "; HttpOnly; Secure; SameSite=Lax"},
		{"https://api.acme.com/api/auth/oidc/handler/frame", "https://app.acme.com", "/api/auth/oidc", "; HttpOnly; Secure; SameSite=None"},
		{"http://localhost:7007/api/auth/oidc/handler/frame", "http://localhost:3000", "/api/auth/oidc", "; HttpOnly; SameSite=Lax"},
		{"http://api.acme.com/api/auth/oidc/handler/frame", "http://app.acme.com", "/api/auth/oidc", "; HttpOnly; SameSite=Lax"}, // None needs Secure
		{"https://portal.acme.com//api/auth/oidc/handler/frame", "", "/api/auth/oidc", "; HttpOnly; Secure; SameSite=Lax"},
		{"https://portal.acme.com/portal/api/auth/oidc/handler/frame", "", "/portal/api/auth/oidc", "; HttpOnly; Secure; SameSite=Lax"},
		{"https://portal.acme.com/oidc/handler/frame", "", "/oidc", "; HttpOnly; Secure; SameSite=Lax"},
		{"https://portal.acme.com/sso/callback", "", "/sso/callback/oidc", "; HttpOnly; Secure; SameSite=Lax"},
		{"https://portal.acme.com/sso/callback/", "", "/sso/callback/oidc", "; HttpOnly; Secure; SameSite=Lax"},
		{"https://portal.acme.com", "", "/oidc", "; HttpOnly; Secure; SameSite=Lax"},
		{"https://portal.acme.com/api/auth/other-oidc/handler/frame", "", "/api/auth/other-oidc/handler/frame/oidc", "; HttpOnly; Secure; SameSite=Lax"},
	} {
		u, err := url.Parse(tt.callback)
		if err != nil {
			t.Fatal(err)
		}
		c := NewCookies("oidc", u)
		if got := c.flags(tt.app); c.Path() != tt.path || got != tt.flags {
			t.Errorf("%s for %q: path %s%s, want %s%s", tt.callback, tt.app, c.Path(), got, tt.path, tt.flags)
		}
	}
}

// TestSEC20_ProviderCookiesAreHostOnlyAndNarrow holds that the cookies of providers are
// sent back to the host that has set them, below the provider's own path.
func TestSEC20_ProviderCookiesAreHostOnlyAndNarrow(t *testing.T) {
	t.Parallel()
	c := cookies(t)
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, k := range []Cookie{Nonce, Sealed, RefreshToken, GrantedScope} {
		c.Set(w, r, k, "value", time.Hour, "https://portal.acme.com", at)
	}
	jar, _ := cookiejar.New(nil)
	host, _ := url.Parse("https://portal.acme.com/api/auth/oidc/handler/frame")
	jar.SetCookies(host, w.Result().Cookies())
	sent := func(address string) string {
		u, _ := url.Parse(address)
		var names []string
		for _, one := range jar.Cookies(u) {
			names = append(names, one.Name)
		}
		return strings.Join(names, " ")
	}
	for address, want := range map[string]string{
		"https://portal.acme.com/api/auth/oidc/handler/frame":      "oidc-nonce oidc-flow oidc-refresh-token oidc-granted-scope",
		"https://portal.acme.com/api/auth/oidc/refresh":            "oidc-refresh-token oidc-granted-scope",
		"https://portal.acme.com/api/auth/github/refresh":          "",
		"https://portal.acme.com/api/catalog/entities":             "",
		"https://sub.portal.acme.com/api/auth/oidc/refresh":        "",
		"https://acme.com/api/auth/oidc/refresh":                   "",
		"http://portal.acme.com/api/auth/oidc/refresh":             "",
		"https://portal.acme.com/api/auth/oidc-evil/refresh":       "",
		"https://portal.acme.com.evil.example/api/auth/oidc/frame": "",
	} {
		if got := sent(address); got != want {
			t.Errorf("to %s go %q, want %q", address, got, want)
		}
	}
	for _, line := range w.Header().Values("Set-Cookie") {
		if strings.Contains(line, "Domain=") && !strings.Contains(line, "=; Max-Age=0; ") {
			t.Errorf("%s has a domain", line)
		}
		if !strings.Contains(line, "; HttpOnly; Secure; SameSite=Lax") {
			t.Errorf("%s", line)
		}
	}
}

func cookies(t *testing.T) *Cookies {
	t.Helper()
	u, err := url.Parse("https://portal.acme.com/api/auth/oidc/handler/frame")
	if err != nil {
		t.Fatal(err)
	}
	return NewCookies("oidc", u)
}

// TestCookiesInParts writes values of all lengths over each other, as a browser sees them.
func TestCookiesInParts(t *testing.T) {
	t.Parallel()
	c := cookies(t)
	jar, _ := cookiejar.New(nil)
	u, _ := url.Parse("https://portal.acme.com/api/auth/oidc/refresh")
	for _, value := range []string{"short", strings.Repeat("a", 4000), strings.Repeat("b", 4001), strings.Repeat("ü;", 5000), strings.Repeat("c", 8000), "again short", strings.Repeat("d", 39000)} {
		r := httptest.NewRequest(http.MethodGet, u.String(), nil)
		for _, one := range jar.Cookies(u) {
			r.AddCookie(one)
		}
		w := httptest.NewRecorder()
		c.Set(w, r, RefreshToken, value, time.Hour, "", at)
		jar.SetCookies(u, w.Result().Cookies())
		r = httptest.NewRequest(http.MethodGet, u.String(), nil)
		for _, one := range jar.Cookies(u) {
			r.AddCookie(one)
			if len(one.Value) > 4000 {
				t.Errorf("a cookie of %d characters", len(one.Value))
			}
		}
		if got, ok := c.Get(r, RefreshToken); !ok || got != value {
			t.Errorf("read %d characters %.20q, want %d %.20q", len(got), got, len(value), value)
		}
		if have, want := len(jar.Cookies(u)), (len(escape(value))+3999)/4000; have != want {
			t.Errorf("%d cookies for %d characters, want %d", have, len(escape(value)), want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, u.String(), nil)
	for _, one := range jar.Cookies(u) {
		r.AddCookie(one)
	}
	w := httptest.NewRecorder()
	c.Remove(w, r, RefreshToken, "", at)
	jar.SetCookies(u, w.Result().Cookies())
	if left := jar.Cookies(u); len(left) != 0 {
		t.Errorf("after the removal there are %d cookies", len(left))
	}
}
