package tokens

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// algorithms that a token may be signed with. Symmetric ones and "none" are not among
// them, so a public key can never be taken for a shared secret.
var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.ES512, jose.RS256, jose.RS384, jose.RS512,
	jose.PS256, jose.PS384, jose.PS512, jose.EdDSA}

// header is the protected header of a token.
type header struct {
	Type      string `json:"typ,omitempty"`
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid,omitempty"`
	Critical  any    `json:"crit,omitempty"`
}

// claims are the claims that are looked at here.
type claims struct {
	Issuer    string   `json:"iss,omitempty"`
	Subject   string   `json:"sub,omitempty"`
	Ent       []string `json:"ent,omitempty"`
	Audience  audience `json:"aud,omitempty"`
	IssuedAt  *int64   `json:"iat,omitempty"`
	NotBefore *int64   `json:"nbf,omitempty"`
	Expires   *int64   `json:"exp,omitempty"`
	Proof     string   `json:"uip,omitempty"` // signature of the limited user token
	OnBehalf  string   `json:"obo,omitempty"` // limited user token of the user behind a plugin
}

// audience is a string, or a list of strings.
type audience []string

func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// MarshalJSON writes the form that issuers here use, a single string.
func (a audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

func (a audience) has(want string) bool {
	for _, s := range a {
		if s == want {
			return true
		}
	}
	return false
}

// peek reads the header of a compact token without believing it.
func peek(token string) (header, bool) {
	var h header
	first, rest, ok := strings.Cut(token, ".")
	if !ok || strings.Count(rest, ".") != 1 {
		return h, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil || json.Unmarshal(raw, &h) != nil {
		return h, false
	}
	return h, true
}

// verify checks the signature of a token with the key that its header names, and that
// the header and the key agree on the algorithm. A header with critical extensions is refused.
func verify(ctx context.Context, token string, keys Keys) (*claims, error) {
	sig, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, err
	}
	h := sig.Signatures[0].Protected
	key, err := keys.PublicKey(ctx, h.KeyID)
	if err != nil {
		return nil, err
	}
	if key.Algorithm != "" && key.Algorithm != h.Algorithm {
		return nil, fmt.Errorf("the key is for %s, the token says %s", key.Algorithm, h.Algorithm)
	}
	if _, ok := h.ExtraHeaders["crit"]; ok {
		return nil, errors.New("critical header extensions are not supported")
	}
	payload, err := sig.Verify(key.Key)
	if err != nil {
		return nil, err
	}
	return parseClaims(payload)
}

func parseClaims(payload []byte) (*claims, error) {
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	return &c, nil
}

// current checks the times of a token. Only exp is required here.
func (c *claims) current(now time.Time) error {
	if c.Expires == nil {
		return errors.New("there is no exp")
	}
	if !now.Before(time.Unix(*c.Expires, 0).Add(skew)) {
		return errExpired
	}
	if c.IssuedAt != nil && time.Unix(*c.IssuedAt, 0).After(now.Add(skew)) {
		return errors.New("it was issued in the future")
	}
	if c.NotBefore != nil && time.Unix(*c.NotBefore, 0).After(now.Add(skew)) {
		return errors.New("it is not valid yet")
	}
	return nil
}

var errExpired = errors.New("it has expired")

// sign returns the compact token of a header and a payload, whose bytes it keeps.
func sign(key SigningKey, typ string, payload []byte) (string, error) {
	h := headerBytes(typ, key)
	signed := encodePart(h) + "." + encodePart(payload)
	sig, err := signature(key, signed)
	if err != nil {
		return "", err
	}
	return signed + "." + sig, nil
}

// headerBytes returns the header with its members in the order that limited user tokens
// need: typ, alg, kid.
func headerBytes(typ string, key SigningKey) []byte {
	return marshal(header{Type: typ, Algorithm: key.algorithm(), KeyID: key.ID})
}

func encodePart(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// marshal returns v as JSON without HTML escaping. It is for values made here, which
// always have a JSON form.
func marshal(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
