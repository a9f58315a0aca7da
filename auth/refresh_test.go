package auth_test

import (
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth"
)

// TestRefreshTokensRotate holds that a new refresh token replaces the old one, that an old
// one stays where there is no new one, and that long ones are cut into several cookies.
func TestRefreshTokensRotate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		idp  *idp
		want []string // what the identity provider gets
	}{
		{"kept", &idp{}, []string{"rt-alice-0", "rt-alice-0"}},
		{"rotated", &idp{rotates: true}, []string{"rt-alice-0", "rt-alice-1"}},
		{"long", &idp{rotates: true, long: "-" + strings.Repeat("x", 9000)}, []string{"rt-alice-0", "rt-alice-1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			i := tt.idp
			i.people = people()
			p := openWith(t, production, i, i.module("idp", auth.Scopes{Persist: true, Required: []string{"openid"}}))
			b := p.browser()
			if m, _ := b.signIn("alice", ""); m.Response == nil {
				t.Fatalf("posted %+v", m.Error)
			}
			for range tt.want {
				b.script("GET", "/idp/refresh?env=production").session(t)
			}
			for n, want := range tt.want {
				if got := strings.TrimSuffix(i.refreshed[n], i.long); got != want {
					t.Errorf("refresh %d used %.40q, want %q", n, got, want)
				}
			}
		})
	}
}

// TestARejectedRefreshEndsTheSession holds that cookies that will never work again are
// removed, and that the answer says so in the one way that refreshes fail.
func TestARejectedRefreshEndsTheSession(t *testing.T) {
	t.Parallel()
	p := open(t, production)
	b := p.browser()
	b.signIn("alice", "")
	p.idp.mu.Lock()
	p.idp.gone = true
	p.idp.mu.Unlock()
	a := b.script("GET", "/idp/refresh?env=production")
	if e := a.error(t); a.status != 401 || e.Error.Message != "Refresh failed; caused by AuthenticationError: refused: invalid_grant" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if !has(a.removed(), "idp-refresh-token", "idp-granted-scope") {
		t.Errorf("cookies %q", a.header.Values("Set-Cookie"))
	}
	if a := b.script("GET", "/idp/refresh?env=production"); a.error(t).Error.Cause.Message != "Missing session cookie" {
		t.Errorf("the next refresh: %s", a.body)
	}
}

// TestACookieThatCannotBeOpenedStays holds that only a session which is known to have ended
// takes its cookies along: the environments of a provider share the names of theirs, and a
// replica with another secret knows nothing of the session (contract/auth.md section 2.7).
func TestACookieThatCannotBeOpenedStays(t *testing.T) {
	t.Parallel()
	staging := strings.Replace(production, "      production:\n", "      staging: {clientId: id, clientSecret: x}\n      production:\n", 1)
	p, stranger := open(t, staging), openAlone(t, strings.Replace(staging, "a-secret-of-these-tests", "another-secret-of-these-tests", 1))
	b := p.browser()
	b.signIn("alice", "")
	refused := func(who, path string) {
		t.Helper()
		a := b.script("GET", path)
		if e := a.error(t); a.status != 401 || !strings.Contains(e.Error.Message, "cannot be opened") || len(a.header.Values("Set-Cookie")) > 0 {
			t.Errorf("%s: %d %s %q", who, a.status, e.Error.Message, a.header.Values("Set-Cookie"))
		}
	}
	refused("another environment", "/idp/refresh?env=staging")
	base := b.base
	b.base = stranger.URL + "/api/auth" // the same host to a cookie jar, which ignores ports
	refused("another secret", "/idp/refresh?env=production")
	b.base = base
	b.script("GET", "/idp/refresh?env=production").session(t)
}

// TestANewSignInStartsFromNothing holds that nothing of an earlier session of the browser
// is part of the next one (contract/auth.md S6).
func TestANewSignInStartsFromNothing(t *testing.T) {
	t.Parallel()
	p := open(t, production)
	b := p.browser()
	b.signIn("alice", "")
	b.signIn("bob", "")
	if s := b.script("GET", "/idp/refresh?env=production").session(t); s.BackstageIdentity.Identity.UserEntityRef != "user:default/bob" {
		t.Errorf("refreshed as %+v", s.BackstageIdentity)
	}
}

// TestScopes holds the union that is asked for, and what the session reports
// (contract/auth.md section 2.5).
func TestScopes(t *testing.T) {
	t.Parallel()
	yaml := strings.Replace(production, "clientId: id\n", "clientId: id\n        additionalScopes: 'groups, openid'\n        scope: [extra]\n", 1)
	for _, tt := range []struct {
		name          string
		scopes        auth.Scopes
		says          string
		first, second string // what is asked for at the first and at the second start
		reported      string
		refreshed     string
	}{
		{"remembered", auth.Scopes{Required: []string{"openid", "email"}, Persist: true}, "openid",
			"a b openid email groups extra", "c a b openid email groups extra", "c a b openid email groups extra", "c a b openid email groups extra"},
		{"told by the token", auth.Scopes{Required: []string{"openid"}}, "openid,a",
			"a b openid groups extra", "c openid groups extra", "openid a", "openid groups extra"},
		{"not told", auth.Scopes{Required: []string{"openid"}}, "",
			"a b openid groups extra", "c openid groups extra", "", "openid groups extra"},
		{"transformed", auth.Scopes{Transform: func(union, requested []string) []string { return append(requested, "offline_access") }}, "x",
			"a b offline_access", "c offline_access", "x", "offline_access"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			i := &idp{people: people(), says: tt.says}
			p := openWith(t, yaml, i, i.module("idp", tt.scopes))
			b := p.browser()
			q := b.start("env=production&scope=a%7Cb%2Ca")
			if got := q.Get("scope"); got != tt.first {
				t.Errorf("first start asks for %q, want %q", got, tt.first)
			}
			b.do("GET", "/idp/handler/frame?code=alice&state="+q.Get("state"), "")
			q = b.start("env=production&scope=c")
			if got := q.Get("scope"); got != tt.second {
				t.Errorf("second start asks for %q, want %q", got, tt.second)
			}
			m := posted(t, b.do("GET", "/idp/handler/frame?code=alice&state="+q.Get("state"), ""))
			if got := m.Response.ProviderInfo.Scope; got != tt.reported {
				t.Errorf("reported %q, want %q", got, tt.reported)
			}
			b.script("GET", "/idp/refresh?env=production")
			if got := i.scopes[0]; got != tt.refreshed {
				t.Errorf("refresh asks for %q, want %q", got, tt.refreshed)
			}
		})
	}
}
