// Package principal says who is calling: a user, a service, or nobody.
//
// Credentials are what the router of a plugin hands to its handlers after it has
// checked the request (httpx.CallerOf), and what a plugin passes on when it asks
// another plugin for something. They hold one Principal:
//
//	switch p := creds.Principal.(type) {
//	case principal.User:    // p.Ref is the entity reference of the user
//	case principal.Service: // p.Subject names the calling plugin or program
//	case principal.None:    // nobody; only where a route allows it
//	}
//
// The package imports nothing of this module, so that every layer can speak it.
package principal

import (
	"log/slog"
	"time"
)

// The names that error messages and policies use for the three kinds of principal
// ("This endpoint does not allow 'service' credentials").
const (
	TypeUser    = "user"
	TypeService = "service"
	TypeNone    = "none"
)

// Credentials is who is calling: a user, a service, or nobody. The zero value
// means nobody. Credentials are immutable and may be kept and shared; they print
// and log without the token they were made from.
type Credentials struct {
	Principal Principal

	token   string
	expires time.Time
}

// Nobody returns the credentials of a caller that has shown none.
func Nobody() Credentials { return Credentials{Principal: None{}} }

// WithToken returns c together with the token that proved it. Tokens for calls to
// other plugins on behalf of a user are derived from it. The zero time means that
// the token does not expire.
func (c Credentials) WithToken(token string, expires time.Time) Credentials {
	c.token, c.expires = token, expires
	return c
}

// Token returns the token that proved these credentials; empty if there is none,
// as in credentials that a plugin made for itself.
func (c Credentials) Token() string { return c.token }

// Expires returns when the token stops being valid; zero if it does not.
func (c Credentials) Expires() time.Time { return c.expires }

// Type returns "user", "service", or "none".
func (c Credentials) Type() string {
	if c.Principal == nil {
		return TypeNone
	}
	return c.Principal.Type()
}

// User returns the user, if it is a user that calls.
func (c Credentials) User() (User, bool) {
	u, ok := c.Principal.(User)
	return u, ok
}

// Service returns the service, if it is a service that calls.
func (c Credentials) Service() (Service, bool) {
	s, ok := c.Principal.(Service)
	return s, ok
}

// String returns the principal and never the token.
func (c Credentials) String() string {
	if c.Principal == nil {
		return TypeNone
	}
	return c.Principal.String()
}

// GoString keeps the token out of %#v too.
func (c Credentials) GoString() string { return "principal.Credentials(" + c.String() + ")" }

// LogValue keeps the token out of logs.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// A Principal is a User, a Service, or None.
type Principal interface {
	// Type returns the name of the kind of principal in messages: "user", "service", or "none".
	Type() string
	// String returns the user reference, the subject of the service, or "none".
	String() string

	principal()
}

// User is a person who has signed in.
type User struct {
	// Ref is the full entity reference of the user, such as user:default/alice.
	Ref string
	// Ownership lists the entity references through which the user owns things. It
	// is nil unless the token itself carries them; ask the user info service then.
	Ownership []string
	// Actor is the service that calls on behalf of the user; nil if the user calls directly.
	Actor *Service
}

// Service is another plugin or an outside program.
type Service struct {
	// Subject is "plugin:<id>" for plugins, "external:<name>" for verified outside
	// callers, or the subject that the configuration gives to a static token.
	Subject string
	// Restrictions bounds what the service may do; nil means that nothing does.
	Restrictions *AccessRestrictions
}

// None is the absence of credentials.
type None struct{}

func (User) principal()    {}
func (Service) principal() {}
func (None) principal()    {}

// Type returns "user".
func (User) Type() string { return TypeUser }

// Type returns "service".
func (Service) Type() string { return TypeService }

// Type returns "none".
func (None) Type() string { return TypeNone }

// String returns the entity reference of the user.
func (u User) String() string { return u.Ref }

// String returns the subject.
func (s Service) String() string { return s.Subject }

// String returns "none".
func (None) String() string { return TypeNone }
