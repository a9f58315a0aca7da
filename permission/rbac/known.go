package rbac

import (
	"fmt"
	"slices"

	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
)

// corePermissions are those of contract permission.md 1.5, for tools that run without the
// plugins. A running portal asks its plugins.
func corePermissions() (out []permission.Permission) {
	add := func(resourceType string, list ...[2]string) {
		for _, p := range list {
			out = append(out, permission.Permission{Name: p[0], Action: p[1], ResourceType: resourceType})
		}
	}
	add("catalog-entity", [2]string{"catalog.entity.read", "read"}, [2]string{"catalog.entity.delete", "delete"}, [2]string{"catalog.entity.refresh", "update"})
	add("", [2]string{"catalog.entity.create", "create"}, [2]string{"catalog.entity.validate", ""},
		[2]string{"catalog.location.read", "read"}, [2]string{"catalog.location.create", "create"}, [2]string{"catalog.location.delete", "delete"}, [2]string{"catalog.location.analyze", ""},
		[2]string{"catalog.ingestion.read", "read"}, [2]string{"catalog.ingestion.manage", "update"},
		[2]string{"catalog.entities.unprocessed.read", "read"}, [2]string{"catalog.entities.unprocessed.delete", "delete"})
	add("scaffolder-template", [2]string{"scaffolder.template.parameter.read", "read"}, [2]string{"scaffolder.template.step.read", "read"})
	add("scaffolder-action", [2]string{"scaffolder.action.execute", ""})
	add("scaffolder-task", [2]string{"scaffolder.task.read", "read"}, [2]string{"scaffolder.task.cancel", ""})
	add("", [2]string{"scaffolder.task.create", "create"}, [2]string{"scaffolder.template.dry-run", ""}, [2]string{"scaffolder.template.management", ""},
		[2]string{"kubernetes.proxy", ""}, [2]string{"kubernetes.clusters.read", "read"}, [2]string{"kubernetes.resources.read", "read"})
	add("policy-entity", [2]string{"policy.entity.read", "read"}, [2]string{"policy.entity.update", "update"}, [2]string{"policy.entity.delete", "delete"})
	add("", [2]string{"policy.entity.create", "create"},
		[2]string{"devtools.administer", "read"}, [2]string{"devtools.info", "read"}, [2]string{"devtools.config", "read"},
		[2]string{"devtools.external-dependencies", "read"}, [2]string{"devtools.scheduler.read", "read"}, [2]string{"devtools.scheduler.trigger", "update"})
	return out
}

// coreRules are the rules of plugins whose list is the same in all portals, but for those
// that modules add to the catalog (contract permission.md 1.4).
func coreRules() []permission.RuleInfo {
	rule := func(typ, name string, required []string, properties map[string]string) permission.RuleInfo {
		schema := map[string]any{}
		for p, kind := range properties {
			of := map[string]any{"type": kind}
			if kind == "array" {
				of["items"] = map[string]any{"type": "string"}
			}
			schema[p] = of
		}
		return permission.RuleInfo{Name: name, ResourceType: typ, ParamsSchema: map[string]any{"properties": schema, "required": required, "additionalProperties": false}}
	}
	key := func(name, key string) permission.RuleInfo {
		return rule("catalog-entity", name, []string{key}, map[string]string{key: "string", "value": "string"})
	}
	list := func(typ, name, param string) permission.RuleInfo {
		return rule(typ, name, []string{param}, map[string]string{param: "array"})
	}
	return []permission.RuleInfo{
		list("catalog-entity", "IS_ENTITY_OWNER", "claims"), list("catalog-entity", "IS_ENTITY_KIND", "kinds"),
		key("HAS_ANNOTATION", "annotation"), key("HAS_LABEL", "label"), key("HAS_METADATA", "key"), key("HAS_SPEC", "key"),
		list(resourcePolicy, ruleIsOwner, "owners"),
	}
}

// checkCoreRules checks the parameters of rules that are known without asking a portal,
// and nothing of others: modules may have added them.
func checkCoreRules(c engine.Condition) (err error) {
	if c.ResourceType != "catalog-entity" && c.ResourceType != resourcePolicy {
		return nil
	}
	rules := coreRules()
	c.Criteria.Rules(func(rule, resourceType string, params map[string]any) bool {
		i := slices.IndexFunc(rules, func(r permission.RuleInfo) bool { return r.Name == rule && r.ResourceType == c.ResourceType })
		switch {
		case resourceType != c.ResourceType:
			err = fmt.Errorf("rule %s: its resourceType must be that of the condition, %s, not %q", rule, c.ResourceType, resourceType)
		case i >= 0:
			err = checkParams(rule, params, rules[i].ParamsSchema)
		case didYouMean(rule, ruleNames(rules)) != "":
			err = fmt.Errorf("there is no rule %q for %s%s", rule, c.ResourceType, didYouMean(rule, ruleNames(rules)))
		}
		return err == nil
	})
	return err
}

func ruleNames(rules []permission.RuleInfo) (out []string) {
	for _, r := range rules {
		out = append(out, r.Name)
	}
	return out
}
