package events

import (
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/internal/events"
	"github.com/callboard-dev/callboard/internal/wiretest/apispec"
)

// patterns is a backend.Router that keeps what is asked of it.
type patterns []string

// Handle implements backend.Router.
func (p *patterns) Handle(pattern string, _ backend.Handler, _ ...backend.Access) {
	*p = append(*p, pattern)
}

// TestOpenAPI holds the hand-written description against the routes, both ways, and its
// header names against those that are used.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	var routes patterns
	register := []func(backend.Router){(&bus{}).routes, (&ingress{}).routes, describe}
	for _, add := range register {
		add(&routes)
	}
	// What answers 404 below /http is no route that anybody has to know.
	routes = slices.DeleteFunc(routes, func(p string) bool { return p == "/http/{rest...}" })
	apispec.HoldsRoutes(t, description, "/api/events", routes)
	for _, header := range []string{events.HeaderNotifyTimeout, events.HeaderReader, events.HeaderHandled, events.HeaderMost, events.HeaderMarks, events.HeaderMissed, events.HeaderBusy} {
		if !strings.Contains(string(description), `"`+header+`"`) {
			t.Errorf("%s is not described", header)
		}
	}
}
