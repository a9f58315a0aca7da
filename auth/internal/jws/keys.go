package jws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// Get reads a document that a proxy publishes. That it does not answer is an
// apierr.ServiceUnavailable; what it has instead is not part of the error.
func Get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, apierr.ServiceUnavailable.Wrap(err, "the keys of the proxy cannot be read")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusForbidden {
			return nil, ErrUnknownKey
		}
		return nil, apierr.ServiceUnavailable.New("the keys of the proxy cannot be read: %s", http.StatusText(resp.StatusCode))
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, apierr.ServiceUnavailable.Wrap(err, "the keys of the proxy cannot be read")
	}
	return body, nil
}

// How long keys are kept, and how often one may be asked for that is not among them: who
// sends requests with made-up key ids must not make this server ask for keys each time.
const (
	keep     = time.Hour
	cooldown = 30 * time.Second
)

// Set is a Source that reads a key set (RFC 7517, 5). It is safe for concurrent use.
type Set struct {
	URL    string
	Client *http.Client
	Now    func() time.Time

	load singleflight.Group
	mu   sync.Mutex
	keys map[string]any
	read time.Time // of the keys
	last time.Time // of the last attempt
	err  error     // of the last attempt
}

// Key implements Source.
func (s *Set) Key(ctx context.Context, id string) (any, error) {
	key, fresh, wait := s.known(id)
	if key != nil && fresh {
		return key, nil
	}
	if wait {
		return s.old(key)
	}
	done := s.load.DoChan("", func() (any, error) { return nil, s.reload() })
	select {
	case <-done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	key, _, _ = s.known(id)
	return s.old(key)
}

// known returns a key, whether it is young enough not to be looked for again, and whether
// looking has to wait.
func (s *Set) known(id string) (key any, fresh, wait bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	return s.keys[id], now.Sub(s.read) < keep, !s.last.IsZero() && now.Sub(s.last) < cooldown
}

// old is the answer without another look. While a key set cannot be read, the keys that it
// had go on to count.
func (s *Set) old(key any) (any, error) {
	if key != nil {
		return key, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	return nil, ErrUnknownKey
}

// reload reads the key set. It is not bound to the request that needs it: others wait, too.
func (s *Set) reload() error {
	text, err := Get(context.Background(), s.Client, s.URL)
	var set struct{ Keys []json.RawMessage }
	if err == nil {
		if parseErr := json.Unmarshal(text, &set); parseErr != nil {
			err = apierr.ServiceUnavailable.New("the keys of the proxy cannot be read: %s has no key set", s.URL)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.err = s.Now(), err
	if err != nil {
		return err
	}
	s.keys, s.read = map[string]any{}, s.last
	for _, one := range set.Keys {
		var k jose.JSONWebKey
		// Keys of kinds that are not known here are others' business.
		if err := json.Unmarshal(one, &k); err == nil && k.IsPublic() && (k.Use == "" || k.Use == "sig") {
			s.keys[k.KeyID] = k.Key
		}
	}
	return nil
}

// Each is a Source that reads every key from an address of its own. It is safe for
// concurrent use.
type Each struct {
	// Address is where the key of an id is; an error says that there is no such id.
	Address func(id string) (string, error)
	Parse   func(text []byte) (any, error)
	Client  *http.Client
	Now     func() time.Time

	load singleflight.Group
	mu   sync.Mutex
	keys map[string]one
	sent []time.Time
}

type one struct {
	key  any
	err  error
	read time.Time
}

// maxKeys bounds what is remembered, and maxLoads how many ids are looked for in a minute.
const (
	maxKeys  = 100
	maxLoads = 20
)

// Key implements Source.
func (e *Each) Key(ctx context.Context, id string) (any, error) {
	address, err := e.Address(id)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	k, ok := e.keys[id]
	age := e.Now().Sub(k.read)
	e.mu.Unlock()
	if ok && (k.err == nil && age < keep || k.err != nil && age < cooldown) {
		return k.key, k.err
	}
	done := e.load.DoChan(id, func() (any, error) { return e.loadKey(id, address) })
	select {
	case r := <-done:
		if errors.Is(r.Err, apierr.ServiceUnavailable) && k.key != nil {
			return k.key, nil // it counts for as long as nobody says that it does not
		}
		return r.Val, r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *Each) loadKey(id, address string) (any, error) {
	if !e.allowed() {
		return nil, apierr.ServiceUnavailable.New("the keys of the proxy are asked for too often")
	}
	text, err := Get(context.Background(), e.Client, address)
	var key any
	if err == nil {
		if key, err = e.Parse(text); err != nil {
			key, err = nil, fmt.Errorf("%w: %w", ErrUnknownKey, err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.keys == nil {
		e.keys = map[string]one{}
	}
	if len(e.keys) >= maxKeys { // made-up ids go first
		maps.DeleteFunc(e.keys, func(_ string, k one) bool { return k.err != nil })
	}
	if len(e.keys) < maxKeys {
		e.keys[id] = one{key, err, e.Now()}
	}
	return key, err
}

// allowed reports whether one more key may be asked for in this minute.
func (e *Each) allowed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.Now()
	for len(e.sent) > 0 && now.Sub(e.sent[0]) >= time.Minute {
		e.sent = e.sent[1:]
	}
	if len(e.sent) >= maxLoads {
		return false
	}
	e.sent = append(e.sent, now)
	return true
}
