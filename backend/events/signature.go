package events

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

// rejected is the answer to requests without a valid proof of origin.
func rejected() error {
	return &Rejection{Status: http.StatusForbidden, Payload: map[string]string{"message": "invalid signature"}}
}

// Signed returns a Validator of requests that carry the HMAC-SHA256 of their body, as
// "sha256=" and hex digits, in a header. secrets returns the secrets of which one must
// have been used; a request for which there is none is rejected. The comparison takes
// the same time whatever was sent.
func Signed(header string, secrets func(Request) []config.Secret) Validator {
	return ValidatorFunc(func(_ context.Context, r Request) error {
		digits, ok := strings.CutPrefix(r.Header.Get(header), "sha256=")
		if !ok {
			return rejected()
		}
		given, err := hex.DecodeString(digits)
		if err != nil {
			return rejected()
		}
		found := false
		for _, s := range secrets(r) {
			if s.IsZero() {
				continue
			}
			mac := hmac.New(sha256.New, []byte(s.Reveal()))
			mac.Write(r.Raw)
			if hmac.Equal(mac.Sum(nil), given) {
				found = true
			}
		}
		if !found {
			return rejected()
		}
		return nil
	})
}

// Token returns a Validator of requests that carry a secret itself in a header.
func Token(header string, secret config.Secret) Validator {
	want := sha256.Sum256([]byte(secret.Reveal()))
	return ValidatorFunc(func(_ context.Context, r Request) error {
		given := sha256.Sum256([]byte(r.Header.Get(header)))
		if secret.IsZero() || subtle.ConstantTimeCompare(want[:], given[:]) != 1 {
			return rejected()
		}
		return nil
	})
}

// unchecked returns a boot error if a topic whose requests must be checked is open to
// everybody, because it is listed in events.http.topics while key is not set.
func (h HTTP) unchecked(topic, key string) error {
	for _, open := range h.Topics {
		if open == topic {
			return backend.Fix("events.http.topics lists "+topic+", whose requests must be checked, and "+key+" is not set",
				"set "+key+", or take "+topic+" out of events.http.topics")
		}
	}
	return nil
}
