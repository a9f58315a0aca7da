package tokens

import (
	"crypto/ecdsa"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/principal"
)

// guarded is a Mux behind the barrier of a plugin, whose routes say who calls.
func guarded(t testing.TB, w *world, plugin string, policies map[string]httpx.Access, routes map[string]httpx.Access) *httpx.Mux {
	t.Helper()
	b := w.checker.Barrier(plugin)
	for path, a := range policies {
		if err := b.Allow(path, a); err != nil {
			t.Fatal(err)
		}
	}
	mux := &httpx.Mux{Guard: b.Guard, Errors: httpx.ErrorWriter{Log: slog.New(slog.DiscardHandler)}}
	for pattern, a := range routes {
		if err := mux.Handle(pattern, func(w http.ResponseWriter, r *http.Request) error {
			return httpx.Text(w, 200, httpx.CallerOf(r).String())
		}, a); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.CookieRoutes(mux, "http://localhost:7007/api/"+plugin, ""); err != nil {
		t.Fatal(err)
	}
	return mux
}

// call returns status and body, of errors only the message.
func call(mux http.Handler, method, path string, headers ...string) string {
	w := send(mux, method, path, headers...)
	body := w.Body.String()
	if _, rest, ok := strings.Cut(body, `"message":"`); ok {
		body, _, _ = strings.Cut(rest, `"`)
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", w.Code, body))
}

func send(mux http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

func TestBarrier(t *testing.T) {
	t.Parallel()
	w := newWorld(t, externalConfig())
	full := w.user(t, "user:default/alice")
	limited, _, err := Limit(w.check(t, full, "techdocs", false))
	if err != nil {
		t.Fatal(err)
	}
	mux := guarded(t, w, "catalog", map[string]httpx.Access{"/static": httpx.AllowUserCookie, "/hooks/{topic}": httpx.AllowUnauthenticated, "/health": httpx.AllowUnauthenticated},
		map[string]httpx.Access{
			"GET /closed": 0, "GET /static/{p...}": 0, "POST /static/{p...}": 0, "POST /hooks/{topic}": 0, "GET /healthz": 0, "GET /health": 0,
			"GET /{name}": 0, "GET /open": httpx.AllowUnauthenticated, "GET /page": httpx.AllowUserCookie,
		})
	const missing, limitedHere = "401 Missing credentials", "401 Illegal limited user token"
	bearer := func(s string) string { return "Authorization: Bearer " + s }
	cookie := func(s string) string { return "Cookie: backstage-auth=" + s }
	for _, tt := range []struct{ method, path, header, want string }{
		{"GET", "/closed", "", missing},
		{"GET", "/nowhere/at/all", "", missing},
		{"GET", "/nowhere/at/all", bearer("static-token-1"), "404"},
		{"GET", "/closed", bearer("static-token-1"), "200 test"},
		{"GET", "/closed", "Authorization: bearer   static-token-1", "200 test"},
		{"GET", "/closed", "Authorization: Bearer static-token-1 x", missing},
		{"GET", "/closed", "Authorization: Basic static-token-1", missing},
		{"GET", "/closed", "Authorization: static-token-1", missing},
		{"GET", "/closed", "X-Authorization: Bearer static-token-1", missing},
		{"GET", "/closed", bearer("wrong"), "401 Illegal token"},
		{"GET", "/closed", bearer(full), "200 user:default/alice"},
		{"GET", "/closed", bearer(limited), limitedHere},
		{"GET", "/closed", cookie(limited), missing},
		{"GET", "/closed", cookie("static-token-1"), missing},
		{"GET", "/static/a", cookie(limited), "200 user:default/alice"},
		{"GET", "/static", cookie(limited), "200 user:default/alice"},
		{"GET", "/STATIC/a", cookie(limited), "200 user:default/alice"},
		{"GET", "/static/../closed", cookie(limited), "200 user:default/alice"}, // still the static route
		{"GET", "/static/%2e%2e/closed", cookie(limited), "200 user:default/alice"},
		{"GET", "/%73tatic/a", cookie(limited), missing}, // no route, and no policy either
		{"GET", "//static/a", cookie(limited), missing},
		{"GET", "/x/../static/a", cookie(limited), missing},
		{"GET", "/static%2Fa", cookie(limited), missing},
		{"HEAD", "/static/a", cookie(limited), "200 user:default/alice"},
		{"POST", "/static/a", cookie(limited), missing},
		{"POST", "/static/a", bearer(limited), "200 user:default/alice"},
		{"GET", "/static/a", cookie("static-token-1"), limitedHere},
		{"GET", "/static/a", cookie("x.y.z"), limitedHere},
		{"GET", "/static/a", "", missing},
		{"GET", "/page", cookie(limited), "200 user:default/alice"},
		{"POST", "/hooks/github", "", "200 none"},
		{"POST", "/hooks/github", bearer("wrong"), "200 none"},
		{"POST", "/hooks/github", bearer("static-token-1"), "200 test"},
		{"POST", "/hooks", "", missing},
		{"GET", "/health", "", "200 none"},
		{"GET", "/health/", "", "200 none"},
		{"GET", "/health/x", "", "404"},
		{"GET", "/healthz", "", missing},
		{"GET", "/open", "", "200 none"},
		{"GET", "/OPEN", "", "200 none"}, // the route and its access go together in any case
		{"GET", "/opens", "", missing},
		{"GET", "/open/x", "", missing},
	} {
		var headers []string
		if tt.header != "" {
			headers = []string{tt.header}
		}
		if got := call(mux, tt.method, tt.path, headers...); strings.TrimSuffix(got, " ") != tt.want && !(tt.method == "HEAD" && got == tt.want) {
			t.Errorf("%s %s with %.40q: got %q, want %q", tt.method, tt.path, tt.header, got, tt.want)
		}
	}
	if got := call(guarded(t, w, "scaffolder", nil, map[string]httpx.Access{"GET /x": 0}), "GET", "/x", bearer("static-token-2")); got != "403 This token's access is restricted to plugin(s) 'catalog', 'search'" {
		t.Errorf("a restricted token: %s", got)
	}
}

func TestTheDefaultPolicyCanBeDisabled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "backend: {auth: {dangerouslyDisableDefaultAuthPolicy: true}}")
	mux := guarded(t, w, "catalog", nil, map[string]httpx.Access{"GET /x": 0})
	if got := call(mux, "GET", "/x"); got != "200 none" {
		t.Errorf("nobody: %s", got)
	}
	if got := call(mux, "GET", "/x", "Authorization: Bearer wrong"); got != "401 Illegal token" {
		t.Errorf("somebody with a wrong token: %s", got)
	}
}

func TestPoliciesAreChecked(t *testing.T) {
	t.Parallel()
	b := newWorld(t, "").checker.Barrier("x")
	for path, a := range map[string]httpx.Access{"static": httpx.AllowUserCookie, "/a//b": httpx.AllowUserCookie, "/a%2Fb": httpx.AllowUserCookie, "/a": 0, "/b": 7} {
		if err := b.Allow(path, a); err == nil {
			t.Errorf("Allow(%q, %d) is accepted", path, a)
		}
	}
	for _, all := range []string{"/", "*"} {
		mux := guarded(t, newWorld(t, ""), "signals", map[string]httpx.Access{all: httpx.AllowUnauthenticated}, nil)
		if got := call(mux, "GET", "/some/path"); got != "404" {
			t.Errorf("%s: %s", all, got)
		}
	}
}

func TestCredentialsOfOpenRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, externalConfig())
	b := w.checker.Barrier("auth")
	r := httptest.NewRequest("GET", "/", nil)
	if _, err := b.Credentials(r); err == nil || err.Error() != "Missing credentials" {
		t.Errorf("nobody: %v", err)
	}
	if c, err := b.Credentials(r, principal.TypeNone, principal.TypeUser); err != nil || c.Type() != principal.TypeNone {
		t.Errorf("nobody, where that is allowed: %v", err)
	}
	r.Header.Set("Authorization", "Bearer static-token-1")
	if _, err := b.Credentials(r, principal.TypeUser); err == nil || err.Error() != "This endpoint does not allow 'service' credentials" {
		t.Errorf("a service: %v", err)
	}
	r.Header.Set("Authorization", "Bearer wrong")
	if _, err := b.Credentials(r); err == nil || err.Error() != "Illegal token" {
		t.Errorf("a wrong token: %v", err)
	}
}

// The cookie must only ever go back to the host that has set it, must not be readable
// for scripts, and must not travel unencrypted or across sites where that can be had.
func TestSEC20_TheAuthCookieIsHostOnly(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ external, app, want string }{
		{"https://portal.acme.com/api/techdocs", "https://portal.acme.com", "; HttpOnly; Secure; Priority=High; SameSite=Lax"},
		{"https://api.acme.com/api/techdocs", "https://portal.acme.com", "; HttpOnly; Secure; Priority=High; SameSite=Lax"},
		{"https://acme.co.uk/api/techdocs", "https://other.co.uk", "; HttpOnly; Secure; Priority=High; SameSite=None"},
		{"https://api.acme.com/api/techdocs", "http://portal.acme.com", "; HttpOnly; Secure; Priority=High; SameSite=None"},
		{"https://api.acme.com/api/techdocs", "", "; HttpOnly; Secure; Priority=High; SameSite=None"},
		{"http://localhost:7007/api/techdocs", "http://localhost:3000", "; HttpOnly; Secure; Priority=High; SameSite=Lax"},
		{"http://127.0.0.1:7107/api/techdocs", "http://127.0.0.1:3000", "; HttpOnly; Priority=High; SameSite=Lax"},
		{"http://portal.acme.com/api/techdocs", "https://portal.acme.com", "; HttpOnly; Priority=High; SameSite=Lax"},
	} {
		w := newWorld(t, "")
		b := w.checker.Barrier("techdocs")
		mux := &httpx.Mux{Guard: b.Guard}
		if err := b.CookieRoutes(mux, tt.external, tt.app); err != nil {
			t.Fatal(err)
		}
		auth := "Authorization: Bearer " + w.user(t, "user:default/alice")
		resp := send(mux, "GET", cookiePath, auth)
		set := resp.Header().Values("Set-Cookie")
		if resp.Code != 200 || resp.Body.String() != `{"expiresAt":"2026-11-24T11:00:00.000Z"}` || len(set) != 1 {
			t.Fatalf("%d %s %v", resp.Code, resp.Body, set)
		}
		value, attributes, _ := strings.Cut(set[0], "; ")
		if attributes != "Path=/; Expires=Tue, 24 Nov 2026 11:00:00 GMT"+tt.want || strings.Contains(attributes, "Domain") {
			t.Errorf("%s, app %s:\ngot  %s\nwant …%s", tt.external, tt.app, attributes, tt.want)
		}
		if c := w.check(t, strings.TrimPrefix(value, "backstage-auth="), "techdocs", true); c.String() != "user:default/alice" {
			t.Errorf("the cookie is of %s", c)
		}
		gone := send(mux, "DELETE", cookiePath, auth)
		removals := gone.Header().Values("Set-Cookie")
		if gone.Code != 204 || len(removals) != 2 || !strings.HasPrefix(removals[0], "backstage-auth=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT") ||
			!strings.HasPrefix(removals[1], "backstage-auth=; Domain=") {
			t.Errorf("%d %v", gone.Code, removals)
		}
	}
}

func TestCookieRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, externalConfig())
	mux := guarded(t, w, "techdocs", nil, nil)
	alice, bob := w.user(t, "user:default/alice"), w.user(t, "user:default/bob")
	first := send(mux, "GET", cookiePath, "Authorization: Bearer "+alice).Header().Get("Set-Cookie")
	cookie, _, _ := strings.Cut(first, ";")
	for _, tt := range []struct {
		name    string
		headers []string
		want    string
		cookie  bool
	}{
		{"nobody", nil, "401 Missing credentials", false},
		{"the cookie alone", []string{"Cookie: " + cookie}, "401 Missing credentials", false},
		{"a service", []string{"Authorization: Bearer static-token-1"}, "403 This endpoint does not allow 'service' credentials", false},
		{"the same user", []string{"Authorization: Bearer " + alice, "Cookie: " + cookie}, `200 {"expiresAt":"2026-11-24T11:00:00.000Z"}`, false},
		{"another user", []string{"Authorization: Bearer " + bob, "Cookie: " + cookie}, `200 {"expiresAt":"2026-11-24T11:00:00.000Z"}`, true},
		{"a broken cookie", []string{"Authorization: Bearer " + alice, "Cookie: backstage-auth=x"}, `200 {"expiresAt":"2026-11-24T11:00:00.000Z"}`, true},
	} {
		resp := send(mux, "GET", cookiePath, tt.headers...)
		if got := call(mux, "GET", cookiePath, tt.headers...); got != tt.want || (resp.Header().Get("Set-Cookie") != "") != tt.cookie {
			t.Errorf("%s: got %s, cookie %q", tt.name, got, resp.Header().Get("Set-Cookie"))
		}
	}
	w.now = w.now.Add(56 * time.Minute)
	fresh := w.user(t, "user:default/alice")
	if resp := send(mux, "GET", cookiePath, "Authorization: Bearer "+fresh, "Cookie: "+cookie); resp.Header().Get("Set-Cookie") == "" {
		t.Error("a cookie that ends in four minutes is kept")
	}
}

func TestServeKeys(t *testing.T) {
	t.Parallel()
	keys := NewMemoryKeys(time.Hour, nil)
	serve := ServeKeys(keys, httpx.ErrorWriter{})
	w := httptest.NewRecorder()
	if !serve(w, httptest.NewRequest("GET", keysPath, nil)) || w.Code != 200 {
		t.Fatal("the keys are not served")
	}
	parsed, err := parseKeySet(w.Body.Bytes())
	signing, _ := keys.SigningKey(t.Context())
	if err != nil || len(parsed) != 1 || parsed[signing.ID].Algorithm != "ES256" || !signing.Key.Public().(*ecdsa.PublicKey).Equal(parsed[signing.ID].Key) {
		t.Errorf("%s: %v", w.Body, err)
	}
	if strings.Contains(w.Body.String(), `"d"`) {
		t.Error("the private key is served")
	}
	for _, r := range []*http.Request{httptest.NewRequest("POST", keysPath, nil), httptest.NewRequest("GET", "/entities", nil)} {
		if serve(httptest.NewRecorder(), r) {
			t.Errorf("%s %s is answered", r.Method, r.URL)
		}
	}
}

func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ yaml, want string }{
		{"{type: static, options: {token: canary7, subject: x}}", "backend.auth.externalAccess[0].options.token: must have at least 8 characters and no spaces"},
		{"{type: static, options: {token: 'canary canary', subject: x}}", "options.token: must have at least 8 characters and no spaces"},
		{"{type: static, options: {token: canary78}}", "options.subject: required, without spaces"},
		{"{type: legacy, options: {secret: '???canary', subject: x}}", "options.secret: expected base64"},
		{"{type: jwks, options: {issuer: x}}", "options.url: required"},
		{"{type: jwks, options: {url: 'http://x', algorithm: HS256}}", `options.algorithm: "HS256" is not an algorithm with public keys`},
		{"{type: odd, options: {}}", "externalAccess[0].type"},
		{"{type: static, options: {token: canary78, subject: x}, accessRestrictions: [{plugin: a}, {plugin: a}]}", `accessRestrictions[1].plugin: plugin "a" is restricted twice`},
		{"{type: static, options: {token: canary78, subject: x}, accessRestrictions: [{permission: a}]}", "accessRestrictions[0].plugin: required key is missing"},
		{"{type: static, options: {token: canary78, subject: x}, accessRestrictions: [{plugin: a, permissions: b}]}", "accessRestrictions[0].permissions: unknown key"},
		{"{type: static, options: {token: canary78, subject: x}, accessRestrictions: [{plugin: a, permissionAttribute: {action: use}}]}", `unknown action "use"`},
		{"{type: static, options: {token: canary78, subject: x}, accessRestrictions: [{plugin: a, permissionAttribute: {actions: read}}]}", "permissionAttribute.actions: unknown key"},
	} {
		tree, err := config.Parse("app-config.yaml", []byte("backend: {auth: {externalAccess: ["+tt.yaml+"]}}"))
		if err != nil {
			t.Fatal(err)
		}
		var cfg Config
		if err := tree.Decode("backend.auth", &cfg); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s\ngot  %v\nwant %s", tt.yaml, err, tt.want)
		}
	}
}

func BenchmarkBarrier(b *testing.B) {
	w := newWorld(b, "")
	guard := w.checker.Barrier("catalog").Guard
	r := httptest.NewRequest("GET", "/entities", nil)
	r.Header.Set("Authorization", "Bearer "+w.user(b, "user:default/alice"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := guard(r, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func TestACheckOfAKnownTokenAllocatesLittle(t *testing.T) {
	w := newWorld(t, "")
	guard := w.checker.Barrier("catalog").Guard
	r := httptest.NewRequest("GET", "/entities", nil)
	r.Header.Set("Authorization", "Bearer "+w.user(t, "user:default/alice"))
	if n := testing.AllocsPerRun(100, func() { guard(r, 0) }); n > 5 {
		t.Errorf("%v allocations", n)
	}
}
