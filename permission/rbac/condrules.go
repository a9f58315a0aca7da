package rbac

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
)

// checkCondition holds a condition against the rules of its plugin. It returns nil if the
// plugin cannot be asked now: what is wrong denies when it is evaluated.
func (p *plugins) checkCondition(ctx context.Context, c engine.Condition) error {
	m, err := p.metadata(ctx, c.Plugin)
	if errors.Is(err, errNoMetadata) {
		return apierr.Input.New("'pluginId': there is no plugin %q with permissions%s", c.Plugin, didYouMean(c.Plugin, append(p.ids(), "permission", "catalog")))
	}
	if err != nil {
		p.log.WarnContext(ctx, "a condition is not checked: its plugin does not tell its rules", "plugin", c.Plugin, "error", err)
		return nil
	}
	return checkCriteria(c, m.Rules)
}

// checkCriteria returns the first mistake of a condition as an apierr.Input, going by all
// the rules of its plugin.
func checkCriteria(c engine.Condition, rules []permission.RuleInfo) (err error) {
	var types, names []string
	for _, r := range rules {
		types = append(types, r.ResourceType)
		if r.ResourceType == c.ResourceType {
			names = append(names, r.Name)
		}
	}
	if names == nil {
		return apierr.Input.New("'resourceType': plugin %s has no rules for %q%s", c.Plugin, c.ResourceType, didYouMean(c.ResourceType, types))
	}
	c.Criteria.Rules(func(rule, resourceType string, params map[string]any) bool {
		i := slices.IndexFunc(rules, func(r permission.RuleInfo) bool { return r.Name == rule && r.ResourceType == c.ResourceType })
		switch {
		case resourceType != c.ResourceType:
			err = apierr.Input.New("rule %s: its resourceType must be that of the condition, %s, not %q", rule, c.ResourceType, resourceType)
		case i < 0:
			err = apierr.Input.New("there is no rule %q for %s%s; there are %s", rule, c.ResourceType, didYouMean(rule, names), strings.Join(names, ", "))
		default:
			err = checkParams(rule, params, rules[i].ParamsSchema)
		}
		return err == nil
	})
	return err
}

// checkParams goes by what rules say of their parameters; what else a schema may say is
// left to the plugin.
func checkParams(rule string, params map[string]any, schema any) error {
	var s struct {
		Properties map[string]struct {
			Type  any
			Items struct{ Type any }
		}
		Required             []string
		AdditionalProperties any
	}
	text, err := json.Marshal(schema)
	if err != nil || json.Unmarshal(text, &s) != nil {
		return nil
	}
	var names []string
	for name := range s.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	var given []string
	for name := range params {
		given = append(given, name)
	}
	slices.Sort(given)
	for _, name := range given {
		want, known := s.Properties[name]
		if !known && s.AdditionalProperties == false {
			return apierr.Input.New("rule %s has no parameter %q%s; it has %s", rule, name, didYouMean(name, names), strings.Join(names, ", "))
		}
		if !known || params[name] == nil {
			continue
		}
		if !isOf(want.Type, params[name]) {
			hint := ""
			if want.Type == "array" {
				hint = fmt.Sprintf(", such as [%s]", quotedValue(params[name]))
			}
			return apierr.Input.New("parameter %s of rule %s must be of type %v%s, not %s", name, rule, want.Type, hint, quotedValue(params[name]))
		}
		list, _ := params[name].([]any)
		for _, one := range list {
			if !isOf(want.Items.Type, one) {
				return apierr.Input.New("parameter %s of rule %s must have elements of type %v, not %s", name, rule, want.Items.Type, quotedValue(one))
			}
		}
	}
	for _, name := range s.Required {
		if params[name] == nil {
			return apierr.Input.New("parameter %s of rule %s is missing", name, rule)
		}
	}
	return nil
}

// isOf says whether a value has a type of JSON Schema; yes where the schema does not
// name one.
func isOf(typ, v any) bool {
	ok := true
	switch typ {
	case "array":
		_, ok = v.([]any)
	case "string":
		_, ok = v.(string)
	case "boolean":
		_, ok = v.(bool)
	case "number", "integer":
		_, ok = v.(float64)
	}
	return ok
}

func quotedValue(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

func didYouMean(word string, candidates []string) string {
	if near := config.Suggest(word, candidates); near != "" {
		return fmt.Sprintf(", did you mean %s?", near)
	}
	return ""
}
