package tokens

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/principal"
)

// limitedClaims is the payload of a limited user token. Order and form of its members
// are part of what is signed.
type limitedClaims struct {
	Subject  string `json:"sub"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
}

// Limit returns the limited user token that belongs to the token of c, a user's
// credentials, and when it expires. Anybody who holds the user token could do this:
// the signature travels in it (contract/auth.md 7.2).
func Limit(c principal.Credentials) (token string, expires time.Time, err error) {
	h, ok := peek(c.Token())
	if _, isUser := c.User(); !isUser || !ok {
		return "", time.Time{}, apierr.Authentication.New("Only user credentials have a limited user token")
	}
	switch h.Type {
	case typLimited:
		return c.Token(), c.Expires(), nil
	case typPlugin:
		// The user behind a plugin: its token is the one that the plugin passed on.
		cl, err := unverified(c.Token())
		if err != nil || cl.OnBehalf == "" {
			return "", time.Time{}, apierr.Authentication.New("The token carries no user token")
		}
		return cl.OnBehalf, c.Expires(), nil
	}
	cl, err := unverified(c.Token())
	if err != nil || cl.Proof == "" || cl.IssuedAt == nil || cl.Expires == nil {
		return "", time.Time{}, apierr.Authentication.New("The user token does not support limited user tokens")
	}
	h.Type = typLimited
	payload := marshal(limitedClaims{Subject: cl.Subject, IssuedAt: *cl.IssuedAt, Expires: *cl.Expires})
	token = encodePart(marshal(h)) + "." + encodePart(payload) + "." + cl.Proof
	return token, time.Unix(*cl.Expires, 0), nil
}

// unverified reads the claims of a token that was verified before.
func unverified(token string) (*claims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, apierr.Authentication.New("Illegal token")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	return parseClaims(raw)
}
