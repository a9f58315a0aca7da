package auth_test

import (
	"context"
	"fmt"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// Module adds the resolver that app-config.yaml lists as "acmeEmployee":
//
//	signIn:
//	  resolvers:
//	    - resolver: acmeEmployee
//	    - resolver: emailMatchingUserEntityProfileEmail
func Module() backend.Feature {
	return backend.NewModule("auth", "acme-signin", fx.Invoke(register))
}

func register(x *auth.Extensions) { x.AddResolver("acmeEmployee", auth.ResolverFunc(resolve)) }

func resolve(ctx context.Context, who auth.Profile, users auth.Users) (auth.Identity, error) {
	id, _ := who.Claims["employee_id"].(string)
	user, err := users.ByAnnotation(ctx, "acme.example/employee-id", id)
	if err != nil {
		return auth.Identity{}, err // apierr.NotFound lets the next resolver in the list try
	}
	return auth.SignInAs(ctx, users, user)
}

// A resolver of one's own decides by whatever the identity provider says.
func ExampleExtensions_AddResolver() {
	backend := backend.New()
	backend.Add(auth.Plugin())
	backend.Add(Module())
	// The rest of the portal, and backend.Main().

	who := auth.Profile{Claims: map[string]any{"employee_id": "17"}}
	id, err := resolve(context.Background(), who, directory{"17": "alice"})
	fmt.Println(id.User, id.Ownership, err)
	_, err = resolve(context.Background(), auth.Profile{}, directory{"17": "alice"})
	fmt.Println(err)
	// Output:
	// user:default/alice [user:default/alice group:default/platform-team] <nil>
	// nobody has that number
}

// directory is a catalog of one's own for the test of a resolver: employee numbers and names.
type directory map[string]string

func (d directory) ByAnnotation(_ context.Context, _, value string) (entity.Entity, error) {
	name, ok := d[value]
	if !ok {
		return nil, apierr.NotFound.New("nobody has that number")
	}
	return entity.Entity{"kind": "User", "metadata": map[string]any{"name": name}}, nil
}

func (d directory) ByExactAnnotation(ctx context.Context, key, value string) (entity.Entity, error) {
	return d.ByAnnotation(ctx, key, value)
}

func (d directory) ByRef(context.Context, entity.Ref) (entity.Entity, error) {
	return nil, apierr.NotFound.New("this directory knows numbers")
}

func (d directory) ByEmail(context.Context, string) (entity.Entity, error) {
	return nil, apierr.NotFound.New("this directory knows numbers")
}

func (d directory) Ownership(_ context.Context, user entity.Entity) ([]entity.Ref, error) {
	return []entity.Ref{user.Ref().Lower(), {Kind: "group", Namespace: "default", Name: "platform-team"}}, nil
}
