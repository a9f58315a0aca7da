package auth

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// A SignInResolver decides which catalog user somebody is. An error that is
// apierr.NotFound leaves the decision to the next resolver in the configured list; any
// other error ends the sign-in. It is called at each sign-in and at each refresh, from
// many goroutines at once.
type SignInResolver interface {
	Resolve(ctx context.Context, who Profile, users Users) (Identity, error)
}

// ResolverFunc is a SignInResolver that is a function. It takes no options.
type ResolverFunc func(ctx context.Context, who Profile, users Users) (Identity, error)

// Resolve calls f.
func (f ResolverFunc) Resolve(ctx context.Context, who Profile, users Users) (Identity, error) {
	return f(ctx, who, users)
}

// Configurable is implemented by resolvers that take options, such as allowedDomains,
// from their entry in signIn.resolvers. Resolvers without it refuse options.
type Configurable interface {
	// Configure returns the resolver for one entry. It is called when the backend is put
	// together, and does no I/O; Options decodes the options.
	Configure(options *config.Config) (SignInResolver, error)
}

// Options decodes the options of an entry of signIn.resolvers into out, a pointer to a
// struct with config tags. Options that the struct does not have are errors, with their
// place.
func Options(entry *config.Config, out any) error {
	errs := config.Problems(entry.Decode("", out))
	for _, unknown := range entry.UnknownKeys("", reflect.TypeOf(out).Elem()) {
		if unknown.Path != entry.Path()+".resolver" {
			errs = append(errs, unknown)
		}
	}
	return errors.Join(errs...)
}

// Users finds users in the catalog, with the credentials of the auth plugin.
type Users interface {
	// ByRef, ByAnnotation and ByEmail return apierr.NotFound when nobody matches, and
	// apierr.Conflict when more than one user does. ByRef takes user as kind and default as
	// namespace where ref has none, and finds nothing but users. Values are compared in any
	// case of ASCII letters.
	ByRef(ctx context.Context, ref entity.Ref) (entity.Entity, error)
	ByAnnotation(ctx context.Context, key, value string) (entity.Entity, error)
	ByEmail(ctx context.Context, email string) (entity.Entity, error)
	// ByExactAnnotation is ByAnnotation for values in which case matters. Users whose value
	// differs in case alone are an error that ends the sign-in, as such an identity is
	// either a mistake or an attempt.
	ByExactAnnotation(ctx context.Context, key, value string) (entity.Entity, error)
	// Ownership returns the refs a user may claim: itself and the groups it is a direct
	// member of, unless Extensions.SetOwnership or auth.ownership says otherwise.
	Ownership(ctx context.Context, user entity.Entity) ([]entity.Ref, error)
}

// Identity is what goes into the token.
type Identity struct {
	User entity.Ref
	// Ownership is what the user owns things through; User alone if it is empty.
	Ownership []entity.Ref
	// Claims are further ones for the token and for GET /v1/userinfo, with values that have a
	// JSON form. Those that tokens have themselves (iss, sub, ent, aud, exp, uip and the like)
	// are refused with an apierr.Input. Everybody who holds the token can read them.
	Claims map[string]any
}

// SignInAs is the usual end of a resolver: user, with all that user owns.
func SignInAs(ctx context.Context, users Users, user entity.Entity) (Identity, error) {
	owned, err := users.Ownership(ctx, user)
	if err != nil {
		return Identity{}, fmt.Errorf("find what %s owns: %w", user.Ref(), err)
	}
	return Identity{User: user.Ref(), Ownership: owned}, nil
}

// An Ownership decides which refs a user may claim.
type Ownership func(ctx context.Context, user entity.Entity) ([]entity.Ref, error)
