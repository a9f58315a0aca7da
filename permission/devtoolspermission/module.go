// Package devtoolspermission registers the permissions of the plugin devtools, so that a
// policy decides who may see what:
//
//	backend.Add(devtools.Plugin(), devtoolspermission.Module())
//
// It is apart from package devtools because the host, below which that is, knows nothing
// of the permission framework. A portal with permission.enabled and devtools does not
// start without it.
package devtoolspermission

import (
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/permission"
)

// Module lets the policy decide about devtools.
func Module() backend.Feature {
	return backend.NewModule("devtools", "permissions", permission.Use(), fx.Invoke(register))
}

// register adds the permissions of contract permission.md section 1.5. The scheduler's are
// for the frontend, which asks them before it shows the tasks of plugins; the routes of
// tasks are the plugins' own, and so is devtools.administer the frontend's.
func register(x *permission.Extensions) {
	for _, name := range []string{"devtools.administer", "devtools.info", "devtools.config", "devtools.external-dependencies", "devtools.scheduler.read"} {
		x.AddPermissions(permission.Permission{Name: name, Action: permission.Read})
	}
	x.AddPermissions(permission.Permission{Name: "devtools.scheduler.trigger", Action: permission.Update})
}
