// Package api is the HTTP interface of the catalog (contract catalog.md, 1.6): one
// table of routes, and for each a handler that decodes, asks and encodes.
//
// Handlers decide nothing. What may be seen is asked of the Authorizer, what is read of
// catalog/internal/query, and what changes of catalog/internal/ingest. Bodies are read
// by body.go, which knows how requests are checked (contract 1.1); answers are written
// by answer.go, which knows what is streamed and what is buffered.
package api

import (
	"context"
	"log/slog"

	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/ingest"
	"github.com/callboard-dev/callboard/catalog/internal/query"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// Deps are what the routes stand on. Fields without a comment are required.
type Deps struct {
	Query        *query.Query
	Engine       *ingest.Engine
	Store        *store.Store
	Integrations *scm.Integrations
	Log          *slog.Logger

	Authorizer Authorizer // nil: AllowAll
	// LocationTypes are those that may be registered; nil: url.
	LocationTypes []string
	// RefreshOnConflict makes registering a location again a refresh of it, unless the
	// request says otherwise; else it is a conflict.
	RefreshOnConflict bool
	// ReadOnly refuses changes of registered locations.
	ReadOnly bool
	// FindDescriptors lists the addresses of the files of a name in the repository that
	// a URL points into; nil: there are none. Where that cannot be found out, the error
	// is logged, and there are none.
	FindDescriptors func(ctx context.Context, rawURL, filename string) ([]string, error)
	// AnalyzeLocation answers POST /analyze-location with what it returns; nil: the
	// answer is made here.
	AnalyzeLocation func(ctx context.Context, loc entity.Location, filename string) (any, error)
}

// A Router is where routes are added; backend.Router is one.
type Router interface {
	Handle(pattern string, h httpx.HandlerFunc, allow ...httpx.Access)
}

// Register adds the routes to r. It does no I/O.
func Register(r Router, d Deps) {
	if d.Authorizer == nil {
		d.Authorizer = AllowAll{}
	}
	if d.LocationTypes == nil {
		d.LocationTypes = []string{"url"}
	}
	a := &api{Deps: d}
	for _, route := range a.routes() {
		r.Handle(route.pattern, route.handler)
	}
}

type api struct{ Deps }

type route struct {
	pattern string
	handler httpx.HandlerFunc
}

// routes is the table, in the order of contract 1.6. All of them need credentials.
func (a *api) routes() []route {
	return []route{
		{"GET /entities", a.entities},
		{"GET /entities/by-query", a.entitiesByQuery},
		{"POST /entities/by-query", a.entitiesByPredicate},
		{"GET /entities/by-uid/{uid}", a.entityByUID},
		{"DELETE /entities/by-uid/{uid}", a.deleteEntity},
		{"GET /entities/by-name/{kind}/{namespace}/{name}", a.entityByName},
		{"GET /entities/by-name/{kind}/{namespace}/{name}/ancestry", a.ancestry},
		{"POST /entities/by-refs", a.entitiesByRefs},
		{"GET /entity-facets", a.facets},
		{"POST /entity-facets", a.facetsByPredicate},
		{"POST /refresh", a.refresh},
		{"POST /locations", a.createLocation},
		{"GET /locations", a.locations},
		{"POST /locations/by-query", a.locationsByPredicate},
		{"GET /locations/{id}", a.location},
		{"PUT /locations/{id}", a.updateLocation},
		{"DELETE /locations/{id}", a.deleteLocation},
		{"GET /locations/by-entity/{kind}/{namespace}/{name}", a.locationOfEntity},
		{"POST /analyze-location", a.analyzeLocation},
		{"POST /validate-entity", a.validateEntity},
		{"GET /entities/unprocessed/pending", a.pendingEntities},
		{"GET /entities/unprocessed/failed", a.failedEntities},
		{"DELETE /entities/unprocessed/delete/{entity_id}", a.deleteUnprocessed},
		{"GET /.well-known/backstage/permissions/metadata", a.permissionMetadata},
		{"POST /.well-known/backstage/permissions/apply-conditions", a.applyConditions},
		{"GET /openapi.json", a.openAPI},
	}
}
