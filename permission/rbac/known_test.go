package rbac

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/devtools"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/permission"
)

// TestKnownPermissionsAndRules: what tools know without asking is what the plugins say.
func TestKnownPermissionsAndRules(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "permission: {enabled: true, rbac: {admin: {superUsers: [{name: 'user:default/root'}]}}}", permission.Plugin(), Module(), catalog.Plugin(), devtools.Plugin())
	var permissions, rules []string
	for _, plugin := range []string{"catalog", "permission", "devtools"} {
		res, err := b.As("user:default/root").Get(b.URL + "/api/" + plugin + "/.well-known/backstage/permissions/metadata")
		if err != nil {
			t.Fatal(err)
		}
		var m wireMetadataOf
		err = json.NewDecoder(res.Body).Decode(&m)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v", plugin, res.Status, err)
		}
		for _, p := range m.Permissions {
			permissions = append(permissions, fmt.Sprint(p))
		}
		for _, r := range m.Rules {
			rules = append(rules, described(t, r))
		}
	}
	var knownPermissions, knownRules []string
	for _, p := range corePermissions() {
		if slices.Contains([]string{"catalog", "policy", "devtools"}, p.Name[:strings.Index(p.Name, ".")]) {
			knownPermissions = append(knownPermissions, fmt.Sprint(p))
		}
	}
	for _, r := range coreRules() {
		knownRules = append(knownRules, described(t, r))
	}
	for what, pair := range map[string][2][]string{"permissions": {permissions, knownPermissions}, "rules": {rules, knownRules}} {
		slices.Sort(pair[0])
		slices.Sort(pair[1])
		if !slices.Equal(pair[0], pair[1]) {
			t.Errorf("%s of the plugins\n%s\nknown\n%s", what, strings.Join(pair[0], "\n"), strings.Join(pair[1], "\n"))
		}
	}
}

// described is a rule with what tools check of its parameters.
func described(t *testing.T, r permission.RuleInfo) string {
	t.Helper()
	var s struct {
		Properties map[string]struct {
			Type  string
			Items *struct{ Type string }
		}
		Required []string
	}
	text, err := json.Marshal(r.ParamsSchema)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(s.Required)
	text, err = json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return r.ResourceType + " " + r.Name + " " + string(text)
}
