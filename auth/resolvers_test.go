package auth_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/backend"
)

// TestResolvers has one row per resolver and option that comes with the plugin (contract/
// auth.md section 6.2).
func TestResolvers(t *testing.T) {
	t.Parallel()
	number := func(p auth.Profile) string { s, _ := p.Claims["employee_id"].(string); return s }
	name := func(p auth.Profile) string { s, _ := p.Claims["login"].(string); return s }
	own := []backend.Feature{
		Module(),
		resolverModule("byName", auth.MatchName("a login", name)),
		resolverModule("byNumber", auth.MatchAnnotation("acme.example/employee-id", "an employee number", number)),
		resolverModule("byExactNumber", auth.MatchAnnotationOf("an employee number", true, func(p auth.Profile) (string, string) { return "acme.example/employee-id", number(p) })),
	}
	claims := func(c map[string]any) auth.Profile { return auth.Profile{Claims: c} }
	mail := func(email string) auth.Profile { return auth.Profile{Email: email, EmailVerified: true} }
	const anybody = ", dangerouslyAllowSignInWithoutUserInCatalog: true"
	rows := []struct {
		name, resolver string
		who            auth.Profile
		user           string
		errorName      string
	}{
		{"a custom one", "acmeEmployee", claims(map[string]any{"employee_id": "17"}), "user:default/alice", ""},
		{"e-mail in another case", "emailMatchingUserEntityProfileEmail", mail("ALICE@ACME.EXAMPLE"), "user:default/alice", ""},
		{"e-mail, a tag that nobody has", "emailMatchingUserEntityProfileEmail", mail("alice+a+b@acme.example"), "user:default/alice", ""},
		{"e-mail, domain allowed", "emailMatchingUserEntityProfileEmail, allowedDomains: ['@Acme.example']", mail("alice@acme.EXAMPLE"), "user:default/alice", ""},
		{"e-mail, domain not allowed", "emailMatchingUserEntityProfileEmail, allowedDomains: [corp.example]", mail("alice@acme.example"), "", "NotAllowedError"},
		{"e-mail, an end of the domain is not enough", "emailMatchingUserEntityProfileEmail, allowedDomains: [example]", mail("alice@acme.example"), "", "NotAllowedError"},
		{"e-mail, nobody", "emailMatchingUserEntityProfileEmail", mail("zoe@acme.example"), "", "Error"},
		{"e-mail, anybody", "emailMatchingUserEntityProfileEmail" + anybody, mail("Zoe+x@acme.example"), "user:default/zoe@acme.example", ""},
		{"e-mail, anybody, but there are two", "emailMatchingUserEntityProfileEmail" + anybody, mail("twins@acme.example"), "", "ConflictError"},
		{"e-mail, anybody, but without one", "emailMatchingUserEntityProfileEmail" + anybody, auth.Profile{Email: "zoe@acme.example"}, "", "Error"},
		{"local part", "emailLocalPartMatchingUserEntityName", mail("Bob@elsewhere.example"), "user:default/bob", ""},
		{"local part, domain not allowed", "emailLocalPartMatchingUserEntityName, allowedDomains: [acme.example]", mail("bob@elsewhere.example"), "", "NotAllowedError"},
		{"local part with a tag", "emailLocalPartMatchingUserEntityName", mail("bob+x@acme.example"), "", "Error"},
		{"local part that is a reference", "emailLocalPartMatchingUserEntityName" + anybody, mail("group:default/bob@acme.example"), "", "Error"},
		{"local part, anybody", "emailLocalPartMatchingUserEntityName" + anybody, mail("Zoe@acme.example"), "user:default/zoe", ""},
		{"local part that is no name, anybody", "emailLocalPartMatchingUserEntityName" + anybody, mail("..@acme.example"), "", "NotAllowedError"},
		{"local part that is too long, anybody", "emailLocalPartMatchingUserEntityName" + anybody, mail(strings.Repeat("z", 300) + "@acme.example"), "", "NotAllowedError"},
		{"e-mail that is too long, anybody", "emailMatchingUserEntityProfileEmail" + anybody, mail(strings.Repeat("z", 300) + "@acme.example"), "", "NotAllowedError"},
		{"e-mail that is a reference, anybody", "emailMatchingUserEntityProfileEmail" + anybody, mail("a/b@acme.example"), "", "NotAllowedError"},
		{"e-mail with a lookalike, anybody", "emailMatchingUserEntityProfileEmail" + anybody, mail("s\u212ay@acme.example"), "", "NotAllowedError"},
		{"name", "byName", claims(map[string]any{"login": "BOB"}), "user:default/bob", ""},
		{"name of a group", "byName", claims(map[string]any{"login": "platform-team"}), "", "Error"},
		{"name that is a reference", "byName" + anybody, claims(map[string]any{"login": "group:platform-team"}), "", "Error"},
		{"name, none", "byName" + anybody, claims(nil), "", "Error"},
		{"annotation", "byNumber", claims(map[string]any{"employee_id": "BOB-17"}), "user:default/bob", ""},
		{"annotation, nobody", "byNumber", claims(map[string]any{"employee_id": "99"}), "", "Error"},
		{"annotation, anybody", "byNumber" + anybody, claims(map[string]any{"employee_id": "99"}), "user:default/99", ""},
		{"annotation, anybody, but the name is taken", "byNumber" + anybody, claims(map[string]any{"employee_id": "alice"}), "", "NotAllowedError"},
		{"annotation, exact, anybody, but the name is taken", "byExactNumber" + anybody, claims(map[string]any{"employee_id": "Alice"}), "", "NotAllowedError"},
		{"annotation, exact", "byExactNumber", claims(map[string]any{"employee_id": "bob-17"}), "user:default/bob", ""},
		{"annotation, exact, another case", "byExactNumber", claims(map[string]any{"employee_id": "BOB-17"}), "", "Error"},
		{"annotation, exact, another case is not nobody", "byExactNumber" + anybody, claims(map[string]any{"employee_id": "BOB-17"}), "", "Error"},
	}
	// Each row is an environment, and somebody, of one portal.
	i := &idp{people: map[string]auth.Profile{}}
	yaml := production
	for n, tt := range rows {
		env := "row-" + strconv.Itoa(n)
		i.people[env] = tt.who
		yaml += "      " + env + ": {clientId: id, clientSecret: x, signIn: {resolvers: [{resolver: " + tt.resolver + "}]}}\n"
	}
	p := openWith(t, yaml, i, append(own, i.module("idp", auth.Scopes{Persist: true, Required: []string{"openid"}}))...)
	for n, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			b := p.browser()
			b.t = t
			env := "row-" + strconv.Itoa(n)
			m := posted(t, b.do("GET", "/idp/handler/frame?code="+env+"&state="+b.start("env="+env).Get("state"), ""))
			switch {
			case tt.errorName != "":
				if m.Error == nil || m.Error.Name != tt.errorName {
					t.Errorf("posted %+v %+v, want %s", m.Error, m.Response, tt.errorName)
				}
			case m.Response == nil || m.Response.BackstageIdentity.Identity.UserEntityRef != tt.user:
				t.Errorf("posted %+v %+v, want %s", m.Error, m.Response, tt.user)
			case strings.Contains(tt.resolver, anybody):
				if owned := m.Response.BackstageIdentity.Identity.OwnershipEntityRefs; len(owned) != 1 || owned[0] != tt.user {
					t.Errorf("somebody who is not in the catalog owns %q", owned)
				}
			}
		})
	}
}

// TestWhatTokensSay holds what a user owns in the session, and in the token if it is to be
// there.
func TestWhatTokensSay(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, config string
		more         []backend.Feature
		owned        string
		claim        bool
	}{
		{"direct groups", "", nil, "user:default/alice group:default/platform-team", false},
		{"in the token", "  omitIdentityTokenOwnershipClaim: false\n", nil, "user:default/alice group:default/platform-team", true},
		{"expressly not in the token", "  omitIdentityTokenOwnershipClaim: true\n", nil, "user:default/alice group:default/platform-team", false},
		{"ancestors", "  includeTransitiveGroupOwnership: true\n", nil, "user:default/alice group:default/platform-team group:default/engineering", false},
		{"of one's own", "", []backend.Feature{renamed("own", func(x *auth.Extensions) { x.SetOwnership(noOwnership) })}, "user:default/alice", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := open(t, strings.Replace(production, "auth:\n", "auth:\n"+tt.config, 1), tt.more...)
			m, _ := p.browser().signIn("alice", "")
			if m.Response == nil {
				t.Fatalf("posted %+v", m.Error)
			}
			if got := strings.Join(m.Response.BackstageIdentity.Identity.OwnershipEntityRefs, " "); got != tt.owned {
				t.Errorf("owns %q, want %q", got, tt.owned)
			}
			payload, err := base64.RawURLEncoding.DecodeString(strings.Split(m.Response.BackstageIdentity.Token, ".")[1])
			if err != nil {
				t.Fatal(err)
			}
			var claims struct {
				Iss, Sub, Aud string
				Ent           []string
			}
			if err := json.Unmarshal(payload, &claims); err != nil {
				t.Fatal(err)
			}
			if claims.Iss != "http://portal.example/api/auth" || claims.Sub != "user:default/alice" || claims.Aud != "backstage" || (claims.Ent != nil) != tt.claim {
				t.Errorf("claims %s", payload)
			}
		})
	}
}

// TestWithoutResolvers holds that a provider without them is for the tokens of the identity
// provider: there is a session, and nobody.
func TestWithoutResolvers(t *testing.T) {
	t.Parallel()
	p := open(t, strings.Replace(production, "[{resolver: emailMatchingUserEntityProfileEmail}, {resolver: emailLocalPartMatchingUserEntityName}]", "[]", 1))
	b := p.browser()
	m, _ := b.signIn("nomail", "")
	if m.Response == nil || m.Response.BackstageIdentity != nil || m.Response.ProviderInfo.AccessToken != "at-nomail" {
		t.Errorf("posted %+v %+v", m.Error, m.Response)
	}
	if s := b.script("GET", "/idp/refresh?env=production").session(t); s.BackstageIdentity != nil || s.ProviderInfo.AccessToken != "at-nomail" {
		t.Errorf("refreshed %+v", s)
	}
}

// TestFurtherClaims holds that what a resolver adds is in the token and in userinfo, and
// cannot change what a token is.
func TestFurtherClaims(t *testing.T) {
	t.Parallel()
	claims := map[string]any{"department": "platform"}
	find := auth.ResolverFunc(func(ctx context.Context, who auth.Profile, users auth.Users) (auth.Identity, error) {
		user, err := users.ByEmail(ctx, who.Email)
		if err != nil {
			return auth.Identity{}, err
		}
		id, err := auth.SignInAs(ctx, users, user)
		id.Claims = claims
		return id, err
	})
	p := open(t, strings.Replace(production, "emailMatchingUserEntityProfileEmail", "find", 1), resolverModule("find", find))
	b := p.browser()
	m, _ := b.signIn("alice", "")
	if m.Response == nil {
		t.Fatalf("posted %+v", m.Error)
	}
	token := m.Response.BackstageIdentity.Token
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil || !strings.Contains(string(payload), `"department":"platform"`) {
		t.Errorf("%v %s", err, payload)
	}
	const want = `{"claims":{"department":"platform","ent":["user:default/alice","group:default/platform-team"],"sub":"user:default/alice"}}`
	if a := b.do("GET", "/v1/userinfo", "", "Authorization", "Bearer "+token); a.body != want {
		t.Errorf("userinfo %d %s", a.status, a.body)
	}
	claims = map[string]any{"sub": "user:default/bob"}
	if m, _ := b.signIn("alice", ""); m.Error == nil || m.Error.Name != "InputError" {
		t.Errorf("posted %+v", m.Response)
	}
}
