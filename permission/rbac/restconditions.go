package rbac

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/policyfile"
)

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
			out = append(out, conditionOnWire(one, a.config.PlainConditionMapping))
		}
	}
	return c.json(http.StatusOK, out)
}

func (c *call) showCondition(s *engine.State, one engine.Condition) bool {
	r, ok := s.Role(one.Role)
	return ok && c.visible(*r)
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
	return c.json(http.StatusOK, conditionOnWire(s.Conditions[i], a.config.PlainConditionMapping))
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
	c.meta["condition"] = conditionOnWire(cond, false)
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
