package rbac_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
)

// TestConditionsAreHeldAgainstTheirRules: what the plugin of a condition would not
// understand is told when it is written, with what was meant.
func TestConditionsAreHeldAgainstTheirRules(t *testing.T) {
	t.Parallel()
	const alice = "user:default/alice"
	audit := &backendtest.Audit{}
	audited := backend.NewPluginService(func(backend.PluginID, backend.Auditor) (backend.Auditor, error) { return audit, nil })
	w := newWorld(t, "", `{"enabled": true, "rbac": {"admin": {"users": [{"name": "user:default/alice"}]}}}`, audited)
	w.must(alice, 201, "POST", "/api/permission/roles", `{"name":"role:default/r","memberReferences":["user:default/u"]}`)
	body := func(plugin, typ, rule string) string {
		return fmt.Sprintf(`{"result":"CONDITIONAL","roleEntityRef":"role:default/r","pluginId":"%s","resourceType":"%s","permissionMapping":["read"],"conditions":{"not":%s}}`, plugin, typ, rule)
	}
	const right = `{"rule":"IS_ENTITY_OWNER","resourceType":"catalog-entity","params":{"claims":["$ownerRefs"]}}`
	w.must(alice, 201, "POST", "/api/permission/roles/conditions", body("catalog", "catalog-entity", right))
	for _, tt := range []struct{ body, want string }{
		{body("catalog", "catalog-entity", strings.Replace(right, "OWNER", "OWNR", 1)), `no rule "IS_ENTITY_OWNR" for catalog-entity, did you mean IS_ENTITY_OWNER?`},
		{body("catalog", "catalog-entity", strings.Replace(right, `["$ownerRefs"]`, `"$ownerRefs"`, 1)), `parameter claims of rule IS_ENTITY_OWNER must be of type array, such as ["$ownerRefs"], not "$ownerRefs"`},
		{body("catalog", "catalog-entity", strings.Replace(right, "$ownerRefs", "$ownerRefs\", 1, \"", 1)), `elements of type string, not 1`},
		{body("catalog", "catalog-entity", strings.Replace(right, "claims", "claim", 1)), `rule IS_ENTITY_OWNER has no parameter "claim", did you mean claims?`},
		{body("catalog", "catalog-entity", `{"rule":"IS_ENTITY_OWNER","resourceType":"catalog-entity"}`), `parameter claims of rule IS_ENTITY_OWNER is missing`},
		{body("catalog", "catalog-entity", strings.Replace(right, "catalog-entity", "nope", 1)), `must be that of the condition, catalog-entity, not "nope"`},
		{body("catalog", "catalog-entty", right), `no rules for "catalog-entty", did you mean catalog-entity?`},
		{body("catalgo", "catalog-entity", right), `no plugin "catalgo" with permissions, did you mean catalog?`},
	} {
		for _, target := range []string{"POST /api/permission/roles/conditions", "PUT /api/permission/roles/conditions/1"} {
			method, path, _ := strings.Cut(target, " ")
			before := len(audit.Events())
			status, answer := w.ask(alice, method, path, tt.body)
			if status == 400 { // 409 is about the condition that is there
				t.Errorf("%s: %d %v, want that it does not matter", target, status, answer)
			}
			if told := fmt.Sprintf("%+v", audit.Events()[before:]); !strings.Contains(told, tt.want) {
				t.Errorf("%s: audited %s, want %s", target, told, tt.want)
			}
		}
	}
}
