package rbac_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSEC52_AllViewsAgree: whatever the conditions, lists, pages, facets, single entities and
// POST /authorize show the same entities. Lists go by SQL, the others by the rules in memory.
func TestSEC52_AllViewsAgree(t *testing.T) {
	t.Parallel()
	w := withCatalog(t, base+"}}")
	const alice, pat = "user:default/alice", "user:default/pat"
	w.must(alice, 201, "POST", "/api/permission/roles", `{"name":"role:default/own","memberReferences":["user:default/pat"]}`)
	g := criteria{rand.New(rand.NewPCG(1, 2))}
	condition := func() string {
		return fmt.Sprintf(`{"result":"CONDITIONAL","roleEntityRef":"role:default/own","pluginId":"catalog","resourceType":"catalog-entity","permissionMapping":["read"],"conditions":%s}`, g.any(3))
	}
	id := w.must(alice, 201, "POST", "/api/permission/roles/conditions", condition()).(map[string]any)["id"]
	sizes := map[int]bool{}
	for range 50 {
		body := condition()
		w.must(alice, 200, "PUT", fmt.Sprint("/api/permission/roles/conditions/", id), body)
		got := w.views(pat)
		sizes[len(got["by-name"])] = true
		for _, view := range []string{"list", "by-query", "by predicate", "by-refs", "authorize"} {
			if !slices.Equal(got[view], got["by-name"]) {
				t.Fatalf("%s\n%s shows %q\nby-name  shows %q", body, view, got[view], got["by-name"])
			}
		}
	}
	if len(sizes) < 4 {
		t.Errorf("the conditions leave %v entities only: they say too little", sizes)
	}
}

// criteria makes random ones about the organisation, in all cases of letters.
type criteria struct{ *rand.Rand }

func (c criteria) pick(list ...string) string { return list[c.IntN(len(list))] }

func (c criteria) any(depth int) string {
	if depth > 0 {
		switch one, two := c.any(depth-1), c.any(depth-1); c.IntN(6) {
		case 0:
			return `{"not":` + one + `}`
		case 1:
			return `{"allOf":[` + one + `,` + two + `]}`
		case 2:
			return `{"anyOf":[` + one + `,` + two + `]}`
		}
	}
	rule := func(name, params string) string {
		return fmt.Sprintf(`{"rule":%q,"resourceType":"catalog-entity","params":{%s}}`, name, params)
	}
	switch c.IntN(6) {
	case 0:
		return rule("IS_ENTITY_KIND", `"kinds":["`+c.pick("Component", "api", "GROUP", "none")+`","`+c.pick("user", "x")+`"]`)
	case 1:
		return rule("IS_ENTITY_OWNER", `"claims":["`+c.pick("$ownerRefs", "group:default/Payments-Team", "group:default/platform-team", "$currentUser", "x")+`"]`)
	case 2:
		return rule("HAS_SPEC", `"key":"`+c.pick("type", "Type", "lifecycle", "owner", "children", "memberOf", "definition", "nope")+`"`+c.pick("", `,"value":"`+c.pick("service", "SERVICE", "production", "platform-team", "team", "true")+`"`))
	case 3:
		return rule("HAS_METADATA", `"key":"`+c.pick("name", "namespace", "uid", "etag")+`"`+c.pick("", `,"value":"`+c.pick("router", "ROUTER", "default", "ledger")+`"`))
	case 4:
		return rule("HAS_ANNOTATION", `"annotation":"`+c.pick("backstage.io/managed-by-location", "Backstage.io/Managed-by-location", "no")+`"`)
	}
	return rule("HAS_LABEL", `"label":"a"`+c.pick("", `,"value":"c"`))
}
