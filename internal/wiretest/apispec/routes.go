package apispec

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// HoldsRoutes holds a description against the patterns of the routes below prefix, both
// ways: every operation is a route, has an id of its own and an answer besides errors, and
// every component that is referred to is there.
func HoldsRoutes(t *testing.T, description []byte, prefix string, routes []string) {
	t.Helper()
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
			described = append(described, strings.ToUpper(method)+" "+strings.TrimPrefix(path, prefix))
			ids = append(ids, op.OperationID)
			if len(op.Responses) < 2 {
				t.Errorf("%s %s has no answer besides errors", method, path)
			}
		}
	}
	slices.Sort(described)
	routes = slices.Sorted(slices.Values(routes))
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
}
