package backend_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// A process is one of two backends that find each other by configuration alone. Its
// address is known before it has started.
type process struct {
	*httptest.Server
	target atomic.Pointer[url.URL]
}

func newProcess(t *testing.T) *process {
	t.Helper()
	p := &process{}
	p.Server = httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(p.target.Load()) }})
	t.Cleanup(p.Close)
	return p
}

func (p *process) start(t *testing.T, yaml string, features ...backend.Feature) {
	t.Helper()
	b := backendtest.Start(t, yaml, features...)
	u, err := url.Parse(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	p.target.Store(u)
}

// scope is what tests take from the scope of a plugin.
type scope struct {
	fx.In

	Auth     backend.Auth
	Clients  backend.Clients
	UserInfo backend.UserInfo
	Instance backend.InstanceMetadata
	System   backend.SystemMetadata
}

// whoPlugin is a plugin whose routes tell who has called.
func whoPlugin(id string, out *scope) backend.Feature {
	return backend.NewPlugin(id, fx.Invoke(func(s scope, r backend.Router) {
		if out != nil {
			*out = s
		}
		who := func(w http.ResponseWriter, r *http.Request) error {
			text := httpx.CallerOf(r).Principal.String()
			if u, ok := httpx.CallerOf(r).User(); ok && u.Actor != nil {
				text += " through " + u.Actor.Subject
			}
			return httpx.JSON(w, http.StatusOK, text)
		}
		r.Handle("GET /plain", who)
		r.Handle("GET /page", who, backend.AllowUserCookie)
		// As contract/permission.md says: for services, and users who act through a plugin.
		r.Handle("POST /.well-known/backstage/permissions/apply-conditions", func(w http.ResponseWriter, r *http.Request) error {
			if u, ok := httpx.CallerOf(r).User(); ok && u.Actor == nil {
				return apierr.NotAllowed.New("")
			}
			return who(w, r)
		})
		r.Handle("GET /relay/{plugin}", func(w http.ResponseWriter, r *http.Request) error {
			client, base, err := s.Clients.Client(r.Context(), httpx.CallerOf(r), r.PathValue("plugin"))
			if err != nil {
				return err
			}
			req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, base+"/plain", nil)
			if err != nil {
				return err
			}
			res, err := client.Do(req)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			if res.StatusCode != http.StatusOK {
				return apierr.FromResponse(res)
			}
			var text string
			if err := json.NewDecoder(res.Body).Decode(&text); err != nil {
				return err
			}
			return httpx.JSON(w, http.StatusOK, text)
		})
	}))
}

// pair is two processes: the first runs auth and front, the second catalog and search.
type pair struct {
	one, two   *process
	front      scope
	catalog    scope
	users      backend.UserTokens
	pluginKey  *ecdsa.PrivateKey // signs for the plugins of the first process
	userKey    *ecdsa.PrivateKey
	infosAsked atomic.Int64
}

func startPair(t *testing.T, more string) *pair {
	t.Helper()
	p := &pair{one: newProcess(t), two: newProcess(t)}
	pub, private, key := keyPair(t)
	upub, uprivate, ukey := keyPair(t)
	p.pluginKey, p.userKey = key, ukey
	auth := backend.NewPlugin("auth", fx.Invoke(func(u backend.UserTokens, r backend.Router) {
		p.users = u
		r.Handle("GET /.well-known/jwks.json", u.KeySet(), backend.AllowUnauthenticated)
		r.Handle("GET /v1/userinfo", func(w http.ResponseWriter, r *http.Request) error {
			p.infosAsked.Add(1)
			user, err := httpx.UserOf(r)
			if err != nil {
				return err
			}
			if user.Ref == "user:default/nobody" {
				return apierr.NotFound.New("User info not found")
			}
			return httpx.JSON(w, http.StatusOK, map[string]any{"claims": map[string]any{
				"sub": user.Ref, "ent": []string{user.Ref, "group:default/team"}}})
		}, backend.AllowUserCookie)
	}))
	p.one.start(t, fmt.Sprintf(`
backend:
  baseUrl: %q
  auth:
    pluginKeyStore: {type: static, static: {keys: [{publicKeyFile: %q, privateKeyFile: %q, keyId: plugins}]}}
%s
auth:
  keyStore: {provider: static, static: {keys: [{publicKeyFile: %q, privateKeyFile: %q, keyId: users}]}}
discovery:
  endpoints:
    - {target: "%s/api/{{pluginId}}", plugins: [catalog, search]}
`, p.one.URL, pub, private, more, upub, uprivate, p.two.URL), auth, whoPlugin("front", &p.front), whoPlugin("side", nil))
	p.two.start(t, fmt.Sprintf(`
backend: {baseUrl: %q}
discovery:
  endpoints:
    - {target: "%s/api/{{pluginId}}", plugins: [auth, front, side]}
`, p.two.URL, p.one.URL), whoPlugin("catalog", &p.catalog), whoPlugin("search", nil))
	return p
}

func keyPair(t *testing.T) (public, private string, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	public, private = filepath.Join(dir, "public.pem"), filepath.Join(dir, "private.pem")
	for file, block := range map[string]*pem.Block{public: {Type: "PUBLIC KEY", Bytes: spki}, private: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return public, private, key
}

func (p *pair) user(t *testing.T, ref string) string {
	t.Helper()
	token, _, err := p.users.Issue(t.Context(), ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// limited is what the cookie of the user holds.
func (p *pair) limited(t *testing.T, user string) string {
	t.Helper()
	res := send(t, http.MethodGet, p.two.URL+"/api/catalog/.backstage/auth/v1/cookie", bearerToken(user))
	defer res.Body.Close()
	for _, c := range res.Cookies() {
		if c.Name == "backstage-auth" {
			return c.Value
		}
	}
	t.Fatalf("no cookie: %s", res.Status)
	return ""
}

func (p *pair) credentials(t *testing.T, token string) backend.Credentials {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	c, err := p.front.Auth.Credentials(r)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (p *pair) tokenFor(t *testing.T, c backend.Credentials, plugin string) string {
	t.Helper()
	token, err := p.front.Auth.TokenFor(t.Context(), c, plugin)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

type credential func(*http.Request)

func bearerToken(token string) credential {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func cookieToken(token string) credential {
	return func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "backstage-auth", Value: token}) }
}

func noToken(*http.Request) {}

func send(t *testing.T, method, url string, c credential) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	c(req)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// called returns "200 caller" or the status and the message of the error.
func called(t *testing.T, method, url string, c credential) string {
	t.Helper()
	res := send(t, method, url, c)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var text string
	if json.Unmarshal(body, &text) == nil {
		return fmt.Sprint(res.StatusCode, " ", text)
	}
	var failure struct{ Error struct{ Message string } }
	if err := json.Unmarshal(body, &failure); err != nil {
		t.Fatalf("%s: %s", res.Status, body)
	}
	return fmt.Sprint(res.StatusCode, " ", failure.Error.Message)
}

func TestWhoMayCallWhat(t *testing.T) {
	t.Parallel()
	p := startPair(t, "")
	user := p.user(t, "user:default/alice")
	limited := p.limited(t, user)
	plugin := p.tokenFor(t, p.front.Auth.Own(), "catalog")
	onBehalf := p.tokenFor(t, p.credentials(t, user), "catalog")
	const (
		right      = "GET /api/catalog/plain"
		other      = "GET /api/search/plain"
		page       = "GET /api/catalog/page"
		permission = "POST /api/catalog/.well-known/backstage/permissions/apply-conditions"
	)
	const (
		missing = "401 Missing credentials"
		illegal = "401 Illegal limited user token"
		refused = "401 Failed plugin token verification"
		through = "200 user:default/alice through plugin:front"
	)
	for _, caller := range []struct {
		name  string
		with  credential
		wants map[string]string
	}{
		{"a user", bearerToken(user), map[string]string{
			right: "200 user:default/alice", other: "200 user:default/alice", page: "200 user:default/alice", permission: "403 "}},
		{"a limited user", bearerToken(limited), map[string]string{
			right: illegal, other: illegal, page: "200 user:default/alice", permission: illegal}},
		{"a limited user's cookie", cookieToken(limited), map[string]string{
			right: missing, other: missing, page: "200 user:default/alice", permission: missing}},
		{"a plugin", bearerToken(plugin), map[string]string{
			right: "200 plugin:front", other: refused, page: "200 plugin:front", permission: "200 plugin:front"}},
		{"a plugin on behalf of a user", bearerToken(onBehalf), map[string]string{
			right: through, other: refused, page: through, permission: through}},
		{"a plugin's token in the cookie", cookieToken(plugin), map[string]string{
			right: missing, other: missing, page: illegal, permission: missing}},
		{"nobody", noToken, map[string]string{right: missing, other: missing, page: missing, permission: missing}},
	} {
		for route, want := range caller.wants {
			method, path, _ := strings.Cut(route, " ")
			if got := called(t, method, p.two.URL+path, caller.with); got != want {
				t.Errorf("%s, %s: got %q, want %q", caller.name, route, got, want)
			}
		}
	}
}

// crafted is a token that the key of a plugin or of the users has really signed.
func crafted(t *testing.T, key *ecdsa.PrivateKey, kid, typ string, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: kid}},
		(&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := sig.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// The keys of the first process are in the hands of this test, so that each claim can be
// wrong on its own.
func TestSEC84_TokensOfOtherProcessesAreCheckedInEveryClaim(t *testing.T) {
	t.Parallel()
	p := startPair(t, "")
	_, _, stranger := keyPair(t)
	now := time.Now().Unix()
	const plugin, userTyp = "vnd.backstage.plugin", "vnd.backstage.user"
	good := map[string]any{"sub": "front", "aud": "catalog", "iat": now, "exp": now + 600}
	goodUser := map[string]any{"iss": p.one.URL + "/api/auth", "sub": "user:default/alice", "aud": "backstage", "iat": now, "exp": now + 600}
	with := func(base map[string]any, change ...any) map[string]any {
		out := map[string]any{}
		for k, v := range base {
			out[k] = v
		}
		for i := 0; i < len(change); i += 2 {
			if change[i+1] == nil {
				delete(out, change[i].(string))
				continue
			}
			out[change[i].(string)] = change[i+1]
		}
		return out
	}
	user := crafted(t, p.userKey, "users", userTyp, goodUser)
	tampered := []byte(crafted(t, p.pluginKey, "plugins", plugin, good))
	tampered[len(tampered)-10] ^= 1
	const refused, refusedUser = "401 Failed plugin token verification", "401 Failed user token verification"
	for _, tt := range []struct{ name, token, want string }{
		{"a good plugin token", crafted(t, p.pluginKey, "plugins", plugin, good), "200 plugin:front"},
		{"a good user token", user, "200 user:default/alice"},
		{"on behalf of a user", crafted(t, p.pluginKey, "plugins", plugin, with(good, "obo", user)), "200 user:default/alice through plugin:front"},
		{"signed by a stranger", crafted(t, stranger, "plugins", plugin, good), refused},
		{"an unknown key id", crafted(t, p.pluginKey, "other", plugin, good), refused},
		{"a changed signature", string(tampered), refused},
		{"expired", crafted(t, p.pluginKey, "plugins", plugin, with(good, "iat", now-7200, "exp", now-3600)), refused},
		{"issued in the future", crafted(t, p.pluginKey, "plugins", plugin, with(good, "iat", now+3600, "exp", now+7200)), refused},
		{"for another plugin", crafted(t, p.pluginKey, "plugins", plugin, with(good, "aud", "search")), refused},
		{"for two plugins", crafted(t, p.pluginKey, "plugins", plugin, with(good, "aud", []string{"catalog", "search"})), refused},
		{"for nobody", crafted(t, p.pluginKey, "plugins", plugin, with(good, "aud", nil)), refused},
		{"without an end", crafted(t, p.pluginKey, "plugins", plugin, with(good, "exp", nil)), refused},
		{"in the name of a plugin of this process", crafted(t, p.pluginKey, "plugins", plugin, with(good, "sub", "search")), refused},
		{"in the name of a plugin that is nowhere", crafted(t, p.pluginKey, "plugins", plugin, with(good, "sub", "nowhere")), refused},
		{"a subject that is a path", crafted(t, p.pluginKey, "plugins", plugin, with(good, "sub", "../auth")), refused},
		{"a user token for a plugin token", crafted(t, p.pluginKey, "plugins", userTyp, goodUser), refusedUser},
		{"a plugin token signed by the users' key", crafted(t, p.userKey, "users", plugin, good), refused},
		{"on behalf of garbage", crafted(t, p.pluginKey, "plugins", plugin, with(good, "obo", "x.y.z")), refused},
		{"on behalf of an expired user", crafted(t, p.pluginKey, "plugins", plugin, with(good, "obo",
			crafted(t, p.userKey, "users", userTyp, with(goodUser, "iat", now-7200, "exp", now-3600)))), refused},
		{"on behalf of a plugin", crafted(t, p.pluginKey, "plugins", plugin, with(good, "obo", crafted(t, p.pluginKey, "plugins", plugin, good))), refused},
		{"another type", crafted(t, p.pluginKey, "plugins", "JWT", good), "401 Illegal token"},
		{"an expired user", crafted(t, p.userKey, "users", userTyp, with(goodUser, "iat", now-7200, "exp", now-3600)), refusedUser},
		{"a user of another issuer", crafted(t, p.userKey, "users", userTyp, with(goodUser, "iss", p.two.URL+"/api/auth")), refusedUser},
		{"a user for another audience", crafted(t, p.userKey, "users", userTyp, with(goodUser, "aud", "catalog")), refusedUser},
		{"a group that signs in", crafted(t, p.userKey, "users", userTyp, with(goodUser, "sub", "group:default/admins")), refusedUser},
		{"no token at all", "garbage", "401 Illegal token"},
	} {
		if got := called(t, http.MethodGet, p.two.URL+"/api/catalog/plain", bearerToken(tt.token)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPluginsOfTwoProcessesCallEachOther(t *testing.T) {
	t.Parallel()
	p := startPair(t, "")
	alice := bearerToken(p.user(t, "user:default/alice"))
	for _, tt := range []struct{ url, want string }{
		{p.one.URL + "/api/front/relay/catalog", "200 user:default/alice through plugin:front"},
		{p.two.URL + "/api/catalog/relay/front", "200 user:default/alice through plugin:catalog"},
		{p.one.URL + "/api/front/relay/side", "200 user:default/alice through plugin:front"}, // in memory
		{p.two.URL + "/api/catalog/relay/search", "200 user:default/alice through plugin:catalog"},
	} {
		if got := called(t, http.MethodGet, tt.url, alice); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.url, got, tt.want)
		}
	}
	// Two hops: the second plugin sees the user through the last plugin.
	token, err := p.catalog.Auth.TokenFor(t.Context(), p.credentials(t, p.user(t, "user:default/bob")), "front")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := called(t, http.MethodGet, p.one.URL+"/api/front/relay/catalog", bearerToken(token)), "200 user:default/bob through plugin:front"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A program whose token is restricted must not get more by letting a plugin ask.
func TestSEC47_RestrictionsSurviveDelegation(t *testing.T) {
	t.Parallel()
	p := startPair(t, `
    externalAccess:
      - {type: static, options: {token: only-front-000, subject: only-front}, accessRestrictions: [{plugin: front}]}
      - {type: static, options: {token: reads-catalog-0, subject: reads-catalog}, accessRestrictions: [{plugin: front}, {plugin: catalog, permission: catalog.entity.read}, {plugin: side, permissionAttribute: {action: read}}]}
      - {type: static, options: {token: whole-catalog-0, subject: whole-catalog}, accessRestrictions: [{plugin: front}, {plugin: catalog}, {plugin: side}]}
      - {type: static, options: {token: unrestricted-00, subject: unrestricted}}`)
	const not = "403 The caller's access is restricted, plugin '%s' cannot be called on its behalf"
	for _, tt := range []struct{ token, path, want string }{
		{"only-front-000", "/api/front/plain", "200 only-front"},
		{"only-front-000", "/api/side/plain", "403 This token's access is restricted to plugin(s) 'front'"},
		{"only-front-000", "/api/front/relay/catalog", fmt.Sprintf(not, "catalog")},
		{"only-front-000", "/api/front/relay/side", fmt.Sprintf(not, "side")}, // the short cut in memory is none around this
		{"reads-catalog-0", "/api/front/relay/catalog", fmt.Sprintf(not, "catalog")},
		{"reads-catalog-0", "/api/front/relay/side", fmt.Sprintf(not, "side")},
		{"whole-catalog-0", "/api/front/relay/catalog", "200 plugin:front"},
		{"whole-catalog-0", "/api/front/relay/side", "200 plugin:front"},
		{"unrestricted-00", "/api/front/relay/catalog", "200 plugin:front"},
	} {
		if got := called(t, http.MethodGet, p.one.URL+tt.path, bearerToken(tt.token)); got != tt.want {
			t.Errorf("%s, %s: got %q, want %q", tt.token, tt.path, got, tt.want)
		}
	}
}

func TestWhatAUserOwns(t *testing.T) {
	t.Parallel()
	p := startPair(t, "")
	fetch := func(s scope, ref string) (backend.Identity, error) {
		return s.UserInfo.UserInfo(t.Context(), p.credentials(t, p.user(t, ref)))
	}
	// As the second process sees a user who comes through a plugin of the first.
	onBehalf := p.tokenFor(t, p.credentials(t, p.user(t, "user:default/alice")), "catalog")
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+onBehalf)
	creds, err := p.catalog.Auth.Credentials(r)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		id, err := p.catalog.UserInfo.UserInfo(t.Context(), creds)
		if err != nil || id.UserRef != "user:default/alice" || strings.Join(id.OwnershipRefs, " ") != "user:default/alice group:default/team" {
			t.Errorf("from the other process: %+v, %v", id, err)
		}
	}
	if n := p.infosAsked.Load(); n != 1 {
		t.Errorf("the auth plugin was asked %d times", n)
	}
	if id, err := fetch(p.front, "user:default/bob"); err != nil || len(id.OwnershipRefs) != 2 {
		t.Errorf("in memory: %+v, %v", id, err)
	}
	before := p.infosAsked.Load()
	for range 2 {
		_, err := fetch(p.front, "user:default/nobody")
		if kind, _ := apierr.KindOf(err); err == nil || kind.Status() != http.StatusNotFound {
			t.Errorf("a user without information: %v", err)
		}
	}
	if n := p.infosAsked.Load() - before; n != 2 {
		t.Errorf("a failure is remembered: asked %d times", n)
	}
	token, _, err := p.users.Issue(t.Context(), "user:default/carol", []string{"group:default/x"})
	if err != nil {
		t.Fatal(err)
	}
	before = p.infosAsked.Load()
	if id, err := p.front.UserInfo.UserInfo(t.Context(), p.credentials(t, token)); err != nil || id.OwnershipRefs[0] != "group:default/x" || p.infosAsked.Load() != before {
		t.Errorf("what the token says: %+v, %v", id, err)
	}
	if _, err := p.front.UserInfo.UserInfo(t.Context(), p.front.Auth.Own()); apierr.StatusOf(err) != http.StatusBadRequest {
		t.Errorf("a service: %v", err)
	}
}

func TestClientsKeepTokensToThemselves(t *testing.T) {
	t.Parallel()
	p := startPair(t, "")
	client, base, err := p.front.Clients.Client(t.Context(), p.front.Auth.Own(), "catalog")
	if err != nil {
		t.Fatal(err)
	}
	if base != p.two.URL+"/api/catalog" {
		t.Errorf("base URL %s", base)
	}
	for _, url := range []string{p.two.URL + "/api/search/plain", p.two.URL + "/api/catalogue", p.one.URL + "/api/catalog/plain",
		strings.Replace(base, "http://", "http://x@", 1) + "/plain", "https" + strings.TrimPrefix(base, "http") + "/plain"} {
		if res, err := client.Get(url); err == nil {
			res.Body.Close()
			t.Errorf("%s is answered with %s", url, res.Status)
		}
	}
	if _, _, err := p.front.Clients.Client(t.Context(), backend.Credentials{}, "catalog"); apierr.StatusOf(err) != http.StatusUnauthorized {
		t.Errorf("on behalf of nobody: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Do(req); err == nil {
		t.Error("a request goes out after its context has ended")
	}
}

func TestWhatIsInstalled(t *testing.T) {
	t.Parallel()
	p := startPair(t, "")
	var here []string
	for _, i := range p.front.Instance.Plugins() {
		here = append(here, fmt.Sprint(i.ID, i.Modules))
	}
	if got, want := strings.Join(here, " "), "auth[backendtest backendtest-users] front[backendtest] side[backendtest]"; got != want {
		t.Errorf("this process: %s, want %s", got, want)
	}
	list, err := p.front.System.Plugins()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range list {
		all = append(all, string(s.ID))
		if s.ID == "catalog" && (s.BaseURL != p.two.URL+"/api/catalog" || s.External != s.BaseURL) {
			t.Errorf("catalog answers at %+v", s)
		}
	}
	if got, want := strings.Join(all, " "), "auth catalog front search side"; got != want {
		t.Errorf("the system: %s, want %s", got, want)
	}
}
