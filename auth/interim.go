package auth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// openSessions makes what seals cookies, and the sessions that are kept in them.
func (a *api) openSessions(secrets []string) error {
	s := keyring(secrets)
	a.sealer, a.sessions = s, sealedSessions{s}
	return nil
}

// keyring seals with its first secret and opens with all of them.
type keyring []string

func (k keyring) key(secret, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "callboard "+purpose, 32)
	if err != nil {
		panic(err) // 32 bytes are never too many
	}
	return key
}

func (k keyring) aead(secret, purpose string) cipher.AEAD {
	block, err := aes.NewCipher(k.key(secret, purpose))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// Seal implements sealer.
func (k keyring) Seal(purpose string, aad, plain []byte) (string, error) {
	return base64.RawURLEncoding.EncodeToString(k.aead(k[0], purpose).Seal(nil, nil, plain, aad)), nil
}

// Open implements sealer.
func (k keyring) Open(purpose string, aad []byte, sealed string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return nil, err
	}
	for _, secret := range k {
		if plain, err := k.aead(secret, purpose).Open(nil, nil, raw, aad); err == nil {
			return plain, nil
		}
	}
	return nil, errors.New("sealed with another secret")
}

// MAC implements sealer.
func (k keyring) MAC(purpose string, data []byte) []byte {
	h := hmac.New(sha256.New, k.key(k[0], purpose))
	h.Write(data)
	return h.Sum(nil)
}

// sealedSessions keep the refresh token in the cookie itself.
type sealedSessions struct{ keyring }

const sessionPurpose = "auth session"

// Start implements sessions.
func (s sealedSessions) Start(_ context.Context, i sessionInfo) (string, error) {
	return s.Seal(sessionPurpose, []byte(i.Provider+"\x00"+i.Env), []byte(i.RefreshToken))
}

// Refresh implements sessions.
func (s sealedSessions) Refresh(ctx context.Context, provider, env, cookie string, ask func(context.Context, string) (renewed, error)) (renewed, string, error) {
	token, err := s.End(ctx, provider, env, cookie)
	if err != nil {
		return renewed{}, "", err
	}
	got, err := ask(ctx, token)
	if err != nil || got.RefreshToken == "" || got.RefreshToken == token {
		return got, "", err
	}
	next, err := s.Start(ctx, sessionInfo{Provider: provider, Env: env, RefreshToken: got.RefreshToken})
	return got, next, err
}

// End implements sessions.
func (s sealedSessions) End(_ context.Context, provider, env, cookie string) (string, error) {
	token, err := s.Open(sessionPurpose, []byte(provider+"\x00"+env), cookie)
	if err != nil {
		return "", apierr.Authentication.Wrap(ErrSessionEnded, "The session cookie was not made by this backend")
	}
	return string(token), nil
}
