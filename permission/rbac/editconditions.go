package rbac

import (
	"slices"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/policyfile"
)

// wireCondition is a condition as the API has it.
type wireCondition struct {
	ID                int64  `json:"id"`
	Result            string `json:"result"`
	PluginID          string `json:"pluginId"`
	ResourceType      string `json:"resourceType"`
	Conditions        any    `json:"conditions"`
	RoleEntityRef     string `json:"roleEntityRef"`
	PermissionMapping []any  `json:"permissionMapping"`
}

// conditionOnWire is the form in which the condition was written; with plain, the actions of
// its mapping.
func conditionOnWire(c engine.Condition, plain bool) wireCondition {
	w := wireCondition{ID: c.ID, Result: "CONDITIONAL", PluginID: c.Plugin, ResourceType: c.ResourceType, Conditions: c.Criteria, RoleEntityRef: c.Role}
	for _, m := range c.Mapping {
		switch {
		case plain && slices.Contains(w.PermissionMapping, any(m.Action)):
		case plain || m.Name == "":
			w.PermissionMapping = append(w.PermissionMapping, m.Action)
		default:
			w.PermissionMapping = append(w.PermissionMapping, map[string]string{"name": m.Name, "action": m.Action})
		}
	}
	return w
}

// putCondition creates a condition, or replaces the one with its id.
func (e editor) putCondition(s *engine.State, c engine.Condition) error {
	doing, verb := "create", "add condition"
	at := -1
	if c.ID != 0 {
		doing, verb = "update", "edit condition"
		if at = slices.IndexFunc(s.Conditions, func(o engine.Condition) bool { return o.ID == c.ID }); at < 0 {
			return apierr.NotFound.New("condition with id %d was not found", c.ID)
		}
		if was, ok := s.Role(s.Conditions[at].Role); ok {
			if err := foreign(was, verb); err != nil {
				return err
			}
		}
	}
	role, ok := s.Role(c.Role)
	if !ok {
		return apierr.NotFound.New("corresponding role %s was not found", c.Role)
	}
	if err := foreign(role, verb); err != nil {
		return err
	}
	for _, o := range s.Conditions {
		if what := policyfile.Overlap(o, c); what != "" && o.ID != c.ID {
			return apierr.Conflict.New("cannot %s condition: permission mapping overlaps with existing condition (id: %d) for resource type '%s'. Overlapping entries: %s.", doing, o.ID, c.ResourceType, what)
		}
	}
	e.touch(role)
	if at < 0 {
		s.Conditions = append(s.Conditions, c)
	} else {
		s.Conditions[at] = c
	}
	return nil
}

func (e editor) deleteCondition(s *engine.State, id int64) error {
	at := slices.IndexFunc(s.Conditions, func(o engine.Condition) bool { return o.ID == id })
	if at < 0 {
		return apierr.NotFound.New("condition with id %d was not found", id)
	}
	if role, ok := s.Role(s.Conditions[at].Role); ok {
		if err := foreign(role, "delete condition"); err != nil {
			return err
		}
		e.touch(role)
	}
	s.Conditions = slices.Delete(s.Conditions, at, at+1)
	return nil
}
