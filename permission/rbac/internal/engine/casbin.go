package engine

import (
	"fmt"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"
)

// Model is the casbin model of rules and members (contract permission.md 7.3). Programs
// elsewhere can load a policy file with it.
const Model = `
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, eft
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act
`

// Casbin loads a state into casbin, which refuses what is no policy. It is far too slow to
// decide with, and is what tests hold decisions against.
func Casbin(s *State) (*casbin.Enforcer, error) {
	m, err := model.NewModelFromString(Model)
	if err != nil {
		return nil, err
	}
	for _, r := range s.Rules {
		if err := m.AddPolicy("p", "p", []string{r.Subject, r.Permission, r.Action, r.Effect}); err != nil {
			return nil, fmt.Errorf("p, %s, %s, %s, %s: %w", r.Subject, r.Permission, r.Action, r.Effect, err)
		}
	}
	for _, g := range s.Members {
		if err := m.AddPolicy("g", "g", []string{g.Ref, g.Role}); err != nil {
			return nil, fmt.Errorf("g, %s, %s: %w", g.Ref, g.Role, err)
		}
	}
	e, err := casbin.NewEnforcer(m)
	if err != nil {
		return nil, err
	}
	return e, e.BuildRoleLinks()
}
