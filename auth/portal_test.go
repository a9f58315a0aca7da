package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/catalogtest"
	"github.com/callboard-dev/callboard/catalog/client"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// idp is a provider for which the code is the name of the user who signs in. It is an
// identity provider as far as the plugin can see.
type idp struct {
	mu        sync.Mutex
	people    map[string]auth.Profile
	flows     []auth.Flow // as they came to Callback
	refreshed []string    // refresh tokens that were used
	scopes    []string    // that were asked for at refreshes
	revoked   []string
	gone      bool   // refresh tokens are not valid any more
	fails     error  // what refreshes fail with, after the new token was issued
	rotates   bool   // each refresh issues a new refresh token
	long      string // appended to refresh tokens
	says      string // the scope that token answers speak of
}

var (
	_ auth.Provider  = (*idp)(nil)
	_ auth.Refresher = (*idp)(nil)
	_ auth.SignOuter = (*idp)(nil)
)

func (i *idp) Start(_ context.Context, f auth.Flow) (string, error) {
	q := url.Values{"state": {f.State}, "scope": {f.Scope}, "redirect_uri": {f.RedirectURL}, "nonce": {f.Nonce}, "verifier": {f.Verifier}}
	return "https://idp.example/authorize?" + q.Encode(), nil
}

func (i *idp) Callback(_ context.Context, f auth.Flow, answer url.Values) (auth.Profile, auth.Session, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.flows = append(i.flows, f)
	return i.session(answer.Get("code"), 0)
}

func (i *idp) session(code string, n int) (auth.Profile, auth.Session, error) {
	who, ok := i.people[code]
	if !ok {
		return who, auth.Session{}, apierr.Authentication.New("no such code")
	}
	s := auth.Session{AccessToken: "at-" + code, IDToken: "it-" + code, ExpiresIn: time.Hour, Scope: i.says}
	if n == 0 || i.rotates {
		s.RefreshToken = "rt-" + code + "-" + string(rune('0'+n)) + i.long
	}
	return who, s, nil
}

func (i *idp) Refresh(_ context.Context, s auth.Session, scope string) (auth.Profile, auth.Session, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.refreshed, i.scopes = append(i.refreshed, s.RefreshToken), append(i.scopes, scope)
	if i.gone {
		return auth.Profile{}, auth.Session{}, apierr.Authentication.Wrap(auth.ErrSessionEnded, "refused: invalid_grant")
	}
	_, rest, _ := strings.Cut(s.RefreshToken, "-")
	code, _, _ := strings.Cut(rest, "-")
	who, next, err := i.session(code, len(i.refreshed))
	if i.fails != nil {
		return auth.Profile{}, auth.Session{RefreshToken: next.RefreshToken}, i.fails
	}
	return who, next, err
}

func (i *idp) SignOut(_ context.Context, s auth.Session) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.revoked = append(i.revoked, s.RefreshToken)
	return "", nil
}

type idpEnvironments map[string]struct{ auth.OAuthConfig }

// module adds an idp under an id. It has the environments of the configuration.
func (i *idp) module(id string, scopes auth.Scopes) backend.Feature {
	return backend.NewModule("auth", id,
		backend.Section("auth.providers."+id, idpEnvironments(nil)),
		fx.Invoke(func(c idpEnvironments, x *auth.Extensions) {
			x.AddProvider(auth.ProviderSpec{ID: id, Scopes: scopes, Environments: auth.Environments(c, func(string, struct{ auth.OAuthConfig }) auth.Provider { return i })})
		}))
}

// people are those whom the identity provider of these tests knows.
func people() map[string]auth.Profile {
	verified := func(email string, claims map[string]any) auth.Profile {
		return auth.Profile{Subject: "sub-" + email, Email: email, EmailVerified: true, DisplayName: "Somebody", Claims: claims}
	}
	return map[string]auth.Profile{
		"alice":      verified("Alice@Acme.example", map[string]any{"employee_id": "17"}),
		"tagged":     verified("alice+work@acme.example", nil),
		"bob":        verified("bob@other.example", nil),
		"stranger":   verified("zoe@acme.example", nil),
		"twins":      verified("twins@acme.example", nil),
		"slash":      verified("a/bob@acme.example", nil),
		"team":       verified("platform-team@acme.example", nil),
		"unverified": {Subject: "sub-unverified", Email: "alice@acme.example"},
		"nomail":     {Subject: "sub-nomail", DisplayName: "No Mail"},
	}
}

// users are those of the catalog of these tests.
func users() []entity.Entity {
	user := func(name, email string, groups ...any) entity.Entity {
		return entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "User",
			"metadata": map[string]any{"name": name, "annotations": map[string]any{"acme.example/employee-id": name + "-17"}},
			"spec":     map[string]any{"profile": map[string]any{"email": email}, "memberOf": groups}}
	}
	group := func(name string, parent any) entity.Entity {
		spec := map[string]any{"type": "team", "children": []any{}}
		if parent != nil {
			spec["parent"] = parent
		}
		return entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "Group", "metadata": map[string]any{"name": name}, "spec": spec}
	}
	alice := user("alice", "alice@acme.example", "platform-team")
	alice.SetAnnotation("acme.example/employee-id", "17")
	sky := user("sky", "sky@kites.example")
	sky.SetAnnotation("acme.example/email", "sky@kites.example")
	return []entity.Entity{alice, sky, user("bob", "bob@acme.example", "platform-team"), user("twin-a", "twins@acme.example"), user("twin-b", "twins@acme.example"),
		group("platform-team", "engineering"), group("engineering", nil)}
}

// portal is a running backend with a catalog and the identity provider "idp".
type portal struct {
	*backendtest.Backend
	t   *testing.T
	idp *idp
}

// production is the configuration of most of these tests.
const production = `
app: {baseUrl: 'http://app.example'}
backend: {baseUrl: 'http://portal.example'}
auth:
  session: {secret: a-secret-of-these-tests}
  providers:
    idp:
      production:
        clientId: id
        clientSecret: not-so-secret
        signIn:
          resolvers: [{resolver: emailMatchingUserEntityProfileEmail}, {resolver: emailLocalPartMatchingUserEntityName}]
`

func open(t *testing.T, yaml string, features ...backend.Feature) *portal {
	t.Helper()
	i := &idp{people: people()}
	return openWith(t, yaml, i, append(features, i.module("idp", auth.Scopes{Required: []string{"openid"}, Persist: true}))...)
}

func openWith(t *testing.T, yaml string, i *idp, features ...backend.Feature) *portal {
	t.Helper()
	all := users()
	b := backendtest.Start(t, yaml, append(features, auth.Plugin(), catalog.Plugin(), catalogtest.Entities(all...))...)
	c := client.At(b.URL+"/api/catalog", b.As("user:default/tester"))
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		served := 0
		for _, e := range all {
			if found, err := c.ByRef(t.Context(), e.Ref()); err == nil && (e.Kind() == "Group" || found["relations"] != nil || e.SpecStrings("memberOf") == nil) {
				served++
			}
		}
		if served == len(all) {
			return &portal{b, t, i}
		}
		if time.Now().After(deadline) {
			t.Fatal("the catalog does not serve the users")
		}
	}
}

// A browser keeps cookies, and follows nothing.
type browser struct {
	t    *testing.T
	base string
	http *http.Client
}

func (p *portal) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return &browser{p.t, p.URL + "/api/auth", &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request; header are pairs.
func (b *browser) do(method, path, body string, header ...string) answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.base+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

// script is do with the header that scripts of the frontend send.
func (b *browser) script(method, path string, header ...string) answer {
	b.t.Helper()
	return b.do(method, path, "", append([]string{"X-Requested-With", "XMLHttpRequest"}, header...)...)
}

func (b *browser) at(path string) *url.URL {
	b.t.Helper()
	u, err := url.Parse(b.base + path)
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

// cookie returns a cookie that the browser has for a path, nil if it has none.
func (b *browser) cookie(path, name string) *http.Cookie {
	b.t.Helper()
	for _, c := range b.http.Jar.Cookies(b.at(path)) {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// keep puts a cookie into the browser that it had before.
func (b *browser) keep(path string, c *http.Cookie) {
	b.t.Helper()
	b.http.Jar.SetCookies(b.at(path), []*http.Cookie{{Name: c.Name, Value: c.Value, Path: "/"}})
}

// start begins a sign-in and returns the parameters at the identity provider.
func (b *browser) start(query string) url.Values {
	b.t.Helper()
	a := b.do("GET", "/idp/start?"+query, "")
	to, err := url.Parse(a.header.Get("Location"))
	if a.status != http.StatusFound || err != nil {
		b.t.Fatalf("start: %d %s", a.status, a.body)
	}
	return to.Query()
}

// signIn goes through a popup as somebody.
func (b *browser) signIn(who, query string) (message, answer) {
	b.t.Helper()
	q := b.start("env=production&origin=http%3A%2F%2Fapp.example&flow=popup" + query)
	a := b.do("GET", "/idp/handler/frame?"+url.Values{"code": {who}, "state": {q.Get("state")}}.Encode(), "")
	return posted(b.t, a), a
}

// message is what the popup posts.
type message struct {
	Type     string
	Error    *struct{ Name, Message string }
	Response *session
	Origin   string
}

type session struct {
	Profile      map[string]any
	ProviderInfo struct {
		AccessToken, IDToken, Scope string
		ExpiresInSeconds            int
	}
	BackstageIdentity *struct {
		Token            string
		ExpiresInSeconds int
		Identity         struct {
			Type, UserEntityRef string
			OwnershipEntityRefs []string
		}
	}
}

var embedded = regexp.MustCompile(`decodeURIComponent\('([^']*)'\)`)

// posted reads the message of a popup page, and the origin that it is for.
func posted(t *testing.T, a answer) message {
	t.Helper()
	found := embedded.FindAllStringSubmatch(a.body, -1)
	if a.status != http.StatusOK || len(found) != 2 {
		t.Fatalf("no popup page: %d %s", a.status, a.body)
	}
	var m message
	text, err := url.PathUnescape(found[0][1])
	if err == nil {
		err = json.Unmarshal([]byte(text), &m)
	}
	origin, oerr := url.PathUnescape(found[1][1])
	if err := errors.Join(err, oerr); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	m.Origin = origin
	return m
}

// wireError is an error body.
type wireError struct {
	Error struct {
		Name, Message string
		Cause         *struct{ Name, Message string }
	}
}

func (a answer) error(t *testing.T) wireError {
	t.Helper()
	var e wireError
	if err := json.Unmarshal([]byte(a.body), &e); err != nil {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return e
}

func (a answer) session(t *testing.T) session {
	t.Helper()
	var s session
	if err := json.Unmarshal([]byte(a.body), &s); err != nil || a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return s
}

// cookies are the names of the cookies that an answer sets and does not remove.
func (a answer) cookies() map[string]string {
	out := map[string]string{}
	for _, line := range a.header.Values("Set-Cookie") {
		name, rest, _ := strings.Cut(line, "=")
		if !strings.Contains(rest, "Max-Age=0;") {
			_, attributes, _ := strings.Cut(rest, "; ")
			out[name] = attributes
		}
	}
	return out
}

// removed are the cookies that an answer removes from this host.
func (a answer) removed() map[string]bool {
	out := map[string]bool{}
	for _, line := range a.header.Values("Set-Cookie") {
		name, rest, _ := strings.Cut(line, "=")
		if strings.Contains(rest, "Max-Age=0;") && !strings.Contains(rest, "Domain=") {
			out[name] = true
		}
	}
	return out
}

func has[K comparable, V any](m map[K]V, keys ...K) bool {
	for _, k := range keys {
		if _, ok := m[k]; !ok {
			return false
		}
	}
	return true
}

// resolverModule adds a resolver for all providers.
func resolverModule(name string, r auth.SignInResolver) backend.Feature {
	return backend.NewModule("auth", name, fx.Invoke(func(x *auth.Extensions) { x.AddResolver(name, r) }))
}

// openAlone is open without a catalog.
func openAlone(t *testing.T, yaml string) *portal {
	t.Helper()
	i := &idp{people: people()}
	return &portal{backendtest.Start(t, yaml, auth.Plugin(), i.module("idp", auth.Scopes{Required: []string{"openid"}, Persist: true})), t, i}
}

// comeBack brings a browser back that has not started.
func (b *browser) comeBack(state string) string {
	b.t.Helper()
	return posted(b.t, b.do("GET", "/idp/handler/frame?code=alice&state="+state, "")).Error.Message
}
