package authtest

import (
	"encoding/json"
	"maps"
	"testing"
)

// A Signer makes tokens, as identity providers and proxies do, and such that they would
// never make.
type Signer struct{ signer }

// NewSigner returns a Signer with a key of its own, for RS256 or ES256.
func NewSigner(t testing.TB, alg, id string) *Signer {
	t.Helper()
	return &Signer{*newSigner(t, alg, id)}
}

// Sign returns a token with those claims. header adds to its header, and replaces what
// it has: alg, kid and typ.
func (s *Signer) Sign(header, claims map[string]any) string {
	h := map[string]any{"alg": s.alg, "kid": s.id, "typ": "JWT"}
	maps.Copy(h, header)
	return s.sign(h, claims)
}

// SignPadded is Sign with parts that are padded, which AWS does.
func (s *Signer) SignPadded(header, claims map[string]any) string {
	h := map[string]any{"alg": s.alg, "kid": s.id, "typ": "JWT"}
	maps.Copy(h, header)
	text := pad(encode(h)) + "." + pad(encode(claims))
	return text + "." + pad(b64(s.signature([]byte(text))))
}

func pad(s string) string { return s + "==="[:(4-len(s)%4)%4] }

// KeySet is the document with the key set (RFC 7517).
func (s *Signer) KeySet() []byte {
	doc, err := json.Marshal(map[string]any{"keys": []any{s.public()}})
	if err != nil {
		panic(err) // maps of texts
	}
	return doc
}

// PEM is the public key.
func (s *Signer) PEM() []byte { return s.pem() }

// HS256 returns a token that is signed with a secret, such as a public key that somebody
// takes for one.
func HS256(secret []byte, header, claims map[string]any) string {
	h := map[string]any{"typ": "JWT"}
	maps.Copy(h, header)
	return hs256(secret, h, claims)
}
