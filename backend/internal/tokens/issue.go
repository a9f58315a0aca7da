package tokens

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/principal"
)

// UserIssuer issues the tokens of users who have signed in (contract/auth.md 7.1).
type UserIssuer struct {
	Issuer string // the iss: the external base URL of the auth plugin
	Keys   KeyStore
	Life   time.Duration    // clamped to between 10 minutes and a day; 0 means an hour
	Now    func() time.Time // nil means the system's clock
}

// UserClaims is what a user token says.
type UserClaims struct {
	// Sub is the full reference of the user.
	Sub string
	// Ent are the references through which the user owns things. Left out of the token if nil.
	Ent []string
	// Extra are further claims, with the values that encoding/json can encode. None may have
	// a name that tokens have themselves.
	Extra map[string]any
}

// reserved are claims that say what a token is. Whoever could set one of them could make a
// token pass for another.
var reserved = map[string]bool{"iss": true, "sub": true, "ent": true, "aud": true, "iat": true, "exp": true, "nbf": true, "uip": true,
	"obo": true, "typ": true, "kid": true, "alg": true}

// payload is the claims of a token with the further ones after them.
func (c UserClaims) payload(own claims) ([]byte, error) {
	text := marshal(own)
	if len(c.Extra) == 0 {
		return text, nil
	}
	for name := range c.Extra {
		if reserved[name] {
			return nil, apierr.Input.New("the claim %q of user tokens cannot be set", name)
		}
	}
	extra, err := json.Marshal(c.Extra)
	if err != nil {
		return nil, err
	}
	return append(append(text[:len(text)-1], ','), extra[1:]...), nil
}

// Issue returns a token and when it expires.
func (i *UserIssuer) Issue(ctx context.Context, c UserClaims) (token string, expires time.Time, err error) {
	if !userRef.MatchString(c.Sub) {
		return "", time.Time{}, apierr.Input.New("%q is not the full reference of a user, such as user:default/alice", c.Sub)
	}
	key, err := i.Keys.SigningKey(ctx)
	if err != nil {
		return "", time.Time{}, err
	}
	now := clock(i.Now)
	life := i.Life
	if life == 0 {
		life = time.Hour
	}
	life = min(max(life, 10*time.Minute), 24*time.Hour)
	iat, exp := now.Unix(), now.Add(life).Unix()
	payload := marshal(limitedClaims{Subject: c.Sub, IssuedAt: iat, Expires: exp})
	proof, err := signature(key, encodePart(headerBytes(typLimited, key))+"."+encodePart(payload))
	if err != nil {
		return "", time.Time{}, err
	}
	payload, err = c.payload(claims{Issuer: i.Issuer, Subject: c.Sub, Ent: c.Ent, Audience: audience{userAudience}, IssuedAt: &iat, Expires: &exp, Proof: proof})
	if err != nil {
		return "", time.Time{}, err
	}
	token, err = sign(key, typUser, payload)
	if err != nil {
		return "", time.Time{}, err
	}
	if len(token) > maxToken {
		return "", time.Time{}, apierr.Internal.New("the user token would have %d characters, more than %d; set auth.omitIdentityTokenOwnershipClaim", len(token), maxToken)
	}
	return token, time.Unix(exp, 0), nil
}

// PluginIssuer issues the tokens that a plugin calls others with (contract/auth.md 7.3).
// It is safe for concurrent use, and must not be copied.
type PluginIssuer struct {
	Plugin string
	Keys   KeyStore
	// AllowNobody lets calls on behalf of nobody go without a token. It is
	// backend.auth.dangerouslyDisableDefaultAuthPolicy.
	AllowNobody bool
	Now         func() time.Time // nil means the system's clock

	mu    sync.Mutex
	plain map[string]issued // tokens of the plugin itself, by target
}

type issued struct {
	token  string
	expiry time.Time
}

// Own returns the credentials of the plugin itself.
func (i *PluginIssuer) Own() principal.Credentials {
	return principal.Credentials{Principal: principal.Service{Subject: "plugin:" + i.Plugin}}
}

// TokenFor returns a token with which the plugin acts towards target as c: a service
// becomes the plugin itself, if its own restrictions allow that, and a user stays the
// user, with the plugin as actor.
func (i *PluginIssuer) TokenFor(ctx context.Context, c principal.Credentials, target string) (string, error) {
	switch p := c.Principal.(type) {
	case principal.Service:
		if p.Restrictions != nil {
			// The other plugin would see the unrestricted plugin instead of the caller.
			if r, ok := p.Restrictions.For(target); !ok || r.Restricted() {
				return "", apierr.NotAllowed.New("The caller's access is restricted, plugin '%s' cannot be called on its behalf", target)
			}
		}
		return i.own(ctx, target)
	case principal.User:
		limited, expires, err := Limit(c)
		if err != nil {
			return "", err
		}
		return i.issue(ctx, target, limited, expires)
	}
	if i.AllowNobody {
		return "", nil
	}
	return "", apierr.Authentication.New("Unable to call plugin '%s' on behalf of nobody", target)
}

// own returns a token of the plugin itself. One token serves for half of its life.
func (i *PluginIssuer) own(ctx context.Context, target string) (string, error) {
	now := clock(i.Now)
	i.mu.Lock()
	have, ok := i.plain[target]
	i.mu.Unlock()
	if ok && now.Add(pluginTokenLife/2).Before(have.expiry) {
		return have.token, nil
	}
	token, err := i.issue(ctx, target, "", time.Time{})
	if err != nil {
		return "", err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.plain == nil || len(i.plain) >= 1000 {
		i.plain = map[string]issued{}
	}
	i.plain[target] = issued{token, now.Add(pluginTokenLife)}
	return token, nil
}

// issue signs a token that does not outlive the user's.
func (i *PluginIssuer) issue(ctx context.Context, target, onBehalf string, until time.Time) (string, error) {
	if !pluginID.MatchString(target) {
		return "", apierr.Input.New("%q is not the id of a plugin", strings.ToValidUTF8(target, "?"))
	}
	key, err := i.Keys.SigningKey(ctx)
	if err != nil {
		return "", err
	}
	now := clock(i.Now)
	expires := now.Add(pluginTokenLife)
	if !until.IsZero() && until.Before(expires) {
		expires = until
	}
	iat, exp := now.Unix(), expires.Unix()
	return sign(key, typPlugin, marshal(claims{Subject: i.Plugin, Audience: audience{target}, IssuedAt: &iat, Expires: &exp, OnBehalf: onBehalf}))
}

func clock(now func() time.Time) time.Time {
	if now == nil {
		return time.Now()
	}
	return now()
}
