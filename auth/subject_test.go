package auth_test

import (
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/backendtest"
)

// TestARefreshIsForTheUserWhoSignedIn holds that an identity provider which answers a
// refresh for somebody else, by mistake or because its token endpoint was fooled, ends the
// session instead of turning it into the other's (OpenID Connect Core, 12.2).
func TestARefreshIsForTheUserWhoSignedIn(t *testing.T) {
	t.Parallel()
	audit := new(backendtest.Audit)
	p := open(t, production, backend.NewPluginService(func(id backend.PluginID, base backend.Auditor) (backend.Auditor, error) {
		if id == "auth" {
			return audit, nil
		}
		return base, nil
	}))
	b := p.browser()
	if m, _ := b.signIn("alice", ""); m.Response == nil {
		t.Fatalf("posted %+v", m.Error)
	}
	b.script("GET", "/idp/refresh?env=production").session(t)
	p.idp.mu.Lock()
	p.idp.people["alice"] = people()["bob"]
	p.idp.mu.Unlock()
	before := len(audit.Events())
	a := b.script("GET", "/idp/refresh?env=production")
	if e := a.error(t); a.status != 401 || !strings.Contains(e.Error.Message, "another user") || !has(a.removed(), "idp-refresh-token", "idp-granted-scope") {
		t.Errorf("%d %s %q", a.status, e.Error.Message, a.header.Values("Set-Cookie"))
	}
	if told := audit.Events()[before:]; len(told) != 1 || told[0].ID != "sign-in" || told[0].Status != "failed" || told[0].Outcome["userEntityRef"] != nil {
		t.Errorf("audited %+v", told)
	}
	p.idp.mu.Lock()
	p.idp.people["alice"] = people()["alice"]
	p.idp.mu.Unlock()
	if a := b.script("GET", "/idp/refresh?env=production"); a.status != 401 {
		t.Errorf("the session is back: %d %s", a.status, a.body)
	}
}

// TestARefreshThatFailsKeepsItsUser holds that a session goes on with the refresh token
// that came with an error, and is still nobody else's.
func TestARefreshThatFailsKeepsItsUser(t *testing.T) {
	t.Parallel()
	p := open(t, production)
	b := p.browser()
	b.signIn("alice", "")
	p.idp.mu.Lock()
	p.idp.rotates, p.idp.fails = true, apierr.ServiceUnavailable.New("the userinfo endpoint did not answer")
	p.idp.mu.Unlock()
	if a := b.script("GET", "/idp/refresh?env=production"); a.status != 401 || len(a.removed()) > 0 {
		t.Errorf("%d %s %q", a.status, a.body, a.header.Values("Set-Cookie"))
	}
	p.idp.mu.Lock()
	p.idp.fails = nil
	p.idp.mu.Unlock()
	b.script("GET", "/idp/refresh?env=production").session(t)
	if got := strings.Join(p.idp.refreshed, " "); got != "rt-alice-0 rt-alice-1" {
		t.Errorf("refreshed with %s", got)
	}
}
