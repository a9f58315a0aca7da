package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/internal/wiretest"
)

// hierarchy is a user two levels below the group that owns something.
const hierarchy = `
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: company}
spec: {type: organization, children: []}
---
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: division}
spec: {type: unit, parent: company, children: []}
---
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: team}
spec: {type: team, parent: division, children: []}
---
apiVersion: backstage.io/v1alpha1
kind: User
metadata: {name: alice}
spec: {memberOf: [team]}
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: of-team}
spec: {type: service, lifecycle: production, owner: team}
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: of-company}
spec: {type: service, lifecycle: production, owner: company}
`

// TestTransitiveGroupOwnership is auth.includeTransitiveGroupOwnership from the sign-in to
// what a condition about $ownerRefs lets a user read.
func TestTransitiveGroupOwnership(t *testing.T) {
	for _, tt := range []struct {
		name, key   string
		owns, reads []string
	}{
		{"off", "", []string{"user:default/alice", "group:default/team"}, []string{"of-team"}},
		{"on", "  includeTransitiveGroupOwnership: true\n", []string{"user:default/alice", "group:default/team", "group:default/division", "group:default/company"}, []string{"of-company", "of-team"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := "http://" + freeAddress(t)
			run(t, write(t, "database.yaml", sqlite(t)), write(t, "app-config.yaml", fmt.Sprintf(`
backend:
  baseUrl: %[1]s
  listen: %[2]q
  auth: {externalAccess: [{type: static, options: {token: %[3]s, subject: test}}]}
auth:
%[4]s  providers: {guest: {userEntityRef: 'user:default/alice', dangerouslyAllowOutsideDevelopment: true}}
catalog: {rules: [{allow: [User, Group, Component]}], locations: [{type: file, target: %[5]q}]}
permission:
  enabled: true
  rbac: {policies-csv-file: %[6]q, conditionalPoliciesFile: %[7]q, admin: {superUsers: [{name: 'user:default/root'}]}}
`, base, strings.TrimPrefix(base, "http://"), wiretest.StaticToken, tt.key, write(t, "hierarchy.yaml", hierarchy),
				write(t, "policy.csv", "g, group:default/company, role:default/owners\n"), write(t, "conditions.yaml", `
result: CONDITIONAL
roleEntityRef: role:default/owners
pluginId: catalog
resourceType: catalog-entity
permissionMapping: [read]
conditions: {rule: IS_ENTITY_OWNER, resourceType: catalog-entity, params: {claims: [$ownerRefs]}}
`))))
			settled(t, base, 6)
			var session struct {
				BackstageIdentity struct {
					Token    string
					Identity struct{ OwnershipEntityRefs []string }
				}
			}
			answer(t, base+"/api/auth/guest/refresh", "", &session)
			if got := session.BackstageIdentity.Identity.OwnershipEntityRefs; !slices.Equal(got, tt.owns) {
				t.Errorf("owns %q, want %q", got, tt.owns)
			}
			var list []struct{ Metadata struct{ Name string } }
			answer(t, base+"/api/catalog/entities?filter=kind=component", session.BackstageIdentity.Token, &list)
			var reads []string
			for _, e := range list {
				reads = append(reads, e.Metadata.Name)
			}
			if slices.Sort(reads); !slices.Equal(reads, tt.reads) {
				t.Errorf("reads %q, want %q", reads, tt.reads)
			}
		})
	}
}

// run starts the portal, with roles as its policy, in this process. The returned function
// makes tokens of users, who own things through the references that it is called with; the
// first one is the user.
func run(t *testing.T, files ...string) (token func(ownership ...string) string) {
	t.Helper()
	var users backend.UserTokens
	p := portal(backend.WithConfigFiles(files...))
	p.Add(backend.NewModule("auth", "tokens-of-test", fx.Invoke(func(u backend.UserTokens) { users = u })))
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return func(ownership ...string) string {
		text, _, err := users.Issue(t.Context(), ownership[0], ownership)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
}

// answer decodes what a GET answers.
func answer(t *testing.T, url, token string, into any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Requested-With", "XMLHttpRequest")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || json.Unmarshal(text, into) != nil {
		t.Fatalf("GET %s: %s %s %v", url, res.Status, text, err)
	}
}
