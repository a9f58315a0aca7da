package api

import (
	"context"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/principal"
	"github.com/callboard-dev/callboard/catalog/internal/query"
)

// A Permission is what a route asks for, in the form in which the permission framework
// is told of it.
type Permission struct {
	Type         string               `json:"type"` // "basic", or "resource" with a ResourceType
	Name         string               `json:"name"`
	Attributes   PermissionAttributes `json:"attributes"`
	ResourceType string               `json:"resourceType,omitempty"`
}

// PermissionAttributes say what kind of access a permission is about.
type PermissionAttributes struct {
	Action string `json:"action,omitempty"` // "create", "read", "update", "delete", or none
}

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

// Unrestricted says whether the restrictions of a service's token leave it p. Every
// Authorizer has to ask, because no policy can widen what a token is restricted to.
func Unrestricted(creds principal.Credentials, p Permission) bool {
	service, ok := creds.Service()
	if !ok || service.Restrictions == nil {
		return true
	}
	in, ok := service.Restrictions.For(pluginID)
	return ok && in.Permits(p.Name, p.Attributes.Action)
}

const pluginID = "catalog"

func notAllowed(p Permission) error {
	return apierr.NotAllowed.New("permission %s is denied", p.Name)
}
