package rbac

import (
	"context"
	"slices"

	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
)

const (
	resourcePolicy = "policy-entity"
	ruleIsOwner    = "IS_OWNER"
)

// The permissions that guard the REST API.
var (
	policyRead   = permission.Permission{Name: "policy.entity.read", Action: permission.Read, ResourceType: resourcePolicy}
	policyCreate = permission.Permission{Name: "policy.entity.create", Action: permission.Create}
	policyDelete = permission.Permission{Name: "policy.entity.delete", Action: permission.Delete, ResourceType: resourcePolicy}
	policyUpdate = permission.Permission{Name: "policy.entity.update", Action: permission.Update, ResourceType: resourcePolicy}
)

// owners are the parameters of IS_OWNER.
type owners struct {
	Owners []string `json:"owners"`
}

// registerPermissions tells the framework what the REST API asks for.
func registerPermissions(x *permission.Extensions, l *live, defaultRole string) {
	x.AddPermissions(policyRead, policyCreate, policyDelete, policyUpdate)
	permission.AddResource(x, permission.Resource[engine.Role]{
		Type: resourcePolicy,
		Load: func(_ context.Context, refs []string) (map[string]engine.Role, error) {
			out := map[string]engine.Role{}
			state := l.state()
			for _, ref := range refs {
				if r, ok := state.Role(ref); ok {
					out[ref] = *r
				}
			}
			return out, nil
		},
		Rules: []permission.AnyRule[engine.Role]{permission.Rule[engine.Role, owners, func(engine.Role) bool]{
			Name: ruleIsOwner, Description: "Roles that one of some users owns", ResourceType: resourcePolicy,
			Schema: ownersSchema("http://json-schema.org/draft-07/schema#"),
			Apply: func(r engine.Role, p owners) bool {
				return r.Ref == defaultRole && defaultRole != "" || r.Owner != nil && slices.Contains(p.Owners, *r.Owner)
			},
		}},
	})
}

func ownersSchema(draft string) map[string]any {
	return map[string]any{
		"$schema": draft, "type": "object", "required": []string{"owners"},
		"properties": map[string]any{"owners": map[string]any{"type": "array", "items": map[string]any{"type": "string"}, "description": "References of the owners"}},
	}
}
