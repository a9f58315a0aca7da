package rbac

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
)

// rest is the REST API (contract permission.md, section 6).
type rest struct {
	config     Config
	live       *live
	authorizer *permission.Authorizer
	extensions *permission.Extensions
	plugins    *plugins
	providers  *providers
	auditor    backend.Auditor
	log        *slog.Logger
	now        func() time.Time
}

func (a *rest) mount(r backend.Router) {
	for _, route := range []struct {
		pattern string
		guard   permission.Permission
		handler func(c *call) error
	}{
		{"GET /{$}", policyRead, a.authorized},
		{"GET /policies", policyRead, a.policies},
		{"GET /policies/{kind}/{namespace}/{name}", policyRead, a.policiesOf},
		{"POST /policies", policyCreate, a.createPolicies},
		{"PUT /policies/{kind}/{namespace}/{name}", policyUpdate, a.updatePolicies},
		{"DELETE /policies/{kind}/{namespace}/{name}", policyDelete, a.deletePolicies},
		{"GET /roles", policyRead, a.roles},
		{"GET /roles/{kind}/{namespace}/{name}", policyRead, a.role},
		{"POST /roles", policyCreate, a.createRole},
		{"PUT /roles/{kind}/{namespace}/{name}", policyUpdate, a.updateRole},
		{"DELETE /roles/{kind}/{namespace}/{name}", policyDelete, a.deleteRole},
		{"GET /roles/conditions", policyRead, a.conditions},
		{"POST /roles/conditions", policyCreate, a.createCondition},
		{"GET /roles/conditions/{id}", policyRead, a.condition},
		{"PUT /roles/conditions/{id}", policyUpdate, a.updateCondition},
		{"DELETE /roles/conditions/{id}", policyDelete, a.deleteCondition},
		{"GET /plugins/policies", policyRead, a.pluginPolicies},
		{"GET /plugins/condition-rules", policyRead, a.pluginRules},
		{"GET /plugins/id", policyRead, a.pluginIDs},
		{"POST /plugins/id", policyCreate, a.addPluginIDs},
		{"DELETE /plugins/id", policyDelete, a.removePluginIDs},
		{"POST /refresh/{provider}", policyCreate, a.refresh},
	} {
		r.Handle(route.pattern, a.guarded(route.guard, route.handler))
	}
}

// A call is one request that was let in.
type call struct {
	a       *rest
	w       http.ResponseWriter
	r       *http.Request
	caller  string
	visible func(engine.Role) bool // what the policy lets the caller see and change

	audit backend.AuditedEvent // set by event
	meta  map[string]any
}

// guarded asks the policy before the handler runs, and ends its audit event.
func (a *rest) guarded(p permission.Permission, next func(*call) error) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		creds := httpx.CallerOf(r)
		if _, ok := creds.User(); !ok && p != policyRead {
			return apierr.NotAllowed.New("only credential principal with type 'user' permitted to modify permissions")
		}
		d, err := a.authorizer.Decide(r.Context(), creds, p)
		if err != nil {
			return err
		}
		c := &call{a: a, w: w, r: r, caller: creds.String(), visible: func(engine.Role) bool { return true }, meta: map[string]any{}}
		if _, _, criteria, ok := d[0].Conditional(); ok {
			if _, err := permission.Match(a.extensions, resourcePolicy, criteria, engine.Role{}); err != nil {
				return err
			}
			c.visible = func(role engine.Role) bool {
				ok, err := permission.Match(a.extensions, resourcePolicy, criteria, role)
				return err == nil && ok
			}
		} else if d[0] != permission.Allow {
			return apierr.NotAllowed.New("")
		}
		err = next(c)
		if c.audit != nil {
			if err != nil {
				c.audit.Fail(err, c.meta)
			} else {
				c.audit.Success(c.meta)
			}
		}
		return err
	}
}

// event begins the audit event of the call.
func (c *call) event(id string, meta map[string]any) {
	c.audit = c.a.auditor.CreateEvent(c.r.Context(), backend.AuditEvent{ID: id, Severity: backend.AuditMedium, Request: c.r, Meta: meta})
}

func (c *call) reads(id, queryType string) { c.event(id, map[string]any{"queryType": queryType}) }

func (c *call) writes(id, actionType string) {
	c.event(id, map[string]any{"actionType": actionType, "source": engine.SourceREST})
}

func (c *call) json(status int, v any) error {
	c.meta["response"] = map[string]any{"status": status}
	return httpx.JSON(c.w, status, v)
}

func (c *call) empty(status int) error {
	c.meta["response"] = map[string]any{"status": status}
	c.w.WriteHeader(status)
	return nil
}

func (c *call) decode(into any) error {
	return httpx.DecodeJSON(c.r, into, httpx.SyntaxErrors())
}

// change changes what is stored, in the name of the caller.
func (c *call) change(fn func(editor, *engine.State) error) (*engine.State, error) {
	e := editor{c.caller, c.a.now()}
	return c.a.live.change(c.r.Context(), func(s *engine.State) error { return fn(e, s) })
}

// ref is the reference in the path.
func (c *call) ref(kinds ...string) (string, error) {
	ref := c.r.PathValue("kind") + ":" + c.r.PathValue("namespace") + "/" + c.r.PathValue("name")
	if err := engine.CheckRef(ref, kinds...); err != nil {
		return "", apierr.Input.Wrap(err, "%v", err)
	}
	return ref, nil
}

// mayTouch refuses roles that the caller may not see; those that do not exist are for the
// edit to find out.
func (c *call) mayTouch(s *engine.State, ref string) error {
	r, ok := s.Role(ref)
	if !ok {
		r, ok = s.Renamed(ref)
	}
	if ok && !c.visible(*r) {
		return apierr.NotAllowed.New("")
	}
	return nil
}

func (a *rest) authorized(c *call) error {
	return c.json(http.StatusOK, map[string]string{"status": "Authorized"})
}
