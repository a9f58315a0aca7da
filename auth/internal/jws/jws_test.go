package jws_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/callboard-dev/callboard/auth/authtest"
	"github.com/callboard-dev/callboard/auth/internal/jws"
	"github.com/callboard-dev/callboard/backend/apierr"
)

const issuer, audience = "https://proxy.test", "portal"

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

// published serves a document, and counts how often.
func published(t *testing.T, body func() []byte) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		b := body()
		if b == nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = w.Write(b)
	}))
	t.Cleanup(s.Close)
	return s, &n
}

func TestTokens(t *testing.T) {
	now := newClock()
	s := authtest.NewSigner(t, "ES256", "k")
	other := authtest.NewSigner(t, "ES256", "k")
	rsa := authtest.NewSigner(t, "RS256", "k")
	keys, _ := published(t, s.KeySet)
	v := &jws.Verifier{
		Keys:       &jws.Set{URL: keys.URL, Client: http.DefaultClient, Now: now.Now},
		Algorithms: []jose.SignatureAlgorithm{jose.ES256}, Issuer: issuer, Audiences: []string{audience}, Now: now.Now,
	}
	unix := now.Now().Unix()
	good := map[string]any{"iss": issuer, "aud": audience, "sub": "alice", "iat": unix, "exp": unix + 60}
	with := func(change map[string]any) string {
		c := maps.Clone(good)
		maps.Copy(c, change)
		maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
		return s.Sign(nil, c)
	}
	for _, tt := range []struct {
		name, token string
		says        string // empty: it is valid
	}{
		{"valid", with(nil), ""},
		{"for several, of whom this is one", with(map[string]any{"aud": []string{"other", audience}}), ""},
		{"issued by a clock that is ahead a little", with(map[string]any{"iat": unix + 9}), ""},
		{"expired by a clock that is ahead a little", with(map[string]any{"exp": unix - 9}), ""},
		{"expired", with(map[string]any{"exp": unix - 11}), "claim exp"},
		{"without an end", with(map[string]any{"exp": nil}), "claim exp"},
		{"with an end that is a text", with(map[string]any{"exp": "9999999999"}), "claim exp"},
		{"with an end that no clock will see", with(map[string]any{"exp": 1e300}), "claim exp"},
		{"of the future", with(map[string]any{"iat": unix + 11}), "claim iat"},
		{"of no time", with(map[string]any{"iat": nil}), "claim iat"},
		{"of a time that is a text", with(map[string]any{"iat": "now"}), "claim iat"},
		{"not valid yet", with(map[string]any{"nbf": unix + 60}), "claim nbf"},
		{"valid from a text on", with(map[string]any{"nbf": "now"}), "claim nbf"},
		{"of another issuer", with(map[string]any{"iss": "https://other.test"}), "claim iss"},
		{"of no issuer", with(map[string]any{"iss": nil}), "claim iss"},
		{"for another application", with(map[string]any{"aud": "other"}), "claim aud"},
		{"for no application", with(map[string]any{"aud": nil}), "claim aud"},
		{"for an empty list", with(map[string]any{"aud": []string{}}), "claim aud"},
		{"of another type", s.Sign(map[string]any{"typ": "at+jwt"}, good), "header typ"},
		{"of a type that is a number", s.Sign(map[string]any{"typ": 1}, good), "header typ"},
		{"signed by somebody else", other.Sign(nil, good), "signature"},
		{"signed with another algorithm", rsa.Sign(nil, good), "not signed as it must be"},
		{"not signed", strings.Join(append(strings.Split(s.Sign(map[string]any{"alg": "none"}, good), ".")[:2], ""), "."), "not signed as it must be"},
		{"signed with the public key", authtest.HS256(s.PEM(), map[string]any{"kid": "k"}, good), "not signed as it must be"},
		{"with something that must be understood", s.Sign(map[string]any{"crit": []string{"x"}, "x": 1}, good), "signature"},
		{"with a key that nobody knows", s.Sign(map[string]any{"kid": "other"}, good), "nobody has published"},
		{"with a key of its own", other.Sign(map[string]any{"kid": "other", "jwk": map[string]any{}}, good), "not"},
		{"too long", with(map[string]any{"pad": strings.Repeat("x", 1<<17)}), "too long"},
		{"padded", s.SignPadded(nil, good), "not a JWT"},
		{"no token", "x", "not a JWT"},
		{"empty", "", "not a JWT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims, err := v.Verify(t.Context(), tt.token)
			switch {
			case tt.says == "" && (err != nil || claims.Text("sub") != "alice"):
				t.Errorf("%v, %v", claims, err)
			case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("the error is %v, want %q", err, tt.says)
			}
			if err != nil && !errors.Is(jws.Refused(err, "X"), apierr.Authentication) {
				t.Errorf("%v is no apierr.Authentication", jws.Refused(err, "X"))
			}
		})
	}
}

// Requests with key ids that are made up cost nothing beyond a look in half a minute, and
// keys that are replaced are found.
func TestKeySetsAreReadRarely(t *testing.T) {
	now := newClock()
	s := authtest.NewSigner(t, "ES256", "one")
	doc := s.KeySet()
	keys, asked := published(t, func() []byte { return doc })
	set := &jws.Set{URL: keys.URL, Client: http.DefaultClient, Now: now.Now}
	for range 100 {
		if _, err := set.Key(t.Context(), "made up"); !errors.Is(err, jws.ErrUnknownKey) {
			t.Fatalf("a key that is made up: %v", err)
		}
	}
	if _, err := set.Key(t.Context(), "one"); err != nil || asked.Load() != 1 {
		t.Errorf("%v, asked %d times", err, asked.Load())
	}
	doc = authtest.NewSigner(t, "ES256", "two").KeySet()
	now.Advance(31 * time.Second)
	if _, err := set.Key(t.Context(), "two"); err != nil || asked.Load() != 2 {
		t.Errorf("a new key: %v, asked %d times", err, asked.Load())
	}
	if _, err := set.Key(t.Context(), "one"); !errors.Is(err, jws.ErrUnknownKey) {
		t.Errorf("a key that was withdrawn: %v", err)
	}
	doc = nil // the server fails
	now.Advance(2 * time.Hour)
	if _, err := set.Key(t.Context(), "two"); err != nil {
		t.Errorf("a known key while the server fails: %v", err)
	}
	now.Advance(time.Minute)
	if _, err := set.Key(t.Context(), "three"); !errors.Is(err, apierr.ServiceUnavailable) {
		t.Errorf("an unknown key while the server fails: %v", err)
	}
}

func TestASetIsReadOnceForMany(t *testing.T) {
	now := newClock()
	s := authtest.NewSigner(t, "ES256", "one")
	keys, asked := published(t, s.KeySet)
	set := &jws.Set{URL: keys.URL, Client: http.DefaultClient, Now: now.Now}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := set.Key(t.Context(), "one"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func TestKeysWithAddressesOfTheirOwnAreReadRarely(t *testing.T) {
	now := newClock()
	keys, asked := published(t, func() []byte { return []byte("key") })
	each := &jws.Each{
		Address: func(id string) (string, error) { return keys.URL + "/" + id, nil },
		Parse:   func(b []byte) (any, error) { return string(b), nil },
		Client:  http.DefaultClient, Now: now.Now,
	}
	for range 10 {
		if key, err := each.Key(t.Context(), "one"); err != nil || key != "key" {
			t.Fatalf("%v, %v", key, err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times for one key", asked.Load())
	}
	for i := range 100 {
		_, _ = each.Key(context.Background(), strings.Repeat("x", i+1))
	}
	if asked.Load() != 20 {
		t.Errorf("asked %d times in a minute, want 20", asked.Load())
	}
	if _, err := each.Key(t.Context(), "one"); err != nil {
		t.Errorf("the key that is known: %v", err)
	}
	now.Advance(2 * time.Hour)
	if _, err := each.Key(t.Context(), "one"); err != nil || asked.Load() != 21 {
		t.Errorf("after its time: %v, asked %d times", err, asked.Load())
	}
}
