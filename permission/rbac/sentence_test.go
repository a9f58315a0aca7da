package rbac_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/catalogtest"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac"
)

// organisation has two teams, and things that they own.
func organisation() []entity.Entity {
	make := func(kind, name string, spec map[string]any) entity.Entity {
		return entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": kind, "metadata": map[string]any{"name": name, "namespace": "default"}, "spec": spec}
	}
	group := func(name string) entity.Entity {
		return make("Group", name, map[string]any{"type": "team", "children": []any{}})
	}
	user := func(name string, groups ...any) entity.Entity {
		return make("User", name, map[string]any{"memberOf": append([]any{}, groups...)})
	}
	owned := func(kind, name, owner string) entity.Entity {
		return make(kind, name, map[string]any{"type": "service", "lifecycle": "production", "owner": owner, "definition": "x"})
	}
	return []entity.Entity{
		group("platform-team"), group("payments-team"), user("pat", "platform-team"), user("bob", "payments-team"), user("carol"),
		owned("Component", "router", "platform-team"), owned("Component", "gateway", "platform-team"),
		owned("Component", "ledger", "payments-team"), owned("API", "router-api", "platform-team"),
	}
}

const ownComponents = `{"result":"CONDITIONAL","roleEntityRef":"role:default/%s","pluginId":"catalog","resourceType":"catalog-entity","permissionMapping":%s,
"conditions":{"allOf":[{"rule":"IS_ENTITY_KIND","resourceType":"catalog-entity","params":{"kinds":["Component"]}},{"rule":"IS_ENTITY_OWNER","resourceType":"catalog-entity","params":{"claims":["$ownerRefs"]}}]}}`

// withCatalog boots roles and a real catalog with the organisation.
func withCatalog(t testing.TB, yaml string, entities ...entity.Entity) *world {
	t.Helper()
	if entities == nil {
		entities = organisation()
	}
	owners := backendtest.Users{
		"user:default/pat": {"user:default/pat", "group:default/platform-team"},
		"user:default/bob": {"user:default/bob", "group:default/payments-team"},
	}
	w := &world{t, backendtest.Start(t, yaml, permission.Plugin(), rbac.Module(), catalog.Plugin(), catalogtest.Entities(entities...),
		backend.NewService(fx.Decorate(func(backend.UserInfo) backend.UserInfo { return owners })))}
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		_, page := w.ask("user:default/root", "GET", "/api/catalog/entities/by-query?limit=0", "")
		if page.(map[string]any)["totalItems"] == float64(len(entities)) {
			return w
		}
		if time.Now().After(end) {
			t.Fatal("the entities are not served")
		}
	}
}

// views asks for all entities in every way, and returns the references that each shows.
func (w *world) views(who string) map[string][]string {
	out := map[string][]string{}
	var refs []string
	add := func(view string, e any) {
		m, _ := e.(map[string]any)
		if m == nil {
			return
		}
		meta := m["metadata"].(map[string]any)
		out[view] = append(out[view], strings.ToLower(fmt.Sprint(m["kind"], ":default/", meta["name"])))
	}
	for _, e := range organisation() {
		refs = append(refs, strings.ToLower(e.Ref().String()))
	}
	_, list := w.ask(who, "GET", "/api/catalog/entities", "")
	for _, e := range list.([]any) {
		add("list", e)
	}
	_, page := w.ask(who, "GET", "/api/catalog/entities/by-query", "")
	for _, e := range page.(map[string]any)["items"].([]any) {
		add("by-query", e)
	}
	if total := page.(map[string]any)["totalItems"]; total != float64(len(out["by-query"])) {
		w.t.Errorf("%s: a total of %v with %d items", who, total, len(out["by-query"]))
	}
	_, page = w.ask(who, "POST", "/api/catalog/entities/by-query", `{"query":{}}`)
	for _, e := range page.(map[string]any)["items"].([]any) {
		add("by predicate", e)
	}
	_, some := w.ask(who, "POST", "/api/catalog/entities/by-refs", text(map[string]any{"entityRefs": refs}))
	for _, e := range some.(map[string]any)["items"].([]any) {
		add("by-refs", e)
	}
	var items []any
	for _, ref := range refs {
		kind, name, _ := strings.Cut(ref, ":default/")
		if status, e := w.ask(who, "GET", "/api/catalog/entities/by-name/"+kind+"/default/"+name, ""); status == 200 {
			add("by-name", e)
		}
		items = append(items, map[string]any{"id": ref, "resourceRef": ref, "permission": map[string]any{
			"type": "resource", "name": "catalog.entity.read", "attributes": map[string]any{"action": "read"}, "resourceType": "catalog-entity"}})
	}
	_, facets := w.ask(who, "GET", "/api/catalog/entity-facets?facet=metadata.name&facet=kind", "")
	count := 0
	for _, f := range facets.(map[string]any)["facets"].(map[string]any)["kind"].([]any) {
		count += int(f.(map[string]any)["count"].(float64))
	}
	if count != len(out["list"]) {
		w.t.Errorf("%s: facets count %d entities, the list has %d", who, count, len(out["list"]))
	}
	_, answers := w.ask(who, "POST", "/api/permission/authorize", text(map[string]any{"items": items}))
	for _, a := range answers.(map[string]any)["items"].([]any) {
		if m := a.(map[string]any); m["result"] == "ALLOW" {
			out["authorize"] = append(out["authorize"], m["id"].(string))
		}
	}
	for _, list := range out {
		slices.Sort(list)
	}
	return out
}

// agree checks that all views show the same.
func (w *world) agree(who string, want ...string) {
	w.t.Helper()
	got := w.views(who)
	for _, view := range []string{"list", "by-query", "by predicate", "by-refs", "by-name", "authorize"} {
		if !slices.Equal(got[view], want) {
			w.t.Errorf("%s sees %q by %s, want %q", who, got[view], view, want)
		}
	}
}

const base = `permission: {enabled: true, rbac: {admin: {users: [{name: 'user:default/alice'}], superUsers: [{name: 'user:default/root'}]}`

// theSentence is the condition that docs/rbac.md shows.
func theSentence(t testing.TB) string {
	page, err := os.ReadFile("../../docs/rbac.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "own\":\n\n```yaml\n")
	text, _, _ = strings.Cut(text, "```")
	if !strings.HasPrefix(text, "result: CONDITIONAL") {
		t.Fatalf("docs/rbac.md does not show the condition: %.100q", page)
	}
	return text
}

// TestTheGuidesSentence: "users in Group platform-team may read any Component owned by
// their group", as a condition of a file, and of the REST API in both of its forms.
func TestTheGuidesSentence(t *testing.T) {
	t.Parallel()
	check := func(w *world) {
		w.t.Helper()
		w.agree("user:default/pat", "component:default/gateway", "component:default/router")
		w.agree("user:default/bob")
		w.agree("user:default/carol")
		w.agree("user:default/stranger")
	}
	t.Run("YAML", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		csv, conditions := filepath.Join(dir, "policy.csv"), filepath.Join(dir, "conditions.yaml")
		for file, text := range map[string]string{csv: "g, group:default/platform-team, role:default/platform-team\n", conditions: theSentence(t)} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		check(withCatalog(t, fmt.Sprintf("%s, policies-csv-file: %q, conditionalPoliciesFile: %q}}", base, csv, conditions)))
	})
	for name, mapping := range map[string]string{"REST": `[{"name":"catalog.entity.read","action":"read"}]`, "REST, actions only": `["read"]`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := withCatalog(t, base+"}}")
			w.must("user:default/alice", 201, "POST", "/api/permission/roles", `{"name":"role:default/own","memberReferences":["group:default/platform-team"]}`)
			w.must("user:default/alice", 201, "POST", "/api/permission/roles/conditions", fmt.Sprintf(ownComponents, "own", mapping))
			check(w)
			_, list := w.ask("user:default/alice", "GET", "/api/permission/roles/conditions?"+url.Values{"roleEntityRef": {"role:default/own"}}.Encode(), "")
			if got := text(list.([]any)[0].(map[string]any)["permissionMapping"]); !sameText(got, mapping) {
				t.Errorf("the mapping is shown as %s, and was written as %s", got, mapping)
			}
		})
	}
}

func sameText(got, want string) bool {
	strip := strings.NewReplacer(" ", "", `{"action":"read","name":"catalog.entity.read"}`, `{"name":"catalog.entity.read","action":"read"}`)
	return strip.Replace(got) == strip.Replace(want)
}

// TestAnEmptyPolicyAllowsNothing: being signed in is not enough.
func TestAnEmptyPolicyAllowsNothing(t *testing.T) {
	t.Parallel()
	w := withCatalog(t, base+"}}")
	w.agree("user:default/pat")
	w.agree("user:default/stranger")
	w.must("user:default/pat", 403, "POST", "/api/catalog/locations?dryRun=true", `{"type":"url","target":"https://example.com/a.yaml"}`)
	w.must("user:default/pat", 403, "GET", "/api/permission/", "")
}

func (w *world) must(who string, want int, method, path, body string) any {
	w.t.Helper()
	status, answer := w.ask(who, method, path, body)
	if status != want {
		w.t.Fatalf("%s: %s %s: %d %s, want %d", who, method, path, status, text(answer), want)
	}
	return answer
}

// TestTheUserInterface sends what the RBAC user interface sends when somebody creates a
// role with policies and a condition, edits and renames it, and deletes it.
func TestTheUserInterface(t *testing.T) {
	t.Parallel()
	w := withCatalog(t, base+", pluginsWithPermission: [catalog, permission]}}")
	const alice = "user:default/alice"
	w.must(alice, 200, "GET", "/api/permission/", "")
	w.must(alice, 200, "GET", "/api/permission/roles", "")
	w.must(alice, 200, "GET", "/api/catalog/entities?filter=kind=user&filter=kind=group", "")
	w.must(alice, 200, "GET", "/api/permission/plugins/policies", "")
	w.must(alice, 200, "GET", "/api/permission/plugins/condition-rules", "")
	w.must(alice, 201, "POST", "/api/permission/roles", `{"memberReferences":["group:default/platform-team"],"name":"role:default/ui","metadata":{"description":"made","owner":"user:default/alice"}}`)
	w.must(alice, 201, "POST", "/api/permission/policies", `[{"entityReference":"role:default/ui","permission":"catalog.entity.create","policy":"create","effect":"allow"}]`)
	id := w.must(alice, 201, "POST", "/api/permission/roles/conditions", fmt.Sprintf(ownComponents, "ui", `["read"]`)).(map[string]any)["id"]
	w.agree("user:default/pat", "component:default/gateway", "component:default/router")
	w.must(alice, 200, "PUT", "/api/permission/policies/role/default/ui", `{"oldPolicy":[{"permission":"catalog.entity.create","policy":"create","effect":"allow"}],
		"newPolicy":[{"permission":"catalog.entity.create","policy":"create","effect":"deny"},{"permission":"catalog.entity.refresh","policy":"update","effect":"allow"}]}`)
	// The interface of that version appends a brace to the id.
	w.must(alice, 200, "PUT", fmt.Sprintf("/api/permission/roles/conditions/%v%%7D", id), fmt.Sprintf(ownComponents, "ui", `["read","delete"]`))
	w.must(alice, 200, "PUT", "/api/permission/roles/role/default/ui", `{"oldRole":{"memberReferences":["group:default/platform-team"],"name":"role:default/ui"},
		"newRole":{"memberReferences":["group:default/payments-team"],"name":"role:default/renamed","metadata":{"description":"renamed"}}}`)
	w.agree("user:default/pat")
	w.agree("user:default/bob", "component:default/ledger")
	w.must(alice, 200, "GET", "/api/permission/policies/role/default/renamed", "")
	w.must(alice, 404, "GET", "/api/permission/policies/role/default/ui", "")
	// The stock interface deletes by the old name and creates by the new one.
	w.must(alice, 404, "DELETE", "/api/permission/policies/role/default/ui", `[{"permission":"catalog.entity.validate","policy":"use","effect":"allow"}]`)
	w.must(alice, 204, "DELETE", "/api/permission/policies/role/default/ui", `[{"permission":"catalog.entity.refresh","policy":"update","effect":"allow"}]`)
	w.must(alice, 201, "POST", "/api/permission/policies", `[{"entityReference":"role:default/renamed","permission":"catalog.entity.refresh","policy":"update","effect":"allow"}]`)
	w.must(alice, 204, "DELETE", fmt.Sprintf("/api/permission/roles/conditions/%v", id), "")
	w.must(alice, 204, "DELETE", "/api/permission/policies/role/default/renamed", `[{"permission":"catalog.entity.create","policy":"create","effect":"deny"},{"permission":"catalog.entity.refresh","policy":"update","effect":"allow"}]`)
	w.must(alice, 204, "DELETE", "/api/permission/roles/role/default/renamed", "")
	w.agree("user:default/bob")
}

// TestSEC18_ConditionsAreNotToldToUsers: how the policy decides is for plugins, and not
// for users to read, in whatever way they ask.
func TestSEC18_ConditionsAreNotToldToUsers(t *testing.T) {
	t.Parallel()
	w := withCatalog(t, base+"}}")
	w.must("user:default/alice", 201, "POST", "/api/permission/roles", `{"name":"role:default/own","memberReferences":["group:default/platform-team"]}`)
	w.must("user:default/alice", 201, "POST", "/api/permission/roles/conditions", fmt.Sprintf(ownComponents, "own", `["read"]`))
	const read = `"permission":{"type":"resource","name":"catalog.entity.read","attributes":{"action":"read"},"resourceType":"catalog-entity"}`
	for _, tt := range []struct {
		body string
		want int
	}{
		{`{"items":[{"id":"1",` + read + `}]}`, 400},
		{`{"items":[{"id":"1",` + read + `,"resourceRef":"component:default/router"},{"id":"2",` + read + `}]}`, 400},
		{`{"items":[{"id":"1",` + read + `,"resourceRef":[]}]}`, 400},
		{`{"items":[{"id":"1",` + read + `,"resourceRef":null}]}`, 400},
		{`{"items":[{"id":"1",` + read + `,"resourceRef":"component:default/router"}]}`, 200},
		{`{"items":[{"id":"1",` + read + `,"resourceRef":["component:default/ledger","component:default/none"]}]}`, 200},
	} {
		status, answer := w.ask("user:default/pat", "POST", "/api/permission/authorize", tt.body)
		for _, secret := range []string{"CONDITIONAL", "IS_ENTITY_OWNER", "conditions"} {
			if status != tt.want || strings.Contains(text(answer), secret) {
				t.Errorf("%s: %d %s, want %d", tt.body, status, text(answer), tt.want)
			}
		}
	}
	if status, _ := w.ask("user:default/pat", "POST", "/api/catalog/.well-known/backstage/permissions/apply-conditions", `{"items":[]}`); status != 403 {
		t.Errorf("a user applies conditions: %d, want 403", status)
	}
}
