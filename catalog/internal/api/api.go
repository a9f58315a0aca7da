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
	"net/http"

	"github.com/callboard-dev/callboard/backend"
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

	// Authenticate says who is asking by the header of a request, or fails; nil: the token
	// that old clients send in the body of POST /refresh does not count.
	Authenticate func(r *http.Request) (backend.Credentials, error)
	Authorizer   Authorizer      // nil: AllowAll
	Auditor      backend.Auditor // nil: nothing is audited
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
		handler, access := a.audited(route.audit, route.handler), []httpx.Access(nil)
		if route.pattern == refreshRoute && a.Authenticate != nil {
			handler, access = a.withTokenOfBody(handler), []httpx.Access{backend.AllowUnauthenticated}
		}
		r.Handle(route.pattern, handler, access...)
	}
}

type api struct{ Deps }

type route struct {
	pattern string
	handler httpx.HandlerFunc
	audit   audit
}

const refreshRoute = "POST /refresh"

// routes is the table, in the order of contract 1.6, and then our own. All of them need
// credentials.
func (a *api) routes() []route {
	return []route{
		{"GET /entities", a.entities, reads(entityFetch, "all")},
		{"GET /entities/by-query", a.entitiesByQuery, reads(entityFetch, "by-query")},
		{"POST /entities/by-query", a.entitiesByPredicate, reads(entityFetch, "by-query")},
		{"GET /entities/by-uid/{uid}", a.entityByUID, reads(entityFetch, "by-uid")},
		{"DELETE /entities/by-uid/{uid}", a.deleteEntity, acts(entityMutate, "delete", backend.AuditMedium)},
		{"GET /entities/by-name/{kind}/{namespace}/{name}", a.entityByName, reads(entityFetch, "by-name")},
		{"GET /entities/by-name/{kind}/{namespace}/{name}/ancestry", a.ancestry, acts(entityFetch, "ancestry", backend.AuditLow)},
		{"POST /entities/by-refs", a.entitiesByRefs, reads(entityFetch, "by-refs")},
		{"GET /entity-facets", a.facets, audit{id: entityFacets}},
		{"POST /entity-facets", a.facetsByPredicate, audit{id: entityFacets}},
		{refreshRoute, a.refresh, audit{entityMutate, backend.AuditMedium, map[string]any{"queryType": "refresh"}}},
		{"POST /locations", a.createLocation, acts(locationMutate, "create", backend.AuditMedium)},
		{"GET /locations", a.locations, reads(locationFetch, "all")},
		{"POST /locations/by-query", a.locationsByPredicate, reads(locationFetch, "by-query")},
		{"GET /locations/{id}", a.location, reads(locationFetch, "by-id")},
		{"PUT /locations/{id}", a.updateLocation, acts(locationMutate, "update", backend.AuditMedium)},
		{"DELETE /locations/{id}", a.deleteLocation, acts(locationMutate, "delete", backend.AuditMedium)},
		{"GET /locations/by-entity/{kind}/{namespace}/{name}", a.locationOfEntity, reads(locationFetch, "by-entity")},
		{"POST /analyze-location", a.analyzeLocation, audit{id: locationLook}},
		{"POST /validate-entity", a.validateEntity, audit{id: entityValid}},
		{"GET /entities/unprocessed/pending", a.pendingEntities, reads(entityFetch, "unprocessed")},
		{"GET /entities/unprocessed/failed", a.failedEntities, reads(entityFetch, "unprocessed")},
		{"DELETE /entities/unprocessed/delete/{entity_id}", a.deleteUnprocessed, acts(entityMutate, "delete", backend.AuditMedium)},
		{"GET /incremental/health", a.incrementalHealth, reads(ingestionFetch, "health")},
		{"POST /incremental/cleanup", a.cleanIncremental, acts(ingestionMutate, "cleanup", backend.AuditMedium)},
		{"GET /incremental/providers", a.incrementalProviders, reads(ingestionFetch, "all")},
		{"GET /incremental/providers/{provider}", a.incrementalProvider, reads(ingestionFetch, "by-provider")},
		{"POST /incremental/providers/{provider}/trigger", a.triggerIncremental, acts(ingestionMutate, "trigger", backend.AuditMedium)},
		{"POST /incremental/providers/{provider}/start", a.startIncremental, acts(ingestionMutate, "start", backend.AuditMedium)},
		{"POST /incremental/providers/{provider}/cancel", a.cancelIncremental, acts(ingestionMutate, "cancel", backend.AuditMedium)},
		{"DELETE /incremental/providers/{provider}", a.purgeIncremental, acts(ingestionMutate, "purge", backend.AuditMedium)},
		{"GET /incremental/providers/{provider}/marks", a.incrementalMarks, reads(ingestionFetch, "marks")},
		{"DELETE /incremental/providers/{provider}/marks", a.dropIncrementalMarks, acts(ingestionMutate, "delete-marks", backend.AuditMedium)},
		{"GET /openapi.json", a.openAPI, audit{}},

		{"GET /callboard/v1/trash", a.trash, reads(entityFetch, "trash")},
		{"POST /callboard/v1/trash/restore", a.restore, acts(entityMutate, "restore", backend.AuditMedium)},
		{"GET /callboard/v1/held-removals", a.heldRemovals, audit{id: removalFetch}},
		{"POST /callboard/v1/held-removals/release", a.releaseHeldRemoval, acts(removalMutate, "release", backend.AuditMedium)},
	}
}
