package rbac

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/policyfile"
)

// wireTime is how the API writes times.
const wireTime = "2006-01-02T15:04:05.000Z"

const (
	resourcePolicy = "policy-entity"
	ruleIsOwner    = "IS_OWNER"
)

// The permissions that guard the REST API.
var (
	policyRead   = permission.Permission{Name: "policy.entity.read", Action: permission.Read, ResourceType: resourcePolicy}
	policyCreate = permission.Permission{Name: "policy.entity.create", Action: permission.Create}
	policyDelete = permission.Permission{Name: "policy.entity.delete", Action: permission.Delete, ResourceType: resourcePolicy}
	policyUpdate = permission.Permission{Name: "policy.entity.update", Action: permission.Update, ResourceType: resourcePolicy}
)

// owners are the parameters of IS_OWNER.
type owners struct {
	Owners []string `json:"owners"`
}

// registerPermissions tells the framework what the REST API asks for.
func registerPermissions(x *permission.Extensions, l *live, defaultRole string) {
	x.AddPermissions(policyRead, policyCreate, policyDelete, policyUpdate)
	permission.AddResource(x, permission.Resource[engine.Role]{
		Type: resourcePolicy,
		Load: func(_ context.Context, refs []string) (map[string]engine.Role, error) {
			out := map[string]engine.Role{}
			state := l.state()
			for _, ref := range refs {
				if r, ok := state.Role(ref); ok {
					out[ref] = *r
				}
			}
			return out, nil
		},
		Rules: []permission.AnyRule[engine.Role]{permission.Rule[engine.Role, owners, func(engine.Role) bool]{
			Name: ruleIsOwner, Description: "Roles that one of some users owns", ResourceType: resourcePolicy,
			Schema: ownersSchema("http://json-schema.org/draft-07/schema#"),
			Apply: func(r engine.Role, p owners) bool {
				return r.Ref == defaultRole && defaultRole != "" || r.Owner != nil && slices.Contains(p.Owners, *r.Owner)
			},
		}},
	})
}

func ownersSchema(draft string) map[string]any {
	return map[string]any{
		"$schema": draft, "type": "object", "required": []string{"owners"},
		"properties": map[string]any{"owners": map[string]any{"type": "array", "items": map[string]any{"type": "string"}, "description": "References of the owners"}},
	}
}

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

// showRule says whether the caller may see rules of a subject.
func (c *call) showRule(s *engine.State, r engine.Rule) bool {
	role, ok := s.Role(r.Subject)
	if !ok {
		role = &engine.Role{Ref: r.Subject}
	}
	return c.visible(*role)
}

func wireRules(list []engine.Rule) []wireRule {
	out := make([]wireRule, len(list))
	for i, r := range list {
		out[i] = wireRule{r.Subject, r.Permission, r.Action, r.Effect, &wireRuleSource{r.Source}}
	}
	return out
}

func (a *rest) policies(c *call) error {
	q := c.r.URL.Query()
	filtered := q.Has("entityRef") || q.Has("permission") || q.Has("policy") || q.Has("effect")
	c.reads("policy-read", map[bool]string{true: "by-query", false: "all"}[filtered])
	s := a.live.state()
	matches := func(r engine.Rule) bool {
		for param, value := range map[string]string{"entityRef": r.Subject, "permission": r.Permission, "policy": r.Action, "effect": r.Effect} {
			if q.Has(param) && q.Get(param) != value {
				return false
			}
		}
		return !filtered || q.Get("entityRef") != ""
	}
	var list []engine.Rule
	for _, r := range s.Rules {
		if matches(r) && c.showRule(s, r) {
			list = append(list, r)
		}
	}
	return c.json(http.StatusOK, wireRules(list))
}

func (a *rest) policiesOf(c *call) error {
	c.reads("policy-read", "by-role")
	ref, err := c.ref("role", "user", "group")
	if err != nil {
		return err
	}
	s := a.live.state()
	list := slices.DeleteFunc(s.RulesOf(ref), func(r engine.Rule) bool { return !c.showRule(s, r) })
	if len(list) == 0 {
		return apierr.NotFound.New("")
	}
	return c.json(http.StatusOK, wireRules(list))
}

// rules reads an array of rules, and checks them.
func (c *call) rules(raw json.RawMessage, name, subject string) ([]engine.Rule, error) {
	var list []wireRule
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return nil, apierr.Input.New("%s must be present", name)
	case raw[0] != '[':
		return nil, apierr.Input.New("%s must be provided as an array", name)
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, apierr.Input.New("%s must be an array of objects with permission, policy and effect", name)
	}
	if len(list) == 0 {
		return nil, apierr.Input.New("%s must be present", name)
	}
	return checkRules(list, subject)
}

func (a *rest) createPolicies(c *call) error {
	c.writes("policy-write", "create")
	var raw json.RawMessage
	if err := c.decode(&raw); err != nil {
		return err
	}
	list, err := c.rules(raw, "permission policy", "")
	if err != nil {
		return err
	}
	c.meta["policies"] = wireRules(list)
	if _, err := c.change(func(e editor, s *engine.State) error {
		for _, r := range list {
			if err := c.mayTouch(s, r.Subject); err != nil {
				return err
			}
		}
		return e.createRules(s, list)
	}); err != nil {
		return err
	}
	return c.empty(http.StatusCreated)
}

func (a *rest) updatePolicies(c *call) error {
	c.writes("policy-write", "update")
	ref, err := c.ref("role", "user", "group")
	if err != nil {
		return err
	}
	var body struct{ OldPolicy, NewPolicy json.RawMessage }
	if err := c.decode(&body); err != nil {
		return err
	}
	old, err := c.rules(body.OldPolicy, "'oldPolicy' object", ref)
	if err != nil {
		return err
	}
	want, err := c.rules(body.NewPolicy, "'newPolicy' object", ref)
	if err != nil {
		return err
	}
	if len(old) > len(want) {
		return apierr.Input.New("'oldPolicy' has more policies than 'newPolicy'")
	}
	c.meta["policies"] = wireRules(want)
	changed := false
	if _, err := c.change(func(e editor, s *engine.State) (err error) {
		if err := c.mayTouch(s, ref); err != nil {
			return err
		}
		changed, err = e.updateRules(s, old, want)
		return err
	}); err != nil {
		return err
	}
	return c.empty(map[bool]int{true: http.StatusOK, false: http.StatusNoContent}[changed])
}

func (a *rest) deletePolicies(c *call) error {
	c.writes("policy-write", "delete")
	ref, err := c.ref("role", "user", "group")
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := httpx.DecodeJSON(c.r, &raw, httpx.SyntaxErrors(), httpx.OptionalBody()); err != nil {
		return err
	}
	list, err := c.rules(raw, "permission policy", ref)
	if err != nil {
		return err
	}
	c.meta["policies"] = wireRules(list)
	if _, err := c.change(func(e editor, s *engine.State) error {
		if err := c.mayTouch(s, ref); err != nil {
			return err
		}
		return e.deleteRules(s, list, "delete")
	}); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}

func (a *rest) wireRole(s *engine.State, r engine.Role) wireRole {
	date := func(t time.Time) string { return t.UTC().Format(wireTime) }
	members := s.MembersOf(r.Ref)
	if members == nil {
		members = []string{}
	}
	return wireRole{members, r.Ref, &wireMetadata{
		Source: r.Source, Description: r.Description, Owner: r.Owner, Author: r.Author, ModifiedBy: r.ModifiedBy,
		CreatedAt: date(r.Created), LastModified: date(r.Modified), IsDefault: r.Ref == a.config.DefaultPermissions.DefaultRole,
	}}
}

func (a *rest) roles(c *call) error {
	c.reads("role-read", "all")
	s := a.live.state()
	out := []wireRole{}
	for _, r := range s.Roles {
		if c.visible(r) {
			out = append(out, a.wireRole(s, r))
		}
	}
	return c.json(http.StatusOK, out)
}

func (a *rest) role(c *call) error {
	c.reads("role-read", "by-role")
	ref, err := c.ref("role")
	if err != nil {
		return err
	}
	s := a.live.state()
	r, ok := s.Role(ref)
	if !ok || !c.visible(*r) {
		return apierr.NotFound.New("")
	}
	return c.json(http.StatusOK, []wireRole{a.wireRole(s, *r)})
}

func (a *rest) createRole(c *call) error {
	c.writes("role-write", "create")
	var want wireRole
	if err := c.decode(&want); err != nil {
		return err
	}
	if err := want.check(); err != nil {
		return err
	}
	c.meta["members"] = want.MemberReferences
	if _, err := c.change(func(e editor, s *engine.State) error {
		if err := c.mayTouch(s, want.Name); err != nil {
			return err
		}
		return e.createRole(s, want)
	}); err != nil {
		return err
	}
	return c.empty(http.StatusCreated)
}

func (a *rest) updateRole(c *call) error {
	c.writes("role-write", "update")
	ref, err := c.ref("role")
	if err != nil {
		return err
	}
	var body struct{ OldRole, NewRole *wireRole }
	if err := c.decode(&body); err != nil {
		return err
	}
	if body.OldRole == nil {
		return apierr.Input.New("'oldRole' object must be present")
	}
	if body.NewRole == nil {
		return apierr.Input.New("'newRole' object must be present")
	}
	body.OldRole.Name, body.OldRole.Metadata = ref, nil
	for _, role := range []*wireRole{body.OldRole, body.NewRole} {
		if err := role.check(); err != nil {
			return err
		}
	}
	c.meta["members"] = body.NewRole.MemberReferences
	changed := false
	if _, err := c.change(func(e editor, s *engine.State) (err error) {
		if err := c.mayTouch(s, ref); err != nil {
			return err
		}
		changed, err = e.updateRole(s, ref, body.OldRole.MemberReferences, *body.NewRole)
		return err
	}); err != nil {
		return err
	}
	return c.empty(map[bool]int{true: http.StatusOK, false: http.StatusNoContent}[changed])
}

func (a *rest) deleteRole(c *call) error {
	c.writes("role-write", "delete")
	ref, err := c.ref("role")
	if err != nil {
		return err
	}
	var members []string
	for _, m := range c.r.URL.Query()["memberReferences"] {
		members = append(members, strings.ToLower(m))
	}
	c.meta["members"] = members
	if _, err := c.change(func(e editor, s *engine.State) error {
		if err := c.mayTouch(s, ref); err != nil {
			return err
		}
		return e.deleteRole(s, ref, members)
	}); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}

func (a *rest) conditions(c *call) error {
	c.reads("condition-read", "by-query")
	q := c.r.URL.Query()
	for _, action := range q["actions"] {
		if !slices.Contains(engine.Actions(), action) {
			return apierr.Input.New("invalid permission action query value: %s", action)
		}
	}
	in := func(param, value string) bool { return !q.Has(param) || slices.Contains(q[param], value) }
	s := a.live.state()
	out := []wireCondition{}
	for _, one := range s.Conditions {
		about := !q.Has("actions") || slices.ContainsFunc(one.Mapping, func(m engine.Mapping) bool { return slices.Contains(q["actions"], m.Action) })
		if about && in("roleEntityRef", one.Role) && in("pluginId", one.Plugin) && in("resourceType", one.ResourceType) && c.showCondition(s, one) {
			out = append(out, conditionOnWire(one))
		}
	}
	return c.json(http.StatusOK, out)
}

func (c *call) showCondition(s *engine.State, one engine.Condition) bool {
	r, ok := s.Role(one.Role)
	return ok && c.visible(*r)
}

// id reads a number and ignores what follows it: the user interface appends a brace.
func (c *call) id() (int64, error) {
	text := strings.TrimSpace(c.r.PathValue("id"))
	end := 0
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	n, err := strconv.ParseInt(text[:end], 10, 64)
	if err != nil || n == 0 {
		return 0, apierr.Input.New("id is not a valid number")
	}
	return n, nil
}

func (a *rest) condition(c *call) error {
	c.reads("condition-read", "by-id")
	id, err := c.id()
	if err != nil {
		return err
	}
	s := a.live.state()
	i := slices.IndexFunc(s.Conditions, func(o engine.Condition) bool { return o.ID == id })
	if i < 0 {
		return apierr.NotFound.New("")
	}
	if !c.showCondition(s, s.Conditions[i]) {
		return c.json(http.StatusOK, []any{})
	}
	return c.json(http.StatusOK, conditionOnWire(s.Conditions[i]))
}

// readCondition reads the body, and holds the conditions against the rules of their
// plugin if it can be asked.
func (a *rest) readCondition(c *call) (engine.Condition, error) {
	var raw json.RawMessage
	if err := c.decode(&raw); err != nil {
		return engine.Condition{}, err
	}
	cond, err := policyfile.DecodeCondition(raw, a.config.limits())
	if err != nil {
		return cond, err
	}
	if cond.Plain() && a.config.StrictConditionMapping {
		return cond, apierr.Input.New("permissionMapping entries must have a permission name, such as {name: \"catalog.entity.read\", action: \"read\"}, because permission.rbac.strictConditionMapping is true")
	}
	c.meta["condition"] = conditionOnWire(cond)
	if err := a.plugins.checkCondition(c.r.Context(), cond); err != nil {
		// Recorded: it is stored all the same. It denies, until the plugin has such a rule.
		c.meta["problem"] = err.Error()
		a.log.WarnContext(c.r.Context(), "a condition is stored that its plugin does not understand; it denies", "role", cond.Role, "problem", err)
	}
	return cond, nil
}

func (a *rest) createCondition(c *call) error {
	c.writes("condition-write", "create")
	cond, err := a.readCondition(c)
	if err != nil {
		return err
	}
	s, err := c.change(func(e editor, s *engine.State) error {
		if err := c.mayTouch(s, cond.Role); err != nil {
			return err
		}
		return e.putCondition(s, cond)
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusCreated, map[string]int64{"id": s.Conditions[len(s.Conditions)-1].ID})
}

func (a *rest) updateCondition(c *call) error {
	c.writes("condition-write", "update")
	id, err := c.id()
	if err != nil {
		return err
	}
	cond, err := a.readCondition(c)
	if err != nil {
		return err
	}
	cond.ID = id
	if _, err := c.change(func(e editor, s *engine.State) error {
		if err := a.mayTouchCondition(c, s, id); err != nil {
			return err
		}
		if err := c.mayTouch(s, cond.Role); err != nil {
			return err
		}
		return e.putCondition(s, cond)
	}); err != nil {
		return err
	}
	return c.empty(http.StatusOK)
}

func (a *rest) mayTouchCondition(c *call, s *engine.State, id int64) error {
	for _, o := range s.Conditions {
		if o.ID == id {
			return c.mayTouch(s, o.Role)
		}
	}
	return nil
}

func (a *rest) deleteCondition(c *call) error {
	c.writes("condition-write", "delete")
	id, err := c.id()
	if err != nil {
		return err
	}
	if _, err := c.change(func(e editor, s *engine.State) error {
		if err := a.mayTouchCondition(c, s, id); err != nil {
			return err
		}
		return e.deleteCondition(s, id)
	}); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}
