package tokens

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// issuerServer serves a key set and counts how often it is asked.
type issuerServer struct {
	*httptest.Server
	asked atomic.Int64
	hold  chan struct{} // if set, answers wait for it
}

func newIssuerServer(t *testing.T, keys KeyStore) *issuerServer {
	t.Helper()
	s := &issuerServer{}
	set := KeySet(keys)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if s.hold != nil {
			<-s.hold
		}
		if err := set(w, r); err != nil {
			httpx.Empty(w, 500)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *issuerServer) address() (string, error) { return s.URL, nil }

// Key ids come from whoever sends a token: thousands of unknown ones must not become
// thousands of requests to the issuer.
func TestSEC82_UnknownKeyIDsCannotForceReloadsWithoutLimit(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	store := NewMemoryKeys(time.Hour, func() time.Time { return now })
	srv := newIssuerServer(t, store)
	k := NewRemoteKeys(srv.address, srv.Client(), func() time.Time { return now })
	known, err := store.SigningKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.PublicKey(t.Context(), known.ID); err != nil || srv.asked.Load() != 1 {
		t.Fatalf("%d loads, %v", srv.asked.Load(), err)
	}
	flood := func(name string) {
		for i := range 5000 {
			if _, err := k.PublicKey(t.Context(), fmt.Sprint(name, i)); !errors.Is(err, ErrUnknownKey) {
				t.Fatal(err)
			}
		}
	}
	flood("a")
	if got := srv.asked.Load(); got != 1+remoteBudget {
		t.Errorf("a flood of unknown keys makes %d loads, want %d", got, 1+remoteBudget)
	}
	if _, err := k.PublicKey(t.Context(), known.ID); err != nil || srv.asked.Load() != 1+remoteBudget {
		t.Errorf("known keys suffer: %v", err)
	}
	now = now.Add(10 * time.Second)
	flood("b")
	if got := srv.asked.Load(); got != 1+remoteBudget {
		t.Errorf("ten seconds later: %d loads", got)
	}
	now = now.Add(time.Minute)
	flood("c")
	if got := srv.asked.Load(); got > 2+2*remoteBudget {
		t.Errorf("a minute later: %d loads", got)
	}
	if len(k.unknown) > remoteMaxNever {
		t.Errorf("%d unknown keys are remembered", len(k.unknown))
	}
}

func TestRemoteKeysFollowRotation(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	store := NewMemoryKeys(time.Minute, func() time.Time { return now })
	srv := newIssuerServer(t, store)
	k := NewRemoteKeys(srv.address, srv.Client(), func() time.Time { return now })
	for i := range 3 {
		key, err := store.SigningKey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.PublicKey(t.Context(), key.ID); err != nil {
			t.Errorf("key %d: %v", i, err)
		}
		now = now.Add(time.Minute)
	}
	before := srv.asked.Load()
	now = now.Add(remoteMaxAge)
	store.SigningKey(t.Context())
	if _, err := k.PublicKey(t.Context(), "gone"); !errors.Is(err, ErrUnknownKey) || srv.asked.Load() != before+1 {
		t.Errorf("an old set is not loaded again: %v", err)
	}
}

func TestConcurrentMissesShareOneLoad(t *testing.T) {
	t.Parallel()
	store := NewMemoryKeys(time.Hour, nil)
	srv := newIssuerServer(t, store)
	srv.hold = make(chan struct{})
	k := NewRemoteKeys(srv.address, srv.Client(), nil)
	key, _ := store.SigningKey(t.Context())
	var wg, ready sync.WaitGroup
	for range 20 {
		ready.Add(1)
		wg.Go(func() {
			ready.Done()
			if _, err := k.PublicKey(t.Context(), key.ID); err != nil {
				t.Error(err)
			}
		})
	}
	ready.Wait()
	close(srv.hold)
	wg.Wait()
	// Whoever comes after the shared load finds the key without one.
	if got := srv.asked.Load(); got != 1 {
		t.Errorf("%d loads", got)
	}
}

func TestTheRequestThatWaitsMayEndBeforeTheLoad(t *testing.T) {
	t.Parallel()
	store := NewMemoryKeys(time.Hour, nil)
	srv := newIssuerServer(t, store)
	k := NewRemoteKeys(srv.address, srv.Client(), nil)
	key, _ := store.SigningKey(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.PublicKey(ctx, key.ID); err != nil {
		t.Errorf("a load that others may wait for ends with the first request: %v", err)
	}
}

func TestKeySetsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"404":       func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) },
		"no JSON":   func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>")) },
		"no keys":   func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("{}")) },
		"too large": func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, remoteMaxBytes+1)) },
	} {
		srv := httptest.NewServer(answer)
		k := NewRemoteKeys(func() (string, error) { return srv.URL, nil }, srv.Client(), nil)
		if _, err := k.PublicKey(t.Context(), "x"); err == nil || errors.Is(err, ErrUnknownKey) {
			t.Errorf("%s: %v", name, err)
		}
		srv.Close()
	}
	// A symmetric or private key in a public set must not become one to verify with.
	keys, err := parseKeySet([]byte(`{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"a"},{"kty":"odd","kid":"b"},
		{"kty":"EC","crv":"P-256","kid":"c","x":"b9TIGSQzOU3YjGeahTLx888gZq6oTsRM4NkVcqlCUOw","y":"AZIZetxv8kUqnspRClf8MV2Ah_oUp_0c-loudYLnAPw","alg":"ES256"}]}`))
	if err != nil || len(keys) != 1 || keys["c"].Algorithm != "ES256" {
		t.Errorf("got %v, %v", keys, err)
	}
}

func TestExternalKeySets(t *testing.T) {
	t.Parallel()
	store := NewMemoryKeys(time.Hour, nil)
	srv := newIssuerServer(t, store)
	now := time.Now()
	yaml := `backend: {auth: {externalAccess: [{type: jwks, options: {url: "` + srv.URL + `", issuer: "https://idp", audience: "a, callboard", algorithm: ES256, subjectPrefix: idp}, accessRestrictions: [{plugin: catalog}]}]}}`
	tree, err := config.Parse("app-config.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	var cfg Config
	if err := tree.Decode("backend.auth", &cfg); err != nil {
		t.Fatal(err)
	}
	c := NewChecker(Options{Config: cfg, Client: srv.Client()})
	key, _ := store.SigningKey(t.Context())
	token := func(iss, aud string, exp time.Time) string {
		e := exp.Unix()
		tok, err := sign(key, "JWT", marshal(claims{Issuer: iss, Subject: "robot", Audience: audience{aud}, Expires: &e}))
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	for _, tt := range []struct {
		name, iss, aud, plugin string
		exp                    time.Duration
		want                   string
	}{
		{"good", "https://idp", "callboard", "catalog", time.Hour, "external:idp:robot"},
		{"restricted", "https://idp", "callboard", "search", time.Hour, "This token's access is restricted to plugin(s) 'catalog'"},
		{"another issuer", "https://evil", "callboard", "catalog", time.Hour, "Illegal token"},
		{"another audience", "https://idp", "b", "catalog", time.Hour, "Illegal token"},
		{"expired", "https://idp", "callboard", "catalog", -time.Hour, "Failed external token verification"},
	} {
		got, err := c.Check(t.Context(), token(tt.iss, tt.aud, now.Add(tt.exp)), tt.plugin, false)
		s := got.String()
		if err != nil {
			s = wire(err)
		}
		if s != tt.want {
			t.Errorf("%s: got %s", tt.name, s)
		}
	}
	if srv.asked.Load() != 1 {
		t.Errorf("%d loads", srv.asked.Load())
	}
}

// Plugin names come from tokens, too; and an issuer that has no keys must not be asked
// for every token that names it.
func TestSEC82_UnknownPluginsCannotForceLoadsWithoutLimit(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.WriteHeader(404)
	}))
	t.Cleanup(srv.Close)
	p := NewRemotePlugins(func(id string) (string, error) { return srv.URL + "/" + id, nil }, srv.Client(), func() time.Time { return now })
	flood := func(names int) {
		for i := range 3000 {
			keys, err := p.Keys(fmt.Sprint("p", i%names))
			if err != nil {
				continue
			}
			if _, err := keys.PublicKey(t.Context(), fmt.Sprint(i)); err == nil {
				t.Fatal("a key is found")
			}
		}
	}
	flood(1)
	if got := asked.Load(); got != 1 {
		t.Errorf("an issuer without keys is asked %d times", got)
	}
	now = now.Add(remoteNegative)
	flood(3000)
	if got := asked.Load(); got != 1+newRemoteBudget {
		t.Errorf("3000 unknown plugins make %d loads, want %d", got, 1+newRemoteBudget)
	}
	for range 20 {
		now = now.Add(newRemotePer)
		flood(3000)
	}
	if len(p.sets) > maxRemotePlugins {
		t.Errorf("%d plugins are remembered", len(p.sets))
	}
}

func TestAnIssuerThatIsDownForAMomentKeepsItsKeys(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	store := NewMemoryKeys(10*time.Hour, func() time.Time { return now })
	srv := newIssuerServer(t, store)
	k := NewRemoteKeys(srv.address, srv.Client(), func() time.Time { return now })
	key, _ := store.SigningKey(t.Context())
	if _, err := k.PublicKey(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	srv.Close()
	now = now.Add(remoteMaxAge)
	if _, err := k.PublicKey(t.Context(), key.ID); err != nil {
		t.Errorf("down for a moment: %v", err)
	}
	now = now.Add(keysKept * remoteMaxAge)
	k.PublicKey(t.Context(), key.ID)
	if _, err := k.PublicKey(t.Context(), key.ID); err == nil {
		t.Error("down for long: the keys are still believed")
	}
}
