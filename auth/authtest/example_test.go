package authtest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/authtest"
)

// byEmployeeID is somebody's own resolver.
func byEmployeeID(ctx context.Context, who auth.Profile, users auth.Users) (auth.Identity, error) {
	id, _ := who.Claims["employee_id"].(string)
	if id == "" {
		return auth.Identity{}, fmt.Errorf("the claim employee_id is missing")
	}
	user, err := users.ByAnnotation(ctx, "acme.example/employee-id", id)
	if err != nil {
		return auth.Identity{}, err
	}
	return auth.SignInAs(ctx, users, user)
}

// The rules that every resolver keeps are one call.
func ExampleRunResolver() {
	var t *testing.T // of func TestResolver(t *testing.T)
	authtest.RunResolver(t, func(*testing.T) authtest.ResolverCase {
		return authtest.ResolverCase{
			Resolver: auth.ResolverFunc(byEmployeeID),
			Users:    authtest.Users{authtest.Named("alice", "alice@acme.test", "acme.example/employee-id", "4711")},
			Known:    auth.Profile{Claims: map[string]any{"employee_id": "4711"}},
			Unknown:  auth.Profile{Claims: map[string]any{"employee_id": "4712"}},
			Want:     "user:default/alice",
		}
	})
}

// Users finds what the catalog would find.
func ExampleUsers() {
	users := authtest.Users{authtest.Named("alice", "Alice@acme.test")}
	user, err := users.ByEmail(context.Background(), "alice@acme.test")
	fmt.Println(user.Ref(), err)
	_, err = users.ByEmail(context.Background(), "bob@acme.test")
	fmt.Println(err)
	// Output:
	// user:default/alice <nil>
	// User not found
}

// What an issuer can do wrong is a list.
func ExampleMisbehaviours() {
	for _, m := range authtest.Misbehaviours() {
		if m.Name == "the nonce of the ID token is another" {
			fmt.Println(m.ErrorName)
		}
	}
	// Output: AuthenticationError
}
