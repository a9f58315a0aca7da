package tokens

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"github.com/callboard-dev/callboard/backend/db"
)

const (
	// storeTimeout bounds making and publishing a key, for all who wait for it.
	storeTimeout = 15 * time.Second
	// storeRetry is how long after a failure an old key goes on signing without another try.
	storeRetry = 5 * time.Second
)

// StoredKeys is a KeyStore whose public keys are in a database that the replicas of an
// issuer share (contract/auth.md 7.6). Each replica signs with keys of its own; private
// keys never leave memory. The table is made when the first key is stored, so that no
// migration of the plugin has to know of it.
//
// When the database is away, the last key signs for up to twice its life: tokens that it
// signs until then end before its public half does.
type StoredKeys struct {
	knownKeys

	db    db.DB
	alg   string
	table KeyTable
	life  time.Duration
	make  singleflight.Group

	mu      sync.Mutex
	signing memoryKey
	failed  time.Time // when a key could last not be stored
	ready   bool      // the table is known to exist
}

var _ KeyStore = (*StoredKeys)(nil)

// NewStoredKeys returns the keys in a table of d, without I/O. They sign for life, which
// is also the longest life of a token, and are listed for three. The clock may be nil.
func NewStoredKeys(d db.DB, table KeyTable, life time.Duration, now func() time.Time) *StoredKeys {
	if now == nil {
		now = time.Now
	}
	s := &StoredKeys{db: d, table: table, life: life, knownKeys: knownKeys{now: now, unknown: map[string]time.Time{}}}
	s.fetch = func(ctx context.Context) (map[string]PublicKey, error) {
		list, err := s.PublicKeys(ctx)
		keys := make(map[string]PublicKey, len(list))
		for _, k := range list {
			keys[k.ID] = k
		}
		return keys, err
	}
	return s
}

// With returns s, whose new keys are for another algorithm than ES256. It is called before
// the first use.
func (s *StoredKeys) With(alg string) *StoredKeys { s.alg = alg; return s }

// SigningKey implements KeyStore.
func (s *StoredKeys) SigningKey(ctx context.Context) (SigningKey, error) {
	now := s.now()
	s.mu.Lock()
	have, failed := s.signing, s.failed
	s.mu.Unlock()
	fallback := have.Key != nil && now.Before(have.made.Add(2*s.life))
	switch {
	case have.Key != nil && now.Before(have.made.Add(s.life)):
		return have.SigningKey, nil
	case fallback && now.Before(failed.Add(storeRetry)):
		return have.SigningKey, nil
	}
	// One key serves all who wait, so it must not end with the first one's request.
	made := s.make.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		return s.rotate(ctx)
	})
	select {
	case r := <-made:
		if r.Err == nil {
			return r.Val.(SigningKey), nil
		}
		if fallback {
			return have.SigningKey, nil
		}
		return SigningKey{}, fmt.Errorf("store a signing key: %w", r.Err)
	case <-ctx.Done():
		return SigningKey{}, ctx.Err()
	}
}

// rotate makes a key and publishes it before anything is signed with it.
func (s *StoredKeys) rotate(ctx context.Context) (SigningKey, error) {
	now := s.now()
	s.mu.Lock()
	have := s.signing
	s.mu.Unlock()
	if have.Key != nil && now.Before(have.made.Add(s.life)) {
		return have.SigningKey, nil // somebody else was first
	}
	key, err := NewSigningKey(s.alg)
	if err == nil {
		err = s.publish(ctx, key, now)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed = now
		return SigningKey{}, err
	}
	s.signing = memoryKey{key, now}
	return key, nil
}

func (s *StoredKeys) publish(ctx context.Context, key SigningKey, now time.Time) error {
	if err := s.createTable(ctx); err != nil {
		return err
	}
	public := key.Public()
	text, err := jose.JSONWebKey{Key: public.Key, KeyID: public.ID, Algorithm: public.Algorithm}.MarshalJSON()
	if err != nil {
		return err
	}
	if _, err := s.db.Exec(ctx, s.table.insert, key.ID, string(text), s.table.stamp(now, s.life)); err != nil {
		return err
	}
	// Whoever rotates tidies up. What is left behind if this fails is not listed anyway.
	_, err = s.db.Exec(ctx, s.table.expire, s.table.oldest(now, s.life))
	return err
}

// PublicKeys implements KeyStore. It reads the table each time: a key that another
// replica has just stored must be listed by all of them.
func (s *StoredKeys) PublicKeys(ctx context.Context) ([]PublicKey, error) {
	if ok, err := s.exists(ctx); err != nil || !ok {
		return nil, err
	}
	rows, err := s.db.Query(ctx, s.table.list, s.table.oldest(s.now(), s.life))
	if err != nil {
		return nil, err
	}
	keys, err := db.Collect(rows, func(r db.Row, k *PublicKey) error {
		var text string
		if err := r.Scan(&k.ID, &text); err != nil {
			return err
		}
		var jwk jose.JSONWebKey
		if jwk.UnmarshalJSON([]byte(text)) == nil && jwk.IsPublic() && jwk.Valid() {
			k.Algorithm, k.Key = jwk.Algorithm, jwk.Key
		}
		return nil
	})
	// A key that nobody here can verify with is passed over, as in remote key sets.
	return slices.DeleteFunc(keys, func(k PublicKey) bool { return k.Key == nil }), err
}

// PublicKey implements Keys, from memory as long as the bounds of remote key sets allow.
func (s *StoredKeys) PublicKey(ctx context.Context, id string) (PublicKey, error) {
	s.mu.Lock()
	own := s.signing
	s.mu.Unlock()
	if own.Key != nil && own.ID == id && s.now().Before(own.made.Add(keysKept*s.life)) {
		return own.Public(), nil
	}
	return s.knownKeys.PublicKey(ctx, id)
}

// exists looks for the table, because making one needs a right that the user of a
// database which somebody else sets up may lack.
func (s *StoredKeys) exists(ctx context.Context) (bool, error) {
	s.mu.Lock()
	ready := s.ready
	s.mu.Unlock()
	if ready {
		return true, nil
	}
	var n int
	if err := s.db.QueryRow(ctx, s.table.exists).Scan(&n); err != nil || n == 0 {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = true
	return true, nil
}

func (s *StoredKeys) createTable(ctx context.Context) error {
	if ok, err := s.exists(ctx); err != nil || ok {
		return err
	}
	_, err := s.db.Exec(ctx, s.table.create)
	if err == nil {
		return nil
	}
	// PostgreSQL lets two replicas collide here although IF NOT EXISTS is said.
	if ok, _ := s.exists(ctx); ok {
		return nil
	}
	return err
}
