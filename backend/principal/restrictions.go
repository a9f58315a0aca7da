package principal

import (
	"slices"
	"sort"
)

// AccessRestriction bounds what a service may do in one plugin, as configured by
// one element of backend.auth.externalAccess[].accessRestrictions.
type AccessRestriction struct {
	// Plugin is the id of the plugin that may be called.
	Plugin string
	// Permissions lists the permission names that may be used; empty means all.
	Permissions []string
	// Actions lists the values of the permission attribute "action" that may be
	// used; empty means all. A permission without the attribute then is none of them.
	Actions []string
}

// Restricted reports whether there is anything in the plugin that the service may not do.
func (r AccessRestriction) Restricted() bool { return len(r.Permissions) > 0 || len(r.Actions) > 0 }

// Permits reports whether a permission with this name and action attribute (empty
// if it has none) may be used.
func (r AccessRestriction) Permits(name, action string) bool {
	if len(r.Permissions) > 0 && !slices.Contains(r.Permissions, name) {
		return false
	}
	return len(r.Actions) == 0 || action != "" && slices.Contains(r.Actions, action)
}

// AccessRestrictions is the closed list of plugins that a service may call, each
// with what it may do there. A nil pointer restricts nothing.
type AccessRestrictions struct{ byPlugin map[string]AccessRestriction }

// Restrict returns the restrictions made of rs. Of several entries for one plugin
// the last one counts. An empty list lets the service call nothing.
func Restrict(rs ...AccessRestriction) *AccessRestrictions {
	a := &AccessRestrictions{byPlugin: make(map[string]AccessRestriction, len(rs))}
	for _, r := range rs {
		r.Permissions, r.Actions = slices.Clone(r.Permissions), slices.Clone(r.Actions)
		a.byPlugin[r.Plugin] = r
	}
	return a
}

// For returns what the service may do in the plugin, and whether it may call it at all.
func (a *AccessRestrictions) For(plugin string) (AccessRestriction, bool) {
	if a == nil {
		return AccessRestriction{Plugin: plugin}, true
	}
	r, ok := a.byPlugin[plugin]
	return r, ok
}

// Plugins returns the sorted ids of the plugins that may be called; nil if all may.
func (a *AccessRestrictions) Plugins() []string {
	if a == nil {
		return nil
	}
	ids := make([]string, 0, len(a.byPlugin))
	for id := range a.byPlugin {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	return ids
}
