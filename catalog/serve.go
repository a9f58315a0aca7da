package catalog

import (
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/catalog/internal/api"
	"github.com/callboard-dev/callboard/catalog/internal/index"
	"github.com/callboard-dev/callboard/catalog/internal/query"
	"github.com/callboard-dev/callboard/permission"
)

type serveParams struct {
	fx.In

	Catalog *catalog
	Router  backend.Router
	Landing backend.Landing
	Auditor backend.Auditor
	Auth    backend.Auth

	Authorizer  *permission.Authorizer
	Permissions *permission.Extensions

	Lifecycle fx.Lifecycle
}

// serve mounts the API (contract catalog.md, 1.6), and lists the entities on the
// landing page.
func serve(p serveParams) {
	c := p.Catalog.p
	limits := c.Config.Limits
	reads := query.New(c.Store, index.Options{Columns: limits.IndexBytes, Cache: limits.CachedBytes, Log: c.Log})
	p.Lifecycle.Append(fx.StartHook(func() { c.Background.Go(reads.Run) }))
	permission.AddResource(p.Permissions, api.Resource(reads))
	p.Permissions.AddPermissions(api.Permissions()...)
	api.Register(p.Router, api.Deps{
		Authenticate: p.Auth.Credentials,
		Authorizer:   &api.Policies{Ask: p.Authorizer, Extensions: p.Permissions},
		Query:        reads, Engine: p.Catalog.engine, Store: c.Store, Integrations: c.Integrations, Log: c.Log, Auditor: p.Auditor,
		LocationTypes:     c.Extensions.types,
		RefreshOnConflict: c.Config.DefaultLocationConflictStrategy == "refresh",
		ReadOnly:          c.Config.ReadOnly,
		FindDescriptors:   p.Catalog.descriptors,
		AnalyzeLocation:   c.Extensions.analyzeLocation(),
	})
	p.Landing.Section("Catalog", listed(reads))
}
