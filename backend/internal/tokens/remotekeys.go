package tokens

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
)

// Bounds of loading a remote key set (contract/auth.md 7.5). A kid comes from whoever
// sends a token, so unknown ones must not turn into requests without limit.
const (
	remoteMaxAge    = 10 * time.Minute
	remoteTimeout   = 5 * time.Second
	remoteCooldown  = 30 * time.Second
	remoteBudget    = 10 // reloads for unknown kids while cooling down
	remoteBudgetPer = time.Minute
	remoteNegative  = 5 * time.Second
	remoteMaxBytes  = 1 << 20
	remoteMaxNever  = 1000 // unknown kids that are remembered
)

// RemoteKeys finds keys in the JSON Web Key Set that an issuer serves over HTTP.
type RemoteKeys struct {
	knownKeys

	url    func() (string, error)
	client *http.Client
}

// knownKeys remembers the keys of an issuer, wherever fetch finds them, within the bounds
// above.
type knownKeys struct {
	fetch  func(ctx context.Context) (map[string]PublicKey, error)
	now    func() time.Time
	flight singleflight.Group

	mu      sync.Mutex
	keys    map[string]PublicKey
	loaded  time.Time
	loads   int
	forced  []time.Time          // reloads that unknown kids have forced
	unknown map[string]time.Time // kids that were not in the set, and when that was seen
	broken  error                // why the last load has failed
	broke   time.Time
}

var _ Keys = (*RemoteKeys)(nil)

// NewRemoteKeys returns the keys at the URL that url returns, which is asked again for
// every load. Client and clock may be nil.
func NewRemoteKeys(url func() (string, error), client *http.Client, now func() time.Time) *RemoteKeys {
	if client == nil {
		client = http.DefaultClient
	}
	if now == nil {
		now = time.Now
	}
	k := &RemoteKeys{url: url, client: client, knownKeys: knownKeys{now: now, unknown: map[string]time.Time{}}}
	k.fetch = k.download
	return k
}

// PublicKey implements Keys.
func (k *knownKeys) PublicKey(ctx context.Context, id string) (PublicKey, error) {
	key, seen, load, err := k.look(id)
	if !load {
		return key, err
	}
	// One load serves all who wait, so it must not end with the first one's request.
	_, err, _ = k.flight.Do("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), remoteTimeout)
		defer cancel()
		return nil, k.load(ctx, seen)
	})
	if err != nil {
		if key, _, load, _ := k.look(id); !load && key.Key != nil {
			return key, nil
		}
		return PublicKey{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok := k.keys[id]; ok {
		return key, nil
	}
	if len(k.unknown) >= remoteMaxNever {
		clear(k.unknown)
	}
	k.unknown[id] = k.now()
	return PublicKey{}, ErrUnknownKey
}

// look answers from what is known, or says that the set must be loaded, and which
// load it has seen the result of.
func (k *knownKeys) look(id string) (key PublicKey, seen int, load bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if k.broken != nil && now.Before(k.broke.Add(remoteNegative)) {
		if key, ok := k.keys[id]; ok && now.Before(k.loaded.Add(keysKept*remoteMaxAge)) {
			return key, k.loads, false, nil // an issuer that is down for a moment has not withdrawn its keys
		}
		return PublicKey{}, k.loads, false, k.broken
	}
	fresh := !k.loaded.IsZero() && now.Before(k.loaded.Add(remoteMaxAge))
	if key, ok := k.keys[id]; ok && fresh {
		return key, k.loads, false, nil
	}
	if !fresh {
		return PublicKey{}, k.loads, true, nil
	}
	if at, ok := k.unknown[id]; ok && now.Before(at.Add(remoteNegative)) {
		return PublicKey{}, k.loads, false, ErrUnknownKey
	}
	if now.Before(k.loaded.Add(remoteCooldown)) && !k.spend(now) {
		return PublicKey{}, k.loads, false, ErrUnknownKey
	}
	return PublicKey{}, k.loads, true, nil
}

// spend takes one forced reload from the budget, if there is one.
func (k *knownKeys) spend(now time.Time) bool {
	for len(k.forced) > 0 && !now.Before(k.forced[0].Add(remoteBudgetPer)) {
		k.forced = k.forced[1:]
	}
	if len(k.forced) >= remoteBudget {
		return false
	}
	k.forced = append(k.forced, now)
	return true
}

// load fetches the set, unless that has happened since the caller looked.
func (k *knownKeys) load(ctx context.Context, seen int) error {
	k.mu.Lock()
	done, broken := k.loads != seen, k.broken
	k.mu.Unlock()
	if done {
		return broken
	}
	keys, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.loads++
	if k.broken = err; err != nil {
		k.broke = k.now()
		return err
	}
	k.keys, k.loaded = keys, k.now()
	return nil
}

// download loads the set from the issuer.
func (k *RemoteKeys) download(ctx context.Context) (map[string]PublicKey, error) {
	url, err := k.url()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := k.client.Do(req)
	if err != nil {
		return nil, unreachable{fmt.Errorf("load keys: %w", err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		err := fmt.Errorf("load keys from %s: %s", url, resp.Status)
		if resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode == http.StatusTooManyRequests {
			err = unreachable{err}
		}
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, remoteMaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("load keys from %s: %w", url, err)
	}
	if len(body) > remoteMaxBytes {
		return nil, fmt.Errorf("load keys from %s: more than %d bytes", url, remoteMaxBytes)
	}
	keys, err := parseKeySet(body)
	if err != nil {
		return nil, fmt.Errorf("load keys from %s: %w", url, err)
	}
	return keys, nil
}

// unreachable says that nobody knows whether a token is good, see apierr.IsUnavailable.
type unreachable struct{ error }

// Unavailable is what apierr.IsUnavailable looks for.
func (unreachable) Unavailable() bool { return true }

// Unwrap returns the cause.
func (u unreachable) Unwrap() error { return u.error }

// parseKeySet reads a JSON Web Key Set. Keys of types that nobody here can verify with,
// private and symmetric ones among them, are passed over.
func parseKeySet(body []byte) (map[string]PublicKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, err
	}
	if set.Keys == nil {
		return nil, errors.New(`there is no member "keys"`)
	}
	keys := map[string]PublicKey{}
	for _, raw := range set.Keys {
		var jwk jose.JSONWebKey
		if jwk.UnmarshalJSON(raw) != nil || !jwk.IsPublic() || !jwk.Valid() || jwk.Use == "enc" {
			continue
		}
		if _, symmetric := jwk.Key.([]byte); symmetric {
			continue
		}
		keys[jwk.KeyID] = PublicKey{ID: jwk.KeyID, Algorithm: jwk.Algorithm, Key: jwk.Key}
	}
	return keys, nil
}
