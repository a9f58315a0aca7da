package notifications

import (
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/internal/wiretest/apispec"
)

// patterns is a backend.Router that keeps what is asked of it.
type patterns []string

// Handle implements backend.Router.
func (p *patterns) Handle(pattern string, _ backend.Handler, _ ...backend.Access) {
	*p = append(*p, pattern)
}

// TestOpenAPI holds the hand-written description against the routes, both ways.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	var routes patterns
	(&plugin{}).routes(&routes)
	for i, r := range routes {
		routes[i] = strings.Replace(r, "{$}", "", 1) // a pattern has to say that nothing follows
	}
	apispec.HoldsRoutes(t, description, "/api/notifications", routes)
}
