package engine

import (
	"slices"
	"time"

	"github.com/callboard-dev/callboard/permission"
)

// The sources of roles and rules (contract permission.md 6.1). Those of providers are
// named by the provider.
const (
	SourceREST          = "rest"
	SourceCSV           = "csv-file"
	SourceConfiguration = "configuration"
	SourceLegacy        = "legacy"
)

// Admin is the role of those who configure roles.
const Admin = "role:default/rbac_admin"

// A Rule allows or denies a subject an action on a permission or a type of resources.
type Rule struct {
	Subject    string // a role, or a user or group
	Permission string // the name of a permission, or a type of resources
	Action     string // create, read, update, delete or use
	Effect     string // allow or deny
	Source     string
}

// Key identifies the rule.
func (r Rule) Key() [4]string { return [4]string{r.Subject, r.Permission, r.Action, r.Effect} }

// A Member is a user or group that has a role.
type Member struct {
	Ref    string // lower case
	Role   string
	Source string
}

// A Role is what is known of a role besides its members and rules.
type Role struct {
	Ref, Source        string
	Description, Owner *string // nil: never said
	Author, ModifiedBy string
	Created, Modified  time.Time
	Former             string // its name before it was renamed last, or empty
}

// A Mapping says what a condition is about: an action on the type of resources, or the
// one permission with that name.
type Mapping struct {
	Name   string // empty: any permission with the action
	Action string
}

// A Condition allows a role an action on those resources that meet criteria.
type Condition struct {
	ID           int64 // 0: not stored yet
	Role         string
	Plugin       string
	ResourceType string
	Mapping      []Mapping
	Criteria     permission.Criteria
}

// Plain says whether the mapping was written as actions only.
func (c Condition) Plain() bool { return len(c.Mapping) > 0 && c.Mapping[0].Name == "" }

// A State is all that is stored. Slices keep the order of insertion.
type State struct {
	Version    int64
	Rules      []Rule
	Members    []Member
	Roles      []Role
	Conditions []Condition
	Plugins    []string // offered by /plugins/*, besides those of the configuration
}

// Clone is a State that can be changed. Criteria are shared: they are immutable.
func (s *State) Clone() *State {
	return &State{
		Version: s.Version, Rules: slices.Clone(s.Rules), Members: slices.Clone(s.Members),
		Roles: slices.Clone(s.Roles), Conditions: slices.Clone(s.Conditions), Plugins: slices.Clone(s.Plugins),
	}
}

// Role finds one.
func (s *State) Role(ref string) (*Role, bool) {
	for i := range s.Roles {
		if s.Roles[i].Ref == ref {
			return &s.Roles[i], true
		}
	}
	return nil, false
}

// Renamed finds the role that had a name before it was renamed.
func (s *State) Renamed(former string) (*Role, bool) {
	for i := range s.Roles {
		if s.Roles[i].Former == former && former != "" {
			return &s.Roles[i], true
		}
	}
	return nil, false
}

// MembersOf lists the members of a role.
func (s *State) MembersOf(role string) (out []string) {
	for _, m := range s.Members {
		if m.Role == role {
			out = append(out, m.Ref)
		}
	}
	return out
}

// RulesOf lists the rules of a subject.
func (s *State) RulesOf(subject string) (out []Rule) {
	for _, r := range s.Rules {
		if r.Subject == subject {
			out = append(out, r)
		}
	}
	return out
}
