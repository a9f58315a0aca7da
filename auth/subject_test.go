package auth_test

import (
	"strings"
	"testing"
)

// TestARefreshIsForTheUserWhoSignedIn holds that an identity provider which answers a
// refresh for somebody else, by mistake or because its token endpoint was fooled, ends the
// session instead of turning it into the other's (OpenID Connect Core, 12.2).
func TestARefreshIsForTheUserWhoSignedIn(t *testing.T) {
	t.Parallel()
	p := open(t, production)
	b := p.browser()
	if m, _ := b.signIn("alice", ""); m.Response == nil {
		t.Fatalf("posted %+v", m.Error)
	}
	b.script("GET", "/idp/refresh?env=production").session(t)
	p.idp.mu.Lock()
	p.idp.people["alice"] = people()["bob"]
	p.idp.mu.Unlock()
	a := b.script("GET", "/idp/refresh?env=production")
	if e := a.error(t); a.status != 401 || !strings.Contains(e.Error.Message, "another user") || !has(a.removed(), "idp-refresh-token", "idp-granted-scope") {
		t.Errorf("%d %s %q", a.status, e.Error.Message, a.header.Values("Set-Cookie"))
	}
	p.idp.mu.Lock()
	p.idp.people["alice"] = people()["alice"]
	p.idp.mu.Unlock()
	if a := b.script("GET", "/idp/refresh?env=production"); a.status != 401 {
		t.Errorf("the session is back: %d %s", a.status, a.body)
	}
}
