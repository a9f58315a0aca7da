package api

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// TestOpenAPI holds the hand-written description against the table of routes, both ways.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	var doc struct {
		OpenAPI    string
		Paths      map[string]map[string]struct{ OperationID string }
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
			described = append(described, strings.ToUpper(method)+" "+strings.TrimPrefix(path, "/api/catalog"))
			ids = append(ids, op.OperationID)
		}
	}
	var routes []string
	for _, r := range new(api).routes() {
		routes = append(routes, r.pattern)
	}
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
}
