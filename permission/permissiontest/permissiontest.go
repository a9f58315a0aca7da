// Package permissiontest helps to test policies, and plugins that ask them.
//
//	policy := &permissiontest.Policy{Decisions: map[string]permission.Decision{"notes.read": permission.Allow}}
//	b := backendtest.Start(t, "permission: {enabled: true}", permission.Plugin(), policy.Module(), notes.Plugin())
package permissiontest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/permission"
)

// A Policy decides by the name of the permission, and records what it was asked. What
// Decisions does not name is denied. It is safe for concurrent use; Decisions must not be
// changed while it is.
type Policy struct {
	Decisions map[string]permission.Decision

	mu    sync.Mutex
	asked []permission.Query
}

var _ permission.Policy = (*Policy)(nil)

// Decide implements permission.Policy.
func (p *Policy) Decide(_ context.Context, q permission.Query) (permission.Decision, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, q)
	return p.Decisions[q.Permission.Name], nil
}

// Asked returns all questions so far, in their order.
func (p *Policy) Asked() []permission.Query {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]permission.Query(nil), p.asked...)
}

// Module makes it the policy of a backend.
func (p *Policy) Module() backend.Feature {
	return backend.NewModule("permission", "permissiontest", fx.Invoke(func(x *permission.Extensions) { x.SetPolicy(p) }))
}

// RunRule holds that a rule says the same of one resource and of a list: for all given
// resources and parameters, Apply and matches of Query agree, and so does the rule when it
// goes through criteria, as it does when a policy on another machine names it.
func RunRule[R, P, Q any](t *testing.T, rule permission.Rule[R, P, Q], resources []R, params []P, matches func(Q, R) bool) {
	t.Helper()
	x := &permission.Extensions{}
	permission.AddResource(x, permission.Resource[R]{Type: rule.ResourceType, Rules: []permission.AnyRule[R]{rule}})
	for i, p := range params {
		for j, r := range resources {
			name := fmt.Sprintf("parameters %d, resource %d", i, j)
			want := rule.Apply(r, p)
			if rule.Query != nil && matches(rule.Query(p), r) != want {
				t.Errorf("%s: Apply is %v, and Query is not", name, want)
			}
			text, err := rule.With(p).MarshalJSON()
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			var c permission.Criteria
			if err := c.UnmarshalJSON(text); err != nil {
				t.Errorf("%s: %s: %v", name, text, err)
				continue
			}
			if got, err := permission.Match(x, rule.ResourceType, c, r); err != nil || got != want {
				t.Errorf("%s: Apply is %v, and %s is %v, %v", name, want, text, got, err)
			}
		}
	}
}
