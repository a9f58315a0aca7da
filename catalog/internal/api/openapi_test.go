package api

import (
	"testing"

	"github.com/callboard-dev/callboard/internal/wiretest/apispec"
)

// TestOpenAPI holds the hand-written description against the table of routes, both ways.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	var routes []string
	for _, r := range new(api).routes() {
		routes = append(routes, r.pattern)
	}
	// The two that permission.Use serves.
	routes = append(routes, "GET /.well-known/backstage/permissions/metadata", "POST /.well-known/backstage/permissions/apply-conditions")
	apispec.HoldsRoutes(t, description, "/api/catalog", routes)
}
