package policyfile

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
)

var limits = Limits{Depth: 12, Nodes: 256, Items: 64, Bytes: 1 << 20, Documents: 256}

// TestProblems: what is wrong with a line is said with its place.
func TestProblems(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ line, want string }{
		{"p, role:default/a, x, read, allow", ""},
		{"g, user:default/a, role:default/a", ""},
		{"  # comment", ""}, {"", ""}, {"x, anything", "1:1: a line must begin with p (a rule), g (a membership) or #, not with"}, {"\tp,role:default/a,\"x\",use,deny\r", ""},
		{"g, User:Default/A, role:default/a", ""},
		{"p, role:default/a, x, read", "1:1: a rule has five fields, this has 4"},
		{"p, role:default/a, x, read, allow, more", "five fields, this has 6"},
		{"p, tight, x, read, allow", `"tight" is no full reference`},
		{"p, role:a, x, read, allow", `"role:a" has no namespace; write role:default/a`},
		{"p, Role:default/a, x, read, allow", `must be of kind role or user or group, not "Role"`},
		{"p, role:Default/a, x, read, allow", "a namespace is at most 63 lower-case letters"},
		{"p, role:default/-a, x, read, allow", "a name is at most 63 letters"},
		{"p, role:default/" + strings.Repeat("a", 64) + ", x, read, allow", "a name is at most 63"},
		{"p, role:default/a, , read, allow", "the permission is empty"},
		{"p, role:default/a, x, get, allow", `not "get"`},
		{"p, role:default/a, x, read, ALLOW", `the effect must be allow or deny, not "ALLOW"`},
		{"p, role:default/a, \"x, read, allow", "this is not CSV"},
		{"  p, \"a\"b, x, read, allow", "1:3: this is not CSV"},
		{"p, role:default/a, x\x00, read, allow", "must be UTF-8 without NUL"},
		{"p, role:default/a, \xff, read, allow", "must be UTF-8 without NUL"},
		{"g, role:default/a, role:default/b", `must be of kind user or group, not "role"`},
		{"g, group:default/a, group:default/b", `must be of kind role, not "group"`},
		{"g, user:default/a", "three fields, this has 2"},
		{"p, role:default/a, *, *, allow", `not "*"`},
	} {
		p := ParseCSV(tt.line)
		got := ""
		for _, one := range p.Problems {
			got += one.At("f")
		}
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.line, got, tt.want)
		}
	}
}

// FuzzParseCSV: whatever is in the file, what is kept is valid, and the rest has a reason.
func FuzzParseCSV(f *testing.F) {
	for _, seed := range []string{"p, role:default/a, x, read, allow\ng, user:default/u, role:default/a\n", "\ufeffp,\"a\n\"\n", "p,p,p,p,p\r\ng,g,g", "# x\n\x00", "g, user:default/u, role:default/a\ng, user:default/u, role:default/a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := ParseCSV(text)
		for _, r := range p.Rules {
			if err := engine.CheckRule(r); err != nil || p.LineOf(r.Key()) == 0 {
				t.Errorf("%+v: %v", r, err)
			}
		}
		for _, m := range p.Members {
			if err := engine.CheckMember(m); err != nil {
				t.Errorf("%+v: %v", m, err)
			}
		}
		if _, err := engine.Casbin(&engine.State{Rules: p.Rules, Members: p.Members}); err != nil {
			t.Error(err)
		}
		for _, one := range p.Problems {
			if one.Line == 0 || one.Text == "" {
				t.Errorf("%+v", one)
			}
		}
	})
}

const good = `{"result":"CONDITIONAL","roleEntityRef":"role:default/a","pluginId":"catalog","resourceType":"catalog-entity","permissionMapping":["read"],"conditions":{"rule":"X","resourceType":"catalog-entity","params":{"a":["b"]}}}`

// TestConditionsThatAreRefused has the rows of contract permission.md 5.1.
func TestConditionsThatAreRefused(t *testing.T) {
	t.Parallel()
	change := func(change func(map[string]any)) string {
		var m map[string]any
		if err := json.Unmarshal([]byte(good), &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		text, _ := json.Marshal(m)
		return string(text)
	}
	set := func(name string, value any) string { return change(func(m map[string]any) { m[name] = value }) }
	rule := map[string]any{"rule": "X", "resourceType": "t"}
	nested, wide := any(rule), []any{}
	for range 12 {
		nested = map[string]any{"not": nested}
	}
	for range 65 {
		wide = append(wide, rule)
	}
	many := []any{}
	for i := range 26 {
		many = append(many, map[string]any{"name": strings.Repeat("n", i+1), "action": "read"})
	}
	for name, doc := range map[string]string{
		"no object": `[]`, "nothing": `{}`,
		"no role": set("roleEntityRef", ""), "a short role": set("roleEntityRef", "a"), "a user": set("roleEntityRef", "user:default/a"),
		"another result": set("result", "ALLOW"), "no plugin": set("pluginId", ""), "a plugin with NUL": set("pluginId", "a\x00"), "no type": set("resourceType", ""),
		"no mapping": set("permissionMapping", nil), "an empty mapping": set("permissionMapping", []any{}), "a wrong action": set("permissionMapping", []any{"get"}),
		"an action twice": set("permissionMapping", []any{"read", "read"}), "both forms": set("permissionMapping", []any{"read", map[string]any{"name": "x", "action": "update"}}),
		"an empty name": set("permissionMapping", []any{map[string]any{"name": "", "action": "read"}}), "too many": set("permissionMapping", many),
		"no conditions": set("conditions", nil), "no rule": set("conditions", map[string]any{}), "two forms": set("conditions", map[string]any{"not": rule, "allOf": []any{rule}}),
		"an empty list": set("conditions", map[string]any{"allOf": []any{}}), "a rule without a type": set("conditions", map[string]any{"rule": "X"}),
		"an object as a parameter": set("conditions", map[string]any{"rule": "X", "resourceType": "t", "params": map[string]any{"a": map[string]any{}}}),
		"too deep":                 set("conditions", nested), "too wide": set("conditions", map[string]any{"anyOf": wide}),
		"creating policies": change(func(m map[string]any) {
			m["resourceType"], m["permissionMapping"] = "policy-entity", []any{"create"}
		}),
	} {
		if c, err := DecodeCondition([]byte(doc), limits); err == nil {
			t.Errorf("%s is accepted: %+v", name, c)
		}
	}
	if _, err := DecodeCondition([]byte(good), limits); err != nil {
		t.Error(err)
	}
}

// TestOverlap has both forms of mappings against each other.
func TestOverlap(t *testing.T) {
	t.Parallel()
	of := func(m ...engine.Mapping) engine.Condition {
		return engine.Condition{Role: "r", Plugin: "p", ResourceType: "t", Mapping: m}
	}
	read, update := engine.Mapping{Action: "read"}, engine.Mapping{Action: "update"}
	x, y := engine.Mapping{Name: "x", Action: "read"}, engine.Mapping{Name: "y", Action: "read"}
	for _, tt := range []struct {
		a, b engine.Condition
		want string
	}{
		{of(read), of(read), "action 'read'"}, {of(read), of(update), ""}, {of(read), of(x), "permission 'x'"}, {of(x), of(read), "action 'read'"},
		{of(x), of(y), ""}, {of(x, y), of(y), "permission 'y'"}, {of(x), of(engine.Mapping{Name: "x", Action: "update"}), ""},
	} {
		if got := Overlap(tt.a, tt.b); got != tt.want {
			t.Errorf("%v and %v: %q, want %q", tt.a.Mapping, tt.b.Mapping, got, tt.want)
		}
	}
	for _, other := range []engine.Condition{{Role: "s", Plugin: "p", ResourceType: "t"}, {Role: "r", Plugin: "q", ResourceType: "t"}, {Role: "r", Plugin: "p", ResourceType: "u"}} {
		other.Mapping = []engine.Mapping{read}
		if Overlap(of(read), other) != "" {
			t.Errorf("%+v overlaps", other)
		}
	}
}

// FuzzParseConditions: whatever is in the file, what is kept is within the limits.
func FuzzParseConditions(f *testing.F) {
	for _, seed := range []string{good, good + "\n---\n" + good, "result: [\n", "---\n---\n", "&a [*a]", "a: &a [1]\nb: *a\n", "1.0: x", "{? [a] : b}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := ParseConditions(data, limits, nil)
		if err != nil {
			return
		}
		for _, c := range list {
			if n, d := c.Criteria.Size(); n > limits.Nodes || d > limits.Depth || len(c.Mapping) == 0 || slices.Contains(c.Mapping, engine.Mapping{}) {
				t.Errorf("%+v", c)
			}
		}
	})
}
