package tokens

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/callboard-dev/callboard/backend/httpx"
)

// ErrUnknownKey means that an issuer has no key of that id.
var ErrUnknownKey = errors.New("unknown signing key")

// A PublicKey verifies the tokens of an issuer.
type PublicKey struct {
	ID        string // the kid
	Algorithm string // such as ES256; a token that names another one is not valid
	Key       crypto.PublicKey
	Use       string // "sig" for keys that are listed with their use, else empty
}

// A SigningKey signs tokens.
type SigningKey struct {
	ID        string
	Key       crypto.Signer
	Algorithm string // ES256 if empty
}

func (k SigningKey) algorithm() string { return cmp.Or(k.Algorithm, string(jose.ES256)) }

// Keys finds the public keys of one issuer. It is used from many goroutines, for every
// token that is not known yet, with key ids that come from outside.
type Keys interface {
	// PublicKey returns the key of that id, or ErrUnknownKey.
	PublicKey(ctx context.Context, id string) (PublicKey, error)
}

// A KeyStore holds the keys of one issuer: a plugin, or the users' issuer. Private keys
// need not be shared between replicas, public ones must be: every replica lists all keys.
type KeyStore interface {
	Keys
	// SigningKey returns the key to sign with now. It makes one if there is none, or the
	// last one is at the end of its signing life, and publishes it before it returns.
	SigningKey(ctx context.Context) (SigningKey, error)
	// PublicKeys lists the keys that valid tokens may have been signed with.
	PublicKeys(ctx context.Context) ([]PublicKey, error)
}

// MemoryKeys is a KeyStore for one process: tokens do not survive a restart.
type MemoryKeys struct {
	alg  string
	life time.Duration
	now  func() time.Time

	mu   sync.Mutex
	keys []memoryKey // the newest is last
}

type memoryKey struct {
	SigningKey
	made time.Time
}

var _ KeyStore = (*MemoryKeys)(nil)

// NewMemoryKeys returns a store whose keys sign with ES256 for the lifetime of one token,
// and are listed for three. The clock may be nil.
func NewMemoryKeys(life time.Duration, now func() time.Time) *MemoryKeys {
	if now == nil {
		now = time.Now
	}
	return &MemoryKeys{life: life, now: now}
}

// With returns m, whose new keys are for another algorithm. It is called before the first use.
func (m *MemoryKeys) With(alg string) *MemoryKeys { m.alg = alg; return m }

// SigningKey implements KeyStore.
func (m *MemoryKeys) SigningKey(context.Context) (SigningKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if n := len(m.keys); n > 0 && now.Before(m.keys[n-1].made.Add(m.life)) {
		return m.keys[n-1].SigningKey, nil
	}
	key, err := NewSigningKey(m.alg)
	if err != nil {
		return SigningKey{}, err
	}
	m.keys = append(m.keys, memoryKey{key, now})
	return key, nil
}

// Public returns the half that verifies.
func (k SigningKey) Public() PublicKey {
	return PublicKey{ID: k.ID, Algorithm: k.algorithm(), Key: k.Key.Public()}
}

// PublicKeys implements KeyStore.
func (m *MemoryKeys) PublicKeys(context.Context) ([]PublicKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	out := make([]PublicKey, len(m.keys))
	for i, k := range m.keys {
		out[i] = k.Public()
	}
	return out, nil
}

// PublicKey implements Keys.
func (m *MemoryKeys) PublicKey(_ context.Context, id string) (PublicKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	for _, k := range m.keys {
		if k.ID == id {
			return k.Public(), nil
		}
	}
	return PublicKey{}, ErrUnknownKey
}

func (m *MemoryKeys) expire() {
	now := m.now()
	m.keys = slices.DeleteFunc(m.keys, func(k memoryKey) bool { return !now.Before(k.made.Add(keysKept * m.life)) })
}

// keysPath is where a plugin publishes its keys, below its mount.
const keysPath = "/.backstage/auth/v1/jwks.json"

// ServeKeys returns what answers requests for the public keys of a plugin before its
// gate and its barrier; it reports whether a request was one.
func ServeKeys(keys KeyStore, errs httpx.ErrorWriter) func(http.ResponseWriter, *http.Request) bool {
	mux := &httpx.Mux{Errors: errs}
	if err := mux.Handle("GET "+keysPath, KeySet(keys)); err != nil {
		panic(err) // the pattern is a constant
	}
	return func(w http.ResponseWriter, r *http.Request) bool {
		if mux.Pattern(r) == "" {
			return false
		}
		mux.ServeHTTP(w, r)
		return true
	}
}

// KeySet returns a handler that answers with the public keys as a JSON Web Key Set. A
// store that has none yet makes one, so that a verifier that asks early need not come back.
func KeySet(keys KeyStore) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := keys.SigningKey(r.Context()); err != nil {
			return err
		}
		list, err := keys.PublicKeys(r.Context())
		if err != nil {
			return err
		}
		set := struct {
			Keys []jose.JSONWebKey `json:"keys"`
		}{Keys: []jose.JSONWebKey{}}
		for _, k := range list {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Key, KeyID: k.ID, Algorithm: k.Algorithm, Use: k.Use})
		}
		return httpx.JSON(w, http.StatusOK, set)
	}
}
