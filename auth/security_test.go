package auth_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// TestSEC5_OriginsAreParsedNotPrefixes tries origins that a comparison of texts, or a lax
// parser, would take for the app's.
func TestSEC5_OriginsAreParsedNotPrefixes(t *testing.T) {
	t.Parallel()
	p := open(t, strings.Replace(production, "auth:\n", "auth:\n  experimentalExtraAllowedOrigins: ['https://*.preview.acme.example', 'https://preview-*.example']\n", 1))
	b := p.browser()
	for _, tt := range []struct {
		origin string
		status int
	}{
		{"http://app.example", 302},
		{"HTTP://APP.example:80/some/page?x", 302},
		{"https://pr-17.preview.acme.example", 302},
		{"https://evil.example", 403},
		{"https://app.example", 403}, // another scheme
		{"http://app.example:8080", 403},
		{"http://app.example.evil.example", 403},
		{"http://evil.example/http://app.example", 403},
		{"https://a.b.preview.acme.example", 403}, // a star is one label
		{"https://preview.acme.example", 403},
		{"https://evil.example/.preview.acme.example", 403},
		{"https://evil.example?.preview.acme.example", 403},
		{"https://evil.example#.preview.acme.example", 403},
		{"http://app.example@evil.example", 400},
		{`http://app.example\@evil.example`, 400},
		{`http:\\app.example`, 400},
		{"http://app.example\t.evil.example", 400},
		{"//app.example", 400},
		{"javascript://app.example/%0aalert(1)", 400},
		{"null", 400},
		{"https://preview-x.example", 302},
		{"https://preview-x\u3002evil.example", 400}, // browsers take these for dots
		{"https://preview-x\uff0eevil.example", 400},
		{"https://preview-x\uff61evil.example", 400},
		{"https://preview-x%E3%80%82evil.example", 400},
		{"https://preview-x%2eevil.example", 400},
		{"https://preview-\u212a.example", 400}, // and this for a k
		{"https://[fe80::1%25preview-x.example]", 400},
	} {
		if a := b.do("GET", "/idp/start?env=production&origin="+url.QueryEscape(tt.origin), ""); a.status != tt.status {
			t.Errorf("origin %q: %d %s, want %d", tt.origin, a.status, a.body, tt.status)
		}
	}
	for _, redirect := range []string{"https://evil.example/x", "//evil.example", `http://app.example\@evil.example`, "http://app.example@evil.example", "javascript:alert(1)", "/settings",
		"https://preview-x\u3002evil.example/", "https://preview-x%EF%BC%8Eevil.example/"} {
		if a := b.do("GET", "/idp/start?env=production&flow=redirect&redirectUrl="+url.QueryEscape(redirect), ""); a.status != 403 {
			t.Errorf("redirectUrl %q: %d %s", redirect, a.status, a.body)
		}
	}
}

// TestSEC79_AMalformedOriginIsTheRequestsMistake holds that an origin that cannot be read
// is answered with 400, as opposed to a failure of the server.
func TestSEC79_AMalformedOriginIsTheRequestsMistake(t *testing.T) {
	t.Parallel()
	b := open(t, production).browser()
	for _, origin := range []string{"::not a url", "https://", "http://[::1", "http://%zz", "%", "app.example", "http://a b", "ftp://app.example", "\x00"} {
		a := b.do("GET", "/idp/start?env=production&origin="+url.QueryEscape(origin), "")
		if e := a.error(t); a.status != 400 || e.Error.Name != "InputError" {
			t.Errorf("%q: %d %s", origin, a.status, a.body)
		}
	}
}

// TestSEC17_NoResolverFallsBack holds that a resolver without its input ends the sign-in:
// the next one, which could do without, is not asked.
func TestSEC17_NoResolverFallsBack(t *testing.T) {
	t.Parallel()
	asked := 0
	anybody := auth.ResolverFunc(func(_ context.Context, _ auth.Profile, users auth.Users) (auth.Identity, error) {
		asked++
		return auth.Identity{User: entity.Ref{Kind: "user", Namespace: "default", Name: "alice"}}, nil
	})
	yaml := strings.Replace(production, "{resolver: emailLocalPartMatchingUserEntityName}", "{resolver: anybody}", 1)
	p := open(t, yaml, resolverModule("anybody", anybody))
	for _, who := range []string{"nomail", "unverified", "twins"} {
		if m, _ := p.browser().signIn(who, ""); m.Error == nil {
			t.Errorf("%s is signed in as %+v", who, m.Response.BackstageIdentity)
		}
	}
	if asked != 0 {
		t.Errorf("the next resolver was asked %d times", asked)
	}
	if m, _ := p.browser().signIn("stranger", ""); m.Response == nil || asked != 1 {
		t.Errorf("nobody has that address: the next resolver decides, %+v", m.Error)
	}
}

// TestSEC37_AnUnverifiedAddressIsNobodys holds that an address that the identity provider
// does not vouch for reaches neither resolvers nor the page.
func TestSEC37_AnUnverifiedAddressIsNobodys(t *testing.T) {
	t.Parallel()
	var seen []auth.Profile
	spy := auth.ResolverFunc(func(_ context.Context, who auth.Profile, users auth.Users) (auth.Identity, error) {
		seen = append(seen, who)
		return auth.Identity{}, apierr.NotFound.New("nobody")
	})
	yaml := strings.Replace(production, "[{resolver: emailMatchingUserEntityProfileEmail}", "[{resolver: spy}, {resolver: emailMatchingUserEntityProfileEmail, dangerouslyAllowSignInWithoutUserInCatalog: true}", 1)
	p := open(t, yaml, resolverModule("spy", spy))
	m, page := p.browser().signIn("unverified", "")
	if m.Error == nil || m.Error.Name != "Error" || strings.Contains(page.body, "acme.example") {
		t.Errorf("posted %+v", m)
	}
	if len(seen) != 1 || seen[0].Email != "" || seen[0].EmailVerified {
		t.Errorf("the resolver saw %+v", seen)
	}
}

// TestSEC78_ASessionDiesWithItsUser holds that a refresh of somebody who is gone from the
// catalog fails, and that the session does not come back with the next user of that name,
// also for whoever has kept the cookie. A catalog that does not answer ends no session.
func TestSEC78_ASessionDiesWithItsUser(t *testing.T) {
	t.Parallel()
	catalog := ""
	find := auth.ResolverFunc(func(ctx context.Context, who auth.Profile, users auth.Users) (auth.Identity, error) {
		switch catalog {
		case "gone":
			return auth.Identity{}, apierr.NotFound.New("no such user")
		case "away":
			return auth.Identity{}, apierr.ServiceUnavailable.New("the catalog does not answer")
		}
		user, err := users.ByEmail(ctx, who.Email)
		if err != nil {
			return auth.Identity{}, err
		}
		return auth.SignInAs(ctx, users, user)
	})
	p := open(t, strings.Replace(production, "emailMatchingUserEntityProfileEmail", "find", 1), resolverModule("find", find))
	b := p.browser()
	if m, _ := b.signIn("alice", ""); m.Response == nil {
		t.Fatalf("posted %+v", m.Error)
	}
	kept := b.cookie("/idp/refresh", "idp-refresh-token")

	catalog = "away"
	a := b.script("GET", "/idp/refresh?env=production")
	if e := a.error(t); a.status != 401 || len(a.removed()) != 0 || !strings.Contains(e.Error.Message, "the catalog does not answer") {
		t.Errorf("while the catalog is away: %d %s %q", a.status, a.body, a.header.Values("Set-Cookie"))
	}
	catalog = ""
	b.script("GET", "/idp/refresh?env=production").session(t)

	catalog = "gone"
	// Nobody has bob's local part either: alice is the only one with that address.
	p.idp.mu.Lock()
	p.idp.people["alice"] = auth.Profile{Subject: people()["alice"].Subject, Email: "nobody@acme.example", EmailVerified: true}
	p.idp.mu.Unlock()
	a = b.script("GET", "/idp/refresh?env=production")
	if e := a.error(t); a.status != 401 || !strings.Contains(e.Error.Message, "unable to resolve user identity") {
		t.Errorf("without the user: %d %s", a.status, a.body)
	}
	if !has(a.removed(), "idp-refresh-token", "idp-granted-scope") || len(a.cookies()) != 0 {
		t.Errorf("cookies %q", a.header.Values("Set-Cookie"))
	}

	catalog = ""
	p.idp.mu.Lock()
	p.idp.people["alice"] = people()["alice"]
	p.idp.mu.Unlock()
	b.keep("/idp/refresh", kept)
	if a := b.script("GET", "/idp/refresh?env=production"); a.status != 401 {
		t.Errorf("the session is back: %d %s", a.status, a.body)
	}
}
