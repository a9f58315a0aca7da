package api

import "github.com/callboard-dev/callboard/permission"

// A Permission is what a route asks for.
type Permission = permission.Permission

const resourceEntity = "catalog-entity"

func basic(name, action string) Permission {
	return Permission{Name: name, Action: action}
}

func onEntities(name, action string) Permission {
	return Permission{Name: name, Action: action, ResourceType: resourceEntity}
}

// The permissions of contract 1.7.
var (
	unprocessedRead   = basic("catalog.entities.unprocessed.read", "read")
	unprocessedDelete = basic("catalog.entities.unprocessed.delete", "delete")
	entityRead        = onEntities("catalog.entity.read", "read")
	entityCreate      = basic("catalog.entity.create", "create") // guards buttons of the frontend
	entityDelete      = onEntities("catalog.entity.delete", "delete")
	entityRefresh     = onEntities("catalog.entity.refresh", "update")
	entityValidate    = basic("catalog.entity.validate", "")
	locationRead      = basic("catalog.location.read", "read")
	locationCreate    = basic("catalog.location.create", "create")
	locationDelete    = basic("catalog.location.delete", "delete")
	locationAnalyze   = basic("catalog.location.analyze", "")
	ingestionRead     = basic("catalog.ingestion.read", "read")
	ingestionManage   = basic("catalog.ingestion.manage", "update")
)

// Permissions lists all permissions of the catalog.
func Permissions() []Permission {
	return []Permission{
		unprocessedRead, unprocessedDelete,
		entityRead, entityCreate, entityDelete, entityRefresh, entityValidate,
		locationRead, locationCreate, locationDelete, locationAnalyze,
		ingestionRead, ingestionManage,
	}
}
