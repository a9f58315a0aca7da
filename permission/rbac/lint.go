package rbac

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
)

// lint returns what is probably a mistake in a state (contract permission.md, section 8).
// permissions are all there are; nil if that is not known.
func lint(s *engine.State, permissions []permission.Permission) (out []finding) {
	find := func(key any, format string, args ...any) {
		out = append(out, finding{key, fmt.Sprintf(format, args...)})
	}
	members := map[string]bool{}
	for _, m := range s.Members {
		members[m.Role] = true
	}
	lonely := map[string]bool{}
	for _, r := range s.Rules {
		if strings.HasPrefix(r.Subject, "role:") && !members[r.Subject] && r.Source != engine.SourceConfiguration && !lonely[r.Subject] {
			lonely[r.Subject] = true
			find(r.Key(), "%s has rules and no members: they have no effect", r.Subject)
		}
		if permissions != nil {
			if text := unknown(r, permissions); text != "" {
				find(r.Key(), "%s", text)
			}
		}
	}
	for _, p := range permissions {
		if p.ResourceType != "" {
			out = append(out, shadowed(s, p)...)
		}
	}
	return out
}

// unknownGroups finds members that are no groups of the catalog.
func unknownGroups(s *engine.State, known func(group string) bool) (out []finding) {
	for _, m := range s.Members {
		if strings.HasPrefix(m.Ref, "group:") && !known(m.Ref) {
			out = append(out, finding{memberKey(m), fmt.Sprintf("%s has the member %s, which is no group of the catalog", m.Role, m.Ref)})
		}
	}
	return out
}

// A finding is about a rule or a member, by its key.
type finding struct {
	key  any
	text string
}

// unknown says what a rule is about that nothing asks for.
func unknown(r engine.Rule, permissions []permission.Permission) string {
	var actions []string
	for _, p := range permissions {
		if p.Name == r.Permission || p.ResourceType == r.Permission {
			action := p.Action
			if action == "" {
				action = engine.Use
			}
			actions = append(actions, action)
		}
	}
	switch {
	case actions == nil:
		return fmt.Sprintf("no plugin has a permission or a type of resources %s", r.Permission)
	case !slices.Contains(actions, r.Action):
		slices.Sort(actions)
		return fmt.Sprintf("%s is asked for with the action %s, never with %s", r.Permission, strings.Join(slices.Compact(actions), " or "), r.Action)
	}
	return ""
}

// shadowed finds rules that name a permission, and so hide from whoever has their role
// those that deny its type of resources.
func shadowed(s *engine.State, p permission.Permission) (out []finding) {
	action := p.Action
	if action == "" {
		action = engine.Use
	}
	var named, denied []engine.Rule
	for _, r := range s.Rules {
		switch {
		case r.Action != action:
		case r.Permission == p.Name:
			named = append(named, r)
		case r.Permission == p.ResourceType && r.Effect == "deny":
			denied = append(denied, r)
		}
	}
	for _, n := range named {
		for _, d := range denied {
			out = append(out, finding{n.Key(), fmt.Sprintf("whoever has %s is not denied %s by the rule of %s about %s: rules that name a permission hide those about its type of resources", n.Subject, p.Name, d.Subject, p.ResourceType)})
		}
	}
	return out
}

const (
	lintPatience = 30 * time.Second // until plugins have started
	lintWait     = 2 * time.Second
)

// warnOfMistakes looks once after the start, when plugins can be asked.
func warnOfMistakes(ctx context.Context, p params, l *live) {
	system, err := p.System.Plugins()
	if err != nil {
		return // Discovery says so where it matters
	}
	catalog := asPlugin(p.Clients, p.Auth)
	ask := &plugins{own: p.Framework, clients: p.Clients, auth: p.Auth, live: l, log: p.Log}
	var permissions []permission.Permission
	for _, one := range system {
		if m, err := ask.metadata(ctx, string(one.ID)); err == nil { // most plugins have none
			permissions = append(permissions, m.Permissions...)
		}
	}
	warn := func(list []finding) {
		for _, f := range list {
			p.Log.WarnContext(ctx, "in the policy: "+f.text)
		}
	}
	warn(lint(l.state(), permissions))
	for _, c := range l.state().Conditions {
		if err := ask.checkCondition(ctx, c); err != nil {
			p.Log.WarnContext(ctx, "in the policy: a condition denies what it is about, because it is wrong", "role", c.Role, "id", c.ID, "error", err)
		}
	}
	// A catalog that has just been started may not have groups yet.
	for end := time.Now().Add(lintPatience); ctx.Err() == nil && time.Now().Before(end); {
		parents, err := catalog.groups(ctx)
		if err == nil && len(parents) > 0 {
			warn(unknownGroups(l.state(), engine.NewGroups(parents).Known))
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(lintWait):
		}
	}
}
