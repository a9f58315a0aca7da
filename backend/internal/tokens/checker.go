package tokens

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/principal"
)

// Options is what a Checker stands on.
type Options struct {
	Config Config
	// Issuer is the iss of user tokens: the external base URL of the auth plugin.
	Issuer string
	// UserKeys finds the keys of user tokens.
	UserKeys Keys
	// PluginKeys finds the keys of a plugin, which may run in another process. The id
	// has been checked to be one.
	PluginKeys func(plugin string) (Keys, error)
	// Client loads the key sets of backend.auth.externalAccess; nil means http.DefaultClient.
	Client *http.Client
	Log    *slog.Logger     // nil means slog.Default
	Now    func() time.Time // nil means the system's clock
}

// A Checker verifies tokens. It is safe for concurrent use.
type Checker struct {
	opts      Options
	now       func() time.Time
	log       *slog.Logger
	externals []external
	cache     cache
}

// NewChecker returns a Checker; it does no I/O.
func NewChecker(opts Options) *Checker {
	c := &Checker{opts: opts, now: opts.Now, log: opts.Log}
	if c.now == nil {
		c.now = time.Now
	}
	if c.log == nil {
		c.log = slog.Default()
	}
	c.externals = newExternals(opts.Config, opts.Client, c.now, c.log)
	c.cache.entries = map[[sha256.Size]byte]*verified{}
	return c
}

// verified is what a token proves, whichever plugin it is shown to.
type verified struct {
	creds    principal.Credentials
	audience string // of plugin tokens: the only plugin that may be called
	limited  bool
	until    time.Time // when to verify again
	// secret says that the token was compared with a configured secret: that is cheap,
	// and a secret that was replaced must not be accepted any longer.
	secret bool
}

// Check returns the credentials that the token proves towards the plugin. Limited user
// tokens are accepted only if limited is true. The errors are those of the API: 401 for
// whatever is wrong with the token, 403 if it is restricted to other plugins. The text
// does not say what was wrong; the debug log does.
func (c *Checker) Check(ctx context.Context, token, plugin string, limited bool) (principal.Credentials, error) {
	v, err := c.verified(ctx, token)
	if err != nil {
		return principal.Nobody(), err
	}
	if v.limited && !limited {
		return principal.Nobody(), apierr.Authentication.New("Illegal limited user token")
	}
	if v.audience != "" && v.audience != plugin {
		c.log.DebugContext(ctx, "plugin token refused", "reason", "it is for another plugin", "audience", v.audience, "plugin", plugin)
		return principal.Nobody(), apierr.Authentication.New("Failed plugin token verification")
	}
	if s, ok := v.creds.Service(); ok && s.Restrictions != nil {
		if _, listed := s.Restrictions.For(plugin); !listed {
			return principal.Nobody(), restrictedTo(s.Restrictions.Plugins())
		}
	}
	return v.creds, nil
}

func restrictedTo(plugins []string) error {
	list := ""
	for i, p := range plugins {
		if i > 0 {
			list += ", "
		}
		list += "'" + p + "'"
	}
	return apierr.NotAllowed.New("This token's access is restricted to plugin(s) %s", list)
}

// verified answers from the cache, or verifies.
func (c *Checker) verified(ctx context.Context, token string) (*verified, error) {
	if len(token) > maxToken {
		return nil, apierr.Authentication.New("Illegal token")
	}
	now := c.now()
	key := sha256.Sum256([]byte(token))
	if v := c.cache.get(key, now); v != nil {
		return v, nil
	}
	v, err := c.verify(ctx, token, now)
	if err != nil {
		return nil, err
	}
	if v.secret {
		return v, nil
	}
	v.until = now.Add(cacheLife)
	if exp := v.creds.Expires(); !exp.IsZero() && exp.Before(v.until) {
		v.until = exp
	}
	c.cache.put(key, v, now)
	return v, nil
}

// verify tries the kinds of tokens in the order of contract/auth.md 7.5. The typ in a
// token's header decides its kind; no other kind is tried after that.
func (c *Checker) verify(ctx context.Context, token string, now time.Time) (*verified, error) {
	if h, ok := peek(token); ok {
		switch h.Type {
		case typPlugin:
			v, err := c.verifyPlugin(ctx, token, now)
			return v, c.refused(ctx, "plugin", err)
		case typUser, typLimited:
			v, err := c.verifyUser(ctx, token, h.Type, now)
			return v, c.refused(ctx, "user", err)
		}
	}
	var unknown error
	for _, e := range c.externals {
		service, expires, ok, err := e.check(ctx, token, now)
		if apierr.IsUnavailable(err) {
			unknown = err // another entry may know the token
			continue
		}
		if err != nil {
			return nil, c.refused(ctx, "external", err)
		}
		if ok {
			_, remote := e.(*jwksToken)
			return &verified{creds: principal.Credentials{Principal: service}.WithToken(token, expires), secret: !remote}, nil
		}
	}
	if unknown != nil {
		c.log.WarnContext(ctx, "a token cannot be verified: its keys cannot be had", "error", unknown)
		return nil, c.refused(ctx, "external", unknown)
	}
	return nil, apierr.Authentication.New("Illegal token")
}

// refused hides why a token is not valid from whoever sent it.
func (c *Checker) refused(ctx context.Context, kind string, err error) error {
	if err == nil {
		return nil
	}
	c.log.DebugContext(ctx, kind+" token refused", "reason", err)
	if apierr.IsUnavailable(err) {
		// The token may be good: a client that were told otherwise would sign its user out.
		return apierr.ServiceUnavailable.Wrap(err, "The %s token cannot be verified at the moment", kind)
	}
	return apierr.Authentication.Wrap(err, "Failed %s token verification", kind)
}

// verifyUser checks a full or a limited user token.
func (c *Checker) verifyUser(ctx context.Context, token, typ string, now time.Time) (*verified, error) {
	if c.opts.UserKeys == nil {
		return nil, errors.New("this backend has no issuer of user tokens")
	}
	cl, err := verify(ctx, token, c.opts.UserKeys)
	if err != nil {
		return nil, err
	}
	if cl.IssuedAt == nil {
		return nil, errors.New("there is no iat")
	}
	if err := cl.current(now); err != nil {
		return nil, err
	}
	if !userRef.MatchString(cl.Subject) {
		return nil, errors.New("sub is not the reference of a user")
	}
	// A limited token proves neither issuer nor audience: it consists of sub, iat, and exp.
	if typ == typUser {
		if cl.Issuer != c.opts.Issuer {
			return nil, fmt.Errorf("the issuer is %q, not %q", cl.Issuer, c.opts.Issuer)
		}
		if !cl.Audience.has(userAudience) {
			return nil, fmt.Errorf("the audience is %q, not %q", []string(cl.Audience), userAudience)
		}
	}
	user := principal.User{Ref: cl.Subject, Ownership: cl.Ent}
	creds := principal.Credentials{Principal: user}.WithToken(token, time.Unix(*cl.Expires, 0))
	return &verified{creds: creds, limited: typ == typLimited}, nil
}

// userRef is a full reference of a user. Tokens for entities of other kinds are neither
// issued nor accepted, so that no group can sign in.
var userRef = regexp.MustCompile(`^(?i:user):[^:/\s]+/[^:/\s]+$`)

// pluginID is what the sub of a plugin token may be. It becomes part of a URL.
var pluginID = regexp.MustCompile(`(?i)^[a-z0-9_-]+$`)

// verifyPlugin checks a plugin token, and the token of the user behind it.
func (c *Checker) verifyPlugin(ctx context.Context, token string, now time.Time) (*verified, error) {
	cl, err := unverified(token)
	if err != nil {
		return nil, err
	}
	if !pluginID.MatchString(cl.Subject) {
		return nil, errors.New("sub is not the id of a plugin")
	}
	if c.opts.PluginKeys == nil {
		return nil, errors.New("this backend knows no keys of plugins")
	}
	keys, err := c.opts.PluginKeys(cl.Subject)
	if err != nil {
		return nil, err
	}
	if cl, err = verify(ctx, token, keys); err != nil {
		return nil, err
	}
	if cl.IssuedAt == nil || len(cl.Audience) != 1 {
		return nil, errors.New("iat and exactly one aud are required")
	}
	if err := cl.current(now); err != nil {
		return nil, err
	}
	service := principal.Service{Subject: "plugin:" + cl.Subject}
	expires := time.Unix(*cl.Expires, 0)
	creds := principal.Credentials{Principal: service}
	if cl.OnBehalf != "" {
		h, _ := peek(cl.OnBehalf)
		if h.Type != typLimited && h.Type != typUser {
			return nil, errors.New("obo is not a user token")
		}
		behind, err := c.verifyUser(ctx, cl.OnBehalf, h.Type, now)
		if err != nil {
			return nil, fmt.Errorf("obo: %w", err)
		}
		user, _ := behind.creds.User()
		user.Actor = &service
		creds.Principal = user
		if e := behind.creds.Expires(); e.Before(expires) {
			expires = e
		}
	}
	return &verified{creds: creds.WithToken(token, expires), audience: cl.Audience[0]}, nil
}

// cacheLife is how long a verified token is believed: so late is noticed that a key was
// withdrawn.
const cacheLife = time.Minute

// cacheSize bounds the number of tokens that are remembered.
const cacheSize = 10_000

// cache remembers verified tokens by their digest. Tokens that were refused are not
// remembered: there are more of them than memory.
type cache struct {
	mu      sync.RWMutex
	entries map[[sha256.Size]byte]*verified
}

func (c *cache) get(key [sha256.Size]byte, now time.Time) *verified {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if v := c.entries[key]; v != nil && now.Before(v.until) {
		return v
	}
	return nil
}

func (c *cache) put(key [sha256.Size]byte, v *verified, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= cacheSize {
		for k, e := range c.entries {
			if !now.Before(e.until) {
				delete(c.entries, k)
			}
		}
		for k := range c.entries {
			if len(c.entries) < cacheSize/2 {
				break
			}
			delete(c.entries, k)
		}
	}
	c.entries[key] = v
}
