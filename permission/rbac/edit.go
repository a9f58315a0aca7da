package rbac

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/policyfile"
)

// The functions here change a State as the REST API wants it, or say why not. They run
// within a transaction, and see all that is stored.

// An editor is who changes roles by the API.
type editor struct {
	user string
	now  time.Time
}

// wireRole is a role as the API has it.
type wireRole struct {
	MemberReferences []string      `json:"memberReferences"`
	Name             string        `json:"name"`
	Metadata         *wireMetadata `json:"metadata,omitempty"`
}

type wireMetadata struct {
	Source       string  `json:"source"`
	Description  *string `json:"description"`
	Owner        *string `json:"owner"`
	Author       string  `json:"author"`
	ModifiedBy   string  `json:"modifiedBy"`
	CreatedAt    string  `json:"createdAt"`
	LastModified string  `json:"lastModified"`
	IsDefault    bool    `json:"isDefault"`
}

// check checks a role, and lower-cases its members.
func (r *wireRole) check() error {
	bad := func(format string, args ...any) error {
		return apierr.Input.New("invalid role definition: "+format, args...)
	}
	if err := engine.CheckRef(r.Name, "role"); err != nil {
		return bad("%v", err)
	}
	if len(r.MemberReferences) == 0 {
		return bad("'memberReferences' field must not be empty")
	}
	for i, m := range r.MemberReferences {
		r.MemberReferences[i] = strings.ToLower(m)
		if err := engine.CheckRef(r.MemberReferences[i], "user", "group"); err != nil {
			return bad("%v", err)
		}
	}
	if m := r.Metadata; m != nil {
		for _, text := range []*string{m.Description, m.Owner} {
			if text != nil && !db.IsText(*text) {
				return bad("a text must be UTF-8 without NUL")
			}
		}
		if m.Source != "" && m.Source != engine.SourceREST {
			return bad("'source' cannot be chosen: it is %s", engine.SourceREST)
		}
	}
	return nil
}

// foreign refuses to change what belongs to a role of another source.
func foreign(r *engine.Role, doing string) error {
	if r.Source == engine.SourceREST || r.Source == engine.SourceLegacy {
		return nil
	}
	return apierr.NotAllowed.New("unable to %s: source does not match originating role %s, consider making changes to the '%s'", doing, r.Ref, strings.ToUpper(r.Source))
}

func (e editor) touch(r *engine.Role) {
	r.ModifiedBy, r.Modified = e.user, e.now
	if r.Source == engine.SourceLegacy {
		r.Source = engine.SourceREST
	}
}

// occupied refuses a name that is not that of a role, and has rules or members already, such
// as those that a policy file says of a role without members: who has the new role would
// get them.
func occupied(s *engine.State, name, doing string) error {
	for _, r := range s.Rules {
		if r.Subject == name && r.Source != engine.SourceREST && r.Source != engine.SourceLegacy {
			return apierr.NotAllowed.New("unable to %s: there are rules for %s of source '%s', consider making changes there", doing, name, strings.ToUpper(r.Source))
		}
	}
	return nil
}

func (e editor) createRole(s *engine.State, want wireRole) error {
	r, exists := s.Role(want.Name)
	if exists {
		if err := foreign(r, "add role"); err != nil {
			return err
		}
	} else if err := occupied(s, want.Name, "add role"); err != nil {
		return err
	}
	if err := addMembers(s, want.Name, want.MemberReferences); err != nil {
		return err
	}
	if exists {
		e.touch(r)
	} else {
		s.Roles = append(s.Roles, engine.Role{Ref: want.Name, Source: engine.SourceREST, Author: e.user, ModifiedBy: e.user, Created: e.now, Modified: e.now, Owner: &e.user})
		r = &s.Roles[len(s.Roles)-1]
	}
	if m := want.Metadata; m != nil {
		if m.Description != nil {
			r.Description = m.Description
		}
		if m.Owner != nil {
			r.Owner = m.Owner
		}
	}
	return nil
}

func addMembers(s *engine.State, role string, refs []string) error {
	have := s.MembersOf(role)
	for _, ref := range refs {
		if slices.Contains(have, ref) {
			return apierr.Conflict.New("%s is a member of %s already, or is named twice", ref, role)
		}
		have = append(have, ref)
		s.Members = append(s.Members, engine.Member{Ref: ref, Role: role, Source: engine.SourceREST})
	}
	return nil
}

// updateRole says whether anything was to be changed.
func (e editor) updateRole(s *engine.State, name string, old []string, want wireRole) (changed bool, err error) {
	r, ok := s.Role(name)
	if !ok {
		return false, apierr.NotFound.New("unable to find metadata for %s", name)
	}
	if err := foreign(r, "edit role"); err != nil {
		return false, err
	}
	have := s.MembersOf(name)
	for _, ref := range want.MemberReferences {
		if want.Name == name && slices.Contains(have, ref) && !slices.Contains(old, ref) {
			return false, apierr.Conflict.New("%s is a member of %s already", ref, name)
		}
	}
	for _, ref := range old {
		if !slices.Contains(have, ref) {
			return false, apierr.NotFound.New("role member '%s' was not found", ref)
		}
	}
	if twice := repeated(want.MemberReferences); twice != "" {
		return false, apierr.Conflict.New("%s is named twice", twice)
	}
	if _, taken := s.Role(want.Name); taken && want.Name != name {
		return false, apierr.Conflict.New("there is a role %s already", want.Name)
	}
	if want.Name != name {
		if err := occupied(s, want.Name, "rename role"); err != nil {
			return false, err
		}
		if len(s.MembersOf(want.Name))+len(s.RulesOf(want.Name)) > 0 {
			return false, apierr.Conflict.New("there are members or rules of %s already", want.Name)
		}
	}
	var next []string
	for _, ref := range have {
		if !slices.Contains(old, ref) || slices.Contains(want.MemberReferences, ref) {
			next = append(next, ref)
		}
	}
	for _, ref := range want.MemberReferences {
		if !slices.Contains(next, ref) {
			next = append(next, ref)
		}
	}
	description, owner := r.Description, ""
	if r.Owner != nil && want.Metadata == nil {
		owner = *r.Owner
	}
	if want.Metadata != nil {
		description = want.Metadata.Description
		if want.Metadata.Owner != nil {
			owner = *want.Metadata.Owner
		}
	}
	sameText := func(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }
	if want.Name == name && slices.Equal(have, next) && sameText(description, r.Description) && (want.Metadata == nil || want.Metadata.Owner == nil || sameText(&owner, r.Owner)) {
		return false, nil
	}
	e.touch(r)
	r.Description, r.Owner = description, &owner
	if want.Name != name {
		r.Ref, r.Former = want.Name, name
	}
	s.Members = slices.DeleteFunc(s.Members, func(m engine.Member) bool { return m.Role == name })
	for _, ref := range next {
		s.Members = append(s.Members, engine.Member{Ref: ref, Role: want.Name, Source: engine.SourceREST})
	}
	for i := range s.Rules {
		if s.Rules[i].Subject == name {
			s.Rules[i].Subject = want.Name
		}
	}
	for i := range s.Conditions {
		if s.Conditions[i].Role == name {
			s.Conditions[i].Role = want.Name
		}
	}
	return true, nil
}

func repeated(list []string) string {
	for i, one := range list {
		if slices.Contains(list[:i], one) {
			return one
		}
	}
	return ""
}

// deleteRole removes some members, or all. A role without members is gone, with its rules
// and conditions: one that is made again under the same name begins with nothing.
func (e editor) deleteRole(s *engine.State, name string, refs []string) error {
	r, ok := s.Role(name)
	if !ok {
		return apierr.NotAllowed.New("")
	}
	if err := foreign(r, "delete role"); err != nil {
		return err
	}
	have := s.MembersOf(name)
	for _, ref := range refs {
		if !slices.Contains(have, ref) {
			return apierr.NotFound.New("role member '%s' was not found", ref)
		}
	}
	if len(refs) == 0 {
		refs = have
	}
	s.Members = slices.DeleteFunc(s.Members, func(m engine.Member) bool { return m.Role == name && slices.Contains(refs, m.Ref) })
	if len(s.MembersOf(name)) > 0 {
		e.touch(r)
		return nil
	}
	s.Roles = slices.DeleteFunc(s.Roles, func(r engine.Role) bool { return r.Ref == name })
	s.Rules = slices.DeleteFunc(s.Rules, func(r engine.Rule) bool { return r.Subject == name })
	s.Conditions = slices.DeleteFunc(s.Conditions, func(c engine.Condition) bool { return c.Role == name })
	return nil
}

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
		// The stock user interface renames a role, which moves its rules, and then deletes
		// them by the old name, to create them by the new one (TestTheStockInterfaceOfRoles).
		if _, there := s.Role(r.Subject); !there {
			if now, ok := s.Renamed(r.Subject); ok {
				r.Subject = now.Ref
			}
		}
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

// wireCondition is a condition as the API has it.
type wireCondition struct {
	ID                int64  `json:"id"`
	Result            string `json:"result"`
	PluginID          string `json:"pluginId"`
	ResourceType      string `json:"resourceType"`
	Conditions        any    `json:"conditions"`
	RoleEntityRef     string `json:"roleEntityRef"`
	PermissionMapping []any  `json:"permissionMapping"`
}

func conditionOnWire(c engine.Condition) wireCondition {
	w := wireCondition{ID: c.ID, Result: "CONDITIONAL", PluginID: c.Plugin, ResourceType: c.ResourceType, Conditions: c.Criteria, RoleEntityRef: c.Role}
	for _, m := range c.Mapping {
		if m.Name == "" {
			w.PermissionMapping = append(w.PermissionMapping, m.Action)
		} else {
			w.PermissionMapping = append(w.PermissionMapping, map[string]string{"name": m.Name, "action": m.Action})
		}
	}
	return w
}

// putCondition creates a condition, or replaces the one with its id.
func (e editor) putCondition(s *engine.State, c engine.Condition) error {
	doing, verb := "create", "add condition"
	at := -1
	if c.ID != 0 {
		doing, verb = "update", "edit condition"
		if at = slices.IndexFunc(s.Conditions, func(o engine.Condition) bool { return o.ID == c.ID }); at < 0 {
			return apierr.NotFound.New("condition with id %d was not found", c.ID)
		}
		if was, ok := s.Role(s.Conditions[at].Role); ok {
			if err := foreign(was, verb); err != nil {
				return err
			}
		}
	}
	role, ok := s.Role(c.Role)
	if !ok {
		return apierr.NotFound.New("corresponding role %s was not found", c.Role)
	}
	if err := foreign(role, verb); err != nil {
		return err
	}
	for _, o := range s.Conditions {
		if what := policyfile.Overlap(o, c); what != "" && o.ID != c.ID {
			return apierr.Conflict.New("cannot %s condition: permission mapping overlaps with existing condition (id: %d) for resource type '%s'. Overlapping entries: %s.", doing, o.ID, c.ResourceType, what)
		}
	}
	e.touch(role)
	if at < 0 {
		s.Conditions = append(s.Conditions, c)
	} else {
		s.Conditions[at] = c
	}
	return nil
}

func (e editor) deleteCondition(s *engine.State, id int64) error {
	at := slices.IndexFunc(s.Conditions, func(o engine.Condition) bool { return o.ID == id })
	if at < 0 {
		return apierr.NotFound.New("condition with id %d was not found", id)
	}
	if role, ok := s.Role(s.Conditions[at].Role); ok {
		if err := foreign(role, "delete condition"); err != nil {
			return err
		}
		e.touch(role)
	}
	s.Conditions = slices.Delete(s.Conditions, at, at+1)
	return nil
}
