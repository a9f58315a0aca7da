package tokens

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/principal"
)

const issuer = "http://localhost:7007/api/auth"

var legacySecret = base64.StdEncoding.EncodeToString([]byte("legacy-secret-for-tests"))

// world is an issuer of users, two plugins, and a checker, under one clock.
type world struct {
	now     time.Time
	users   *UserIssuer
	plugins map[string]*PluginIssuer
	checker *Checker
}

func newWorld(t testing.TB, yaml string) *world {
	t.Helper()
	w := &world{now: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC), plugins: map[string]*PluginIssuer{}}
	clock := func() time.Time { return w.now }
	w.users = &UserIssuer{Issuer: issuer, Keys: NewMemoryKeys(time.Hour, clock), Now: clock}
	for _, id := range []string{"catalog", "scaffolder"} {
		w.plugins[id] = &PluginIssuer{Plugin: id, Keys: NewMemoryKeys(time.Hour, clock), Now: clock}
	}
	var cfg Config
	tree, err := config.Parse("app-config.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.Decode("backend.auth", &cfg); err != nil {
		t.Fatal(err)
	}
	w.checker = NewChecker(Options{Config: cfg, Issuer: issuer, UserKeys: w.users.Keys, Now: clock, Log: slog.New(slog.DiscardHandler),
		PluginKeys: func(id string) (Keys, error) {
			if p, ok := w.plugins[id]; ok {
				return p.Keys, nil
			}
			return nil, errors.New("no such plugin")
		}})
	return w
}

const externalYAML = `
backend:
  auth:
    externalAccess:
      - {type: static, options: {token: static-token-1, subject: test}}
      - {type: static, options: {token: static-token-2, subject: limited}, accessRestrictions: [{plugin: catalog, permission: catalog.entity.read}, {plugin: search}]}
      - {type: static, options: {token: static-token-3, subject: nothing}, accessRestrictions: []}
      - {type: legacy, options: {secret: SECRET, subject: legacy-caller}}
    keys: [{secret: b3RoZXItc2VjcmV0}]
`

func externalConfig() string { return strings.Replace(externalYAML, "SECRET", legacySecret, 1) }

func (w *world) user(t testing.TB, ref string) string {
	t.Helper()
	token, _, err := w.users.Issue(t.Context(), UserClaims{Sub: ref, Ent: []string{ref, "group:default/team"}})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (w *world) check(t testing.TB, token, plugin string, limited bool) principal.Credentials {
	t.Helper()
	c, err := w.checker.Check(t.Context(), token, plugin, limited)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestUserTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	token := w.user(t, "user:default/alice")
	parts := strings.Split(token, ".")
	header, _ := base64.RawURLEncoding.DecodeString(parts[0])
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	if !strings.HasPrefix(string(header), `{"typ":"vnd.backstage.user","alg":"ES256","kid":"`) {
		t.Errorf("header %s", header)
	}
	if !strings.HasPrefix(string(payload), `{"iss":"http://localhost:7007/api/auth","sub":"user:default/alice","ent":["user:default/alice","group:default/team"],"aud":"backstage","iat":1795514400,"exp":1795518000,"uip":"`) {
		t.Errorf("payload %s", payload)
	}
	c := w.check(t, token, "catalog", false)
	if u, ok := c.User(); !ok || u.Ref != "user:default/alice" || len(u.Ownership) != 2 || u.Actor != nil || c.Token() != token || !c.Expires().Equal(w.now.Add(time.Hour)) {
		t.Errorf("got %#v", c.Principal)
	}
}

func TestLimitedUserTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	full := w.check(t, w.user(t, "user:default/a&b"), "techdocs", false)
	limited, expires, err := Limit(full)
	if err != nil || !expires.Equal(w.now.Add(time.Hour)) {
		t.Fatal(err)
	}
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(limited, ".")[1])
	if string(payload) != `{"sub":"user:default/a&b","iat":1795514400,"exp":1795518000}` {
		t.Errorf("payload %s", payload)
	}
	c := w.check(t, limited, "techdocs", true)
	if u, ok := c.User(); !ok || u.Ref != "user:default/a&b" || u.Ownership != nil {
		t.Errorf("got %#v", c.Principal)
	}
	if again, _, err := Limit(c); err != nil || again != limited {
		t.Errorf("a limited token is not returned unchanged: %v", err)
	}
	if _, err := w.checker.Check(t.Context(), limited, "techdocs", false); err == nil || err.Error() != "Illegal limited user token" {
		t.Errorf("where it is not allowed: %v", err)
	}
	if _, _, err := Limit(principal.Nobody()); !errors.Is(err, apierr.Authentication) {
		t.Errorf("of nobody: %v", err)
	}
}

func TestPluginTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	ctx := t.Context()
	p := w.plugins["scaffolder"]
	token, err := p.TokenFor(ctx, p.Own(), "catalog")
	if err != nil {
		t.Fatal(err)
	}
	c := w.check(t, token, "catalog", false)
	if s, ok := c.Service(); !ok || s.Subject != "plugin:scaffolder" || s.Restrictions != nil {
		t.Errorf("got %#v", c.Principal)
	}
	if again, _ := p.TokenFor(ctx, p.Own(), "catalog"); again != token {
		t.Error("a token is not used twice")
	}
	w.now = w.now.Add(31 * time.Minute)
	if again, _ := p.TokenFor(ctx, p.Own(), "catalog"); again == token {
		t.Error("a token is used in the second half of its life")
	}

	alice := w.check(t, w.user(t, "user:default/alice"), "scaffolder", false)
	w.now = w.now.Add(30 * time.Minute)
	token, err = p.TokenFor(ctx, alice, "catalog")
	if err != nil {
		t.Fatal(err)
	}
	c = w.check(t, token, "catalog", false)
	u, ok := c.User()
	if !ok || u.Ref != "user:default/alice" || u.Actor == nil || u.Actor.Subject != "plugin:scaffolder" || !c.Expires().Equal(alice.Expires()) {
		t.Errorf("on behalf: %#v until %v, not %v", c.Principal, c.Expires(), alice.Expires())
	}
	// And on: catalog calls for the user that scaffolder called for.
	token, err = w.plugins["catalog"].TokenFor(ctx, c, "scaffolder")
	if err != nil {
		t.Fatal(err)
	}
	if u, _ := w.check(t, token, "scaffolder", false).User(); u.Ref != "user:default/alice" || u.Actor.Subject != "plugin:catalog" {
		t.Errorf("on behalf of on behalf: %#v", u)
	}
}

func TestWhoMayNotBeActedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, externalConfig())
	p := w.plugins["catalog"]
	limited := w.check(t, "static-token-2", "catalog", false)
	for _, tt := range []struct {
		creds  principal.Credentials
		target string
		want   error
	}{
		{w.check(t, "static-token-1", "catalog", false), "scaffolder", nil},
		{limited, "search", nil},
		{limited, "catalog", apierr.NotAllowed},
		{limited, "scaffolder", apierr.NotAllowed},
		{principal.Nobody(), "search", apierr.Authentication},
		{p.Own(), "../evil", apierr.Input},
	} {
		if _, err := p.TokenFor(t.Context(), tt.creds, tt.target); !errors.Is(err, tt.want) {
			t.Errorf("%s to %s: %v", tt.creds, tt.target, err)
		}
	}
	open := &PluginIssuer{Plugin: "catalog", Keys: p.Keys, AllowNobody: true}
	if token, err := open.TokenFor(t.Context(), principal.Nobody(), "search"); token != "" || err != nil {
		t.Errorf("nobody, where that is allowed: %q, %v", token, err)
	}
}

func legacy(secret, sub string, claims map[string]any) string {
	key, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		panic(err)
	}
	if claims == nil {
		claims = map[string]any{}
	}
	claims["sub"] = sub
	signed := encodePart([]byte(`{"alg":"HS256"}`)) + "." + encodePart(marshal(claims))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	return signed + "." + encodePart(mac.Sum(nil))
}

func TestExternalAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, externalConfig())
	exp := map[string]any{"exp": w.now.Add(time.Hour).Unix()}
	with := func(more ...any) map[string]any {
		m := map[string]any{"exp": w.now.Add(time.Hour).Unix()}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	for _, tt := range []struct{ name, token, plugin, want string }{ // want is the subject, or the error
		{"static", "static-token-1", "catalog", "test"},
		{"static, restricted, a listed plugin", "static-token-2", "search", "limited"},
		{"static, restricted, another plugin", "static-token-2", "scaffolder", "403 This token's access is restricted to plugin(s) 'catalog', 'search'"},
		{"static, restricted to nothing", "static-token-3", "catalog", "403 This token's access is restricted to plugin(s) "},
		{"a prefix of it", "static-token-", "catalog", "401 Illegal token"},
		{"more than it", "static-token-11", "catalog", "401 Illegal token"},
		{"legacy", legacy(legacySecret, "backstage-server", exp), "catalog", "legacy-caller"},
		{"legacy, oldest form", legacy("b3RoZXItc2VjcmV0", "backstage-server", exp), "catalog", "external:backstage-plugin"},
		{"legacy, another secret", legacy("d3Jvbmc=", "backstage-server", exp), "catalog", "401 Illegal token"},
		{"legacy, another subject", legacy(legacySecret, "user:default/admin", exp), "catalog", "401 Illegal token"},
		{"legacy, with an audience", legacy(legacySecret, "backstage-server", with("aud", "catalog")), "catalog", "401 Illegal token"},
		{"legacy, expired", legacy(legacySecret, "backstage-server", with("exp", w.now.Add(-time.Minute).Unix())), "catalog", "401 Failed external token verification"},
		{"legacy, without exp", legacy(legacySecret, "backstage-server", map[string]any{}), "catalog", "401 Failed external token verification"},
		{"garbage", "a.b.c", "catalog", "401 Illegal token"},
		{"nothing", "", "catalog", "401 Illegal token"},
		{"far too long", strings.Repeat("x", 40000), "catalog", "401 Illegal token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := w.checker.Check(t.Context(), tt.token, tt.plugin, true)
			got := c.String()
			if err != nil {
				got = fmt.Sprintf("%d %s", apierr.StatusOf(err), wire(err))
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// wire returns the message that a client gets.
func wire(err error) string {
	var o struct{ Message string }
	if e := json.Unmarshal(apierr.Render(err, false).Object, &o); e != nil {
		return e.Error()
	}
	return o.Message
}

// forge signs claims with a key under a header of the test's choice.
func forge(t testing.TB, key crypto.Signer, header, payload string) string {
	t.Helper()
	signed := encodePart([]byte(header)) + "." + encodePart([]byte(payload))
	if key == nil {
		return signed + "."
	}
	sig, err := signature(SigningKey{Key: key}, signed)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + sig
}

// Everything that is not exactly a token of this backend is refused, with a text that
// does not say why (security requirements S8, S9, S11).
func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, externalConfig())
	ctx := t.Context()
	userKey, _ := w.users.Keys.SigningKey(ctx)
	pluginKey, _ := w.plugins["catalog"].Keys.SigningKey(ctx)
	stranger, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	iat, exp := w.now.Unix(), w.now.Add(time.Hour).Unix()
	head := func(typ, alg, kid string, more ...string) string {
		return fmt.Sprintf(`{"typ":%q,"alg":%q,"kid":%q%s}`, typ, alg, kid, strings.Join(more, ""))
	}
	body := func(iss, sub, aud string, iat, exp int64) string {
		return fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":%q,"iat":%d,"exp":%d}`, iss, sub, aud, iat, exp)
	}
	good := body(issuer, "user:default/alice", "backstage", iat, exp)
	plug := func(sub, aud string, more string) string {
		return fmt.Sprintf(`{"sub":%q,"aud":%q,"iat":%d,"exp":%d%s}`, sub, aud, iat, exp, more)
	}
	limitedOf := func(token string) string {
		l, _, err := Limit(w.check(t, token, "catalog", false))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	limited := limitedOf(w.user(t, "user:default/alice"))
	swap := func(token string, part int, with string) string {
		parts := strings.Split(token, ".")
		parts[part] = encodePart([]byte(with))
		return strings.Join(parts, ".")
	}
	pub, err := x509.MarshalPKIXPublicKey(userKey.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	hs, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: pub}, (&jose.SignerOptions{}).WithType(typUser).WithHeader("kid", userKey.ID))
	if err != nil {
		t.Fatal(err)
	}
	hsSig, _ := hs.Sign([]byte(good))
	hsToken, _ := hsSig.CompactSerialize()
	// The control: the same construction with nothing wrong is accepted.
	if _, err := w.checker.Check(ctx, forge(t, userKey.Key, head(typUser, "ES256", userKey.ID), good), "catalog", false); err != nil {
		t.Fatalf("the control is refused: %v", err)
	}
	if _, err := w.checker.Check(ctx, forge(t, pluginKey.Key, head(typPlugin, "ES256", pluginKey.ID), plug("catalog", "search", "")), "search", false); err != nil {
		t.Fatalf("the control is refused: %v", err)
	}
	const user, plugin, illegal = "Failed user token verification", "Failed plugin token verification", "Illegal token"
	for _, tt := range []struct{ name, token, want string }{
		{"algorithm none", forge(t, nil, head(typUser, "none", userKey.ID), good), user},
		{"HS256 with the public key as secret", hsToken, user},
		{"another algorithm than the key's", forge(t, userKey.Key, head(typUser, "ES384", userKey.ID), good), user},
		{"a key that nobody knows", forge(t, stranger, head(typUser, "ES256", "nope"), good), user},
		{"a known key id, another key", forge(t, stranger, head(typUser, "ES256", userKey.ID), good), user},
		{"no key id", forge(t, userKey.Key, `{"typ":"vnd.backstage.user","alg":"ES256"}`, good), user},
		{"an embedded key", forge(t, stranger, head(typUser, "ES256", userKey.ID, `,"jwk":{"kty":"EC"}`), good), user},
		{"a critical extension", forge(t, userKey.Key, head(typUser, "ES256", userKey.ID, `,"crit":["x"],"x":1`), good), user},
		{"changed claims", swap(w.user(t, "user:default/alice"), 1, body(issuer, "user:default/root", "backstage", iat, exp)), user},
		{"another issuer", forge(t, userKey.Key, head(typUser, "ES256", userKey.ID), body("http://evil", "user:default/alice", "backstage", iat, exp)), user},
		{"another audience", forge(t, userKey.Key, head(typUser, "ES256", userKey.ID), body(issuer, "user:default/alice", "catalog", iat, exp)), user},
		{"expired", forge(t, userKey.Key, head(typUser, "ES256", userKey.ID), body(issuer, "user:default/alice", "backstage", iat-3600, iat-11)), user},
		{"issued in the future", forge(t, userKey.Key, head(typUser, "ES256", userKey.ID), body(issuer, "user:default/alice", "backstage", iat+11, exp)), user},
		{"without exp", forge(t, userKey.Key, head(typUser, "ES256", userKey.ID), `{"iss":"`+issuer+`","sub":"user:default/alice","aud":"backstage","iat":1}`), user},
		{"without iat", forge(t, userKey.Key, head(typUser, "ES256", userKey.ID), fmt.Sprintf(`{"iss":%q,"sub":"user:default/alice","aud":"backstage","exp":%d}`, issuer, exp)), user},
		{"a group as user", forge(t, userKey.Key, head(typUser, "ES256", userKey.ID), body(issuer, "group:default/admins", "backstage", iat, exp)), user},
		{"a subject that is no reference", forge(t, userKey.Key, head(typUser, "ES256", userKey.ID), body(issuer, "user:default/a/b", "backstage", iat, exp)), user},
		{"a limited token as full", swap(limited, 0, head(typUser, "ES256", userKey.ID)), user},
		{"a limited token with other times", swap(limited, 1, fmt.Sprintf(`{"sub":"user:default/alice","iat":%d,"exp":%d}`, iat, exp+1)), user},
		{"a user token as plugin token", swap(w.user(t, "user:default/alice"), 0, head(typPlugin, "ES256", userKey.ID)), plugin},
		{"a plugin token as user token", forge(t, pluginKey.Key, head(typUser, "ES256", pluginKey.ID), plug("user:default/alice", "backstage", "")), user},
		{"without type", forge(t, userKey.Key, `{"alg":"ES256","kid":"`+userKey.ID+`"}`, good), illegal},
		{"a type in another case", forge(t, userKey.Key, head("VND.backstage.user", "ES256", userKey.ID), good), illegal},
		{"a plugin that nobody knows", forge(t, pluginKey.Key, head(typPlugin, "ES256", pluginKey.ID), plug("evil", "search", "")), plugin},
		{"a plugin with the key of another", forge(t, pluginKey.Key, head(typPlugin, "ES256", pluginKey.ID), plug("scaffolder", "search", "")), plugin},
		{"a plugin id that is a path", forge(t, pluginKey.Key, head(typPlugin, "ES256", pluginKey.ID), plug("../catalog", "search", "")), plugin},
		{"a plugin id that is a host", forge(t, pluginKey.Key, head(typPlugin, "ES256", pluginKey.ID), plug("evil.example/x?", "search", "")), plugin},
		{"two audiences", forge(t, pluginKey.Key, head(typPlugin, "ES256", pluginKey.ID), strings.Replace(plug("catalog", "search", ""), `"search"`, `["search","catalog"]`, 1)), plugin},
		{"no audience", forge(t, pluginKey.Key, head(typPlugin, "ES256", pluginKey.ID), strings.Replace(plug("catalog", "search", ""), `"aud":"search",`, "", 1)), plugin},
		{"on behalf of garbage", forge(t, pluginKey.Key, head(typPlugin, "ES256", pluginKey.ID), plug("catalog", "search", `,"obo":"x"`)), plugin},
		{"on behalf of a plugin", forge(t, pluginKey.Key, head(typPlugin, "ES256", pluginKey.ID),
			plug("catalog", "search", `,"obo":"`+forge(t, pluginKey.Key, head(typPlugin, "ES256", pluginKey.ID), plug("catalog", "search", ""))+`"`)), plugin},
		{"on behalf of a forged user", forge(t, pluginKey.Key, head(typPlugin, "ES256", pluginKey.ID),
			plug("catalog", "search", `,"obo":"`+forge(t, stranger, head(typLimited, "ES256", userKey.ID), fmt.Sprintf(`{"sub":"user:default/root","iat":%d,"exp":%d}`, iat, exp))+`"`)), plugin},
		{"four parts", w.user(t, "user:default/alice") + ".x", illegal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := w.checker.Check(ctx, tt.token, "search", true)
			if err == nil {
				t.Fatalf("accepted as %s", c)
			}
			if !errors.Is(err, apierr.Authentication) || wire(err) != tt.want {
				t.Errorf("got %v %q, want %q", apierr.StatusOf(err), wire(err), tt.want)
			}
		})
	}
}

// A token for one plugin is of no use at another one, whoever signed it.
func TestSEC84_ATokenForOnePluginIsRefusedByAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	ctx := t.Context()
	p := w.plugins["scaffolder"]
	token, err := p.TokenFor(ctx, p.Own(), "search")
	if err != nil {
		t.Fatal(err)
	}
	alice, err := p.TokenFor(ctx, w.check(t, w.user(t, "user:default/alice"), "scaffolder", false), "search")
	if err != nil {
		t.Fatal(err)
	}
	for _, tok := range []string{token, alice} {
		for range 2 { // the second time it is remembered
			w.check(t, tok, "search", false)
			for _, other := range []string{"catalog", "scaffolder", "Search", ""} {
				if _, err := w.checker.Check(ctx, tok, other, true); !errors.Is(err, apierr.Authentication) || wire(err) != "Failed plugin token verification" {
					t.Errorf("at %q: %v", other, err)
				}
			}
		}
	}
}

func TestVerifiedTokensAreRememberedForAMinuteAtMost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	keys := &countingKeys{Keys: w.users.Keys}
	w.checker.opts.UserKeys = keys
	token := w.user(t, "user:default/alice")
	for range 10 {
		w.check(t, token, "catalog", false)
	}
	if keys.n != 1 {
		t.Errorf("10 checks look %d times for the key", keys.n)
	}
	w.now = w.now.Add(time.Minute)
	keys.gone = true
	if _, err := w.checker.Check(t.Context(), token, "catalog", false); !errors.Is(err, apierr.Authentication) {
		t.Errorf("a minute after its key was withdrawn: %v", err)
	}
	keys.gone = false
	w.check(t, token, "catalog", false)
	w.now = w.now.Add(2 * time.Hour)
	if _, err := w.checker.Check(t.Context(), token, "catalog", false); !errors.Is(err, apierr.Authentication) {
		t.Errorf("after it has expired: %v", err)
	}
}

type countingKeys struct {
	Keys
	n    int
	gone bool
}

func (c *countingKeys) PublicKey(ctx context.Context, id string) (PublicKey, error) {
	c.n++
	if c.gone {
		return PublicKey{}, ErrUnknownKey
	}
	return c.Keys.PublicKey(ctx, id)
}

func TestMemoryKeysRotate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	m := NewMemoryKeys(time.Hour, func() time.Time { return now })
	first, err := m.SigningKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		after  time.Duration
		same   bool // the first key still signs
		listed bool // and is still published
	}{{0, true, true}, {59 * time.Minute, true, true}, {time.Minute, false, true}, {119 * time.Minute, false, true}, {time.Minute, false, false}} {
		now = now.Add(step.after)
		k, err := m.SigningKey(t.Context())
		if err != nil || (k.ID == first.ID) != step.same {
			t.Errorf("%v: signs with the first key: %v, %v", now, k.ID == first.ID, err)
		}
		if _, err := m.PublicKey(t.Context(), first.ID); (err == nil) != step.listed {
			t.Errorf("%v: the first key is known: %v", now, err)
		}
	}
}

func TestTheLifeOfUserTokensIsClamped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	for life, want := range map[time.Duration]time.Duration{0: time.Hour, time.Second: 10 * time.Minute, 2 * time.Hour: 2 * time.Hour, 48 * time.Hour: 24 * time.Hour} {
		w.users.Life = life
		_, exp, err := w.users.Issue(t.Context(), UserClaims{Sub: "user:default/a"})
		if err != nil || exp.Sub(w.now) != want {
			t.Errorf("%v: %v, %v", life, exp.Sub(w.now), err)
		}
	}
	for _, sub := range []string{"", "alice", "user:alice", "group:default/a", "user:default/a b", "user:default/a/b"} {
		if _, _, err := w.users.Issue(t.Context(), UserClaims{Sub: sub}); !errors.Is(err, apierr.Input) {
			t.Errorf("sub %q: %v", sub, err)
		}
	}
	huge := make([]string, 2000)
	for i := range huge {
		huge[i] = "group:default/some-group-of-people"
	}
	if _, _, err := w.users.Issue(t.Context(), UserClaims{Sub: "user:default/a", Ent: huge}); err == nil {
		t.Error("a token of any size is issued")
	}
}

func FuzzCheck(f *testing.F) {
	w := newWorld(f, externalConfig())
	token := w.user(f, "user:default/alice")
	for _, s := range []string{token, "", "a.b.c", "..", legacy(legacySecret, "backstage-server", nil), token + "x", strings.ToUpper(token)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := w.checker.Check(t.Context(), s, "catalog", true)
		if err != nil {
			if st := apierr.StatusOf(err); st != 401 && st != 403 {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if u, ok := c.User(); ok && u.Ref != "user:default/alice" {
			t.Errorf("%q is accepted as %s", s, c)
		}
	})
}

func BenchmarkCheckCached(b *testing.B) {
	w := newWorld(b, "")
	token := w.user(b, "user:default/alice")
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.checker.Check(ctx, token, "catalog", false); err != nil {
			b.Fatal(err)
		}
	}
}

func TestFurtherClaimsCannotChangeWhatATokenIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	token, _, err := w.users.Issue(t.Context(), UserClaims{Sub: "user:default/alice", Extra: map[string]any{"nonce": "n", "a": 1}})
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if !strings.HasSuffix(string(payload), `","a":1,"nonce":"n"}`) {
		t.Errorf("payload %s", payload)
	}
	if u, ok := w.check(t, token, "catalog", false).User(); !ok || u.Ref != "user:default/alice" {
		t.Error("the token is not the user's")
	}
	for _, name := range []string{"iss", "sub", "ent", "aud", "iat", "exp", "nbf", "uip", "obo", "typ", "kid", "alg"} {
		if _, _, err := w.users.Issue(t.Context(), UserClaims{Sub: "user:default/alice", Extra: map[string]any{name: "x"}}); !errors.Is(err, apierr.Input) {
			t.Errorf("claim %q: %v", name, err)
		}
	}
	if _, _, err := w.users.Issue(t.Context(), UserClaims{Sub: "user:default/alice", Extra: map[string]any{"f": func() {}}}); err == nil {
		t.Error("a claim without a JSON form")
	}
}
