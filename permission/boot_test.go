package permission_test

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/allowall"
)

// TestBoot: there is exactly one policy, unless permissions are off.
func TestBoot(t *testing.T) {
	t.Parallel()
	const on = "permission: {enabled: true}"
	mine := backend.NewModule("permission", "mine", fx.Invoke(func(x *permission.Extensions) { x.SetPolicy(permission.AllowEverything()) }))
	for _, tt := range []struct {
		name, config string
		features     []backend.Feature
		want         string // of the error; empty: it starts
	}{
		{"no policy", on, nil, "backend.Add(rbac.Module()), backend.Add(allowall.Module())"},
		{"no policy, disabled", "permission: {enabled: false}", nil, ""},
		{"no policy, not mentioned", "", nil, ""},
		{"everything is allowed", on, []backend.Feature{allowall.Module()}, ""},
		{"two policies", on, []backend.Feature{allowall.Module(), mine}, "policy already set"},
		{"a policy in another plugin", on, []backend.Feature{allowall.Module(), backend.NewPlugin("notes", permission.Use(),
			fx.Invoke(func(x *permission.Extensions) { x.SetPolicy(permission.AllowEverything()) }))}, `backend.NewModule("permission", ...)`},
		{"a permission twice", "", []backend.Feature{backend.NewPlugin("notes", permission.Use(), fx.Invoke(func(x *permission.Extensions) {
			x.AddPermissions(permission.Permission{Name: "a"}, permission.Permission{Name: "a"})
		}))}, "permission a is registered twice"},
		{"a rule twice", "", []backend.Feature{backend.NewPlugin("notes", permission.Use(), fx.Invoke(func(x *permission.Extensions) {
			rule := permission.Rule[string, struct{}, int]{Name: "IS", ResourceType: "note"}
			permission.AddResource(x, permission.Resource[string]{Type: "note", Rules: []permission.AnyRule[string]{rule}})
			permission.AddRules(x, permission.AnyRule[string](rule))
		}))}, "rule IS of note is registered twice"},
		{"a rule that lists cannot be filtered by", "", []backend.Feature{backend.NewPlugin("notes", permission.Use(), fx.Invoke(func(x *permission.Extensions) {
			permission.AddResource(x, permission.Resource[string]{Type: "note", Lists: 0})
			permission.AddRules(x, permission.AnyRule[string](permission.Rule[string, struct{}, int]{Name: "IS", ResourceType: "note"}))
		}))}, "rule IS of note cannot filter lists"},
		{"a rule with a query of another type", "", []backend.Feature{backend.NewPlugin("notes", permission.Use(), fx.Invoke(func(x *permission.Extensions) {
			permission.AddResource(x, permission.Resource[string]{Type: "note", Lists: "", Rules: []permission.AnyRule[string]{
				permission.Rule[string, struct{}, int]{Name: "IS", ResourceType: "note", Query: func(struct{}) int { return 0 }}}})
		}))}, "give it a Query that returns a string"},
		{"a rule for resources without lists", "", []backend.Feature{backend.NewPlugin("notes", permission.Use(), fx.Invoke(func(x *permission.Extensions) {
			permission.AddResource(x, permission.Resource[string]{Type: "note", Rules: []permission.AnyRule[string]{permission.Rule[string, struct{}, int]{Name: "IS", ResourceType: "note"}}})
		}))}, ""},
		{"a limit of nothing", "permission: {limits: {authorizeBytes: 0, applyConditionsBytes: -1}}", nil, "permission.limits.authorizeBytes: must be greater than 0"},
		{"a rule for nothing", "", []backend.Feature{backend.NewPlugin("notes", permission.Use(), fx.Invoke(func(x *permission.Extensions) {
			permission.AddRules(x, permission.AnyRule[string](permission.Rule[string, struct{}, int]{Name: "IS", ResourceType: "note"}))
		}))}, `resources of type "note", which plugin notes does not have`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := backendtest.Boot(t, tt.config, append([]backend.Feature{permission.Plugin()}, tt.features...)...)
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.name == "no policy" && !strings.Contains(unindented(err), bootErrorOfTheDocs(t)):
				t.Errorf("docs/permissions.md shows\n%s\nand this is\n%v", bootErrorOfTheDocs(t), err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func unindented(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSpace(l)
	}
	return strings.Join(lines, "\n")
}

func bootErrorOfTheDocs(t *testing.T) string {
	page, err := os.ReadFile("../docs/permissions.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "```\npermission.enabled")
	text, _, _ = strings.Cut(text, "\n```")
	return "permission.enabled" + text
}
