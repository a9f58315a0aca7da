package permission

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/callboard-dev/callboard/backend"
)

// Extensions is what one plugin has registered of permissions. A plugin that has Use
// among its options takes a *Extensions and adds to it, and so do its modules. In the
// plugin permission it also takes the policy.
//
// What is added twice is a boot error. Nothing can be added after the start; that panics.
// The zero value is ready to use, as tests do. All methods are safe for concurrent use.
type Extensions struct {
	mu        sync.RWMutex
	sealed    bool
	problems  []error
	list      []Permission
	resources []ResourceType
	extra     []pendingRule
	policy    Policy
	policies  int
}

type pendingRule struct {
	info RuleInfo
	rule any
}

// SetPolicy sets the policy of the system. It is called by modules of the plugin
// permission, and there is exactly one policy.
func (x *Extensions) SetPolicy(p Policy) {
	defer x.adding()()
	x.policy = p
	x.policies++
}

// AddPermissions adds permissions of the plugin. Those of resources come with
// AddResource.
func (x *Extensions) AddPermissions(list ...Permission) {
	defer x.adding()()
	x.addPermissions(list)
}

func (x *Extensions) addPermissions(list []Permission) {
	for _, p := range list {
		switch {
		case p.Name == "":
			x.problems = append(x.problems, backend.Fix("a permission has no name", "name it <plugin>.<thing>.<action>"))
		case p.Action != "" && !validAction(p.Action):
			x.problems = append(x.problems, fmt.Errorf("permission %s: action must be create, read, update, delete or empty, not %q", p.Name, p.Action))
		case slices.ContainsFunc(x.list, func(q Permission) bool { return q.Name == p.Name }):
			x.problems = append(x.problems, fmt.Errorf("permission %s is registered twice", p.Name))
		default:
			x.list = append(x.list, p)
		}
	}
}

// AddResource adds a type of resources, with its permissions and rules. R is what Load
// returns and rules are about.
func AddResource[R any](x *Extensions, r Resource[R]) {
	defer x.adding()()
	if slices.ContainsFunc(x.resources, func(o ResourceType) bool { return o.name() == r.Type }) {
		x.problems = append(x.problems, fmt.Errorf("resource type %s is registered twice", r.Type))
		return
	}
	for i, p := range r.Permissions {
		if p.ResourceType == "" {
			r.Permissions = slices.Clone(r.Permissions)
			r.Permissions[i].ResourceType = r.Type
		} else if p.ResourceType != r.Type {
			x.problems = append(x.problems, fmt.Errorf("permission %s is about %s, and registered with %s", p.Name, p.ResourceType, r.Type))
		}
	}
	x.addPermissions(r.Permissions)
	r.Rules = slices.Clone(r.Rules)
	x.resources = append(x.resources, &resourceType[R]{r})
}

// AddRules adds rules to a type of resources that the plugin registers with AddResource,
// before or after. R must be the same type.
func AddRules[R any](x *Extensions, rules ...AnyRule[R]) {
	defer x.adding()()
	for _, r := range rules {
		x.extra = append(x.extra, pendingRule{r.describe(), r})
	}
}

// adding guards a change.
func (x *Extensions) adding() (done func()) {
	x.mu.Lock()
	if x.sealed {
		x.mu.Unlock()
		panic("permissions are registered before the start of the plugin, not after it")
	}
	return x.mu.Unlock
}

// seal ends registration, and returns what is wrong with it.
func (x *Extensions) seal(plugin backend.PluginID) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.sealed {
		return nil
	}
	x.sealed = true
	errs := x.problems
	for _, e := range x.extra {
		i := slices.IndexFunc(x.resources, func(r ResourceType) bool { return r.name() == e.info.ResourceType })
		if i < 0 {
			errs = append(errs, fmt.Errorf("rule %s is for resources of type %q, which plugin %s does not have", e.info.Name, e.info.ResourceType, plugin))
		} else if err := x.resources[i].add(e.rule); err != nil {
			errs = append(errs, err)
		}
	}
	for _, r := range x.resources {
		seen := map[string]bool{}
		for _, info := range r.rules() {
			if info.ResourceType != r.name() {
				errs = append(errs, fmt.Errorf("rule %s is about %s, and registered with %s", info.Name, info.ResourceType, r.name()))
			}
			if seen[info.Name] {
				errs = append(errs, fmt.Errorf("rule %s of %s is registered twice", info.Name, r.name()))
			}
			seen[info.Name] = true
		}
		if err := r.unlisted(); err != nil {
			errs = append(errs, err)
		}
	}
	if x.policies > 0 && plugin != pluginID {
		errs = append(errs, backend.Fix(fmt.Sprintf("a policy is set in plugin %s", plugin), `set it in a module of plugin "permission": backend.NewModule("permission", ...)`))
	}
	return errors.Join(errs...)
}

func (x *Extensions) resource(name string) (ResourceType, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, r := range x.resources {
		if r.name() == name {
			return r, true
		}
	}
	return nil, false
}

// permission finds one by name.
func (x *Extensions) permission(name string) (Permission, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, p := range x.list {
		if p.Name == name {
			return p, true
		}
	}
	return Permission{}, false
}

// Metadata is what a plugin tells of its permissions.
type Metadata struct {
	Permissions []Permission `json:"permissions"`
	Rules       []RuleInfo   `json:"rules"`
}

// Metadata returns what has been registered.
func (x *Extensions) Metadata() Metadata {
	x.mu.RLock()
	defer x.mu.RUnlock()
	m := Metadata{Permissions: append([]Permission{}, x.list...), Rules: []RuleInfo{}}
	for _, r := range x.resources {
		m.Rules = append(m.Rules, r.rules()...)
	}
	return m
}
