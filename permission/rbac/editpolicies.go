package rbac

import (
	"fmt"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
)

// wireRule is a rule as the API has it.
type wireRule struct {
	EntityReference string          `json:"entityReference,omitempty"`
	Permission      string          `json:"permission"`
	Policy          string          `json:"policy"`
	Effect          string          `json:"effect"`
	Metadata        *wireRuleSource `json:"metadata,omitempty"`
}

type wireRuleSource struct {
	Source string `json:"source"`
}

func (w wireRule) rule() engine.Rule {
	r := engine.Rule{Subject: w.EntityReference, Permission: w.Permission, Action: w.Policy, Effect: w.Effect, Source: engine.SourceREST}
	if r.Permission == "policy-entity" && r.Action == "create" {
		r.Permission = "policy.entity.create" // which is not about a resource
	}
	return r
}

// checkRules turns rules of a body into those of a subject; the subject is empty where
// each rule names its own.
func checkRules(list []wireRule, subject string) ([]engine.Rule, error) {
	out := make([]engine.Rule, len(list))
	for i, w := range list {
		if subject != "" {
			w.EntityReference = subject
		}
		out[i] = w.rule()
		if err := engine.CheckRule(out[i]); err != nil {
			return nil, apierr.Input.New("invalid policy definition: %v", err)
		}
	}
	return out, nil
}

// roleOfRule is the role that a rule belongs to, if the API may change it.
func roleOfRule(s *engine.State, r engine.Rule, doing string) (*engine.Role, error) {
	if !strings.HasPrefix(r.Subject, "role:") {
		return nil, apierr.NotAllowed.New("")
	}
	role, ok := s.Role(r.Subject)
	if !ok {
		return nil, apierr.NotFound.New("corresponding role %s was not found", r.Subject)
	}
	return role, foreign(role, fmt.Sprintf("%s policy %s,%s,%s,%s", doing, r.Subject, r.Permission, r.Action, r.Effect))
}

func ruleText(r engine.Rule) string {
	return fmt.Sprintf("'[%s, %s, %s, %s]'", r.Subject, r.Permission, r.Action, r.Effect)
}

func (e editor) createRules(s *engine.State, list []engine.Rule) error {
	for _, r := range list {
		role, err := roleOfRule(s, r, "add")
		if err != nil {
			return err
		}
		if slices.ContainsFunc(s.Rules, func(o engine.Rule) bool { return o.Key() == r.Key() }) {
			return apierr.Conflict.New("policy %s has been already stored, or stands there twice", ruleText(r))
		}
		e.touch(role)
		s.Rules = append(s.Rules, r)
	}
	return nil
}

func (e editor) deleteRules(s *engine.State, list []engine.Rule, doing string) error {
	for _, r := range list {
		r.Subject = e.nowCalled(s, r.Subject)
		role, err := roleOfRule(s, r, doing)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(s.Rules, func(o engine.Rule) bool { return o.Key() == r.Key() })
		if i < 0 {
			return apierr.NotFound.New("policy %s not found", ruleText(r))
		}
		e.touch(role)
		s.Rules = slices.Delete(s.Rules, i, i+1)
	}
	return nil
}

// updateRules says whether anything was to be changed.
func (e editor) updateRules(s *engine.State, old, want []engine.Rule) (changed bool, err error) {
	keys := func(list []engine.Rule) (out []string) {
		for _, r := range list {
			out = append(out, ruleText(r))
		}
		slices.Sort(out)
		return out
	}
	if slices.Equal(keys(old), keys(want)) {
		for _, r := range old {
			if !slices.ContainsFunc(s.Rules, func(o engine.Rule) bool { return o.Key() == r.Key() }) {
				return false, apierr.NotFound.New("policy %s not found", ruleText(r))
			}
		}
		return false, nil
	}
	// A rule that stays is in both lists.
	stays := func(list []engine.Rule) func(engine.Rule) bool {
		return func(r engine.Rule) bool {
			return slices.ContainsFunc(list, func(o engine.Rule) bool { return o.Key() == r.Key() })
		}
	}
	gone, added := slices.DeleteFunc(slices.Clone(old), stays(want)), slices.DeleteFunc(slices.Clone(want), stays(old))
	if err := e.deleteRules(s, gone, "edit"); err != nil {
		return false, err
	}
	return true, e.createRules(s, added)
}
