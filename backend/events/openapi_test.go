package events

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/internal/events"
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
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Responses   map[string]any
		}
		Components map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(description, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.0.3" {
		t.Errorf("version %s", doc.OpenAPI)
	}
	var described, ids []string
	for path, methods := range doc.Paths {
		for method, op := range methods {
			described = append(described, strings.ToUpper(method)+" "+strings.TrimPrefix(path, "/api/events"))
			ids = append(ids, op.OperationID)
			if len(op.Responses) < 2 {
				t.Errorf("%s %s has no answer besides errors", method, path)
			}
		}
	}
	var routes patterns
	register := []func(backend.Router){(&bus{}).routes, (&ingress{}).routes, describe}
	for _, add := range register {
		add(&routes)
	}
	// What answers 404 below /http is no route that anybody has to know.
	routes = slices.DeleteFunc(routes, func(p string) bool { return p == "/http/{rest...}" })
	slices.Sort(described)
	slices.Sort(routes)
	if !slices.Equal(described, routes) {
		t.Errorf("described:\n%s\nroutes:\n%s", strings.Join(described, "\n"), strings.Join(routes, "\n"))
	}
	slices.Sort(ids)
	if n := len(slices.Compact(slices.Clone(ids))); n != len(ids) || ids[0] == "" {
		t.Errorf("operation ids are missing or not unique: %v", ids)
	}
	for _, part := range strings.Split(string(description), `"$ref": "#/components/`)[1:] {
		kind, rest, _ := strings.Cut(part, "/")
		name, _, _ := strings.Cut(rest, `"`)
		if doc.Components[kind][name] == nil {
			t.Errorf("#/components/%s/%s is referred to and not there", kind, name)
		}
	}
	for _, header := range []string{events.HeaderNotifyTimeout, events.HeaderReader, events.HeaderHandled, events.HeaderMost, events.HeaderMarks, events.HeaderMissed, events.HeaderBusy} {
		if !strings.Contains(string(description), `"`+header+`"`) {
			t.Errorf("%s is not described", header)
		}
	}
}
