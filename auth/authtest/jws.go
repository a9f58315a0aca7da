package authtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"sync"
	"testing"
)

// signer is a key of an issuer. Tokens are put together by hand here, since the usual
// packages rightly refuse to make most of those that a test needs.
type signer struct {
	alg string
	id  string
	key crypto.Signer
}

func newSigner(t testing.TB, alg, id string) *signer {
	t.Helper()
	key, err := newKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{alg: alg, id: id, key: key}
}

func newKey(alg string) (crypto.Signer, error) {
	if alg == "ES256" {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	return rsa.GenerateKey(rand.Reader, 2048)
}

// keys are those of every issuer: one to begin with, one for all that come later, and one
// that is never published. Making one takes longer than most tests.
var keys = sync.OnceValues(func() (k [3]crypto.Signer, err error) {
	for i := range k {
		if k[i], err = newKey("RS256"); err != nil {
			return k, err
		}
	}
	return k, nil
})

// sign returns a token with that header and those claims.
func (s *signer) sign(header, claims map[string]any) string {
	text := encode(header) + "." + encode(claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(s.signature([]byte(text)))
}

func (s *signer) signature(text []byte) []byte {
	sum := sha256.Sum256(text)
	switch key := s.key.(type) {
	case *rsa.PrivateKey:
		sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
		if err != nil {
			panic(err) // the key is ours
		}
		return sig
	case *ecdsa.PrivateKey:
		r, t, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			panic(err)
		}
		sig := make([]byte, 64)
		r.FillBytes(sig[:32])
		t.FillBytes(sig[32:])
		return sig
	}
	panic("no such key")
}

// public is the key in the JSON form of RFC 7517.
func (s *signer) public() map[string]any {
	jwk := map[string]any{"kid": s.id, "alg": s.alg, "use": "sig"}
	switch key := s.key.Public().(type) {
	case *rsa.PublicKey:
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", b64(key.N.Bytes()), b64(big.NewInt(int64(key.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			panic(err)
		}
		jwk["kty"], jwk["crv"], jwk["x"], jwk["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	}
	return jwk
}

// pem is the public key as its owner publishes it: what an attacker takes for the secret
// of an HMAC.
func (s *signer) pem() []byte {
	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// hs256 returns a token that is signed with a shared secret.
func hs256(secret []byte, header, claims map[string]any) string {
	header["alg"] = "HS256"
	text := encode(header) + "." + encode(claims)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "." + b64(mac.Sum(nil))
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of texts and numbers
	}
	return b64(b)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
