package engine

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/permission"
)

var cases = flag.Int("cases", 1_000_000, "random decisions that are held against casbin and a direct reading of the rules")

// casbinEvery is how many cases there are for one that casbin is asked about, which is a
// thousand times slower.
const casbinEvery = 20

// A world is a random policy, with few names, so that everything meets.
type world struct {
	state   State
	options Options
	parents map[string][]string
	depth   int
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func some(r *rand.Rand, most int, from ...string) (out []string) {
	for range r.IntN(most + 1) {
		if one := pick(r, from...); !slices.Contains(out, one) {
			out = append(out, one)
		}
	}
	return out
}

var (
	roleNames  = []string{"role:default/a", "role:default/b", "role:default/c", "role:default/d"}
	userNames  = []string{"user:default/u", "user:default/v", "User:Default/W"}
	groupNames = []string{"group:default/g", "group:default/h", "group:default/i", "group:default/j"}
	asked      = []permission.Permission{
		{Name: "catalog.entity.read", Action: "read", ResourceType: "catalog-entity"},
		{Name: "catalog.entity.delete", Action: "delete", ResourceType: "catalog-entity"},
		{Name: "scaffolder.action.execute", ResourceType: "scaffolder-action"},
		{Name: "catalog.entity.create", Action: "create"},
		{Name: "kubernetes.proxy"}, {Name: "kubernetes.clusters.read", Action: "read"}, {Name: "kubernetes.resources.read", Action: "read"},
		{Name: "policy.entity.create", Action: "create"},
	}
)

func randomWorld(r *rand.Rand) *world {
	w := &world{parents: map[string][]string{}, depth: pick(r, Unlimited, Unlimited, 0, 1, 2)}
	subjects := slices.Concat(roleNames, roleNames, []string{"user:default/u", "user:default/w"}, groupNames[:2])
	objects := []string{"catalog-entity", "scaffolder-action", "policy-entity"}
	for _, p := range asked {
		objects = append(objects, p.Name)
	}
	for range r.IntN(14) {
		rule := Rule{Subject: pick(r, subjects...), Permission: pick(r, objects...), Action: pick(r, "read", "read", "delete", "use", "use", "create"), Effect: pick(r, "allow", "allow", "deny")}
		if !slices.Contains(w.state.Rules, rule) {
			w.state.Rules = append(w.state.Rules, rule)
		}
	}
	for range r.IntN(8) {
		m := Member{Ref: strings.ToLower(pick(r, slices.Concat(userNames, groupNames)...)), Role: pick(r, roleNames...)}
		if !slices.Contains(w.state.Members, m) {
			w.state.Members = append(w.state.Members, m)
		}
	}
	for id := range int64(r.IntN(4)) {
		typ := pick(r, "catalog-entity", "catalog-entity", "scaffolder-action")
		var mapping []Mapping
		for range 1 + r.IntN(2) {
			mapping = append(mapping, pick(r, Mapping{Action: "read"}, Mapping{Action: "delete"}, Mapping{Action: "use"},
				Mapping{Name: "catalog.entity.read", Action: "read"}, Mapping{Name: "scaffolder.action.execute", Action: "use"}, Mapping{Name: "kubernetes.clusters.read", Action: "read"}))
		}
		w.state.Conditions = append(w.state.Conditions, Condition{ID: id + 1, Role: pick(r, roleNames...), Plugin: typ + "-plugin", ResourceType: typ, Mapping: mapping,
			Criteria: permission.Is("R", typ, map[string]any{"list": []any{"x", pick[any](r, "$currentUser", "$ownerRefs", "y", 1.0)}, "one": pick[any](r, "$currentUser", "$ownerRefs", nil, true)})})
	}
	for _, g := range groupNames {
		w.parents[g] = some(r, 1, groupNames...)
		if r.IntN(3) > 0 { // mostly without cycles
			w.parents[g] = slices.DeleteFunc(w.parents[g], func(p string) bool { return p <= g })
		}
	}
	w.options = Options{
		BasicFirst: r.IntN(2) == 0, OwnershipRefs: r.IntN(3) == 0, ProxyImpliesRead: r.IntN(2) == 0,
		DefaultRole: pick(r, "", "", "role:default/d"), SuperUsers: map[string]bool{},
	}
	if r.IntN(8) == 0 {
		w.options.SuperUsers[pick(r, "user:default/u", "group:default/g", "user:default/w")] = true
	}
	return w
}

// read is contract permission.md, section 4, step by step, and as slowly as it reads.
func (w *world) read(t testing.TB, p permission.Permission, user string, ownership, direct []string, enforce func(subjects []string, object, action string) bool) string {
	action := p.Action
	if action == "" {
		action = "use"
	}
	if w.options.SuperUsers[user] || slices.ContainsFunc(ownership, func(o string) bool { return w.options.SuperUsers[o] }) { // 2
		return "ALLOW"
	}
	nodes, cyclic := w.nodes(user, direct) // 4.1
	var roles []string
	add := func(ref string) {
		for _, m := range w.state.Members {
			if m.Ref == ref && !slices.Contains(roles, m.Role) {
				roles = append(roles, m.Role)
			}
		}
	}
	if !cyclic {
		for _, n := range nodes {
			add(n)
		}
		if d := w.options.DefaultRole; d != "" && !slices.Contains(roles, d) {
			roles = append(roles, d)
		}
	}
	if w.options.OwnershipRefs {
		for _, o := range ownership {
			add(strings.ToLower(o))
		}
	}
	names := func(subjects []string, object, action string) bool {
		return slices.ContainsFunc(w.state.Rules, func(r Rule) bool {
			return slices.Contains(subjects, r.Subject) && r.Permission == object && r.Action == action
		})
	}
	subjects := roles
	if len(roles) == 0 { // 8, second branch
		subjects = nodes
		if cyclic {
			subjects = nodes[:1]
		}
	}
	result := func(object, action string) string {
		if enforce(subjects, object, action) {
			return "ALLOW"
		}
		return "DENY"
	}
	named := names(roles, p.Name, action) // 4
	typ := p.ResourceType
	if p.Name == "policy.entity.create" && !named { // 5
		typ = "policy-entity"
	}
	if typ != "" { // 6
		ruled := names(roles, p.Name, action) || names(roles, typ, action)
		if !w.options.BasicFirst || !ruled {
			if c := w.conditions(t, roles, p.Name, action, typ, user, ownership); c != "" {
				return c
			}
		}
		if named {
			return result(p.Name, action)
		}
		return result(typ, action)
	}
	if (p.Name == "kubernetes.clusters.read" || p.Name == "kubernetes.resources.read") && w.options.ProxyImpliesRead { // section 8, finding 2
		mentioned := names(subjects, "kubernetes.clusters.read", "read") || names(subjects, "kubernetes.resources.read", "read")
		for _, c := range w.state.Conditions {
			mentioned = mentioned || slices.Contains(roles, c.Role) && slices.ContainsFunc(c.Mapping, func(m Mapping) bool { return strings.HasPrefix(m.Name, "kubernetes.") })
		}
		if !mentioned {
			return result("kubernetes.proxy", "use")
		}
	}
	return result(p.Name, action) // 7
}

func (w *world) nodes(user string, direct []string) (nodes []string, cyclic bool) {
	nodes = []string{strings.ToLower(user)}
	type step struct {
		group string
		level int
	}
	var queue []step
	best := map[string]int{}
	for _, d := range direct {
		queue = append(queue, step{d, 0})
	}
	var edges [][2]string
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if _, seen := best[at.group]; seen {
			continue
		}
		best[at.group] = at.level
		nodes = append(nodes, at.group)
		if w.depth == Unlimited || at.level < w.depth {
			for _, p := range w.parents[at.group] {
				edges = append(edges, [2]string{at.group, p})
				queue = append(queue, step{p, at.level + 1})
			}
		}
	}
	// A graph has a cycle if taking away what leads nowhere leaves something.
	for changed := true; changed; {
		changed = false
		edges = slices.DeleteFunc(edges, func(e [2]string) bool {
			dead := !slices.ContainsFunc(edges, func(o [2]string) bool { return o[0] == e[1] })
			changed = changed || dead
			return dead
		})
	}
	return nodes, len(edges) > 0
}

// conditions returns the decision as JSON, or nothing (4.2 and 5.2).
func (w *world) conditions(t testing.TB, roles []string, name, action, typ, user string, ownership []string) string {
	var found []string
	plugin := ""
	for _, role := range roles {
		var mine []Condition
		for _, c := range w.state.Conditions {
			if c.Role == role && c.ResourceType == typ && slices.ContainsFunc(c.Mapping, func(m Mapping) bool { return m.Action == action && (m.Name == "" || m.Name == name) }) {
				mine = append(mine, c)
			}
		}
		if len(mine) > 1 {
			return "DENY"
		}
		for _, c := range mine {
			text, err := c.Criteria.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			owned := `"` + strings.Join(ownership, `","`) + `"`
			s := strings.NewReplacer(`["x","$currentUser"]`, `["x","`+user+`"]`, `["x","$ownerRefs"]`, `["x",`+owned+`]`, `"one":"$currentUser"`, `"one":"`+user+`"`).Replace(string(text))
			found, plugin = append(found, s), c.Plugin
		}
	}
	if found == nil {
		return ""
	}
	return fmt.Sprintf(`{"result":"CONDITIONAL","pluginId":%q,"resourceType":%q,"conditions":{"anyOf":[%s]}}`, plugin, typ, strings.Join(found, ","))
}

// plain is an enforce without casbin: one rule that allows, none that denies.
func (w *world) plain(subjects []string, object, action string) bool {
	allow, deny := false, false
	for _, r := range w.state.Rules {
		if slices.Contains(subjects, r.Subject) && r.Permission == object && r.Action == action {
			allow, deny = allow || r.Effect == "allow", deny || r.Effect == "deny"
		}
	}
	return allow && !deny
}

// TestDifferential holds the snapshot against a direct reading of the rules, and against
// casbin, over random policies.
func TestDifferential(t *testing.T) {
	t.Parallel()
	n := *cases
	if testing.Short() || underRace {
		n /= 20
	}
	const perWorld = 200
	var conditional, allowed, byCasbin int
	for seed := range uint64(n / perWorld) {
		r := rand.New(rand.NewPCG(seed, 87))
		w := randomWorld(r)
		snapshot := NewSnapshot(&w.state, w.options)
		groups := NewGroups(w.parents)
		for i := range perWorld {
			user, direct := pick(r, userNames...), some(r, 2, groupNames...)
			ownership := append([]string{user}, some(r, 2, groupNames...)...)
			p := pick(r, asked...)
			who := &Who{User: user, Ownership: ownership}
			who.Groups, who.Cycle = groups.Above(direct, w.depth)
			d := snapshot.Decide(p, who, nil)
			got := d.String()
			if got == "CONDITIONAL" {
				text, err := d.MarshalJSON()
				if err != nil {
					t.Fatal(err)
				}
				got = string(text)
				conditional++
			} else if got == "ALLOW" {
				allowed++
			}
			enforce := w.plain
			if i%casbinEvery == 0 {
				byCasbin++
				enforce = w.casbin(t)
			}
			if want := w.read(t, p, user, ownership, direct, enforce); got != want {
				t.Fatalf("seed %d: %+v as %+v\n got %s\nwant %s\n%+v", seed, p, who, got, want, w)
			}
			if trace := new(Trace); snapshot.Decide(p, who, trace).String() != d.String() || len(trace.Lines) == 0 {
				t.Fatalf("seed %d: explained, the decision is another, or nothing is said: %v", seed, trace.Lines)
			}
		}
	}
	t.Logf("%d cases: %d allowed, %d conditional; casbin was asked about %d", n, allowed, conditional, byCasbin)
	if allowed == 0 || conditional == 0 {
		t.Error("the cases are all alike")
	}
}

// casbin enforces with the subjects as the only roles of somebody.
func (w *world) casbin(t testing.TB) func(subjects []string, object, action string) bool {
	return func(subjects []string, object, action string) bool {
		s := State{Rules: w.state.Rules}
		for _, one := range subjects {
			s.Members = append(s.Members, Member{Ref: "somebody", Role: one})
		}
		e, err := Casbin(&s)
		if err != nil {
			t.Fatal(err)
		}
		ok, err := e.Enforce("somebody", object, action)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
}

// TestADenyNeverAllows: adding a rule that denies never turns a denial into an allowance
// of the same object.
func TestADenyNeverAllows(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := randomWorld(r)
		w.state.Conditions = nil
		who := &Who{User: pick(r, userNames...), Groups: some(r, 2, groupNames...)}
		p := pick(r, asked[3:]...) // those without a resource type cannot change what they are about
		before := NewSnapshot(&w.state, w.options).Decide(p, who, nil)
		action := p.Action
		if action == "" {
			action = Use
		}
		w.state.Rules = append(w.state.Rules, Rule{Subject: pick(r, roleNames...), Permission: p.Name, Action: action, Effect: "deny"})
		if after := NewSnapshot(&w.state, w.options).Decide(p, who, nil); before == permission.Deny && after != permission.Deny {
			t.Fatalf("seed %d: %s becomes %s for %+v of %+v", seed, before, after, who, p)
		}
	}
}
