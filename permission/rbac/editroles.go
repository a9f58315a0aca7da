package rbac

import (
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
)

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
		forget(s, want.Name)
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
		forget(s, name)
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
