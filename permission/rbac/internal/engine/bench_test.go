package engine

import (
	"fmt"
	"testing"

	"github.com/callboard-dev/callboard/permission"
)

// large is 500 roles of 50 rules, each with two groups of 5,000, which are ten deep.
func large() (*State, *Groups) {
	s := &State{}
	for r := range 500 {
		role := fmt.Sprintf("role:default/r%d", r)
		for n := range 50 {
			s.Rules = append(s.Rules, Rule{Subject: role, Permission: fmt.Sprintf("thing.%d.read", n), Action: "read", Effect: "allow"})
		}
		for n := range 2 {
			s.Members = append(s.Members, Member{Ref: fmt.Sprintf("group:default/g%d", r*10+n), Role: role})
		}
	}
	s.Conditions = append(s.Conditions, Condition{ID: 1, Role: "role:default/r7", Plugin: "catalog", ResourceType: "catalog-entity", Mapping: []Mapping{{Action: "read"}},
		Criteria: permission.Is("IS_ENTITY_OWNER", "catalog-entity", map[string]any{"claims": []any{"$ownerRefs"}})})
	parents := map[string][]string{}
	for g := range 5000 {
		parents[fmt.Sprintf("group:default/g%d", g)] = nil
		if g%10 > 0 {
			parents[fmt.Sprintf("group:default/g%d", g)] = []string{fmt.Sprintf("group:default/g%d", g-1)}
		}
	}
	return s, NewGroups(parents)
}

func someone(g *Groups) *Who {
	w := &Who{User: "user:default/u", Ownership: []string{"user:default/u", "group:default/g79"}}
	w.Groups, w.Cycle = g.Above([]string{"group:default/g79"}, Unlimited)
	return w
}

var (
	unconditional = permission.Permission{Name: "thing.3.read", Action: "read"}
	conditional   = permission.Permission{Name: "catalog.entity.read", Action: "read", ResourceType: "catalog-entity"}
)

// TestDecisionsAllocateLittle: a decision without conditions is made of nothing but reads.
func TestDecisionsAllocateLittle(t *testing.T) {
	state, groups := large()
	s, w := NewSnapshot(state, Options{ProxyImpliesRead: true}), someone(groups)
	if d := s.Decide(unconditional, w, nil); d != permission.Allow || len(w.Groups) != 10 {
		t.Fatalf("%s with %d groups", d, len(w.Groups))
	}
	for _, tt := range []struct {
		name string
		p    permission.Permission
		most float64
	}{
		{"allowed", unconditional, 0},
		{"denied", permission.Permission{Name: "nothing"}, 0},
		{"implied", permission.Permission{Name: "kubernetes.clusters.read", Action: "read"}, 0},
		{"conditional, with the user filled in", conditional, 16},
	} {
		if n := testing.AllocsPerRun(100, func() { s.Decide(tt.p, w, nil) }); n > tt.most {
			t.Errorf("%s: %v allocations, want at most %v", tt.name, n, tt.most)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	state, groups := large()
	s, w := NewSnapshot(state, Options{}), someone(groups)
	for _, one := range []struct {
		name string
		p    permission.Permission
	}{{"unconditional", unconditional}, {"conditional", conditional}} {
		b.Run(one.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Decide(one.p, w, nil)
			}
		})
	}
}

// BenchmarkSnapshot makes 25,000 rules ready for deciding.
func BenchmarkSnapshot(b *testing.B) {
	state, _ := large()
	for b.Loop() {
		NewSnapshot(state, Options{})
	}
}

// BenchmarkAbove finds the ten groups of a user among 5,000.
func BenchmarkAbove(b *testing.B) {
	_, groups := large()
	for b.Loop() {
		groups.Above([]string{"group:default/g79"}, Unlimited)
	}
}
