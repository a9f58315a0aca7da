package oauth

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/backend/apierr"
)

// UncheckedClaims returns the claims of a JWT without looking at its signature, nil if it
// is none. It is for tokens that came straight from the token endpoint, over TLS, which
// stands in for the signature (OpenID Connect Core, 3.1.3.7).
func UncheckedClaims(token string) map[string]any {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return nil
	}
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil {
		return nil
	}
	return claims
}

// IDToken returns the claims of the ID token that came with t, nil if there is none. One
// for another client or for another sign-in is an error; the nonce is not looked at if it
// is empty.
func (c *Client) IDToken(t Token, nonce string) (map[string]any, error) {
	if t.IDToken == "" {
		return nil, nil
	}
	claims := UncheckedClaims(t.IDToken)
	if claims == nil {
		return nil, apierr.Authentication.New("the ID token of the identity provider cannot be read")
	}
	if !isFor(claims["aud"], c.ID) {
		return nil, apierr.Authentication.New("the ID token of the identity provider is for another client (claim aud)")
	}
	if got, _ := claims["nonce"].(string); nonce != "" && c.SendNonce && subtle.ConstantTimeCompare([]byte(got), []byte(nonce)) != 1 {
		return nil, apierr.Authentication.New("the ID token of the identity provider was not issued for this sign-in (claim nonce)")
	}
	return claims, nil
}

// isFor reports whether an audience, one or a list, contains a client.
func isFor(audience any, client string) bool {
	switch a := audience.(type) {
	case string:
		return a == client
	case []any:
		for _, one := range a {
			if one == client {
				return true
			}
		}
	}
	return false
}

// StandardProfile makes a Profile of the standard claims (OpenID Connect Core, 5.1) of a
// profile, which may be nil, and of an ID token, which may be nil, too. An e-mail address
// counts unless email_verified says otherwise, in either of them; one that does not is not
// replaced by that of the other. It is for identity providers that are known to check
// addresses (contract/auth.md section 5.2).
func StandardProfile(profile, idToken map[string]any) auth.Profile {
	first := func(names ...string) string {
		for _, from := range []map[string]any{profile, idToken} {
			for _, name := range names {
				if s, _ := from[name].(string); s != "" {
					return s
				}
			}
		}
		return ""
	}
	p := auth.Profile{
		Subject:     first("sub"),
		Username:    first("preferred_username"),
		DisplayName: first("name", "preferred_username", "sub"),
		Picture:     first("picture"),
		Email:       first("email"),
		Claims:      profile,
	}
	if profile == nil {
		p.Claims = idToken
	}
	p.EmailVerified = p.Email != ""
	for _, from := range []map[string]any{profile, idToken} {
		if email, _ := from["email"].(string); strings.EqualFold(email, p.Email) && denied(from["email_verified"]) {
			p.EmailVerified = false
		}
	}
	return p
}

// denied reports whether a claim says no. Some say it as a text.
func denied(verified any) bool {
	s, isText := verified.(string)
	return verified == false || isText && !strings.EqualFold(s, "true")
}
