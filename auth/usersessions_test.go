package auth_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// listed is the answer of GET /callboard/v1/sessions.
type listed struct {
	Items []struct {
		ID, Type, UserEntityRef, Provider, Env, Client string
		CreatedAt, LastUsedAt, ExpiresAt               string
	}
	PageInfo struct{ NextCursor string }
}

func (b *browser) sessions(query, token string) listed {
	b.t.Helper()
	var l listed
	if a := b.do("GET", "/callboard/v1/sessions"+query, "", "Authorization", "Bearer "+token); a.status != 200 || json.Unmarshal([]byte(a.body), &l) != nil {
		b.t.Fatalf("%d %s", a.status, a.body)
	}
	return l
}

// TestSessionsOfUsers holds who may see and end which sessions, and that an ended one is
// not refreshed again.
func TestSessionsOfUsers(t *testing.T) {
	t.Parallel()
	p := open(t, strings.NewReplacer(
		"{secret: a-secret-of-these-tests}", "{secret: a-secret-of-these-tests, administrators: [group:default/admins, user:default/carol]}",
		"{baseUrl: 'http://portal.example'}", `{baseUrl: 'http://portal.example', auth: {externalAccess: [
    {type: static, options: {token: token-of-a-script, subject: script}},
    {type: static, options: {token: token-of-a-reader, subject: reader}, accessRestrictions: [{plugin: auth, permission: catalog.entity.read}]}]}}`,
	).Replace(production))
	first, second, bob := p.browser(), p.browser(), p.browser()
	alices, _ := first.signIn("alice", "")
	alice := alices.Response.BackstageIdentity.Token
	second.signIn("tagged", "") // alice, with another browser
	p.idp.people["bobby"] = auth.Profile{Subject: "bobby", Email: "bob@acme.example", EmailVerified: true}
	bobs, _ := bob.signIn("bobby", "")

	own := first.sessions("", alice)
	if len(own.Items) != 2 || own.Items[0].UserEntityRef != "user:default/alice" || own.Items[0].Type != "browser" || own.Items[0].Provider != "idp" || own.Items[0].Env != "production" ||
		!strings.HasPrefix(own.Items[0].Client, "Go-http-client") || own.Items[0].ExpiresAt == "" || own.Items[0].LastUsedAt != own.Items[0].CreatedAt {
		t.Fatalf("%+v", own)
	}
	page := first.sessions("?limit=1", alice)
	if len(page.Items) != 1 || page.PageInfo.NextCursor == "" {
		t.Fatalf("%+v", page)
	}
	if rest := first.sessions("?limit=5&cursor="+url.QueryEscape(page.PageInfo.NextCursor), alice); len(rest.Items) != 1 || rest.Items[0].ID == page.Items[0].ID || rest.PageInfo.NextCursor != "" {
		t.Errorf("%+v", rest)
	}

	as := func(client *http.Client, method, path string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, p.URL+"/api/auth/callboard/v1/sessions"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	script := func(token string) *http.Client {
		return &http.Client{Transport: withToken(token)}
	}
	for _, tt := range []struct {
		name   string
		client *http.Client
		method string
		path   string
		status int
	}{
		{"nobody", http.DefaultClient, "GET", "", 401},
		{"a user asks for another's", p.As("user:default/bob"), "GET", "?userEntityRef=user:default/alice", 403},
		{"a user asks for their own by name", p.As("user:default/bob"), "GET", "?userEntityRef=bob", 200},
		{"a user ends another's", p.As("user:default/bob"), "DELETE", "?userEntityRef=user:default/alice", 403},
		{"a user ends one of another", p.As("user:default/bob"), "DELETE", "/" + own.Items[0].ID, 404},
		{"an administrator", p.As("user:default/carol"), "GET", "?userEntityRef=user:default/alice", 200},
		{"a plugin", p.AsPlugin("catalog"), "GET", "", 200},
		{"a program", script("token-of-a-script"), "GET", "?userEntityRef=alice", 200},
		{"a program that is restricted to permissions", script("token-of-a-reader"), "GET", "", 403},
		{"a program that names nobody", script("token-of-a-script"), "DELETE", "", 400},
		{"a group", script("token-of-a-script"), "DELETE", "?userEntityRef=group:default/admins", 400},
		{"a reference that is none", script("token-of-a-script"), "DELETE", "?userEntityRef=a:b:c", 400},
		{"an unknown parameter", script("token-of-a-script"), "GET", "?limit=x", 400},
		{"a cursor that is none", script("token-of-a-script"), "GET", "?cursor=x", 400},
		{"an unknown session", script("token-of-a-script"), "DELETE", "/nope", 404},
		{"a session with odd characters", script("token-of-a-script"), "DELETE", "/%00%ff", 404},
	} {
		if got := as(tt.client, tt.method, tt.path); got != tt.status {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.status)
		}
	}

	refreshed := func(b *browser) bool { return b.script("GET", "/idp/refresh?env=production").status == 200 }
	if !refreshed(first) || !refreshed(second) || !refreshed(bob) {
		t.Fatal("somebody is signed out")
	}
	// Alice ends one of her sessions, then an administrator all of them.
	if got := as(script(alice), "DELETE", "/"+own.Items[0].ID); got != 204 {
		t.Errorf("%d", got)
	}
	if n := len(first.sessions("", alice).Items); n != 1 {
		t.Errorf("%d sessions are left", n)
	}
	if refreshed(first) == refreshed(second) {
		t.Error("not exactly one of the two has ended")
	}
	if got := as(p.As("user:default/carol"), "DELETE", "?userEntityRef=user:default/alice"); got != 200 {
		t.Errorf("%d", got)
	}
	a := second.script("GET", "/idp/refresh?env=production")
	b := first.script("GET", "/idp/refresh?env=production")
	if a.status != 401 || b.status != 401 || !refreshed(bob) {
		t.Errorf("%d %d", a.status, b.status)
	}
	// An administrator needs no more than the id.
	if got := as(p.As("user:default/carol"), "DELETE", "/"+bob.sessions("", bobs.Response.BackstageIdentity.Token).Items[0].ID); got != 204 || refreshed(bob) {
		t.Errorf("%d", got)
	}
}

type withToken string

func (t withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(t))
	return http.DefaultTransport.RoundTrip(r)
}

// TestUserInfo holds GET /v1/userinfo, and that plugins learn from it what a user owns.
func TestUserInfo(t *testing.T) {
	t.Parallel()
	owned := []string{}
	p := open(t, production+"  omitIdentityTokenOwnershipClaim: true\n",
		resolverModule("unused", auth.ResolverFunc(nil)),
		backend.NewPlugin("whoami", fx.Invoke(func(r backend.Router, u backend.UserInfo) {
			r.Handle("GET /me", func(w http.ResponseWriter, r *http.Request) error {
				id, err := u.UserInfo(r.Context(), httpx.CallerOf(r))
				if err != nil {
					return err
				}
				return httpx.JSON(w, http.StatusOK, id.OwnershipRefs)
			})
		})))
	b := p.browser()
	m, _ := b.signIn("alice", "")
	token := m.Response.BackstageIdentity.Token
	bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	if a := b.do("GET", "/v1/userinfo", "", bearer(token)...); a.status != 200 || a.body != `{"claims":{"sub":"user:default/alice","ent":["user:default/alice","group:default/platform-team"]}}` {
		t.Errorf("%d %s", a.status, a.body)
	}
	for name, tt := range map[string]struct {
		header []string
		status int
		has    string
	}{
		"nobody":             {nil, 401, `"name":"AuthenticationError"`},
		"garbage":            {bearer("xx"), 401, `"name":"AuthenticationError"`},
		"a limited token":    {bearer(limited(t, token)), 200, `"sub":"user:default/alice"`},
		"another way to say": {[]string{"authorization", "bearer " + token}, 200, `"sub":"user:default/alice"`},
	} {
		if a := b.do("GET", "/v1/userinfo", "", tt.header...); a.status != tt.status || !strings.Contains(a.body, tt.has) {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	for name, tt := range map[string]struct {
		client *http.Client
		status int
		has    string
	}{
		"a plugin":          {p.AsPlugin("catalog"), 400, `"name":"InputError"`},
		"a user who is new": {p.As("user:default/dave"), 404, "User info not found"},
	} {
		a := (&browser{t, p.URL + "/api/auth", tt.client}).do("GET", "/v1/userinfo", "")
		if a.status != tt.status || !strings.Contains(a.body, tt.has) {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	me := (&browser{t, p.URL + "/api", b.http}).do("GET", "/whoami/me", "", bearer(token)...)
	if err := json.Unmarshal([]byte(me.body), &owned); err != nil || !slices.Equal(owned, []string{"user:default/alice", "group:default/platform-team"}) {
		t.Errorf("a plugin learns %d %s", me.status, me.body)
	}
}

// limited is the limited user token in a user token.
func limited(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	var head struct{ Alg, Kid string }
	var body struct {
		Sub, Uip string
		Iat, Exp int64
	}
	for i, into := range []any{&head, &body} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(raw, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return encode(fmt.Sprintf(`{"typ":"vnd.backstage.limited-user","alg":%q,"kid":%q}`, head.Alg, head.Kid)) + "." +
		encode(fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, body.Sub, body.Iat, body.Exp)) + "." + body.Uip
}

// TestOwnershipChanges holds that a change of what a user owns is told at the refresh that
// finds it, and only then.
func TestOwnershipChanges(t *testing.T) {
	t.Parallel()
	events := &backendtest.Events{}
	var groups atomic.Int64
	owns := func(_ context.Context, user entity.Entity) ([]entity.Ref, error) {
		refs := []entity.Ref{user.Ref()}
		for i := range groups.Load() {
			refs = append(refs, entity.Ref{Kind: "group", Name: fmt.Sprint("g", i)})
		}
		return refs, nil
	}
	p := open(t, production,
		renamed("ownership", func(x *auth.Extensions) { x.SetOwnership(owns) }),
		backend.NewPluginService(func(id backend.PluginID, e backend.Events) (backend.Events, error) {
			if id == "auth" {
				return events, nil
			}
			return e, nil
		}))
	b := p.browser()
	for i, want := range []int{0, 0, 1, 1, 2} {
		if i == 0 {
			b.signIn("alice", "")
		}
		if i == 2 || i == 4 {
			groups.Add(1)
		}
		if a := b.script("GET", "/idp/refresh?env=production"); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		told := events.Published(auth.TopicOwnership)
		if len(told) != want || want > 0 && string(told[0].Payload) != `{"userEntityRef":"user:default/alice"}` {
			t.Errorf("refresh %d: %v", i, told)
		}
	}
}

// TestAuthSubcommand runs the tool on the database of a portal.
func TestAuthSubcommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	database := fmt.Sprintf("{client: pg, pluginDivisionMode: schema, connection: {connectionString: %q}}", pgtest.New(t))
	file := filepath.Join(dir, "app-config.yaml")
	if err := os.WriteFile(file, []byte("backend: {database: "+database+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (int, string, string) {
		t.Helper()
		b := backend.New()
		b.Add(auth.Plugin())
		var stdout, stderr bytes.Buffer
		code, err := b.RunSubcommand(t.Context(), "auth", backend.Console{Program: "portal", Args: args, Stdout: &stdout, Stderr: &stderr, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return code, stdout.String(), stderr.String()
	}
	for _, tt := range []struct {
		args []string
		code int
		err  string
	}{
		{nil, 2, "say sessions list or sessions revoke"},
		{[]string{"sessions", "list"}, 2, "name the portal's configuration"},
		{[]string{"sessions", "revoke", "--config", file}, 2, "name the user, or a session"},
		{[]string{"sessions", "revoke", "--config", file, "--id", "x", "alice"}, 2, "name the user, or a session"},
		{[]string{"sessions", "list", "--config", file, "group:default/a"}, 2, "is not a user"},
		{[]string{"sessions", "list", "--config", file, "alice", "bob"}, 2, "unexpected argument"},
		{[]string{"sessions", "list", "--config", filepath.Join(dir, "none.yaml")}, 1, "none.yaml"},
		{[]string{"sessions", "list", "--config", file}, 1, "user_sessions"}, // there was no portal yet
		{[]string{"--help"}, 0, ""},
	} {
		if code, _, stderr := run(tt.args...); code != tt.code || !strings.Contains(stderr, tt.err) {
			t.Errorf("%q: %d %s", tt.args, code, stderr)
		}
	}
	p := open(t, strings.Replace(production, "backend: {baseUrl: 'http://portal.example'}", "backend: {baseUrl: 'http://portal.example', database: "+database+"}", 1))
	b := p.browser()
	b.signIn("alice", "")
	code, stdout, stderr := run("sessions", "list", "--config", file)
	if code != 0 || !strings.Contains(stdout, "user:default/alice  browser \"Go-http-client") {
		t.Fatalf("%d %s%s", code, stdout, stderr)
	}
	code, stdout, _ = run("sessions", "list", "--config", file, "--json", "alice")
	var x struct{ ID, UserEntityRef string }
	if err := json.Unmarshal([]byte(stdout), &x); err != nil || code != 0 || x.UserEntityRef != "user:default/alice" {
		t.Fatalf("%d %s", code, stdout)
	}
	if b.script("GET", "/idp/refresh?env=production").status != 200 {
		t.Fatal("alice is signed out")
	}
	if code, stdout, _ := run("sessions", "revoke", "--config", file, "--id", x.ID); code != 0 || stdout != "1 session ended\n" {
		t.Errorf("%d %s", code, stdout)
	}
	if a := b.script("GET", "/idp/refresh?env=production"); a.status != 401 || !has(a.removed(), "idp-refresh-token") {
		t.Errorf("%d %s", a.status, a.body)
	}
	b.signIn("alice", "")
	if code, stdout, _ := run("sessions", "revoke", "--config", file, "ALICE"); code != 0 || stdout != "1 sessions of user:default/alice ended\n" {
		t.Errorf("%d %s", code, stdout)
	}
	if code, _, stderr := run("sessions", "revoke", "--config", file, "alice"); code != 1 || !strings.Contains(stderr, "no such session") {
		t.Errorf("%d %s", code, stderr)
	}
	if a := b.script("GET", "/idp/refresh?env=production"); a.status != 401 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestAProgramSignsInThroughThePlugin goes through the OAuth server as it is mounted.
func TestAProgramSignsInThroughThePlugin(t *testing.T) {
	t.Parallel()
	p := open(t, production+"  clientIdMetadataDocuments: {enabled: true}\n  experimentalRefreshToken: {enabled: true}\n  oauthServer: {consentPage: backend}\n")
	b := p.browser()
	const base = "http://portal.example/api/auth"
	q := url.Values{"client_id": {base + "/.well-known/oauth-client/cli.json"}, "redirect_uri": {"http://127.0.0.1:8055/callback"}, "response_type": {"code"},
		"scope": {"openid offline_access"}, "code_challenge": {strings.Repeat("c", 43)}, "code_challenge_method": {"S256"}, "nonce": {"n"}}
	challenged := sha256Of(strings.Repeat("v", 43))
	q.Set("code_challenge", strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(challenged), "="))
	a := b.do("GET", "/v1/authorize?"+q.Encode(), "")
	page, ok := strings.CutPrefix(a.header.Get("Location"), base)
	if !ok {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := b.do("GET", page, ""); a.status != 200 || !strings.Contains(a.body, "Backstage CLI") || !strings.Contains(a.body, "idp") || strings.Count(a.header.Get("Content-Security-Policy"), "default-src") != 1 {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
	// The page's own origin may sign in, and its popup gets the result.
	start := b.do("GET", "/idp/start?env=production&flow=popup&origin=http%3A%2F%2Fportal.example", "")
	if start.status != 302 {
		t.Errorf("%d %s", start.status, start.body)
	}
	m, _ := b.signIn("alice", "")
	token := "Bearer " + m.Response.BackstageIdentity.Token
	path := strings.Replace(page, "/v1/consent/", "/v1/sessions/", 1) + "/approve"
	if a := b.do("POST", path, ""); a.status != 403 {
		t.Errorf("without a token: %d %s", a.status, a.body)
	}
	a = b.do("POST", path, "", "Authorization", token)
	var approved struct{ RedirectURL string }
	_ = json.Unmarshal([]byte(a.body), &approved)
	back, err := url.Parse(approved.RedirectURL)
	if err != nil || a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": q["client_id"], "code": {back.Query().Get("code")}, "redirect_uri": q["redirect_uri"], "code_verifier": {strings.Repeat("v", 43)}}
	exchange := func(form url.Values) (out struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		ExpiresIn    int    `json:"expires_in"`
	}, status int) {
		t.Helper()
		a := b.do("POST", "/v1/token", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
		_ = json.Unmarshal([]byte(a.body), &out)
		return out, a.status
	}
	got, status := exchange(form)
	if status != 200 || got.ExpiresIn < 3590 || got.ExpiresIn > 3600 {
		t.Fatalf("%d %+v", status, got)
	}
	if a := b.do("GET", "/v1/userinfo", "", "Authorization", "Bearer "+got.AccessToken); a.status != 200 || !strings.Contains(a.body, "user:default/alice") {
		t.Errorf("with the program's token: %d %s", a.status, a.body)
	}
	// The program cannot let itself, or others, in.
	again := b.do("GET", "/v1/authorize?"+q.Encode(), "")
	path = strings.Replace(strings.TrimPrefix(again.header.Get("Location"), base), "/v1/consent/", "/v1/sessions/", 1) + "/approve"
	if a := b.do("POST", path, "", "Authorization", "Bearer "+got.AccessToken); a.status != 403 || !strings.Contains(a.body, "access_denied") {
		t.Errorf("the program answers in the user's place: %d %s", a.status, a.body)
	}
	got, status = exchange(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.RefreshToken}})
	if status != 200 {
		t.Fatal(status)
	}
	if list := b.sessions("", m.Response.BackstageIdentity.Token); len(list.Items) != 2 || list.Items[1].Type != "program" || list.Items[1].Client != "Backstage CLI" {
		t.Errorf("%+v", list)
	}
	if a := b.do("DELETE", "/callboard/v1/sessions", "", "Authorization", token); a.status != 200 || a.body != `{"ended":2}` {
		t.Errorf("%d %s", a.status, a.body)
	}
	if _, status := exchange(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.RefreshToken}}); status != 400 {
		t.Errorf("after the revocation: %d", status)
	}
}

// TestOAuthServerConfigErrors holds what is said at start.
func TestOAuthServerConfigErrors(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		"clientIdMetadataDocuments: {enabled: true, allowedClientIdPatterns: ['tool.example/*']}":              "auth.clientIdMetadataDocuments.allowedClientIdPatterns[0]",
		"experimentalDynamicClientRegistration: {allowedRedirectUriPatterns: ['*']}":                           "auth.experimentalDynamicClientRegistration.allowedRedirectUriPatterns[0]",
		"experimentalRefreshToken: {maxRotationLifetime: {hours: 1}}":                                          "auth.experimentalRefreshToken.maxRotationLifetime",
		"oauthServer: {consentPage: elsewhere}":                                                                "auth.oauthServer.consentPage",
		"session: {administrators: ['nobody']}":                                                                "auth.session.administrators[0]",
		"clientIdMetadataDocuments: {enabled: true}\n  experimentalClientIdMetadataDocuments: {enabled: true}": "write one of them",
	} {
		_, err := backendtest.Boot(t, "auth:\n  "+yaml, auth.Plugin())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", yaml, err)
		}
	}
}

// TestANewSignInEndsTheSessionBefore holds that a browser has one session with a provider,
// and that nothing of the earlier one is in it.
func TestANewSignInEndsTheSessionBefore(t *testing.T) {
	t.Parallel()
	p := open(t, production)
	b := p.browser()
	m, _ := b.signIn("alice", "")
	token := m.Response.BackstageIdentity.Token
	before, old := b.sessions("", token), b.cookie("/idp/refresh", "idp-refresh-token")
	b.signIn("alice", "")
	after, fresh := b.sessions("", token), b.cookie("/idp/refresh", "idp-refresh-token")
	if len(before.Items) != 1 || len(after.Items) != 1 || before.Items[0].ID == after.Items[0].ID || old.Value == fresh.Value {
		t.Fatalf("%+v\n%+v", before, after)
	}
	thief := p.browser()
	thief.keep("/idp", old)
	if a := thief.script("GET", "/idp/refresh?env=production"); a.status != 401 {
		t.Errorf("the session before: %d %s", a.status, a.body)
	}
	if a := b.script("GET", "/idp/refresh?env=production"); a.status != 200 {
		t.Errorf("the session after: %d %s", a.status, a.body)
	}
}

// TestConfigurationOfSessionsAndPrograms boots the configurations of their pages.
func TestConfigurationOfSessionsAndPrograms(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"../docs/sessions.md", "../docs/oauth-server.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		blocks := yamlBlock.FindAllStringSubmatch(string(text), -1)
		if len(blocks) == 0 {
			t.Errorf("%s has no configuration", page)
		}
		for _, b := range blocks {
			yaml := strings.NewReplacer("${SESSION_SECRET}", "a-secret-of-these-tests").Replace(b[1])
			if why, _ := boot(t, yaml, auth.Plugin()); why != "" {
				t.Errorf("%s: %s\n%s", page, why, yaml)
			}
		}
	}
}
