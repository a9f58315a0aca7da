package tokens

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"

	"github.com/callboard-dev/callboard/backend/config"
)

// KeyStoreConfig is backend.auth.pluginKeyStore (contract/auth.md 7.6).
type KeyStoreConfig struct {
	Type   string     `config:"type" oneof:"database|static" doc:"where the keys of plugins are; database if absent"`
	Static StaticKeys `config:"static" doc:"of type static"`
}

// Validate implements config.Validator.
func (c *KeyStoreConfig) Validate() error {
	if c.Type == "static" {
		return c.Static.check()
	}
	return nil
}

// UserKeyStoreConfig is auth.keyStore. The provider firestore of the reference is not
// part of Callboard.
type UserKeyStoreConfig struct {
	Provider string     `config:"provider" doc:"where the keys of user tokens are, database, memory or static; database if absent"`
	Static   StaticKeys `config:"static" doc:"of provider static"`
}

// Validate implements config.Validator.
func (c *UserKeyStoreConfig) Validate() error {
	switch c.Provider {
	case "", "database", "memory":
		return nil
	case "static":
		return c.Static.check()
	case "firestore":
		return config.At("provider", errors.New("firestore is not supported: use database, which all replicas share, too"))
	}
	return config.At("provider", fmt.Errorf("expected database, memory or static, got %q", c.Provider))
}

// StaticKeys are keys in files. The first one signs, all are listed, none expires.
type StaticKeys struct {
	Keys []KeyFile `config:"keys" doc:"the first one signs and must have a private key"`
}

// KeyFile is one key, in files with PEM text.
type KeyFile struct {
	PublicKeyFile  string `config:"publicKeyFile,required" doc:"the public key, SPKI"`
	PrivateKeyFile string `config:"privateKeyFile" doc:"the private key, PKCS #8"`
	KeyID          string `config:"keyId,required" doc:"the kid of tokens"`
	Algorithm      string `config:"algorithm" doc:"ES256 if absent; keys that only verify may have others"`
}

// check is for the section that the key static is in.
func (s StaticKeys) check() error {
	if len(s.Keys) == 0 {
		return config.At("static.keys", errors.New("required: at least one key"))
	}
	var errs []error
	seen := map[string]bool{}
	for i, k := range s.Keys {
		fail := func(key, format string, args ...any) {
			errs = append(errs, config.At(fmt.Sprintf("static.keys[%d].%s", i, key), fmt.Errorf(format, args...)))
		}
		if seen[k.KeyID] {
			fail("keyId", "%q is the id of another key, too", k.KeyID)
		}
		seen[k.KeyID] = true
		switch {
		case i == 0 && k.PrivateKeyFile == "":
			fail("privateKeyFile", "required: the first key signs")
		case i == 0 && k.algorithm() != string(jose.ES256):
			fail("algorithm", "is %q, but only ES256 can sign", k.Algorithm)
		case !slices.Contains(algorithms, jose.SignatureAlgorithm(k.algorithm())):
			fail("algorithm", "%q is not an algorithm with public keys, such as ES256 or RS256", k.Algorithm)
		}
	}
	return errors.Join(errs...)
}

func (k KeyFile) algorithm() string {
	if k.Algorithm == "" {
		return string(jose.ES256)
	}
	return k.Algorithm
}

// FileKeys is the KeyStore of StaticKeys. Files are read when a key is first needed, or
// by Load.
type FileKeys struct {
	load func() (loadedFiles, error)
}

type loadedFiles struct {
	signing SigningKey
	public  []PublicKey
}

var _ KeyStore = (*FileKeys)(nil)

// NewFileKeys returns a store without reading anything.
func NewFileKeys(cfg StaticKeys) *FileKeys {
	return &FileKeys{load: sync.OnceValues(cfg.read)}
}

// Load reads the files, once. Its error joins one for each that cannot be used, with its
// key below StaticKeys.
func (f *FileKeys) Load() error { _, err := f.load(); return err }

// SigningKey implements KeyStore.
func (f *FileKeys) SigningKey(context.Context) (SigningKey, error) {
	l, err := f.load()
	return l.signing, err
}

// PublicKeys implements KeyStore.
func (f *FileKeys) PublicKeys(context.Context) ([]PublicKey, error) {
	l, err := f.load()
	return l.public, err
}

// PublicKey implements Keys.
func (f *FileKeys) PublicKey(_ context.Context, id string) (PublicKey, error) {
	l, err := f.load()
	if err != nil {
		return PublicKey{}, err
	}
	for _, k := range l.public {
		if k.ID == id {
			return k, nil
		}
	}
	return PublicKey{}, ErrUnknownKey
}

func (s StaticKeys) read() (loadedFiles, error) {
	var l loadedFiles
	var errs []error
	for i, k := range s.Keys {
		fail := func(key, file string, err error) {
			errs = append(errs, config.At(fmt.Sprintf("keys[%d].%s", i, key), fmt.Errorf("%s: %w", file, err)))
		}
		pub, err := k.public()
		if err != nil {
			fail("publicKeyFile", k.PublicKeyFile, err)
		}
		l.public = append(l.public, PublicKey{ID: k.KeyID, Algorithm: k.algorithm(), Key: pub, Use: "sig"})
		if i > 0 {
			continue // the private keys of the others are not needed
		}
		private, failed := k.private()
		switch {
		case failed != nil:
			fail("privateKeyFile", k.PrivateKeyFile, failed)
		case err == nil && !private.PublicKey.Equal(pub):
			fail("privateKeyFile", k.PrivateKeyFile, fmt.Errorf("is not the other half of %s", k.PublicKeyFile))
		}
		l.signing = SigningKey{ID: k.KeyID, Key: private}
	}
	return l, errors.Join(errs...)
}

func (k KeyFile) public() (crypto.PublicKey, error) {
	der, err := readPEM(k.PublicKeyFile, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	if alg := k.algorithm(); !fits(key, alg) {
		return nil, fmt.Errorf("a key of this kind cannot verify %s", alg)
	}
	return key, nil
}

func (k KeyFile) private() (*ecdsa.PrivateKey, error) {
	der, err := readPEM(k.PrivateKeyFile, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, errors.New("expected a key on the curve P-256")
	}
	return ec, nil
}

// readPEM errors do not name the file: callers do.
func readPEM(file, kind string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		var at *os.PathError
		if errors.As(err, &at) {
			err = at.Err
		}
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("expected PEM text that begins with -----BEGIN %s-----", kind)
	}
	return block.Bytes, nil
}

// fits reports whether signatures of the algorithm are made with keys of this kind.
func fits(key crypto.PublicKey, alg string) bool {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return alg == map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[key.Params().Name]
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case ed25519.PublicKey:
		return alg == string(jose.EdDSA)
	}
	return false
}
