package permission_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/permission"
)

type byPrefix struct {
	Prefix string `json:"prefix"`
}

// boxes is a plugin whose resources are texts. GET /{ref} says whether the caller may read
// one, GET / what the decision on all of them is.
func boxes() backend.Feature {
	read := permission.Permission{Name: "boxes.read", Action: permission.Read}
	open := permission.Permission{Name: "boxes.box.open", ResourceType: "box"}
	return backend.NewPlugin("boxes", permission.Use(), fx.Invoke(func(x *permission.Extensions, may *permission.Authorizer, r backend.Router, actions *backend.Actions) {
		x.AddPermissions(read)
		permission.AddResource(x, permission.Resource[string]{
			Type: "box", Permissions: []permission.Permission{open},
			Load: func(_ context.Context, refs []string) (map[string]string, error) {
				out := map[string]string{}
				for _, ref := range refs {
					if ref != "lost" {
						out[ref] = ref
					}
				}
				return out, nil
			},
			Rules: []permission.AnyRule[string]{permission.Rule[string, byPrefix, string]{
				Name: "HAS_PREFIX", ResourceType: "box", Apply: func(s string, p byPrefix) bool { return len(s) >= len(p.Prefix) && s[:len(p.Prefix)] == p.Prefix },
				Query: func(p byPrefix) string { return p.Prefix + "*" },
			}},
		})
		r.Handle("GET /{$}", func(w http.ResponseWriter, r *http.Request) error {
			d, err := may.Decide(r.Context(), httpx.CallerOf(r), open, read)
			if err != nil {
				return err
			}
			return httpx.JSON(w, http.StatusOK, d)
		})
		r.Handle("GET /both/{one}/{two}", func(w http.ResponseWriter, r *http.Request) error {
			ok, err := may.Authorize(r.Context(), httpx.CallerOf(r), permission.Request{Permission: open, Ref: r.PathValue("one")}, permission.Request{Permission: read}, permission.Request{Permission: open, Ref: r.PathValue("two")})
			if err != nil {
				return err
			}
			return httpx.JSON(w, http.StatusOK, ok)
		})
		r.Handle("GET /{ref}", func(w http.ResponseWriter, r *http.Request) error {
			ok, err := may.Authorize(r.Context(), httpx.CallerOf(r), permission.Request{Permission: open, Ref: r.PathValue("ref")}, permission.Request{Permission: read})
			if err != nil {
				return err
			}
			return httpx.JSON(w, http.StatusOK, ok)
		})
		actions.Register(
			backend.NewAction(backend.ActionOptions{Name: "count", Title: "Count", Description: "Counts boxes.", VisibilityPermission: "boxes.read"}, func(context.Context, backend.ActionCall[struct{}]) (struct{}, error) { return struct{}{}, nil }),
			backend.NewAction(backend.ActionOptions{Name: "burn", Title: "Burn", Description: "Burns boxes.", VisibilityPermission: "boxes.burn"}, func(context.Context, backend.ActionCall[struct{}]) (struct{}, error) { return struct{}{}, nil }),
			// Everybody may open some boxes, and root may open all.
			backend.NewAction(backend.ActionOptions{Name: "open", Title: "Open", Description: "Opens all boxes.", VisibilityPermission: "boxes.box.open"}, func(context.Context, backend.ActionCall[struct{}]) (struct{}, error) { return struct{}{}, nil }),
		)
	}))
}

// firstLetter lets users open boxes that begin like their names, and alice read.
func firstLetter() backend.Feature {
	return backend.NewModule("permission", "first-letter", fx.Invoke(func(x *permission.Extensions) {
		x.SetPolicy(permission.PolicyFunc(func(_ context.Context, q permission.Query) (permission.Decision, error) {
			switch {
			case q.User == nil:
				return permission.Deny, nil
			case q.User.Ref == "user:default/root":
				return permission.Allow, nil
			case q.Permission.Name == "boxes.box.open":
				return permission.If("boxes", "box", permission.Is("HAS_PREFIX", "box", map[string]any{"prefix": q.User.Ref[len("user:default/"):][:1]})), nil
			case q.Permission.Name == "boxes.read" && q.User.Ref == "user:default/alice":
				return permission.Allow, nil
			}
			return permission.Deny, nil
		}))
	}))
}

// usersOfTest own things through themselves, in every process.
func usersOfTest() backend.Feature {
	return backend.NewService(fx.Decorate(func(backend.UserInfo) backend.UserInfo { return backendtest.Users{} }))
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestOneProcessAndTwo: answers are the same whether plugin and policy share a process or not.
func TestOneProcessAndTwo(t *testing.T) {
	t.Parallel()
	for _, batches := range []bool{false, true} {
		t.Run(fmt.Sprintf("batches %v", batches), func(t *testing.T) {
			t.Parallel()
			oneProcessAndTwo(t, batches)
		})
	}
}

func oneProcessAndTwo(t *testing.T, batches bool) {
	on := fmt.Sprintf("permission: {enabled: true, EXPERIMENTAL_enableBatchedRequests: %v}\n", batches)
	together := start(on, permission.Plugin(), firstLetter(), boxes(), usersOfTest())
	t.Cleanup(together.stop)

	first, second := freeAddress(t), freeAddress(t)
	split := func(listen, elsewhere string, plugins string) string {
		return on + fmt.Sprintf("discovery: {endpoints: [{target: 'http://%s/api/{{pluginId}}', plugins: %s}]}\n", elsewhere, plugins)
	}
	policy := startAt(first, split(first, second, "[boxes]"), permission.Plugin(), firstLetter(), usersOfTest())
	t.Cleanup(policy.stop)
	plugin := startWithoutAuth(second, split(second, first, "[permission, auth]"), boxes(), usersOfTest())
	t.Cleanup(plugin.stop)
	plugin.users = policy.users

	const conditional = `{"result":"CONDITIONAL","pluginId":"boxes","resourceType":"box","conditions":{"rule":"HAS_PREFIX","resourceType":"box","params":{"prefix":"%s"}}}`
	for _, tt := range []struct{ user, path, want string }{
		{"user:default/alice", "/api/boxes/apple", "200 [true,true]"},
		{"user:default/alice", "/api/boxes/berry", "200 [false,true]"},
		{"user:default/alice", "/api/boxes/lost", "200 [false,true]"},
		{"user:default/bob", "/api/boxes/berry", "200 [true,false]"},
		{"user:default/alice", "/api/boxes/both/berry/apple", "200 [false,true,true]"},
		{"user:default/bob", "/api/boxes/both/berry/apple", "200 [true,false,false]"},
		{"user:default/alice", "/api/boxes/", "200 [" + fmt.Sprintf(conditional, "a") + `,{"result":"ALLOW"}]`},
		{"user:default/bob", "/api/boxes/", "200 [" + fmt.Sprintf(conditional, "b") + `,{"result":"DENY"}]`},
	} {
		for name, p := range map[string]*portal{"one process": together, "two processes": plugin} {
			if got := p.get(tt.user, tt.path); got != tt.want {
				t.Errorf("%s, %s %s:\n got %s\nwant %s", name, tt.user, tt.path, got, tt.want)
			}
		}
	}
	// Without the policy's process nobody knows, and nobody gets in.
	policy.stop()
	if got := plugin.get("user:default/alice", "/api/boxes/apple"); got == "200 [true,true]" || got[:1] == "2" {
		t.Errorf("without a policy: %s", got)
	}
}

// TestSEC50_ActionsAskTheirPlugin: who may not see an action may not invoke it, a
// permission that nobody has registered is nobody's, and who has one only for some
// resources, which an action does not name, does not have it.
func TestSEC50_ActionsAskTheirPlugin(t *testing.T) {
	t.Parallel()
	const on = "permission: {enabled: true}\nbackend: {actions: {pluginSources: [boxes, crates]}, baseUrl: 'http://localhost:7007', listen: '127.0.0.1:0'}\n"
	// This plugin does not know the permission framework.
	crates := backend.NewPlugin("crates", fx.Invoke(func(a *backend.Actions) {
		a.Register(backend.NewAction(backend.ActionOptions{Name: "burn", Title: "Burn", Description: "Burns boxes.", VisibilityPermission: "boxes.read"}, func(context.Context, backend.ActionCall[struct{}]) (struct{}, error) { return struct{}{}, nil }))
	}))
	p := startWhole(on, permission.Plugin(), firstLetter(), boxes(), crates, usersOfTest())
	t.Cleanup(p.stop)
	invoke := func(user, plugin, action string) string {
		return p.send(user, http.MethodPost, "/api/"+plugin+"/.backstage/actions/v1/actions/"+plugin+"%3A"+action+"/invoke", "{}")
	}
	for _, tt := range []struct{ user, plugin, action, want string }{
		{"user:default/alice", "boxes", "count", "200"},
		{"user:default/bob", "boxes", "count", "404"},
		{"user:default/alice", "boxes", "burn", "404"},
		{"user:default/alice", "crates", "burn", "404"},
		{"user:default/root", "boxes", "open", "200"},
		{"user:default/alice", "boxes", "open", "404"}, // CONDITIONAL
		{"user:default/bob", "boxes", "open", "404"},
	} {
		if got := invoke(tt.user, tt.plugin, tt.action); got[:3] != tt.want {
			t.Errorf("%s invokes %s of %s: %s, want %s", tt.user, tt.action, tt.plugin, got, tt.want)
		}
	}
	for user, want := range map[string][]string{"user:default/root": {"boxes:count", "boxes:open"}, "user:default/alice": {"boxes:count"}, "user:default/bob": nil} {
		var list struct{ Actions []struct{ ID string } }
		text := p.get(user, "/api/boxes/.backstage/actions/v1/actions")
		if err := json.Unmarshal([]byte(text[4:]), &list); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		var seen []string
		for _, a := range list.Actions {
			seen = append(seen, a.ID)
		}
		if slices.Sort(seen); !slices.Equal(seen, want) {
			t.Errorf("%s sees %q, want %q", user, seen, want)
		}
	}
}

// TestSEC47_RestrictedTokens: what a token is restricted to holds whatever the policy
// allows, and while permissions are disabled.
func TestSEC47_RestrictedTokens(t *testing.T) {
	t.Parallel()
	for _, enabled := range []bool{true, false} {
		p := startWhole(fmt.Sprintf(`permission: {enabled: %v}
backend:
  baseUrl: http://localhost:7007
  listen: 127.0.0.1:0
  auth:
    externalAccess:
      - {type: static, options: {token: reads-nothing-0123456789, subject: a}, accessRestrictions: [{plugin: boxes, permission: boxes.box.open}]}
      - {type: static, options: {token: only-reads-0123456789, subject: b}, accessRestrictions: [{plugin: boxes, permissionAttribute: {action: read}}]}
      - {type: static, options: {token: everything-0123456789, subject: c}}
`, enabled), permission.Plugin(), backend.NewModule("permission", "all", fx.Invoke(func(x *permission.Extensions) { x.SetPolicy(permission.AllowEverything()) })), boxes())
		t.Cleanup(p.stop)
		for token, want := range map[string]string{
			"reads-nothing-0123456789": "200 [true,false]",
			"only-reads-0123456789":    "200 [false,true]",
			"everything-0123456789":    "200 [true,true]",
		} {
			if got := p.with(token, http.MethodGet, "/api/boxes/apple", ""); got != want {
				t.Errorf("enabled %v, %s: %s, want %s", enabled, token, got, want)
			}
		}
	}
}
