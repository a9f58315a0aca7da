package auth

import (
	"context"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/client"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// whoAmI is the output of the action who-am-i.
type whoAmI struct {
	Entity   backend.OpenObject `json:"entity" doc:"the user, as the catalog has it"`
	UserInfo actionUser         `json:"userInfo" doc:"who calls"`
}

type actionUser struct {
	UserEntityRef       string   `json:"userEntityRef" doc:"the reference of the user"`
	OwnershipEntityRefs []string `json:"ownershipEntityRefs" doc:"the references of what the user owns things through: the user itself and its groups"`
}

// registerActions adds the actions of the plugin.
func registerActions(a *backend.Actions, users backend.UserInfo, clients backend.Clients) {
	a.Register(backend.NewAction(backend.ActionOptions{
		Name: "who-am-i", Title: "Who am I",
		Description: "Returns the user on whose behalf this call is made: its entity in the catalog, and the entities through which it owns things. Use it to find out what \"my components\" or \"my team\" means.",
		ReadOnly:    true, Idempotent: true,
	}, func(ctx context.Context, call backend.ActionCall[struct{}]) (whoAmI, error) {
		if _, ok := call.Credentials.User(); !ok {
			return whoAmI{}, apierr.NotAllowed.New("only users are somebody, not a caller of type '%s'", call.Credentials.Type())
		}
		id, err := users.UserInfo(ctx, call.Credentials)
		if err != nil {
			return whoAmI{}, err
		}
		ref, err := entity.ParseRef(id.UserRef)
		if err != nil {
			return whoAmI{}, err
		}
		hc, base, err := clients.Client(ctx, call.Credentials, "catalog")
		if err != nil {
			return whoAmI{}, err
		}
		e, err := client.At(base, hc).ByRef(ctx, ref)
		if err != nil {
			return whoAmI{}, err
		}
		return whoAmI{backend.OpenObject(e), actionUser{id.UserRef, id.OwnershipRefs}}, nil
	}))
}
