// Package seal encrypts and signs what leaves a backend and comes back, such as cookies,
// and what the database keeps but need not know. Keys come from secrets of the
// configuration that can be replaced.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
)

// A Sealer encrypts and signs for one plugin. It is safe for concurrent use.
//
// The keys of New are derived from its secrets, one per plugin and purpose (HKDF with
// SHA-256, RFC 5869), so that what was sealed for one means nothing for another. The first
// secret seals, all of them open: a secret is replaced by putting the new one in front, and
// taking the old one out when nothing sealed with it is in use any longer.
type Sealer interface {
	// Seal returns plain encrypted (AES-256-GCM), as text that cookies and URLs can carry.
	// aad is not part of it; Open needs the same aad again, which ties the text to its
	// place.
	Seal(purpose string, aad, plain []byte) (string, error)
	// Open returns what Seal was given. The error does not say what is wrong.
	Open(purpose string, aad []byte, sealed string) ([]byte, error)
	// Newest reports whether a text was sealed with the newest secret. Texts that last
	// longer than the older ones are sealed again when it was not.
	Newest(purpose string, aad []byte, sealed string) bool
	// MAC returns the HMAC-SHA256 of data under the newest secret, 32 bytes.
	MAC(purpose string, data []byte) ([]byte, error)
	// CheckMAC reports, in constant time, whether mac is that of data under any secret.
	CheckMAC(purpose string, data, mac []byte) bool
}

// sealer is the Sealer of secrets.
type sealer struct {
	plugin  string
	secrets [][]byte

	mu   sync.Mutex
	keys map[string][]sealKey // by purpose, one per secret
}

type sealKey struct {
	aead cipher.AEAD // AES-256-GCM with a random nonce in front of each text
	mac  []byte
}

// New returns the Sealer of a plugin. Secrets are the newest first; none of them may be
// empty.
func New(plugin string, secrets []string) (Sealer, error) {
	s := &sealer{plugin: plugin, keys: map[string][]sealKey{}}
	for i, secret := range secrets {
		if secret == "" {
			return nil, fmt.Errorf("secret %d is empty", i+1)
		}
		s.secrets = append(s.secrets, []byte(secret))
	}
	if len(s.secrets) == 0 {
		return nil, errors.New("there is no secret")
	}
	return s, nil
}

// Random returns a Sealer that nobody else has, for backends without a secret: what it
// seals ends with the process.
func Random(plugin string) Sealer {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	return &sealer{plugin: plugin, secrets: [][]byte{secret}, keys: map[string][]sealKey{}}
}

// Seal implements Sealer.
func (s *sealer) Seal(purpose string, aad, plain []byte) (string, error) {
	keys, err := s.of(purpose)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(keys[0].aead.Seal(nil, nil, plain, aad)), nil
}

var errSeal = errors.New("not sealed with any of the secrets, or changed since")

// Open implements Sealer.
func (s *sealer) Open(purpose string, aad []byte, sealed string) ([]byte, error) {
	keys, err := s.of(purpose)
	if err != nil {
		return nil, err
	}
	// Strict: of two texts that differ only in unused bits, one is a forgery.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return nil, errSeal
	}
	for _, k := range keys {
		if plain, err := k.aead.Open(nil, nil, raw, aad); err == nil {
			return plain, nil
		}
	}
	return nil, errSeal
}

// Newest implements Sealer.
func (s *sealer) Newest(purpose string, aad []byte, sealed string) bool {
	keys, err := s.of(purpose)
	if err != nil {
		return false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return false
	}
	_, err = keys[0].aead.Open(nil, nil, raw, aad)
	return err == nil
}

// MAC implements Sealer.
func (s *sealer) MAC(purpose string, data []byte) ([]byte, error) {
	keys, err := s.of(purpose)
	if err != nil {
		return nil, err
	}
	return macOf(keys[0].mac, data), nil
}

// CheckMAC implements Sealer.
func (s *sealer) CheckMAC(purpose string, data, mac []byte) bool {
	keys, err := s.of(purpose)
	if err != nil {
		return false
	}
	ok := false
	for _, k := range keys {
		ok = hmac.Equal(macOf(k.mac, data), mac) || ok
	}
	return ok
}

func macOf(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return h.Sum(nil)
}

// of returns the keys of a purpose, of which there are a few in a program.
func (s *sealer) of(purpose string) ([]sealKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if keys, ok := s.keys[purpose]; ok {
		return keys, nil
	}
	var keys []sealKey
	for _, secret := range s.secrets {
		k, err := newSealKey(secret, s.plugin, purpose)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	s.keys[purpose] = keys
	return keys, nil
}

func newSealKey(secret []byte, plugin, purpose string) (sealKey, error) {
	seal, err := hkdf.Key(sha256.New, secret, nil, "callboard "+plugin+" seal "+purpose, 32)
	if err != nil {
		return sealKey{}, err
	}
	mac, err := hkdf.Key(sha256.New, secret, nil, "callboard "+plugin+" mac "+purpose, 32)
	if err != nil {
		return sealKey{}, err
	}
	block, err := aes.NewCipher(seal)
	if err != nil {
		return sealKey{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealKey{aead, mac}, err
}
