package engine

import (
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/permission"
)

// Use is the action of permissions that have none.
const Use = "use"

const (
	policyCreate   = "policy.entity.create"
	policyEntity   = "policy-entity"
	kubeProxy      = "kubernetes.proxy"
	kubeClusters   = "kubernetes.clusters.read"
	kubeResources  = "kubernetes.resources.read"
	aliasUser      = "$currentUser"
	aliasOwnership = "$ownerRefs"
)

// Decide answers one question about somebody who is signed in. t notes why, unless it is
// nil. The steps are those of contract permission.md, section 4.
func (s *Snapshot) Decide(p permission.Permission, w *Who, t *Trace) permission.Decision {
	if s.superUser(w.User, w.Ownership) {
		if t != nil {
			t.say("%s is one of permission.rbac.admin.superUsers", w.User)
		}
		return permission.Allow
	}
	// Most users have a few roles; the list stays on the stack then.
	var few [16]int32
	roles := s.rolesOf(few[:0], w, t)
	action := p.Action
	if action == "" {
		action = Use
	}
	if len(roles) == 0 && t != nil {
		t.say("%s has no role: rules for users and groups count", w.User)
	}
	byName := s.effectOf(roles, object{p.Name, action})
	resourceType := p.ResourceType
	if p.Name == policyCreate && byName == 0 {
		resourceType = policyEntity
	}
	obj := object{p.Name, action}
	if resourceType != "" {
		if byName == 0 {
			obj.permission = resourceType
		}
		if d, ok := s.conditional(roles, p.Name, action, resourceType, w, t); ok {
			return d
		}
	} else if byName == 0 && s.options.ProxyImpliesRead && (p.Name == kubeClusters || p.Name == kubeResources) && action == permission.Read && !s.namesKubernetesRead(roles, w) {
		if t != nil {
			t.say("no rule names %s: whoever may use %s may read", p.Name, kubeProxy)
		}
		obj = object{kubeProxy, Use}
	}
	return s.enforce(roles, obj, w, t)
}

// SuperUser says whether somebody may do everything.
func (s *Snapshot) SuperUser(u *permission.User) bool { return s.superUser(u.Ref, u.Ownership) }

func (s *Snapshot) superUser(ref string, ownership []string) bool {
	return s.options.SuperUsers[ref] || slices.ContainsFunc(ownership, func(ref string) bool { return s.options.SuperUsers[ref] })
}

// effectOf is what the rules of roles say of an object.
func (s *Snapshot) effectOf(roles []int32, o object) (e effect) {
	for _, r := range roles {
		e |= s.roles[r].effects[o]
	}
	return e
}

// directEffect is what the rules of the user and of its groups say, for users without roles.
func (s *Snapshot) directEffect(o object, w *Who, t *Trace) (e effect) {
	if len(s.subjects) == 0 {
		return 0
	}
	of := func(ref string) {
		if found := s.subjects[ref][o]; found != 0 {
			t.rule(ref, o, found)
			e |= found
		}
	}
	of(strings.ToLower(w.User))
	if w.Cycle == nil {
		for _, g := range w.Groups {
			of(g)
		}
	}
	return e
}

// enforce: one rule that allows, and none that denies.
func (s *Snapshot) enforce(roles []int32, o object, w *Who, t *Trace) permission.Decision {
	var e effect
	if len(roles) == 0 {
		e = s.directEffect(o, w, t)
	} else {
		e = s.effectOf(roles, o)
		if t != nil {
			for _, r := range roles {
				t.rule(s.roles[r].ref, o, s.roles[r].effects[o])
			}
		}
	}
	if e == 0 && t != nil {
		t.say("no rule is about %s, %s", o.permission, o.action)
	}
	if e == allows {
		return permission.Allow
	}
	return permission.Deny
}

// namesKubernetesRead says whether rules or conditions of the user's roles name one of
// the permissions to read: then somebody means to tell them from the proxy.
func (s *Snapshot) namesKubernetesRead(roles []int32, w *Who) bool {
	clusters, resources := object{kubeClusters, permission.Read}, object{kubeResources, permission.Read}
	if len(roles) == 0 {
		return s.directEffect(clusters, w, nil)|s.directEffect(resources, w, nil) != 0
	}
	for _, r := range roles {
		effects := s.roles[r].effects
		if effects[clusters] != 0 || effects[resources] != 0 {
			return true
		}
		for _, list := range s.roles[r].conditions {
			for _, c := range list {
				if slices.ContainsFunc(c.Mapping, func(m Mapping) bool { return m.Name == kubeClusters || m.Name == kubeResources }) {
					return true
				}
			}
		}
	}
	return false
}

// conditional collects the conditions of all roles; false if rules decide.
func (s *Snapshot) conditional(roles []int32, name, action, resourceType string, w *Who, t *Trace) (permission.Decision, bool) {
	if s.options.BasicFirst && s.effectOf(roles, object{name, action})|s.effectOf(roles, object{resourceType, action}) != 0 {
		return permission.Deny, false
	}
	var plugin string
	var collected []permission.Criteria
	for _, r := range roles {
		var found *condition
		for _, c := range s.roles[r].conditions[resourceType] {
			if !c.covers(name, action) {
				continue
			}
			if found != nil {
				if t != nil {
					t.say("conditions %d and %d of %s are both about this: denied", found.ID, c.ID, s.roles[r].ref)
				}
				return permission.Deny, true
			}
			found = c
		}
		if found != nil {
			t.condition(s.roles[r].ref, found.Condition)
			plugin = found.Plugin
			criteria := found.Criteria
			if found.aliases {
				criteria = expand(criteria, w)
			}
			collected = append(collected, criteria)
		}
	}
	if len(collected) == 0 {
		return permission.Deny, false
	}
	return permission.If(plugin, resourceType, permission.AnyOf(collected[0], collected[1:]...)), true
}

func (c *condition) covers(name, action string) bool {
	for _, m := range c.Mapping {
		if m.Action == action && (m.Name == "" || m.Name == name) {
			return true
		}
	}
	return false
}

// hasAliases says whether criteria stand for the user in some place.
func hasAliases(c permission.Criteria) bool {
	isAlias := func(v any) bool { return v == aliasUser || v == aliasOwnership }
	return !c.Rules(func(_, _ string, params map[string]any) bool {
		for _, v := range params {
			if list, ok := v.([]any); ok && slices.ContainsFunc(list, isAlias) || !ok && v == aliasUser {
				return false
			}
		}
		return true
	})
}

// expand puts the user in the place of aliases, in a copy (contract permission.md 5.2).
func expand(c permission.Criteria, w *Who) permission.Criteria {
	return c.Map(func(params map[string]any) map[string]any {
		out := make(map[string]any, len(params))
		for name, v := range params {
			list, isList := v.([]any)
			switch {
			case isList:
				filled := make([]any, 0, len(list)+len(w.Ownership))
				for _, one := range list {
					switch one {
					case aliasUser:
						filled = append(filled, w.User)
					case aliasOwnership:
						for _, ref := range w.Ownership {
							filled = append(filled, ref)
						}
					default:
						filled = append(filled, one)
					}
				}
				out[name] = filled
			case v == aliasUser:
				out[name] = w.User
			default:
				out[name] = v
			}
		}
		return out
	})
}
