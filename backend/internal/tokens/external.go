package tokens

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/principal"
)

// external checks the tokens of one outside program. It returns false if the token is
// not of its kind, so that the next one is asked, and an error if it is but not valid.
type external interface {
	check(ctx context.Context, token string, now time.Time) (principal.Service, time.Time, bool, error)
}

// newExternals makes the checks of a configuration, in its order.
func newExternals(cfg Config, client *http.Client, now func() time.Time, log *slog.Logger) []external {
	var out []external
	for i, e := range cfg.ExternalAccess {
		r := e.restrictions()
		switch o := e.Options; e.Type {
		case "static":
			out = append(out, &staticToken{o.Token, principal.Service{Subject: o.Subject, Restrictions: r}})
		case "legacy":
			out = append(out, &legacyToken{o.Secret, principal.Service{Subject: o.Subject, Restrictions: r}})
		case "jwks":
			if len(o.Issuer) == 0 || len(o.Audience) == 0 {
				log.Warn("external access checks neither issuer nor audience unless both are configured: any token of that key set is accepted",
					"key", fmt.Sprintf("backend.auth.externalAccess[%d].options", i), "url", o.URL)
			}
			out = append(out, &jwksToken{o, r, NewRemoteKeys(func() (string, error) { return o.URL, nil }, client, now)})
		}
	}
	for _, k := range cfg.Keys {
		log.Warn("backend.auth.keys is deprecated, use backend.auth.externalAccess with type legacy")
		out = append(out, &legacyToken{k.Secret, principal.Service{Subject: "external:backstage-plugin"}})
	}
	return out
}

// staticToken is a token that is compared. The digests have one length, so that neither
// content nor length of the secret shows in the time that comparing takes.
type staticToken struct {
	token   config.Secret
	service principal.Service
}

func (s *staticToken) check(_ context.Context, token string, _ time.Time) (principal.Service, time.Time, bool, error) {
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(s.token.Reveal()))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return principal.Service{}, time.Time{}, false, nil
	}
	return s.service, time.Time{}, true, nil
}

// legacyToken is a token that was signed with a shared secret: HS256, sub
// "backstage-server", no aud.
type legacyToken struct {
	secret  config.Secret
	service principal.Service
}

func (l *legacyToken) check(_ context.Context, token string, now time.Time) (principal.Service, time.Time, bool, error) {
	no := func(err error) (principal.Service, time.Time, bool, error) {
		return principal.Service{}, time.Time{}, false, err
	}
	if h, ok := peek(token); !ok || h.Algorithm != string(jose.HS256) || h.Critical != nil {
		return no(nil)
	}
	key, err := base64.StdEncoding.DecodeString(l.secret.Reveal())
	if err != nil || len(key) == 0 {
		return no(errors.New("the configured secret is not base64"))
	}
	payload, ok := verifyHS256(token, key)
	if !ok {
		return no(nil) // signed with another secret
	}
	c, err := parseClaims(payload)
	if err != nil || c.Subject != "backstage-server" || len(c.Audience) != 0 {
		return no(nil)
	}
	if err := c.current(now); err != nil {
		return no(err)
	}
	return l.service, time.Unix(*c.Expires, 0), true, nil
}

// verifyHS256 returns the payload if the token's signature is that of the key. It is not
// left to the JOSE library, which refuses keys of less than 32 bytes: secrets in use are
// shorter. The header was found to say HS256 and nothing that would have to be understood.
func verifyHS256(token string, key []byte) ([]byte, bool) {
	i := strings.LastIndexByte(token, '.')
	got, err := base64.RawURLEncoding.DecodeString(token[i+1:])
	if err != nil {
		return nil, false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(token[:i]))
	if !hmac.Equal(got, mac.Sum(nil)) {
		return nil, false
	}
	_, part, _ := strings.Cut(token[:i], ".")
	payload, err := base64.RawURLEncoding.DecodeString(part)
	return payload, err == nil
}

// jwksToken is a token of another issuer, whose key set is known.
type jwksToken struct {
	options      ExternalOptions
	restrictions *principal.AccessRestrictions
	keys         Keys
}

func (j *jwksToken) check(ctx context.Context, token string, now time.Time) (principal.Service, time.Time, bool, error) {
	no := func(err error) (principal.Service, time.Time, bool, error) {
		return principal.Service{}, time.Time{}, false, err
	}
	h, ok := peek(token)
	if !ok || len(j.options.Algorithm) > 0 && !slices.Contains(j.options.Algorithm, h.Algorithm) {
		return no(nil)
	}
	cl, err := verify(ctx, token, j.keys)
	if apierr.IsUnavailable(err) {
		return no(fmt.Errorf("%s: %w", j.options.URL, err))
	}
	if err != nil {
		return no(nil) // another entry may know the issuer
	}
	if len(j.options.Issuer) > 0 && !slices.Contains(j.options.Issuer, cl.Issuer) {
		return no(nil)
	}
	if len(j.options.Audience) > 0 && !slices.ContainsFunc(j.options.Audience, cl.Audience.has) {
		return no(nil)
	}
	if err := cl.current(now); err != nil {
		return no(err)
	}
	if cl.Subject == "" {
		return no(errors.New("there is no sub"))
	}
	subject := "external:"
	if p := j.options.SubjectPrefix; p != "" {
		subject += p + ":"
	}
	return principal.Service{Subject: subject + cl.Subject, Restrictions: j.restrictions}, time.Unix(*cl.Expires, 0), true, nil
}
