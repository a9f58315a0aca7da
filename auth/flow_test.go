package auth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth"
)

// TestSignInWithAPopup is a sign-in from the first page to the last: popup, refresh,
// sign-out (contract/auth.md section 11).
func TestSignInWithAPopup(t *testing.T) {
	t.Parallel()
	p := open(t, production)
	b := p.browser()

	first := b.script("GET", "/idp/refresh?optional&scope=openid&env=production")
	if e := first.error(t); first.status != 401 || e.Error.Name != "AuthenticationError" || e.Error.Message != "Refresh failed; caused by InputError: Missing session cookie" || e.Error.Cause == nil {
		t.Errorf("before the first sign-in: %d %+v", first.status, e)
	}

	m, page := b.signIn("alice", "&scope=openid%20profile")
	if m.Type != "authorization_response" || m.Response == nil || m.Origin != "http://app.example" {
		t.Fatalf("posted %+v", m)
	}
	s := m.Response
	if s.Profile["email"] != "Alice@Acme.example" || s.ProviderInfo.AccessToken != "at-alice" || s.ProviderInfo.IDToken != "it-alice" || s.ProviderInfo.Scope != "openid profile" || s.ProviderInfo.ExpiresInSeconds != 3600 {
		t.Errorf("session %+v", s)
	}
	id := s.BackstageIdentity
	if id == nil || id.Identity.UserEntityRef != "user:default/alice" || strings.Join(id.Identity.OwnershipEntityRefs, " ") != "user:default/alice group:default/platform-team" || id.ExpiresInSeconds < 3590 || id.ExpiresInSeconds > 3600 {
		t.Errorf("identity %+v", id)
	}
	if strings.Contains(page.body, "rt-alice") {
		t.Error("the page has the refresh token")
	}
	if got := page.cookies(); !has(got, "idp-refresh-token", "idp-granted-scope") || !strings.HasPrefix(got["idp-refresh-token"], "Max-Age=86400000; Path=/api/auth/idp; Expires=") || !strings.HasSuffix(got["idp-refresh-token"], "GMT; HttpOnly; SameSite=Lax") {
		t.Errorf("cookies %v", got)
	}
	if !has(page.removed(), "idp-nonce", "idp-flow") {
		t.Errorf("a nonce is good for one use: %v", page.header.Values("Set-Cookie"))
	}

	again := b.script("GET", "/idp/refresh?optional&scope=openid%20profile&env=production")
	if s := again.session(t); s.BackstageIdentity.Identity.UserEntityRef != "user:default/alice" || s.ProviderInfo.Scope != "openid profile" || again.header.Get("Cache-Control") != "no-store" {
		t.Errorf("refreshed %+v %v", s, again.header)
	}
	if len(p.idp.refreshed) != 1 || p.idp.refreshed[0] != "rt-alice-0" {
		t.Errorf("the identity provider was asked with %q", p.idp.refreshed)
	}

	kept := b.cookie("/idp/refresh", "idp-refresh-token")
	out := b.script("POST", "/idp/logout?env=production")
	if out.status != 200 || out.body != "" || !has(out.removed(), "idp-refresh-token", "idp-granted-scope") || len(p.idp.revoked) != 1 {
		t.Errorf("sign-out: %d %q %v, revoked %q", out.status, out.body, out.header, p.idp.revoked)
	}
	if after := b.script("GET", "/idp/refresh?env=production"); after.status != 401 {
		t.Errorf("after the sign-out: %d %s", after.status, after.body)
	}
	b.keep("/idp/refresh", kept)
	if after := b.script("GET", "/idp/refresh?env=production"); after.status != 401 || !has(after.removed(), "idp-refresh-token") {
		t.Errorf("with a cookie that was kept: %d %s", after.status, after.body)
	}
}

// TestWhoMaySignIn holds the outcomes of the resolver list of the production guide: e-mail
// first, the local part if nobody has that address, and nobody else.
func TestWhoMaySignIn(t *testing.T) {
	t.Parallel()
	p := open(t, production)
	for _, tt := range []struct {
		who       string
		user      string // who it is in the catalog
		errorName string
		says      string
	}{
		{who: "alice", user: "user:default/alice"},
		{who: "tagged", user: "user:default/alice"},
		{who: "bob", user: "user:default/bob"}, // by local part
		{who: "stranger", errorName: "Error", says: "emailLocalPartMatchingUserEntityName: User not found"},
		{who: "slash", errorName: "Error", says: `"a/bob" cannot be the name of a user`},
		{who: "team", errorName: "Error", says: "User not found"}, // platform-team is a group
		{who: "twins", errorName: "ConflictError", says: "the catalog has 2 users with spec.profile.email"},
		{who: "nomail", errorName: "Error", says: `resolver emailMatchingUserEntityProfileEmail: Login failed, user profile does not contain an email: the claim "email" is missing`},
		{who: "unverified", errorName: "Error", says: `does not say that it is verified (claim "email_verified")`},
	} {
		t.Run(tt.who, func(t *testing.T) {
			b := p.browser()
			b.t = t
			m, page := b.signIn(tt.who, "")
			if tt.errorName == "" {
				if m.Response == nil || m.Response.BackstageIdentity.Identity.UserEntityRef != tt.user {
					t.Fatalf("posted %+v %+v, want %s", m.Error, m.Response, tt.user)
				}
				return
			}
			if m.Error == nil || m.Error.Name != tt.errorName || !strings.Contains(m.Error.Message, tt.says) {
				t.Errorf("posted %+v, want %s with %q", m.Error, tt.errorName, tt.says)
			}
			if got := page.cookies(); len(got) != 0 {
				t.Errorf("a sign-in that failed sets %v", got)
			}
			if a := b.script("GET", "/idp/refresh?env=production"); a.status != 401 {
				t.Errorf("refresh after it: %d", a.status)
			}
		})
	}
}

// TestWhatIsRefused has one row for each thing that a request can have wrong.
func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	p := open(t, production)
	q := url.QueryEscape
	for _, tt := range []struct {
		name, method, path string
		header             []string
		status             int
		errorName          string
	}{
		{"no environment", "GET", "/idp/start", nil, 400, "InputError"},
		{"an environment that is not configured", "GET", "/idp/start?env=staging", nil, 404, "NotFoundError"},
		{"a provider that nobody knows", "GET", "/nope/start?env=production", nil, 404, "NotFoundError"},
		{"a path that providers do not have", "GET", "/idp/nope", nil, 404, "NotFoundError"},
		{"another method", "DELETE", "/idp/refresh", nil, 404, "NotFoundError"},
		{"a redirect to elsewhere", "GET", "/idp/start?env=production&flow=redirect&redirectUrl=" + q("https://evil.example/x"), nil, 403, "NotAllowedError"},
		{"a redirect that is no address", "GET", "/idp/start?env=production&flow=redirect&redirectUrl=" + q("javascript:alert(1)"), nil, 403, "NotAllowedError"},
		{"a redirect without a host", "GET", "/idp/start?env=production&flow=redirect&redirectUrl=" + q("//evil.example"), nil, 403, "NotAllowedError"},
		{"an unknown flow", "GET", "/idp/start?env=production&flow=iframe", nil, 400, "InputError"},
		{"a callback without state", "GET", "/idp/handler/frame?code=x", nil, 400, "InputError"},
		{"a callback with an error and no state", "GET", "/idp/handler/frame?error=access_denied", nil, 400, "InputError"},
		{"a state that says nothing", "GET", "/idp/handler/frame?code=x&state=00", nil, 403, "NotAllowedError"},
		{"a state that is not hexadecimal", "GET", "/idp/handler/frame?code=x&state=zz", nil, 403, "NotAllowedError"},
		{"a refresh without the header", "GET", "/idp/refresh?env=production", nil, 401, "AuthenticationError"},
		{"a refresh with the header in another case", "GET", "/idp/refresh?env=production", []string{"X-Requested-With", "xmlhttprequest"}, 401, "AuthenticationError"},
		{"a refresh from another origin", "GET", "/idp/refresh?env=production", []string{"X-Requested-With", "XMLHttpRequest", "Origin", "https://evil.example"}, 403, "NotAllowedError"},
		{"a refresh without an environment", "GET", "/idp/refresh", []string{"X-Requested-With", "XMLHttpRequest"}, 400, "InputError"},
		{"a sign-out without the header", "POST", "/idp/logout?env=production", nil, 401, "AuthenticationError"},
		{"a sign-out from another origin", "POST", "/idp/logout?env=production", []string{"X-Requested-With", "XMLHttpRequest", "Origin", "null"}, 403, "NotAllowedError"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := p.browser()
			b.t = t
			a := b.do(tt.method, tt.path, "", tt.header...)
			if e := a.error(t); a.status != tt.status || e.Error.Name != tt.errorName {
				t.Errorf("%d %s, want %d %s", a.status, a.body, tt.status, tt.errorName)
			}
			if got := a.header.Values("Set-Cookie"); len(got) > 0 && tt.status != 200 && !strings.Contains(tt.path, "handler") {
				t.Errorf("sets %q", got)
			}
		})
	}
}

// TestACallbackIsTheBrowsersOwn holds that a code and a state that did not come from this
// browser's start sign nobody in (contract/auth.md S3, S4).
func TestACallbackIsTheBrowsersOwn(t *testing.T) {
	t.Parallel()
	p := open(t, production)
	const start = "env=production&origin=http%3A%2F%2Fapp.example&flow=popup"
	frame := func(b *browser, state, more string) message {
		return posted(b.t, b.do("GET", "/idp/handler/frame?code=alice&state="+state+more, ""))
	}
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, b *browser) message
		says string
	}{
		{"a state of another browser", func(_ *testing.T, b *browser) message {
			return frame(b, p.browser().start(start).Get("state"), "")
		}, "missing cookie nonce"},
		{"a state of another sign-in of this browser", func(_ *testing.T, b *browser) message {
			old := b.start(start).Get("state")
			b.start(start)
			return frame(b, old, "")
		}, "Invalid nonce"},
		{"the same state twice", func(_ *testing.T, b *browser) message {
			state := b.start(start).Get("state")
			frame(b, state, "")
			return frame(b, state, "")
		}, "missing cookie nonce"},
		{"a flow cookie of another sign-in", func(t *testing.T, b *browser) message {
			b.start(start)
			flow := b.cookie("/idp/handler/frame", "idp-flow")
			state := b.start(start).Get("state")
			b.http.Jar.SetCookies(b.at("/idp/handler/frame"), []*http.Cookie{{Name: flow.Name, Value: flow.Value, Path: "/api/auth/idp/handler"}})
			return frame(b, state, "")
		}, "was not made for this sign-in"},
		{"a state that somebody has changed", func(_ *testing.T, b *browser) message {
			state := b.start(start).Get("state")
			return frame(b, strings.Replace(state, hexOf("app.example"), hexOf("evil.example"), 1), "&env=production")
		}, "not signed by this backend"},
		{"an error instead of a code", func(t *testing.T, b *browser) message {
			state := b.start(start).Get("state")
			return posted(t, b.do("GET", "/idp/handler/frame?error=access_denied&error_description=%3C%2Fscript%3E%3Cb%3E'no'&state="+state, ""))
		}, "access_denied: </script><b>'no'"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := p.browser()
			b.t = t
			m := tt.do(t, b)
			if m.Error == nil || !strings.Contains(m.Error.Message, tt.says) || m.Origin != "http://app.example" {
				t.Errorf("posted %+v to %s, want %q", m.Error, m.Origin, tt.says)
			}
		})
	}
}

// TestSEC5_NothingInThePopupIsMarkup holds that no byte of what others have written can become part of the
// script or of the page, and that the page passes its own policy.
func TestSEC5_NothingInThePopupIsMarkup(t *testing.T) {
	t.Parallel()
	p := open(t, production)
	b := p.browser()
	const nasty = `</script><img src=x onerror=alert(1)>'"\` + "\u2028"
	p.idp.people["nasty"] = auth.Profile{Email: "alice@acme.example", EmailVerified: true, DisplayName: nasty}
	m, page := b.signIn("nasty", "")
	if m.Response == nil || m.Response.Profile["displayName"] != nasty {
		t.Errorf("posted %+v", m)
	}
	for _, part := range []string{"<img", "alert(1)", "\u2028", `\`} {
		if strings.Contains(page.body, part) {
			t.Errorf("the page has %q", part)
		}
	}
	script := page.body[strings.Index(page.body, "<script>")+len("<script>") : strings.LastIndex(page.body, "</script>")]
	if strings.Contains(script, "<") {
		t.Error("the script has a tag in it")
	}
	want := "script-src 'sha256-" + sha256Of(script) + "'; default-src 'none'"
	for name, value := range map[string]string{"Content-Type": "text/html", "X-Frame-Options": "sameorigin", "Content-Security-Policy": want,
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "unsafe-none"} {
		if got := page.header.Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	if strings.Count(page.body, "'*'") != 1 || !strings.Contains(page.body, "postMessage(result,origin)") {
		t.Error("the session goes to a window of any origin")
	}
}

// TestRedirectFlow holds that the page of the flag enableExperimentalRedirectFlow gets the
// user back, with the error if there is one.
func TestRedirectFlow(t *testing.T) {
	t.Parallel()
	p := open(t, production)
	const start = "env=production&flow=redirect&redirectUrl=http%3A%2F%2Fapp.example%2Fsettings%3Fa%3Db"
	b := p.browser()
	a := b.do("GET", "/idp/handler/frame?code=alice&state="+b.start(start).Get("state"), "")
	if a.status != 302 || a.header.Get("Location") != "http://app.example/settings?a=b" || !has(a.cookies(), "idp-refresh-token") {
		t.Errorf("%d %v", a.status, a.header)
	}
	if s := b.script("GET", "/idp/refresh?env=production").session(t); s.BackstageIdentity == nil {
		t.Errorf("refresh on return: %+v", s)
	}
	a = b.do("GET", "/idp/handler/frame?code=nomail&state="+b.start(start).Get("state"), "")
	to, _ := url.Parse(a.header.Get("Location"))
	if a.status != 302 || to.Host != "app.example" || to.Query().Get("a") != "b" || !strings.Contains(to.Query().Get("error"), "does not contain an email") {
		t.Errorf("%d %v", a.status, a.header)
	}
	a = b.do("GET", "/idp/handler/frame?code=alice&state="+b.start("env=production&flow=redirect").Get("state"), "")
	if m := posted(t, a); m.Error == nil || m.Error.Name != "InputError" {
		t.Errorf("without a redirectUrl: %+v", m)
	}
}

// TestFormPost holds that identity providers may send the browser back with a form.
func TestFormPost(t *testing.T) {
	t.Parallel()
	p := open(t, production)
	b := p.browser()
	form := url.Values{"code": {"alice"}, "state": {b.start("env=production").Get("state")}}.Encode()
	a := b.do("POST", "/idp/handler/frame", form, "Content-Type", "application/x-www-form-urlencoded")
	if m := posted(t, a); m.Response == nil {
		t.Errorf("posted %+v", m.Error)
	}
	a = b.do("POST", "/idp/handler/frame", "code="+strings.Repeat("x", 200<<10), "Content-Type", "application/x-www-form-urlencoded")
	if a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a form of 200 KiB: %d", a.status)
	}
}
