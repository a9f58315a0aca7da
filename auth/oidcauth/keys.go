package oidcauth

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// maxLoads is how often in a minute keys are read because a token has one that is not
// known. Keys change a few times in a year; more often than this it is somebody trying.
const maxLoads = 10

// keySet is the keys of one identity provider, as its discovery document has named them.
// It knows more rules than the one of go-oidc: what a key is for, and how often it is
// looked for. It is safe for concurrent use.
type keySet struct {
	url  string
	http *http.Client
	alg  string // the only algorithm of tokens

	flight singleflight.Group
	mu     sync.Mutex
	keys   []jose.JSONWebKey
	loads  []time.Time // in the last minute
}

var _ oidc.KeySet = (*keySet)(nil)

// VerifySignature implements oidc.KeySet. Errors about the token are apierr.Authentication,
// those about the keys apierr.ServiceUnavailable.
func (s *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(s.alg)})
	if err != nil {
		return nil, refuse("it is not a JWT that is signed with " + s.alg)
	}
	header := signed.Signatures[0].Protected
	// Access tokens, logout tokens and others are signed with the same keys (RFC 8725, 3.11).
	if typ, ok := header.ExtraHeaders[jose.HeaderType]; ok {
		if text, isText := typ.(string); !isText || !strings.EqualFold(text, "JWT") {
			return nil, refuse("it is a token of another type (header typ)")
		}
	}
	key, err := s.key(ctx, header.KeyID)
	if err != nil {
		return nil, err
	}
	payload, err := signed.Verify(key)
	if err != nil {
		return nil, refuse("its signature is wrong")
	}
	return payload, nil
}

// key finds the key of a token, and reads the keys anew if it is not among them.
func (s *keySet) key(ctx context.Context, id string) (*jose.JSONWebKey, error) {
	if key := s.find(id); key != nil {
		return key, nil
	}
	done := s.flight.DoChan("", func() (any, error) { return nil, s.load() })
	select {
	case r := <-done:
		if r.Err != nil {
			return nil, r.Err
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if key := s.find(id); key != nil {
		return key, nil
	}
	return nil, refuse("the identity provider has not published the key that it is signed with")
}

// find returns the key with exactly that id. A token without one is signed with the only
// key that there is.
func (s *keySet) find(id string) *jose.JSONWebKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found *jose.JSONWebKey
	for i, k := range s.keys {
		if id == "" && found != nil {
			return nil
		}
		if id == "" || k.KeyID == id {
			found = &s.keys[i]
		}
	}
	return found
}

// load reads the keys.
func (s *keySet) load() error {
	if !s.mayLoad(time.Now()) {
		return refuse("the identity provider's keys were looked for too often; the key that it is signed with is not among them")
	}
	// Others wait for the same keys, so that the end of one request must not be the end of it.
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.url, nil)
	if err != nil {
		return err
	}
	keys, err := s.read(r)
	if err != nil {
		return apierr.ServiceUnavailable.Wrap(err, "The keys of the identity provider cannot be read")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = keys
	return nil
}

func (s *keySet) mayLoad(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.loads) > 0 && now.Sub(s.loads[0]) > time.Minute {
		s.loads = s.loads[1:]
	}
	if len(s.loads) >= maxLoads {
		return false
	}
	s.loads = append(s.loads, now)
	return true
}

// read returns the keys that may verify tokens.
func (s *keySet) read(r *http.Request) ([]jose.JSONWebKey, error) {
	resp, err := s.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", s.url, resp.Status)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
		return nil, fmt.Errorf("%s is not a key set: %w", s.url, err)
	}
	var out []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		// A key of a kind that is not known here may be for something else.
		if k.UnmarshalJSON(raw) != nil || !k.IsPublic() || !k.Valid() {
			continue
		}
		if (k.Use == "" || k.Use == "sig") && (k.Algorithm == "" || k.Algorithm == s.alg) {
			out = append(out, k)
		}
	}
	return out, nil
}
