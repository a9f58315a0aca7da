package rbac_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac"
)

// TestOwnersOfRoles: who may read and change only roles that they own sees and changes
// only those, and the default role, which everybody sees. Creating is not about a role
// that there is: who may do that may give anybody anything.
func TestOwnersOfRoles(t *testing.T) {
	t.Parallel()
	const alice, olga = "user:default/alice", "user:default/olga"
	w := newWorld(t, "", `{"enabled": true, "rbac": {"admin": {"users": [{"name": "user:default/alice"}]},
		"defaultPermissions": {"defaultRole": "role:default/everyone", "basicPermissions": [{"permission": "x"}]}}}`)
	w.must(alice, 201, "POST", "/api/permission/roles", `{"name":"role:default/owners","memberReferences":["user:default/olga"]}`)
	w.must(alice, 201, "POST", "/api/permission/policies", `[{"entityReference":"role:default/owners","permission":"policy.entity.create","policy":"create","effect":"allow"}]`)
	w.must(alice, 201, "POST", "/api/permission/roles/conditions", `{"result":"CONDITIONAL","roleEntityRef":"role:default/owners","pluginId":"permission","resourceType":"policy-entity",
		"permissionMapping":["read","update","delete"],"conditions":{"rule":"IS_OWNER","resourceType":"policy-entity","params":{"owners":["$currentUser"]}}}`)
	w.must(alice, 201, "POST", "/api/permission/roles", `{"name":"role:default/hers","memberReferences":["user:default/a"],"metadata":{"owner":"user:default/olga"}}`)
	w.must(alice, 201, "POST", "/api/permission/policies", `[{"entityReference":"role:default/hers","permission":"y","policy":"use","effect":"allow"}]`)

	w.must(alice, 201, "POST", "/api/permission/roles", `{"name":"role:default/before","memberReferences":["user:default/a"]}`)
	w.must(alice, 201, "POST", "/api/permission/policies", `[{"entityReference":"role:default/before","permission":"x","policy":"use","effect":"allow"}]`)
	w.must(alice, 200, "PUT", "/api/permission/roles/role/default/before", `{"oldRole":{"memberReferences":["user:default/a"]},"newRole":{"name":"role:default/after","memberReferences":["user:default/a"]}}`)

	names := func(path, member string) (out []string) {
		for _, one := range w.must(olga, 200, "GET", path, "").([]any) {
			if name := one.(map[string]any)[member].(string); !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
		slices.Sort(out)
		return out
	}
	mine := []string{"role:default/everyone", "role:default/hers"}
	if got := names("/api/permission/roles", "name"); !slices.Equal(got, mine) {
		t.Errorf("roles %q, want %q", got, mine)
	}
	if got := names("/api/permission/policies", "entityReference"); !slices.Equal(got, mine) {
		t.Errorf("policies of %q, want %q", got, mine)
	}
	for _, tt := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/roles/role/default/owners", "", 404},
		{"GET", "/policies/role/default/owners", "", 404},
		{"GET", "/roles/conditions/1", "", 200}, // an empty list
		{"PUT", "/roles/role/default/owners", `{"oldRole":{"memberReferences":["user:default/olga"]},"newRole":{"name":"role:default/owners","memberReferences":["user:default/b"]}}`, 403},
		{"DELETE", "/roles/role/default/owners", "", 403},
		{"DELETE", "/policies/role/default/owners", `[{"permission":"policy.entity.create","policy":"create","effect":"allow"}]`, 403},
		{"PUT", "/policies/role/default/owners", `{"oldPolicy":[{"permission":"policy.entity.create","policy":"create","effect":"allow"}],"newPolicy":[{"permission":"z","policy":"use","effect":"allow"}]}`, 403},
		{"DELETE", "/roles/conditions/1", "", 403},
		{"DELETE", "/policies/role/default/before", `[{"permission":"x","policy":"use","effect":"allow"}]`, 403}, // by a former name
		{"DELETE", "/roles/role/default/everyone", "", 403},                                                      // the configuration's
		{"DELETE", "/roles/role/default/hers", "", 204},
	} {
		status, answer := w.ask(olga, tt.method, "/api/permission"+tt.path, tt.body)
		if status != tt.want || tt.path == "/roles/conditions/1" && tt.method == "GET" && text(answer) != "[]" {
			t.Errorf("%s %s: %d %.200s, want %d", tt.method, tt.path, status, text(answer), tt.want)
		}
	}
}

// records keeps log records of a backend.
type records struct {
	slog.Handler
	mu   *sync.Mutex
	list *[]string
}

func (r records) Enabled(context.Context, slog.Level) bool { return true }
func (r records) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r records) WithGroup(string) slog.Handler            { return r }
func (r records) Handle(_ context.Context, rec slog.Record) error {
	text := rec.Level.String() + " " + rec.Message
	rec.Attrs(func(a slog.Attr) bool { text += fmt.Sprintf(" %s=%v", a.Key, a.Value); return true })
	r.mu.Lock()
	defer r.mu.Unlock()
	*r.list = append(*r.list, text)
	return nil
}

func (r records) has(parts ...string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(*r.list, func(s string) bool {
		return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(s, p) })
	})
}

// logged makes the plugin permission log to the records that it returns.
func logged() (records, backend.Feature) {
	r := records{mu: &sync.Mutex{}, list: &[]string{}}
	return r, backend.NewPluginService(func(id backend.PluginID, base *slog.Logger) (*slog.Logger, error) {
		if id == "permission" {
			return slog.New(r), nil
		}
		return base, nil
	})
}

// TestStartWarnings: what is wrong and what is probably a mistake is in the log, with its
// place in the file.
func TestStartWarnings(t *testing.T) {
	t.Parallel()
	log, feature := logged()
	newWorld(t, "p, role:default/r, catalog.entity.raed, read, allow\np, role:default/r, x, get, allow\np, role:default/lonely, catalog.entity.read, read, allow\ng, group:default/gone, role:default/r\ng, user:default/u, role:default/rbac_admin\npp, role:default/r, x, use, deny\n",
		`{"enabled": true, "rbac": {"admin": {"superUsers": [{"name": "user:default/Root"}]}}}`, feature)
	for _, want := range [][]string{
		{"WARN", "policy.csv:2:1: the action must be one of", `not "get"`},
		{"WARN", "policy.csv:6:1: a line must begin with", `not with "pp"`},
		{"WARN", "g, user:default/u, role:default/rbac_admin is left out"},
		{"WARN", "a superUser is nobody: the references of sessions are in lower case name=user:default/Root"},
		{"WARN", "in the policy: no plugin has a permission or a type of resources catalog.entity.raed"},
		{"WARN", "in the policy: role:default/lonely has rules and no members"},
	} {
		for end := time.Now().Add(40 * time.Second); !log.has(want...); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%q is not logged", want)
			}
		}
	}
	log, feature = logged()
	newWorld(t, "", `{"enabled": true}`, feature)
	if !log.has("WARN", "nobody may edit roles") {
		t.Error("that nobody may edit roles is not logged")
	}
}

// TestAudit: changes, reads and denials are audit events (contract permission.md 6.2).
func TestAudit(t *testing.T) {
	t.Parallel()
	audit := &backendtest.Audit{}
	w := newWorld(t, "", `{"enabled": true, "rbac": {"admin": {"users": [{"name": "user:default/alice"}]}, "pluginsWithPermission": ["catalog"]}}`,
		backend.NewPluginService(func(id backend.PluginID, base backend.Auditor) (backend.Auditor, error) {
			if id == "permission" {
				return audit, nil
			}
			return base, nil
		}))
	const alice = "user:default/alice"
	w.must(alice, 201, "POST", "/api/permission/roles", `{"name":"role:default/r","memberReferences":["user:default/u"]}`)
	w.must(alice, 409, "POST", "/api/permission/roles", `{"name":"role:default/r","memberReferences":["user:default/u"]}`)
	w.must(alice, 200, "GET", "/api/permission/roles", "")
	w.must(alice, 201, "POST", "/api/permission/policies", `[{"entityReference":"role:default/r","permission":"x","policy":"use","effect":"allow"}]`)
	w.must(alice, 200, "GET", "/api/permission/policies", "")
	w.must(alice, 200, "GET", "/api/permission/roles/conditions", "")
	w.must(alice, 200, "GET", "/api/permission/plugins/policies", "")
	w.must(alice, 200, "GET", "/api/permission/plugins/condition-rules", "")
	w.must(alice, 200, "GET", "/api/permission/plugins/id", "")
	w.must(alice, 200, "POST", "/api/permission/plugins/id", `{"ids":["search"]}`)
	w.must("user:default/u", 403, "GET", "/api/permission/", "")
	var got []string
	for _, e := range audit.Events() {
		got = append(got, fmt.Sprint(e.ID, " ", e.Severity, " ", e.Status))
	}
	want := []string{"role-write medium succeeded", "role-write medium failed", "role-read medium succeeded", "policy-write medium succeeded", "policy-read medium succeeded",
		"condition-read medium succeeded", "plugin-policies-read medium succeeded", "condition-rules-read medium succeeded", "plugin-ids-read medium succeeded",
		"plugin-ids-write medium succeeded", "permission-evaluation medium succeeded"}
	if !slices.Equal(got, want) {
		t.Errorf("events\n got %q\nwant %q", got, want)
	}
}

// TestNamesOfThePolicyFile: a role of the user interface cannot be given a name for which
// the policy file has rules. It would have them, until the file is read again.
func TestNamesOfThePolicyFile(t *testing.T) {
	t.Parallel()
	const alice = "user:default/alice"
	w := newWorld(t, "p, role:default/later, everything, use, allow\np, role:default/team, x, use, allow\ng, user:default/t, role:default/team\n",
		`{"enabled": true, "rbac": {"admin": {"users": [{"name": "user:default/alice"}]}}}`)
	w.must(alice, 201, "POST", "/api/permission/roles", `{"name":"role:default/mine","memberReferences":["user:default/u"]}`)
	w.must(alice, 201, "POST", "/api/permission/policies", `[{"entityReference":"role:default/mine","permission":"y","policy":"use","effect":"allow"}]`)
	state := func() string {
		return text(w.must(alice, 200, "GET", "/api/permission/roles", "")) + text(w.must(alice, 200, "GET", "/api/permission/policies", ""))
	}
	before := state()
	for _, tt := range []struct {
		method, path, body, says string
		want                     int
	}{
		{"PUT", "/roles/role/default/mine", `{"oldRole":{"memberReferences":["user:default/u"]},"newRole":{"name":"role:default/later","memberReferences":["user:default/u"]}}`, "there are rules for role:default/later of source 'CSV-FILE'", 403},
		{"PUT", "/roles/role/default/mine", `{"oldRole":{"memberReferences":["user:default/u"]},"newRole":{"name":"role:default/team","memberReferences":["user:default/u"]}}`, "there is a role role:default/team already", 409},
		{"POST", "/roles", `{"name":"role:default/later","memberReferences":["user:default/u"]}`, "there are rules for role:default/later of source 'CSV-FILE'", 403},
		{"POST", "/roles", `{"name":"role:default/team","memberReferences":["user:default/u"]}`, "source does not match originating role role:default/team", 403},
	} {
		if status, answer := w.ask(alice, tt.method, "/api/permission"+tt.path, tt.body); status != tt.want || !strings.Contains(strings.ToLower(text(answer)), strings.ToLower(tt.says)) {
			t.Errorf("%s %s %s: %d %s, want %d %s", tt.method, tt.path, tt.body, status, text(answer), tt.want, tt.says)
		}
	}
	if after := state(); after != before {
		t.Errorf("before %s\nafter  %s", before, after)
	}
}

// TestLimitsOfNothing are boot errors, with the place.
func TestLimitsOfNothing(t *testing.T) {
	t.Parallel()
	_, err := backendtest.Boot(t, "permission:\n  enabled: true\n  rbac:\n    validation: {conditionalPolicies: {maxConditionDepth: 0}, conditionalPoliciesFile: {maxBytes: -1}}\n", permission.Plugin(), rbac.Module())
	for _, want := range []string{"permission.rbac.validation.conditionalPolicies.maxConditionDepth: must be greater than 0 (app-config.yaml:4:", "permission.rbac.validation.conditionalPoliciesFile.maxBytes: must be greater than 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestFormerNames: a role is found by the name that it had for as long as the user interface
// needs that, and never in the place of another one.
func TestFormerNames(t *testing.T) {
	t.Parallel()
	const alice = "user:default/alice"
	w := newWorld(t, "", `{"enabled": true, "rbac": {"admin": {"users": [{"name": "user:default/alice"}]}}}`)
	create := func(name string) {
		w.must(alice, 201, "POST", "/api/permission/roles", `{"name":"role:default/`+name+`","memberReferences":["user:default/u"]}`)
		w.must(alice, 201, "POST", "/api/permission/policies", `[{"entityReference":"role:default/`+name+`","permission":"x","policy":"use","effect":"allow"}]`)
	}
	rename := func(from, to string) {
		w.must(alice, 200, "PUT", "/api/permission/roles/role/default/"+from, `{"oldRole":{"memberReferences":["user:default/u"]},"newRole":{"name":"role:default/`+to+`","memberReferences":["user:default/u"]}}`)
	}
	const x = `[{"permission":"x","policy":"use","effect":"allow"}]`
	create("a")
	rename("a", "b")
	create("a") // somebody else's
	rename("a", "c")
	w.must(alice, 204, "DELETE", "/api/permission/policies/role/default/a", x)
	w.must(alice, 200, "GET", "/api/permission/policies/role/default/b", "")
	w.must(alice, 404, "GET", "/api/permission/policies/role/default/c", "")
	create("a")
	w.must(alice, 204, "DELETE", "/api/permission/roles/role/default/a", "")
	w.must(alice, 404, "DELETE", "/api/permission/policies/role/default/a", x) // b's is not meant
	rename("b", "d")
	w.must(alice, 404, "PUT", "/api/permission/policies/role/default/b", `{"oldPolicy":`+x+`,"newPolicy":[{"permission":"y","policy":"use","effect":"allow"}]}`)
	w.must(alice, 200, "GET", "/api/permission/policies/role/default/d", "")
}

// TestPlainConditionMapping: user interfaces that know actions only can show and change
// conditions that were written with permissions, such as those of an earlier installation.
func TestPlainConditionMapping(t *testing.T) {
	t.Parallel()
	const alice = "user:default/alice"
	const named = `{"result":"CONDITIONAL","roleEntityRef":"role:default/r","pluginId":"catalog","resourceType":"catalog-entity",
		"permissionMapping":[{"name":"catalog.entity.read","action":"read"},{"name":"catalog.entity.other","action":"read"}],
		"conditions":{"rule":"IS_ENTITY_OWNER","resourceType":"catalog-entity","params":{"claims":["$ownerRefs"]}}}`
	for plain, want := range map[bool]string{false: `[{"action":"read","name":"catalog.entity.read"},{"action":"read","name":"catalog.entity.other"}]`, true: `["read"]`} {
		w := newWorld(t, "", fmt.Sprintf(`{"enabled": true, "rbac": {"plainConditionMapping": %v, "admin": {"users": [{"name": "user:default/alice"}]}}}`, plain))
		w.must(alice, 201, "POST", "/api/permission/roles", `{"name":"role:default/r","memberReferences":["user:default/u"]}`)
		w.must(alice, 201, "POST", "/api/permission/roles/conditions", named)
		for _, got := range []any{w.must(alice, 200, "GET", "/api/permission/roles/conditions/1", ""), w.must(alice, 200, "GET", "/api/permission/roles/conditions", "").([]any)[0]} {
			if mapping := text(got.(map[string]any)["permissionMapping"]); mapping != want {
				t.Errorf("plain %v: %s, want %s", plain, mapping, want)
			}
		}
	}
	_, err := backendtest.Boot(t, "permission: {enabled: true, rbac: {plainConditionMapping: true, strictConditionMapping: true}}", permission.Plugin(), rbac.Module())
	if err == nil || !strings.Contains(err.Error(), "permission.rbac.plainConditionMapping: is for user interfaces that strictConditionMapping refuses") {
		t.Errorf("both: %v", err)
	}
}
