package engine

import (
	"slices"
	"strings"
)

// Options are how decisions are made.
type Options struct {
	SuperUsers map[string]bool // exact references
	// DefaultRole is a role of everybody who is signed in; empty: there is none.
	DefaultRole string
	// BasicFirst lets rules decide before conditions, instead of after them.
	BasicFirst bool
	// OwnershipRefs looks up roles by the references of the session, too.
	OwnershipRefs bool
	// ProxyImpliesRead lets kubernetes.proxy stand for the two permissions to read.
	ProxyImpliesRead bool
}

// An effect is what rules say of one object.
type effect uint8

const (
	allows effect = 1 << iota
	denies
)

// An object is what rules are about.
type object struct{ permission, action string }

// role is a role that is ready for deciding.
type role struct {
	ref        string
	effects    map[object]effect
	conditions map[string][]*condition // by type of resources
}

type condition struct {
	*Condition
	aliases bool // the criteria depend on who asks
}

// A Snapshot is a State made ready for deciding. It is immutable.
type Snapshot struct {
	Version     int64
	options     Options
	roles       []role
	members     map[string][]int32
	subjects    map[string]map[object]effect // users and groups with rules of their own
	defaultRole int32
}

// NewSnapshot makes a State ready.
func NewSnapshot(s *State, o Options) *Snapshot {
	out := &Snapshot{
		Version: s.Version, options: o, defaultRole: -1,
		members: make(map[string][]int32, len(s.Members)), subjects: map[string]map[object]effect{},
	}
	at := map[string]int32{}
	roleOf := func(ref string) int32 {
		i, ok := at[ref]
		if !ok {
			i = int32(len(out.roles))
			at[ref] = i
			out.roles = append(out.roles, role{ref: ref, effects: map[object]effect{}})
		}
		return i
	}
	for _, r := range s.Rules {
		e := denies
		if r.Effect == "allow" {
			e = allows
		}
		if strings.HasPrefix(r.Subject, "role:") {
			out.roles[roleOf(r.Subject)].effects[object{r.Permission, r.Action}] |= e
			continue
		}
		subject := strings.ToLower(r.Subject)
		if out.subjects[subject] == nil {
			out.subjects[subject] = map[object]effect{}
		}
		out.subjects[subject][object{r.Permission, r.Action}] |= e
	}
	for _, m := range s.Members {
		if i := roleOf(m.Role); !slices.Contains(out.members[m.Ref], i) {
			out.members[m.Ref] = append(out.members[m.Ref], i)
		}
	}
	if o.DefaultRole != "" {
		out.defaultRole = roleOf(o.DefaultRole)
	}
	for i := range s.Conditions {
		c := &s.Conditions[i]
		r := &out.roles[roleOf(c.Role)]
		if r.conditions == nil {
			r.conditions = map[string][]*condition{}
		}
		r.conditions[c.ResourceType] = append(r.conditions[c.ResourceType], &condition{c, hasAliases(c.Criteria)})
	}
	return out
}

// Who is the user of a question.
type Who struct {
	User      string   // as in the session
	Ownership []string // as in the session
	Groups    []string // the groups of the user in the catalog, and those above them
	Cycle     []string // of those groups: roles cannot be found by them
}

// rolesOf appends the roles of a user to dst.
func (s *Snapshot) rolesOf(dst []int32, w *Who, t *Trace) []int32 {
	if w.Cycle == nil {
		dst = s.rolesOfRef(dst, strings.ToLower(w.User), t)
		for _, g := range w.Groups {
			dst = s.rolesOfRef(dst, g, t)
		}
		if s.defaultRole >= 0 && !slices.Contains(dst, s.defaultRole) {
			dst = append(dst, s.defaultRole)
			t.path(s.roles[s.defaultRole].ref, "the default role")
		}
	}
	if s.options.OwnershipRefs {
		for _, ref := range w.Ownership {
			dst = s.rolesOfRef(dst, strings.ToLower(ref), t)
		}
	}
	return dst
}

func (s *Snapshot) rolesOfRef(dst []int32, ref string, t *Trace) []int32 {
	for _, r := range s.members[ref] {
		if !slices.Contains(dst, r) {
			dst = append(dst, r)
			t.path(s.roles[r].ref, ref)
		}
	}
	return dst
}
