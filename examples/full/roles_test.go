package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/callboard-dev/callboard/internal/wiretest"
	"github.com/callboard-dev/callboard/internal/wiretest/fixtures"
)

// The files that the exchanges of roles were recorded with.
const (
	recordedRoles = `p, role:default/platform-team, catalog.entity.read, read, allow
p, role:default/platform-team, catalog-entity, read, allow
p, role:default/platform-team, catalog.entity.create, create, allow
p, role:default/platform-team, catalog.location.read, read, allow
p, role:default/platform-team, catalog.location.create, create, allow
p, role:default/platform-team, kubernetes.proxy, use, allow
p, role:default/platform-team, kubernetes.clusters.read, read, allow
p, role:default/payments-team, scaffolder.template.parameter.read, read, allow
p, role:default/payments-team, scaffolder-template, read, allow
p, role:default/payments-team, scaffolder.action.execute, use, allow
p, role:default/payments-team, scaffolder.task.create, create, allow
p, role:default/payments-team, catalog.entity.create, create, deny
g, group:default/platform-team, role:default/platform-team
g, group:default/payments-team, role:default/payments-team
`
	recordedConditions = `result: CONDITIONAL
roleEntityRef: role:default/payments-team
pluginId: catalog
resourceType: catalog-entity
permissionMapping: [read]
conditions:
  anyOf:
    - rule: IS_ENTITY_OWNER
      resourceType: catalog-entity
      params: { claims: ['$ownerRefs'] }
    - rule: IS_ENTITY_KIND
      resourceType: catalog-entity
      params: { kinds: [Template, User, Group] }
`
)

// TestRecordingsOfRoles replays the group rbac, with roles as the policy. Users have
// what they own in their tokens, as those of the recordings had.
func TestRecordingsOfRoles(t *testing.T) {
	databases(t, func(t *testing.T, database string) {
		files := fixtures.Start(t)
		base := "http://" + freeAddress(t)
		dir := t.TempDir()
		roles, conditions := filepath.Join(dir, "policy.csv"), filepath.Join(dir, "conditions.yaml")
		for file, text := range map[string]string{roles: recordedRoles, conditions: recordedConditions} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		rbac := fmt.Sprintf(`permission:
  enabled: true
  rbac:
    policies-csv-file: %q
    conditionalPoliciesFile: %q
    policyFileReload: true
    pluginsWithPermission: [catalog, scaffolder, permission, kubernetes]
    strictConditionMapping: true
    admin:
      users: [{name: 'user:default/alice'}]
      superUsers: [{name: 'user:default/platform-admin'}]
`, roles, conditions)
		token := run(t,
			write(t, "app-config.yaml", wiretest.Config(files.URL(), files.Dir(), base)), write(t, "database.yaml", database), write(t, "rbac.yaml", rbac))
		installed, err := wiretest.Installed(t.Context(), base)
		if err != nil {
			t.Fatal(err)
		}
		wiretest.Run(t, base, []string{"rbac"}, wiretest.Options{
			Fixtures: files, Installed: installed, NotYet: notYetOfRoles, Tokens: map[string]string{
				"alice": token("user:default/alice", "group:default/platform-team"),
				"guest": token("user:development/guest", "group:default/checkout-squad"),
				"bobby": token("user:default/bob", "group:default/payments-team", "group:default/checkout-squad"),
			},
		})
	})
}

// notYetOfRoles are answers that list what plugins have that a later change brings.
var notYetOfRoles = []string{"rbac: /plugins/policies alice", "rbac: /plugins/condition-rules alice"}
