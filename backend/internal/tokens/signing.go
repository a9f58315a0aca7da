package tokens

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // what hash.New makes
	_ "crypto/sha512"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
)

// rsaBits is the size of RSA keys that are made here.
const rsaBits = 2048

// NewSigningKey makes a key for an algorithm, ES256 if it is empty, with a random id.
func NewSigningKey(alg string) (SigningKey, error) {
	key := SigningKey{ID: uuid.NewString(), Algorithm: alg}
	var err error
	switch jose.SignatureAlgorithm(key.algorithm()) {
	case jose.ES256:
		key.Key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		key.Key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.ES512:
		key.Key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case jose.EdDSA:
		_, key.Key, err = ed25519.GenerateKey(rand.Reader)
	default:
		if !slices.Contains(algorithms, jose.SignatureAlgorithm(alg)) {
			return SigningKey{}, fmt.Errorf("%q is not an algorithm with public keys, such as ES256 or RS256", alg)
		}
		key.Key, err = rsa.GenerateKey(rand.Reader, rsaBits)
	}
	return key, err
}

// signature signs text, and returns the signature as it stands in a token.
func signature(key SigningKey, text string) (string, error) {
	alg := key.algorithm()
	sum, hash := []byte(text), crypto.Hash(0) // EdDSA signs the text itself
	if alg != string(jose.EdDSA) {
		hash = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[2:]]
		h := hash.New()
		h.Write(sum)
		sum = h.Sum(nil)
	}
	var raw []byte
	var err error
	switch k := key.Key.(type) {
	case *ecdsa.PrivateKey: // the two numbers, each as long as the curve's order
		r, s, serr := ecdsa.Sign(rand.Reader, k, sum)
		if serr != nil {
			return "", serr
		}
		size := (k.Params().BitSize + 7) / 8
		raw = make([]byte, 2*size)
		r.FillBytes(raw[:size])
		s.FillBytes(raw[size:])
	default:
		var opts crypto.SignerOpts = hash
		if alg[:2] == "PS" {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
		}
		raw, err = k.Sign(rand.Reader, sum, opts)
	}
	return base64.RawURLEncoding.EncodeToString(raw), err
}
