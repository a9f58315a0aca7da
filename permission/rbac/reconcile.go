package rbac

import (
	"fmt"
	"slices"
	"time"

	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/policyfile"
)

// desired is all that one source says of its roles.
type desired struct {
	source, author string
	now            time.Time
	rules          []engine.Rule
	members        []engine.Member
	// lone are roles that exist without members.
	lone []string
	// reserved are roles that other sources must leave alone.
	reserved []string
}

// reconcile makes s say what one source says. Roles of other sources stay; what is said
// of them is left out, and returned as warnings.
func reconcile(s *engine.State, d desired) (warnings []string) {
	allowed := func(role string) bool {
		if slices.Contains(d.reserved, role) {
			return false
		}
		r, ok := s.Role(role)
		return !ok || r.Source == d.source || r.Source == engine.SourceLegacy
	}
	var rules []engine.Rule
	for _, r := range d.rules {
		if !allowed(r.Subject) {
			warnings = append(warnings, fmt.Sprintf("p, %s, %s, %s, %s is left out: the role belongs to another source", r.Subject, r.Permission, r.Action, r.Effect))
			continue
		}
		rules = append(rules, r)
	}
	var members []engine.Member
	roles := slices.Clone(d.lone)
	for _, m := range d.members {
		if !allowed(m.Role) {
			warnings = append(warnings, fmt.Sprintf("g, %s, %s is left out: the role belongs to another source", m.Ref, m.Role))
			continue
		}
		members = append(members, m)
		roles = append(roles, m.Role)
	}
	taken := map[string]bool{} // roles of this source from now on
	for _, ref := range roles {
		taken[ref] = true
	}
	s.Rules = merge(s.Rules, rules, engine.Rule.Key, func(r engine.Rule, wanted bool) bool {
		return r.Source == d.source || r.Source == engine.SourceLegacy && (wanted || taken[r.Subject])
	})
	s.Members = merge(s.Members, members, memberKey, func(m engine.Member, _ bool) bool {
		return m.Source == d.source || m.Source == engine.SourceLegacy && taken[m.Role]
	})
	d.keepRoles(s, roles, taken)
	return warnings
}

func memberKey(m engine.Member) [2]string { return [2]string{m.Ref, m.Role} }

// merge drops of have what is ours and not wanted, takes over what is ours and wanted, and
// appends what is new.
func merge[T any, K comparable](have, want []T, key func(T) K, ours func(have T, wanted bool) bool) []T {
	wanted, known := make(map[K]T, len(want)), make(map[K]bool, len(have))
	for _, w := range want {
		wanted[key(w)] = w
	}
	var out []T
	for _, h := range have {
		w, ok := wanted[key(h)]
		if ours(h, ok) {
			if !ok {
				continue
			}
			h = w
		}
		known[key(h)] = true
		out = append(out, h)
	}
	for _, w := range want {
		if !known[key(w)] {
			known[key(w)] = true
			out = append(out, w)
		}
	}
	return out
}

// keepRoles adds roles that are new, adopts those without a known source, and drops those
// that are no more, with their conditions.
func (d *desired) keepRoles(s *engine.State, roles []string, taken map[string]bool) {
	for _, ref := range roles {
		if r, ok := s.Role(ref); !ok {
			s.Roles = append(s.Roles, engine.Role{Ref: ref, Source: d.source, Author: d.author, ModifiedBy: d.author, Created: d.now, Modified: d.now})
		} else if r.Source == engine.SourceLegacy {
			r.Source, r.ModifiedBy, r.Modified = d.source, d.author, d.now
		}
	}
	gone := map[string]bool{}
	s.Roles = slices.DeleteFunc(s.Roles, func(r engine.Role) bool {
		if r.Source == d.source && !taken[r.Ref] {
			gone[r.Ref] = true
		}
		return gone[r.Ref]
	})
	s.Conditions = slices.DeleteFunc(s.Conditions, func(c engine.Condition) bool { return gone[c.Role] })
}

// The authors of roles that no person has written.
const (
	authorCSV           = "csv permission policy file"
	authorConfiguration = "application configuration"
)

// fromConfiguration is the role of administrators, and the default role.
func (c *Config) fromConfiguration(now time.Time) desired {
	rule := func(permission, action string) engine.Rule {
		return engine.Rule{Subject: engine.Admin, Permission: permission, Action: action, Effect: "allow", Source: engine.SourceConfiguration}
	}
	d := desired{source: engine.SourceConfiguration, author: authorConfiguration, now: now, members: c.admins(), lone: []string{engine.Admin}}
	if c.DefaultPermissions.DefaultRole != "" {
		d.lone = append(d.lone, c.DefaultPermissions.DefaultRole)
	}
	d.rules = append(c.defaultRules(), rule("policy-entity", "read"), rule("policy.entity.create", "create"),
		rule("policy-entity", "delete"), rule("policy-entity", "update"), rule("catalog-entity", "read"))
	return d
}

// adminDescription is what the API says of the role of administrators.
const adminDescription = "The administrators that permission.rbac.admin.users names: they may edit roles, and read the catalog"

// reconcileConfiguration makes s say what the configuration says. A role that had been
// another source's becomes the configuration's.
func (c *Config) reconcileConfiguration(s *engine.State, now time.Time) {
	d := c.fromConfiguration(now)
	for _, ref := range d.lone {
		if r, ok := s.Role(ref); ok && r.Source != d.source {
			r.Source = engine.SourceLegacy
			for i := range s.Rules {
				if s.Rules[i].Subject == ref {
					s.Rules[i].Source = engine.SourceLegacy
				}
			}
			for i := range s.Members {
				if s.Members[i].Role == ref {
					s.Members[i].Source = engine.SourceLegacy
				}
			}
		}
	}
	reconcile(s, d)
	if r, ok := s.Role(engine.Admin); ok && r.Description == nil {
		text := adminDescription
		r.Description = &text
	}
}

// reserved are the roles of the configuration.
func (c *Config) reserved() []string {
	out := []string{engine.Admin}
	if c.DefaultPermissions.DefaultRole != "" {
		out = append(out, c.DefaultPermissions.DefaultRole)
	}
	return out
}

// reconcileCSV makes s say what a policy file says; nil is a file that is not configured.
func (c *Config) reconcileCSV(s *engine.State, p *policyfile.Policy, now time.Time) (warnings []string) {
	d := desired{source: engine.SourceCSV, author: authorCSV, now: now, reserved: c.reserved()}
	if p != nil {
		d.rules, d.members = p.Rules, p.Members
	}
	return reconcile(s, d)
}

// reconcileConditions makes the conditions of roles of one source be those of list.
// Conditions of other roles stay, and those in list are left out with a warning. One that
// is about the same keeps its id. The default role may have conditions of the file.
func (c *Config) reconcileConditions(s *engine.State, source string, list []engine.Condition) (warnings []string) {
	ours := func(role string) bool {
		r, ok := s.Role(role)
		return ok && (r.Source == source || source == engine.SourceCSV && role == c.DefaultPermissions.DefaultRole)
	}
	var want []engine.Condition
	for _, one := range list {
		if !ours(one.Role) {
			warnings = append(warnings, fmt.Sprintf("a condition for %s is left out: it is not a role of source %s", one.Role, source))
			continue
		}
		want = append(want, one)
	}
	used := make([]bool, len(want))
	s.Conditions = slices.DeleteFunc(s.Conditions, func(have engine.Condition) bool {
		return ours(have.Role) && !slices.ContainsFunc(want, func(w engine.Condition) bool { return policyfile.Overlap(have, w) != "" })
	})
	var kept []engine.Condition
	for _, have := range s.Conditions {
		if !ours(have.Role) {
			kept = append(kept, have)
			continue
		}
		for i, w := range want {
			if !used[i] && policyfile.Overlap(have, w) != "" {
				used[i] = true
				w.ID = have.ID
				kept = append(kept, w)
				break
			}
		}
	}
	for i, w := range want {
		if !used[i] {
			kept = append(kept, w)
		}
	}
	s.Conditions = kept
	return warnings
}
