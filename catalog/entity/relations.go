package entity

import (
	"slices"
	"strconv"
	"strings"
)

// A Relation says that Source relates to Target by Type. Both ends are references in
// canonical form (Ref.String), as they are stored and served.
type Relation struct {
	Source string
	Type   string
	Target string
}

// Relation types that the builtin kinds emit, in pairs of forward and reverse.
const (
	OwnedBy       = "ownedBy"
	OwnerOf       = "ownerOf"
	PartOf        = "partOf"
	HasPart       = "hasPart"
	ProvidesAPI   = "providesApi"
	APIProvidedBy = "apiProvidedBy"
	ConsumesAPI   = "consumesApi"
	APIConsumedBy = "apiConsumedBy"
	DependsOn     = "dependsOn"
	DependencyOf  = "dependencyOf"
	MemberOf      = "memberOf"
	HasMember     = "hasMember"
	ChildOf       = "childOf"
	ParentOf      = "parentOf"
)

// A relationField is one row of the table in contract catalog.md, 2.5.
type relationField struct {
	field            string
	defaultKind      string // "" makes the kind mandatory
	forward, reverse string
}

var (
	owner         = relationField{"owner", "Group", OwnedBy, OwnerOf}
	partOfSystem  = relationField{"system", "System", PartOf, HasPart}
	dependsOn     = relationField{"dependsOn", "", DependsOn, DependencyOf}
	dependencyOf  = relationField{"dependencyOf", "", DependencyOf, DependsOn}
	subcomponent  = relationField{"subcomponentOf", "Component", PartOf, HasPart}
	providesAPIs  = relationField{"providesApis", "API", ProvidesAPI, APIProvidedBy}
	consumesAPIs  = relationField{"consumesApis", "API", ConsumesAPI, APIConsumedBy}
	partOfDomain  = relationField{"domain", "Domain", PartOf, HasPart}
	subdomainOf   = relationField{"subdomainOf", "Domain", PartOf, HasPart}
	memberOf      = relationField{"memberOf", "Group", MemberOf, HasMember}
	groupParent   = relationField{"parent", "Group", ChildOf, ParentOf}
	groupChildren = relationField{"children", "Group", ParentOf, ChildOf}
	groupMembers  = relationField{"members", "User", HasMember, MemberOf}
)

// RelationsOf lists what the references in e's spec say (contract catalog.md, 2.5):
// for each the relation of e to the target and the reverse one. Short references get
// the kind of their field and the namespace of e. Order is that of the fields in the
// contract's table; duplicates are left out. Kinds the model does not know have no
// relations. Values that are no references are reported all at once, as
// ValidationErrors.
func (m *Model) RelationsOf(e Entity) ([]Relation, error) {
	rule := m.kindOf(e)
	if rule == nil || len(rule.relations) == 0 {
		return nil, nil
	}
	b := relationBuilder{self: e.Ref().String(), namespace: e.Namespace()}
	spec := e.Spec()
	for _, f := range rule.relations {
		switch v := spec[f.field].(type) {
		case nil:
		case []any:
			for i, item := range v {
				b.add(f, item, i)
			}
		default:
			b.add(f, v, -1)
		}
	}
	if b.errs != nil {
		return nil, b.errs
	}
	return b.out, nil
}

type relationBuilder struct {
	self, namespace string
	out             []Relation
	seen            map[Relation]struct{} // used when out is long
	errs            ValidationErrors
}

// add relates to what the reference v says, element index of an array or -1.
func (b *relationBuilder) add(f relationField, v any, index int) {
	s, ok := v.(string)
	target, err := ParseRef(s, Default{Kind: f.defaultKind, Namespace: b.namespace})
	if !ok || err != nil {
		path := "/spec/" + f.field
		if index >= 0 {
			path += "/" + strconv.Itoa(index)
		}
		problem := ValidationError{Path: path, Expected: "an entity reference", Found: describe(v)}
		if f.defaultKind == "" {
			problem.Expected += " with a kind"
		}
		if ok {
			problem.Hint = err.Error()
		}
		b.errs = append(b.errs, problem)
		return
	}
	ref := target.String()
	b.put(Relation{b.self, f.forward, ref})
	b.put(Relation{ref, f.reverse, b.self})
}

// put leaves out duplicates: by comparing while there are few, by a set when a group
// has many members.
func (b *relationBuilder) put(r Relation) {
	const few = 32
	if len(b.out) < few {
		if slices.Contains(b.out, r) {
			return
		}
		b.out = append(b.out, r)
		return
	}
	if b.seen == nil {
		b.seen = make(map[Relation]struct{}, 4*few)
		for _, old := range b.out {
			b.seen[old] = struct{}{}
		}
	}
	if _, ok := b.seen[r]; ok {
		return
	}
	b.seen[r] = struct{}{}
	b.out = append(b.out, r)
}

// SortReferences sorts the arrays of references in the spec of builtin kinds in
// place, so that their order in a descriptor makes no other version of the entity
// (contract catalog.md, 2.5). Arrays with anything but strings are left alone.
func (m *Model) SortReferences(e Entity) {
	rule := m.kindOf(e)
	if rule == nil {
		return
	}
	spec := e.Spec()
	for _, f := range rule.relations {
		items, ok := spec[f.field].([]any)
		if !ok || !allStrings(items) {
			continue
		}
		slices.SortFunc(items, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	}
}

func allStrings(items []any) bool {
	for _, item := range items {
		if _, ok := item.(string); !ok {
			return false
		}
	}
	return true
}
