package principal_test

import (
	"fmt"

	"github.com/callboard-dev/callboard/backend/principal"
)

func ExampleCredentials() {
	scaffolder := principal.Service{Subject: "plugin:scaffolder"}
	for _, c := range []principal.Credentials{
		{Principal: principal.User{Ref: "user:default/alice", Actor: &scaffolder}},
		{Principal: scaffolder},
		principal.Nobody(),
	} {
		switch p := c.Principal.(type) {
		case principal.User:
			fmt.Println("a user:", p.Ref, "through", p.Actor)
		case principal.Service:
			fmt.Println("a service:", p.Subject)
		case principal.None:
			fmt.Println("nobody")
		}
	}
	// Output:
	// a user: user:default/alice through plugin:scaffolder
	// a service: plugin:scaffolder
	// nobody
}

func ExampleRestrict() {
	r := principal.Restrict(principal.AccessRestriction{Plugin: "catalog", Permissions: []string{"catalog.entity.read"}})
	catalog, ok := r.For("catalog")
	fmt.Println(ok, catalog.Permits("catalog.entity.read", "read"), catalog.Permits("catalog.entity.delete", "delete"))
	_, ok = r.For("scaffolder")
	fmt.Println(ok)
	// Output:
	// true true false
	// false
}
