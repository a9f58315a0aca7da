package api

import (
	"context"
	"fmt"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/principal"
	"github.com/callboard-dev/callboard/catalog/internal/query"
	"github.com/callboard-dev/callboard/permission"
)

// An Authorizer decides who may do what. It is called on every request, from any
// number of goroutines.
type Authorizer interface {
	// Entities says for which entities creds has a resource permission.
	Entities(ctx context.Context, creds principal.Credentials, p Permission) (query.Auth, error)
	// Allowed returns nil if creds has a basic permission, an apierr.NotAllowed error
	// if not, and another one if nobody knows.
	Allowed(ctx context.Context, creds principal.Credentials, p Permission) error
}

// AllowAll lets everybody who got in do everything, except services whose tokens are
// restricted to some permissions by backend.auth.externalAccess.
type AllowAll struct{}

var _ Authorizer = AllowAll{}

// Entities is all of them, or none.
func (AllowAll) Entities(_ context.Context, creds principal.Credentials, p Permission) (query.Auth, error) {
	return query.Auth{Deny: !Unrestricted(creds, p)}, nil
}

// Allowed looks at the restrictions of the token only.
func (AllowAll) Allowed(_ context.Context, creds principal.Credentials, p Permission) error {
	if !Unrestricted(creds, p) {
		return notAllowed(p)
	}
	return nil
}

// Unrestricted says whether the restrictions of a service's token leave it p.
func Unrestricted(creds principal.Credentials, p Permission) bool {
	service, ok := creds.Service()
	if !ok || service.Restrictions == nil {
		return true
	}
	in, ok := service.Restrictions.For(pluginID)
	return ok && in.Permits(p.Name, p.Action)
}

const pluginID = "catalog"

func notAllowed(p Permission) error {
	return apierr.NotAllowed.New("permission %s is denied", p.Name)
}

// Policies is the Authorizer that asks the permission framework.
type Policies struct {
	Ask        *permission.Authorizer
	Extensions *permission.Extensions // with the Resource
}

var _ Authorizer = (*Policies)(nil)

// Entities turns a conditional decision into a condition on the index.
func (p *Policies) Entities(ctx context.Context, creds principal.Credentials, want Permission) (query.Auth, error) {
	d, err := p.Ask.Decide(ctx, creds, want)
	if err != nil {
		return query.Auth{}, err
	}
	_, typ, criteria, ok := d[0].Conditional()
	if !ok {
		return query.Auth{Deny: d[0] != permission.Allow}, nil
	}
	where, err := permission.QueryOf(p.Extensions, typ, criteria, predicates)
	if err != nil {
		return query.Auth{}, fmt.Errorf("conditions of the policy for %s: %w", want.Name, err)
	}
	return query.Auth{Where: &where}, nil
}

// Allowed asks for a yes or no.
func (p *Policies) Allowed(ctx context.Context, creds principal.Credentials, want Permission) error {
	return p.Ask.Require(ctx, creds, want, "")
}
