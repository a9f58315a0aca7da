package permission

import (
	"context"
	"fmt"
	"log/slog"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
)

// host is the permission plugin as other plugins of the process know it.
type host struct {
	policy  func() Policy
	users   backend.UserInfo
	clients backend.Clients
	local   *backend.Local
	faults  faults
}

type hostParams struct {
	fx.In

	Extensions *Extensions
	Users      backend.UserInfo
	Clients    backend.Clients
	Local      *backend.Local
	Auditor    backend.Auditor
	Log        *slog.Logger
}

func newHost(p hostParams) *host {
	return &host{
		policy: func() Policy { return p.Extensions.policy },
		users:  p.Users, clients: p.Clients, local: p.Local, faults: faults{p.Auditor, p.Log},
	}
}

// answer asks the policy, once for the whole batch, and has conditions applied where a
// question names resources.
func (h *host) answer(ctx context.Context, creds backend.Credentials, questions []question) ([]answer, error) {
	if h.policy() == everything {
		return same(questions, Allow), nil
	}
	var user *User
	if _, ok := creds.User(); ok {
		who, err := h.users.UserInfo(ctx, creds)
		if err != nil {
			return nil, fmt.Errorf("look up who asks: %w", err)
		}
		user = &User{Ref: who.UserRef, Ownership: who.OwnershipRefs}
	}
	permissions := make([]Permission, len(questions))
	for i, q := range questions {
		permissions[i] = q.permission
	}
	decisions, err := decideAll(ctx, h.policy(), user, permissions)
	if err != nil {
		return nil, fmt.Errorf("ask the policy: %w", err)
	}
	if len(decisions) != len(questions) {
		return nil, fmt.Errorf("the policy gave %d decisions on %d questions", len(decisions), len(questions))
	}
	out := make([]answer, len(questions))
	for i, d := range decisions {
		out[i].decision = d
		if d.given != nil && d.given.resourceType != permissions[i].ResourceType {
			return nil, fmt.Errorf("the policy has conditions on resources of type %q for permission %s, which is about %q", d.given.resourceType, permissions[i].Name, permissions[i].ResourceType)
		}
	}
	return out, h.applyAll(ctx, creds, questions, out)
}

// target is who applies conditions.
type target struct{ plugin, resourceType string }

// applyAll replaces conditional decisions on named resources, with one call for each
// type of resources.
func (h *host) applyAll(ctx context.Context, creds backend.Credentials, questions []question, out []answer) error {
	var order []target
	items := map[target][]conditioned{}
	for i, q := range questions {
		g := out[i].decision.given
		if g == nil || len(q.refs) == 0 {
			continue
		}
		t := target{g.plugin, g.resourceType}
		if items[t] == nil {
			order = append(order, t)
		}
		for _, ref := range q.refs {
			items[t] = append(items[t], conditioned{ref, g.criteria})
		}
	}
	results := map[target][]bool{}
	for _, t := range order {
		var err error
		if results[t], err = h.apply(ctx, creds, t, items[t]); err != nil {
			return err
		}
	}
	for i, q := range questions {
		if g := out[i].decision.given; g != nil && len(q.refs) > 0 {
			t := target{g.plugin, g.resourceType}
			out[i].each, results[t] = results[t][:len(q.refs)], results[t][len(q.refs):]
			out[i].decision = Deny // each has the results
		}
	}
	return nil
}

// apply has the plugin apply its conditions. What is wrong with the conditions of some
// items denies these items, and is no error; that nobody can tell is one.
func (h *host) apply(ctx context.Context, creds backend.Credentials, t target, items []conditioned) ([]bool, error) {
	faulty := func(err error) { h.faults.denied(ctx, creds, t.plugin, t.resourceType, err) }
	if x, ok := backend.Find[*Extensions](h.local, backend.PluginID(t.plugin)); ok {
		if r, ok := x.resource(t.resourceType); ok && r.loads() {
			out, err := r.apply(ctx, items, faulty)
			if err != nil {
				return nil, fmt.Errorf("apply conditions in plugin %s: %w", t.plugin, err)
			}
			return out, nil
		}
	}
	out, err := applyRemote(ctx, h.clients, creds, t.plugin, t.resourceType, items)
	if !ofConditions(err) {
		return out, err
	}
	return h.applyEach(ctx, creds, t, items, faulty)
}

// applyEach finds out whose conditions a plugin elsewhere refuses: those that are the
// same are asked about together.
func (h *host) applyEach(ctx context.Context, creds backend.Credentials, t target, items []conditioned, faulty func(error)) ([]bool, error) {
	var order []string
	same := map[string][]int{}
	for i, item := range items {
		text, err := item.criteria.MarshalJSON()
		if err != nil {
			return nil, err
		}
		if same[string(text)] == nil {
			order = append(order, string(text))
		}
		same[string(text)] = append(same[string(text)], i)
	}
	out := make([]bool, len(items))
	for _, text := range order {
		some := make([]conditioned, len(same[text]))
		for n, i := range same[text] {
			some[n] = items[i]
		}
		results, err := applyRemote(ctx, h.clients, creds, t.plugin, t.resourceType, some)
		if ofConditions(err) {
			faulty(err)
			continue
		}
		if err != nil {
			return nil, err
		}
		for n, i := range same[text] {
			out[i] = results[n]
		}
	}
	return out, nil
}
