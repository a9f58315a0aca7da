package rbac

import "github.com/callboard-dev/callboard/permission"

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
