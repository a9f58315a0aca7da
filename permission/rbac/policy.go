package rbac

import (
	"context"
	"log/slog"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/permission"
)

// policy decides by the roles of whoever asks.
type policy struct {
	live    *live
	members *members
	audit   string // permission.rbac.auditEvaluations
	auditor backend.Auditor
	log     *slog.Logger
}

var _ permission.BatchPolicy = (*policy)(nil)

// Decide answers one question.
func (p *policy) Decide(ctx context.Context, q permission.Query) (permission.Decision, error) {
	d, err := p.DecideAll(ctx, q.User, []permission.Permission{q.Permission})
	if err != nil {
		return permission.Deny, err
	}
	return d[0], nil
}

// DecideAll answers all questions of a request from one snapshot. What goes wrong is a
// denial, and an audit event that says so.
func (p *policy) DecideAll(ctx context.Context, user *permission.User, permissions []permission.Permission) ([]permission.Decision, error) {
	out := make([]permission.Decision, len(permissions))
	if user == nil {
		return out, nil
	}
	snapshot := p.live.snapshot()
	if snapshot.SuperUser(user) { // whatever the catalog says, or if it says nothing
		for i := range out {
			out[i] = permission.Allow
		}
		return out, nil
	}
	who, err := p.members.who(ctx, user)
	if err != nil {
		p.log.ErrorContext(ctx, "everything is denied: who asks cannot be looked up", "user", user.Ref, "error", err)
		p.event(ctx, user, permissions, out, true).Fail(err, nil)
		return out, nil
	}
	denied := false
	for i, one := range permissions {
		out[i] = snapshot.Decide(one, who, nil)
		denied = denied || out[i] == permission.Deny
	}
	if p.audit == "all" || denied && p.audit == "deny" {
		p.event(ctx, user, permissions, out, p.audit == "all").Success(nil)
	}
	return out, nil
}

// event is one for a whole batch: lists ask a thousand times.
func (p *policy) event(ctx context.Context, user *permission.User, permissions []permission.Permission, decisions []permission.Decision, all bool) backend.AuditedEvent {
	type evaluation struct {
		PermissionName string `json:"permissionName"`
		Action         string `json:"action"`
		ResourceType   string `json:"resourceType,omitempty"`
		Result         any    `json:"result"`
	}
	var list []evaluation
	seen := map[permission.Permission]bool{}
	for i, one := range permissions {
		if seen[one] || !all && decisions[i] != permission.Deny {
			continue
		}
		seen[one] = true
		e := evaluation{one.Name, one.Action, one.ResourceType, decisions[i].String()}
		if _, _, _, ok := decisions[i].Conditional(); ok {
			e.Result = decisions[i]
		}
		list = append(list, e)
	}
	return p.auditor.CreateEvent(ctx, backend.AuditEvent{ID: "permission-evaluation", Severity: backend.AuditMedium, Meta: map[string]any{
		"userEntityRef": user.Ref, "evaluations": list,
	}})
}
