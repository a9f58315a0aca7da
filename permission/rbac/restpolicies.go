package rbac

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
)

func (a *rest) policies(c *call) error {
	q := c.r.URL.Query()
	filtered := q.Has("entityRef") || q.Has("permission") || q.Has("policy") || q.Has("effect")
	c.reads("policy-read", map[bool]string{true: "by-query", false: "all"}[filtered])
	s := a.live.state()
	matches := func(r engine.Rule) bool {
		for param, value := range map[string]string{"entityRef": r.Subject, "permission": r.Permission, "policy": r.Action, "effect": r.Effect} {
			if q.Has(param) && q.Get(param) != value {
				return false
			}
		}
		return !filtered || q.Get("entityRef") != ""
	}
	var list []engine.Rule
	for _, r := range s.Rules {
		if matches(r) && c.showRule(s, r) {
			list = append(list, r)
		}
	}
	return c.json(http.StatusOK, wireRules(list))
}

func (a *rest) policiesOf(c *call) error {
	c.reads("policy-read", "by-role")
	ref, err := c.ref("role", "user", "group")
	if err != nil {
		return err
	}
	s := a.live.state()
	list := slices.DeleteFunc(s.RulesOf(ref), func(r engine.Rule) bool { return !c.showRule(s, r) })
	if len(list) == 0 {
		return apierr.NotFound.New("")
	}
	return c.json(http.StatusOK, wireRules(list))
}

// showRule says whether the caller may see rules of a subject.
func (c *call) showRule(s *engine.State, r engine.Rule) bool {
	role, ok := s.Role(r.Subject)
	if !ok {
		role = &engine.Role{Ref: r.Subject}
	}
	return c.visible(*role)
}

func wireRules(list []engine.Rule) []wireRule {
	out := make([]wireRule, len(list))
	for i, r := range list {
		out[i] = wireRule{r.Subject, r.Permission, r.Action, r.Effect, &wireRuleSource{r.Source}}
	}
	return out
}

// rules reads an array of rules, and checks them.
func (c *call) rules(raw json.RawMessage, name, subject string) ([]engine.Rule, error) {
	var list []wireRule
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return nil, apierr.Input.New("%s must be present", name)
	case raw[0] != '[':
		return nil, apierr.Input.New("%s must be provided as an array", name)
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, apierr.Input.New("%s must be an array of objects with permission, policy and effect", name)
	}
	if len(list) == 0 {
		return nil, apierr.Input.New("%s must be present", name)
	}
	return checkRules(list, subject)
}

func (a *rest) createPolicies(c *call) error {
	c.writes("policy-write", "create")
	var raw json.RawMessage
	if err := c.decode(&raw); err != nil {
		return err
	}
	list, err := c.rules(raw, "permission policy", "")
	if err != nil {
		return err
	}
	c.meta["policies"] = wireRules(list)
	if _, err := c.change(func(e editor, s *engine.State) error {
		for _, r := range list {
			if err := c.mayTouch(s, r.Subject); err != nil {
				return err
			}
		}
		return e.createRules(s, list)
	}); err != nil {
		return err
	}
	return c.empty(http.StatusCreated)
}

func (a *rest) updatePolicies(c *call) error {
	c.writes("policy-write", "update")
	ref, err := c.ref("role", "user", "group")
	if err != nil {
		return err
	}
	var body struct{ OldPolicy, NewPolicy json.RawMessage }
	if err := c.decode(&body); err != nil {
		return err
	}
	old, err := c.rules(body.OldPolicy, "'oldPolicy' object", ref)
	if err != nil {
		return err
	}
	want, err := c.rules(body.NewPolicy, "'newPolicy' object", ref)
	if err != nil {
		return err
	}
	if len(old) > len(want) {
		return apierr.Input.New("'oldPolicy' has more policies than 'newPolicy'")
	}
	c.meta["policies"] = wireRules(want)
	changed := false
	if _, err := c.change(func(e editor, s *engine.State) (err error) {
		if err := c.mayTouch(s, ref); err != nil {
			return err
		}
		changed, err = e.updateRules(s, old, want)
		return err
	}); err != nil {
		return err
	}
	return c.empty(map[bool]int{true: http.StatusOK, false: http.StatusNoContent}[changed])
}

func (a *rest) deletePolicies(c *call) error {
	c.writes("policy-write", "delete")
	ref, err := c.ref("role", "user", "group")
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := httpx.DecodeJSON(c.r, &raw, httpx.SyntaxErrors(), httpx.OptionalBody()); err != nil {
		return err
	}
	list, err := c.rules(raw, "permission policy", ref)
	if err != nil {
		return err
	}
	c.meta["policies"] = wireRules(list)
	if _, err := c.change(func(e editor, s *engine.State) error {
		if err := c.mayTouch(s, ref); err != nil {
			return err
		}
		return e.deleteRules(s, list, "delete")
	}); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}
