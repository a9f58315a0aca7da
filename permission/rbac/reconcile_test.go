package rbac

import (
	"slices"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/policyfile"
)

// TestReconcile: each source changes its own roles, and nothing else.
func TestReconcile(t *testing.T) {
	t.Parallel()
	c := defaults()
	c.Admin.Users = []Named{{"User:Default/Alice"}}
	c.DefaultPermissions = DefaultPermissions{"role:default/everyone", []BasicPermission{{Permission: "x"}}}
	now := time.Unix(0, 0)
	s := &engine.State{
		Roles:   []engine.Role{{Ref: "role:default/old", Source: engine.SourceLegacy}, {Ref: "role:default/ui", Source: engine.SourceREST}},
		Members: []engine.Member{{Ref: "user:default/o", Role: "role:default/old", Source: engine.SourceLegacy}, {Ref: "user:default/u", Role: "role:default/ui", Source: engine.SourceREST}},
		Rules: []engine.Rule{{Subject: "role:default/ui", Permission: "y", Action: "use", Effect: "allow", Source: engine.SourceREST},
			{Subject: engine.Admin, Permission: "policy-entity", Action: "create", Effect: "allow", Source: engine.SourceConfiguration}},
	}
	of := func(role string) []string { return s.MembersOf(role) }
	condition := func(role, action string) engine.Condition {
		return engine.Condition{Role: role, Plugin: "p", ResourceType: "t", Mapping: []engine.Mapping{{Action: action}}, Criteria: permission.Is("R", "t", nil)}
	}
	file := policyfile.ParseCSV("g, user:default/o, role:default/old\ng, user:default/a, role:default/a\np, role:default/a, x, use, allow\ng, user:default/b, role:default/ui\ng, user:default/b, role:default/everyone\np, role:default/everyone, z, use, allow\n")

	c.reconcileConfiguration(s, now)
	if !slices.Equal(of(engine.Admin), []string{"user:default/alice"}) || slices.ContainsFunc(s.RulesOf(engine.Admin), func(r engine.Rule) bool { return r.Permission == "policy-entity" && r.Action == "create" }) {
		t.Errorf("administrators: %v, %v", of(engine.Admin), s.RulesOf(engine.Admin))
	}
	if warnings := c.reconcileCSV(s, file, now); len(warnings) != 3 {
		t.Errorf("warnings %q, want those for the roles of the interface and of the configuration", warnings)
	}
	if r, _ := s.Role("role:default/old"); r.Source != engine.SourceCSV {
		t.Errorf("a role without a known source belongs to %s", r.Source)
	}
	list := []engine.Condition{condition("role:default/a", "read"), condition("role:default/late", "read"), condition("role:default/everyone", "read"), condition("role:default/ui", "read")}
	if warnings := c.reconcileConditions(s, engine.SourceCSV, list); len(warnings) != 2 || len(s.Conditions) != 2 {
		t.Errorf("conditions %+v, warnings %q", s.Conditions, warnings)
	}
	s.Conditions[0].ID = 7
	// A condition that had been waiting for its role, and one that is about more.
	file = policyfile.ParseCSV("g, user:default/a, role:default/a\ng, user:default/l, role:default/late\n")
	c.reconcileCSV(s, file, now)
	list[0].Mapping = append(list[0].Mapping, engine.Mapping{Action: "update"})
	c.reconcileConditions(s, engine.SourceCSV, list)
	if len(s.Conditions) != 3 || s.Conditions[0].ID != 7 || len(s.Conditions[0].Mapping) != 2 {
		t.Errorf("conditions %+v", s.Conditions)
	}
	if len(s.RulesOf("role:default/a")) != 0 || of("role:default/old") != nil {
		t.Errorf("what has left the file: %v, %v", s.RulesOf("role:default/a"), of("role:default/old"))
	}
	// Without the files nothing of them is left, and without administrators their role is.
	c.Admin.Users, c.DefaultPermissions = nil, DefaultPermissions{}
	c.reconcileConfiguration(s, now)
	c.reconcileCSV(s, nil, now)
	c.reconcileConditions(s, engine.SourceCSV, nil)
	var names []string
	for _, r := range s.Roles {
		names = append(names, r.Ref)
	}
	if !slices.Equal(names, []string{"role:default/ui", engine.Admin}) || len(s.Conditions) != 0 || !slices.Equal(of("role:default/ui"), []string{"user:default/u"}) || of(engine.Admin) != nil {
		t.Errorf("roles %q, conditions %v, members %v", names, s.Conditions, s.Members)
	}
}

// TestConfigProblems: what is wrong with the section is said with its key.
func TestConfigProblems(t *testing.T) {
	t.Parallel()
	minus := -1
	for want, c := range map[string]Config{
		"admin.users[0].name":                                     {Admin: Admin{Users: []Named{{"alice"}}}},
		"maxDepth":                                                {MaxDepth: &minus},
		"defaultPermissions.defaultRole":                          {DefaultPermissions: DefaultPermissions{BasicPermissions: []BasicPermission{{Permission: "x"}}}},
		"defaultPermissions.basicPermissions":                     {DefaultPermissions: DefaultPermissions{DefaultRole: "role:default/a"}},
		"defaultPermissions.basicPermissions[0]":                  {DefaultPermissions: DefaultPermissions{DefaultRole: "role:default/a", BasicPermissions: []BasicPermission{{Permission: "x", Action: "get"}}}},
		"defaultPermissions.defaultRole: this is the role of the": {DefaultPermissions: DefaultPermissions{DefaultRole: engine.Admin, BasicPermissions: []BasicPermission{{Permission: "x"}}}},
	} {
		if err := c.Validate(); err == nil || len(err.Error()) < len(want) || err.Error()[:len(want)] != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	ok := defaults()
	if err := ok.Validate(); err != nil {
		t.Error(err)
	}
}

// TestFormerNamesEnd: after a minute a role is not found by its former name any more.
func TestFormerNamesEnd(t *testing.T) {
	t.Parallel()
	renamed := time.Unix(1000, 0)
	s := &engine.State{Roles: []engine.Role{{Ref: "role:default/new", Former: "role:default/old", Modified: renamed}}}
	for after, want := range map[time.Duration]string{59 * time.Second: "role:default/new", time.Minute: "role:default/old"} {
		if got := (editor{"user:default/a", renamed.Add(after)}).nowCalled(s, "role:default/old"); got != want {
			t.Errorf("after %s: %s, want %s", after, got, want)
		}
	}
}
