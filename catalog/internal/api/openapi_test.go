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
	apispec.HoldsRoutes(t, description, "/api/catalog", routes)
}
