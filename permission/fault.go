package permission

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
)

// faults tells operators of conditions that cannot be evaluated. They deny what they are
// about (contract permission.md, section 4 step 9); what they say is not for whoever
// asked (SEC-18).
type faults struct {
	auditor backend.Auditor
	log     *slog.Logger
}

func (f faults) denied(ctx context.Context, creds backend.Credentials, plugin, resourceType string, err error) {
	user := ""
	if u, ok := creds.User(); ok {
		user = u.Ref
	}
	f.log.ErrorContext(ctx, "conditions of the policy are wrong; what they are about is denied", "plugin", plugin, "resourceType", resourceType, "user", user, "error", err)
	f.auditor.CreateEvent(ctx, backend.AuditEvent{ID: "permission-evaluation", Severity: backend.AuditMedium, Meta: map[string]any{
		"userEntityRef": user, "pluginId": plugin, "resourceType": resourceType, "result": Deny.String(),
	}}).Fail(err, nil)
}

// ofConditions says whether a plugin's error is about the conditions it was asked to
// apply: it does not understand them, or there is nothing of that name.
func ofConditions(err error) bool {
	switch apierr.StatusOf(err) {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusNotImplemented:
		return err != nil
	}
	return false
}

// sound replaces conditional decisions that their plugin could not apply by denials.
func (a *Authorizer) sound(ctx context.Context, creds backend.Credentials, p Permission, d Decision) Decision {
	if d.given == nil {
		return d
	}
	if err := a.checkConditions(p, d.given); err != nil {
		a.faults.denied(ctx, creds, d.given.plugin, d.given.resourceType, fmt.Errorf("permission %s: %w", p.Name, err))
		return Deny
	}
	return d
}

func (a *Authorizer) checkConditions(p Permission, g *given) error {
	x, known := a.own, g.plugin == string(a.plugin)
	if !known {
		if _, ok := a.own.permission(p.Name); ok {
			return fmt.Errorf("the permission is of plugin %s, and the conditions are for plugin %q", a.plugin, g.plugin)
		}
		x, known = backend.Find[*Extensions](a.local, backend.PluginID(g.plugin))
	}
	if !known {
		return nil
	}
	r, ok := x.resource(g.resourceType)
	if !ok {
		return fmt.Errorf("plugin %s has no resources of type %q", g.plugin, g.resourceType)
	}
	return r.check(g.criteria)
}
