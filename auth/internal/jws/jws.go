// Package jws checks the tokens that proxies send along with requests (RFC 7519), with the
// keys that they publish.
package jws

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// Claims are those of a token.
type Claims map[string]any

// Text returns a claim that is a text, empty for others.
func (c Claims) Text(name string) string {
	s, _ := c[name].(string)
	return s
}

// Time returns a claim that is a number of seconds, false if there is none.
func (c Claims) Time(name string) (time.Time, bool) {
	n, ok := c[name].(float64)
	if !ok || n <= 0 || n > 1<<40 {
		return time.Time{}, false
	}
	return time.Unix(int64(n), 0), true
}

// A Source has the keys of one proxy. An error that is ErrUnknownKey says that there is no
// key of that id.
type Source interface {
	Key(ctx context.Context, id string) (any, error)
}

// ErrUnknownKey is the error of a Source for a key that it does not have.
var ErrUnknownKey = errors.New("nobody has published the key of the token")

// A Verifier knows what tokens must be like. Its methods are safe for concurrent use.
type Verifier struct {
	Keys Source
	// Algorithms are those that tokens may be signed with.
	Algorithms []jose.SignatureAlgorithm
	// Issuer is what the claim iss must be; anything if it is empty.
	Issuer string
	// Audiences are those that tokens may be for; anybody if there are none.
	Audiences []string
	// Headers checks the header of the token, if it is not nil.
	Headers func(h map[string]any) error
	// OptionalIssueTime accepts tokens that do not say when they were issued.
	OptionalIssueTime bool
	// Padded takes tokens whose parts are padded, which is against RFC 7515 and what AWS
	// does. They are signed with ES256.
	Padded bool
	// Now is the clock.
	Now func() time.Time
}

// skew is by how much clocks may differ.
const skew = 10 * time.Second

// maxToken bounds what is looked at.
const maxToken = 64 << 10

// Verify returns the claims of a token that is valid. Errors say what is wrong, without
// any part of the token; those of the Source are among them as they are.
func (v *Verifier) Verify(ctx context.Context, token string) (Claims, error) {
	if len(token) > maxToken {
		return nil, errors.New("the token is too long")
	}
	parse := v.parse
	if v.Padded {
		parse = parsePadded
	}
	header, signed, err := parse(token)
	if err != nil {
		return nil, err
	}
	if err := v.checkHeader(header); err != nil {
		return nil, err
	}
	id, _ := header["kid"].(string)
	key, err := v.Keys.Key(ctx, id)
	if err != nil {
		return nil, err
	}
	text, err := signed(key)
	if err != nil {
		return nil, errors.New("the signature of the token is not valid")
	}
	var claims Claims
	if err := json.Unmarshal(text, &claims); err != nil {
		return nil, errors.New("the claims of the token cannot be read")
	}
	return claims, v.check(claims)
}

var errForm = errors.New("the token is not a JWT, or not signed as it must be")

// parse returns the header of a token, and what returns its payload to who has the key.
func (v *Verifier) parse(token string) (map[string]any, func(key any) ([]byte, error), error) {
	signed, err := jose.ParseSignedCompact(token, v.Algorithms)
	if err != nil {
		return nil, nil, errForm
	}
	h := signed.Signatures[0].Protected
	header := map[string]any{"kid": h.KeyID, "alg": h.Algorithm}
	for name, value := range h.ExtraHeaders {
		header[string(name)] = value
	}
	return header, func(key any) ([]byte, error) { return signed.Verify(key) }, nil
}

// parsePadded is parse for tokens whose parts are padded. The padding is signed, too.
func parsePadded(token string) (map[string]any, func(key any) ([]byte, error), error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, nil, errForm
	}
	var decoded [3][]byte
	for i, p := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(p, "="))
		if err != nil || strings.Count(p, "=") > 2 {
			return nil, nil, errForm
		}
		decoded[i] = b
	}
	var header map[string]any
	if err := json.Unmarshal(decoded[0], &header); err != nil || header["alg"] != "ES256" || header["crit"] != nil || header["b64"] != nil {
		return nil, nil, errForm
	}
	return header, func(key any) ([]byte, error) {
		public, ok := key.(*ecdsa.PublicKey)
		if !ok || public.Curve != elliptic.P256() || len(decoded[2]) != 64 {
			return nil, errForm
		}
		sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		if !ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(decoded[2][:32]), new(big.Int).SetBytes(decoded[2][32:])) {
			return nil, errForm
		}
		return decoded[1], nil
	}, nil
}

// checkHeader refuses tokens of other types: they are signed with the same keys.
func (v *Verifier) checkHeader(h map[string]any) error {
	if typ, ok := h["typ"]; ok {
		if s, isText := typ.(string); !isText || !strings.EqualFold(s, "JWT") {
			return errors.New("the token is one of another type (header typ)")
		}
	}
	if v.Headers == nil {
		return nil
	}
	return v.Headers(h)
}

func (v *Verifier) check(c Claims) error {
	now := v.Now()
	expires, ok := c.Time("exp")
	switch {
	case !ok:
		return errors.New("the token does not say when it expires (claim exp)")
	case !now.Before(expires.Add(skew)):
		return errors.New("the token has expired (claim exp)")
	}
	issued, ok := c.Time("iat")
	switch {
	case !ok && (c["iat"] != nil || !v.OptionalIssueTime):
		return errors.New("the token does not say when it was issued (claim iat)")
	case ok && issued.After(now.Add(skew)):
		return errors.New("the token was issued in the future (claim iat)")
	}
	if c["nbf"] != nil {
		if from, ok := c.Time("nbf"); !ok || from.After(now.Add(skew)) {
			return errors.New("the token is not valid yet (claim nbf)")
		}
	}
	if v.Issuer != "" && c.Text("iss") != v.Issuer {
		return fmt.Errorf("the token is not one of %s (claim iss)", v.Issuer)
	}
	if len(v.Audiences) > 0 && !slices.ContainsFunc(v.Audiences, c.isFor) {
		return errors.New("the token is for another application (claim aud)")
	}
	return nil
}

// isFor reports whether the audience, one or a list, contains an application.
func (c Claims) isFor(application string) bool {
	switch a := c["aud"].(type) {
	case string:
		return a == application
	case []any:
		return slices.Contains(a, any(application))
	}
	return false
}

// Unchecked returns the claims of a JWT without looking at its signature, nil if it is
// none.
func Unchecked(token string) Claims {
	all := []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA, jose.HS256, jose.HS384, jose.HS512,
	}
	signed, err := jose.ParseSignedCompact(token, all)
	if err != nil || len(token) > maxToken {
		return nil
	}
	var claims Claims
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &claims); err != nil {
		return nil
	}
	return claims
}

// Refused is the error for a request whose token in a header was refused.
func Refused(err error, header string) error {
	if errors.Is(err, apierr.ServiceUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return apierr.Authentication.New("the token in %s was refused: %s", header, err)
}
