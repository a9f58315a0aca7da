package permissiontest_test

import (
	"net/http"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/permissiontest"
)

type startsWith struct {
	Prefix string `json:"prefix" doc:"how the text begins"`
	Fold   *bool  `json:"fold,omitempty"`
}

func TestRunRule(t *testing.T) {
	t.Parallel()
	fold := true
	rule := permission.Rule[string, startsWith, func(string) bool]{
		Name: "STARTS_WITH", ResourceType: "text",
		Apply: func(s string, p startsWith) bool {
			if p.Fold != nil && *p.Fold {
				s, p.Prefix = strings.ToLower(s), strings.ToLower(p.Prefix)
			}
			return strings.HasPrefix(s, p.Prefix)
		},
	}
	rule.Query = func(p startsWith) func(string) bool { return func(s string) bool { return rule.Apply(s, p) } }
	permissiontest.RunRule(t, rule, []string{"", "a", "Abc"}, []startsWith{{}, {Prefix: "a"}, {"A", &fold}, {"x\"\\", nil}},
		func(q func(string) bool, s string) bool { return q(s) })
}

func TestPolicyRecords(t *testing.T) {
	t.Parallel()
	read := permission.Permission{Name: "notes.read", Action: permission.Read}
	policy := &permissiontest.Policy{Decisions: map[string]permission.Decision{"notes.read": permission.Allow}}
	notes := backend.NewPlugin("notes", permission.Use(), fx.Invoke(func(x *permission.Extensions, may *permission.Authorizer, r backend.Router) {
		x.AddPermissions(read)
		r.Handle("GET /{$}", func(w http.ResponseWriter, r *http.Request) error {
			if err := may.Require(r.Context(), httpx.CallerOf(r), read, ""); err != nil {
				return err
			}
			return httpx.JSON(w, http.StatusOK, "notes")
		})
	}))
	b := backendtest.Start(t, "permission: {enabled: true}", permission.Plugin(), policy.Module(), notes)
	res, err := b.As("user:default/alice").Get(b.URL + "/api/notes/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	asked := policy.Asked()
	if res.StatusCode != http.StatusOK || len(asked) != 1 || asked[0].Permission != read || asked[0].User.Ref != "user:default/alice" {
		t.Errorf("%d after %+v", res.StatusCode, asked)
	}
}
