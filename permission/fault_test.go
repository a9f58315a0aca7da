package permission_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/permission"
)

// wrongConditions has for each user conditions with another mistake on opening boxes, and
// right ones on weighing them.
func wrongConditions() backend.Feature {
	given := map[string]permission.Decision{
		"rule":      permission.If("boxes", "box", permission.Is("HAS_PREFX", "box", map[string]any{"prefix": "a"})),
		"parameter": permission.If("boxes", "box", permission.Is("HAS_PREFIX", "box", map[string]any{"prefx": "a"})),
		"kind":      permission.If("boxes", "box", permission.Not(permission.Is("HAS_PREFIX", "box", map[string]any{"prefix": []any{"a"}}))),
		"inner":     permission.If("boxes", "box", permission.Is("HAS_PREFIX", "nope", map[string]any{"prefix": "a"})),
		"plugin":    permission.If("nope", "box", permission.Is("HAS_PREFIX", "box", map[string]any{"prefix": "a"})),
	}
	return backend.NewModule("permission", "wrong-conditions", fx.Invoke(func(x *permission.Extensions) {
		x.SetPolicy(permission.PolicyFunc(func(_ context.Context, q permission.Query) (permission.Decision, error) {
			if q.Permission.Name == "boxes.box.weigh" {
				return permission.If("boxes", "box", permission.Is("HAS_PREFIX", "box", map[string]any{"prefix": "a"})), nil
			}
			if q.Permission.Name != "boxes.box.open" {
				return permission.Deny, nil
			}
			return given[strings.TrimPrefix(q.User.Ref, "user:default/")], nil
		}))
	}))
}

// TestWrongConditionsDeny: what is wrong with conditions denies what they are about and
// nothing else, is audited, and is not told to whoever asked, in one process and in two.
func TestWrongConditionsDeny(t *testing.T) {
	t.Parallel()
	const on = "permission: {enabled: true}\n"
	audit := &backendtest.Audit{}
	audited := backend.NewPluginService(func(backend.PluginID, backend.Auditor) (backend.Auditor, error) { return audit, nil })
	together := start(on, permission.Plugin(), wrongConditions(), boxes(), usersOfTest(), audited)
	t.Cleanup(together.stop)
	first, second := freeAddress(t), freeAddress(t)
	split := func(elsewhere, plugins string) string {
		return on + fmt.Sprintf("discovery: {endpoints: [{target: 'http://%s/api/{{pluginId}}', plugins: %s}]}\n", elsewhere, plugins)
	}
	policy := startAt(first, split(second, "[boxes]"), permission.Plugin(), wrongConditions(), usersOfTest(), audited)
	t.Cleanup(policy.stop)
	plugin := startWithoutAuth(second, split(first, "[permission, auth]"), boxes(), usersOfTest(), audited)
	t.Cleanup(plugin.stop)
	plugin.users = policy.users

	const batch = `{"items":[
		{"id":"1","permission":{"type":"resource","name":"boxes.box.open","attributes":{},"resourceType":"box"},"resourceRef":"apple"},
		{"id":"2","permission":{"type":"resource","name":"boxes.box.weigh","attributes":{},"resourceType":"box"},"resourceRef":["apple","berry"]}]}`
	for _, user := range []string{"rule", "parameter", "kind", "inner", "plugin"} {
		for _, tt := range []struct {
			name               string
			p                  *portal
			method, path, body string
			want               string
		}{
			{"list", together, http.MethodGet, "/api/boxes/", "", `200 [{"result":"DENY"},{"result":"DENY"}]`},
			{"list, two processes", plugin, http.MethodGet, "/api/boxes/", "", `200 [{"result":"DENY"},{"result":"DENY"}]`},
			{"one", together, http.MethodGet, "/api/boxes/apple", "", "200 [false,false]"},
			{"one, two processes", plugin, http.MethodGet, "/api/boxes/apple", "", "200 [false,false]"},
			{"batch", together, http.MethodPost, "/api/permission/authorize", batch, `200 {"items":[{"id":"1","result":"DENY"},{"id":"2","result":["ALLOW","DENY"]}]}`},
			{"batch, two processes", policy, http.MethodPost, "/api/permission/authorize", batch, `200 {"items":[{"id":"1","result":"DENY"},{"id":"2","result":["ALLOW","DENY"]}]}`},
		} {
			before := failures(audit)
			if got := tt.p.send("user:default/"+user, tt.method, tt.path, tt.body); got != tt.want {
				t.Errorf("%s, %s:\n got %s\nwant %s", user, tt.name, got, tt.want)
			}
			if failures(audit) == before {
				t.Errorf("%s, %s: no failure is audited", user, tt.name)
			}
		}
	}
}

func failures(a *backendtest.Audit) (n int) {
	for _, e := range a.Events() {
		if e.ID == "permission-evaluation" && e.Status == "failed" {
			n++
		}
	}
	return n
}

// TestReferencesInArraysCount: one item with very many references is as much work as very
// many items.
func TestReferencesInArraysCount(t *testing.T) {
	t.Parallel()
	p := start("permission: {enabled: true}\n", permission.Plugin(), firstLetter(), boxes(), usersOfTest())
	t.Cleanup(p.stop)
	ask := func(lengths ...int) string {
		var items []string
		for i, n := range lengths {
			refs := strings.TrimSuffix(strings.Repeat(`"apple",`, n), ",")
			items = append(items, fmt.Sprintf(`{"id":"%d","permission":{"type":"resource","name":"boxes.box.open","attributes":{},"resourceType":"box"},"resourceRef":[%s]}`, i, refs))
		}
		got := p.send("user:default/a", http.MethodPost, "/api/permission/authorize", `{"items":[`+strings.Join(items, ",")+`]}`)
		return got[:min(len(got), 14)]
	}
	for _, tt := range []struct {
		lengths []int
		want    string
	}{
		{[]int{2000}, "200 "},
		{[]int{2001}, "400 InputError"},
		{[]int{1000, 1000, 1}, "400 InputError"},
	} {
		if got := ask(tt.lengths...); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%v references are answered %s, want %s", tt.lengths, got, tt.want)
		}
	}
}
