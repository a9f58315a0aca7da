// Package allowall lets everybody who is signed in do everything. It is for portals that
// trust all of their users, and for trials; services stay within the access restrictions
// of their tokens.
//
//	backend.Add(permission.Plugin(), allowall.Module())
package allowall

import (
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/permission"
)

// Module sets the policy.
func Module() backend.Feature {
	return backend.NewModule("permission", "allow-all-policy", fx.Invoke(register))
}

func register(x *permission.Extensions) { x.SetPolicy(permission.AllowEverything()) }
