package httpx

import (
	"context"
	"net/http"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/principal"
)

// HandlerFunc is http.HandlerFunc with an error. An error that is returned before
// anything was written becomes the answer; one that comes later cuts the connection,
// so that no client takes half an answer for a whole one.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

// Access widens who may call a route. Without it, only users and services may.
type Access int

const (
	// AllowUnauthenticated lets everybody in. The caller is known if it shows valid credentials.
	AllowUnauthenticated Access = iota + 1
	// AllowUserCookie also accepts limited user tokens and the cookie that carries them.
	AllowUserCookie
)

// A Guard decides whether a request gets through to a route with that access. It
// returns the request to go on with, which usually knows its caller (WithCaller), or
// the error to answer. It also runs for paths without a route, with access 0.
type Guard func(r *http.Request, access Access) (*http.Request, error)

type callerKey struct{}

// WithCaller returns a request whose caller is c. Guards call it, and tests.
func WithCaller(r *http.Request, c principal.Credentials) *http.Request {
	return r.WithContext(ContextWithCaller(r.Context(), c))
}

// ContextWithCaller returns a context whose caller is c.
func ContextWithCaller(ctx context.Context, c principal.Credentials) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns the checked credentials of the caller of r. They are those of
// nobody if the route lets everybody in and the caller has shown nothing valid.
func CallerOf(r *http.Request) principal.Credentials { return CallerFrom(r.Context()) }

// CallerFrom returns the caller that ctx carries; nobody if there is none.
func CallerFrom(ctx context.Context) principal.Credentials {
	if c, ok := ctx.Value(callerKey{}).(principal.Credentials); ok {
		return c
	}
	return principal.Nobody()
}

// UserOf returns the user who calls. Others get the error that the API has for
// them: 401 if nobody is signed in, 403 if it is a service that calls.
func UserOf(r *http.Request) (principal.User, error) {
	c := CallerOf(r)
	if u, ok := c.User(); ok {
		return u, nil
	}
	return principal.User{}, Refuse(c)
}

// ServiceOf returns the service that calls. Others get the error that the API has
// for them: 401 if there are no credentials, 403 if it is a user who calls.
func ServiceOf(r *http.Request) (principal.Service, error) {
	c := CallerOf(r)
	if s, ok := c.Service(); ok {
		return s, nil
	}
	return principal.Service{}, Refuse(c)
}

// Refuse returns the error for a caller of a kind that an endpoint does not serve.
func Refuse(c principal.Credentials) error {
	if c.Type() == principal.TypeNone {
		return apierr.Authentication.New("Missing credentials")
	}
	return apierr.NotAllowed.New("This endpoint does not allow '%s' credentials", c.Type())
}
