package ingest

import (
	"testing"

	"github.com/callboard-dev/callboard/catalog/entity"
)

func TestRules(t *testing.T) {
	t.Parallel()
	allow := func(kinds ...string) (out []AllowedKind) {
		for _, k := range kinds {
			out = append(out, AllowedKind{Kind: k})
		}
		return out
	}
	at := func(m ...LocationMatch) []LocationMatch { return append([]LocationMatch{}, m...) }
	const target = "https://github.com/Acme/shop/blob/main/a/catalog-info.yaml"
	for _, tt := range []struct {
		name     string
		rules    Rules
		kind     string
		specType string
		want     bool
	}{
		{"the default rule has Component", DefaultRules(), "Component", "", true},
		{"the default rule has Location", DefaultRules(), "Location", "", true},
		{"the default rule lacks Template", DefaultRules(), "Template", "", false},
		{"kinds have no case", Rules{{Allow: allow("component")}}, "Component", "", true},
		{"no rules allow nothing", Rules{}, "Component", "", false},
		{"any rule will do", Rules{{Allow: allow("API")}, {Allow: allow("User")}}, "User", "", true},
		{"spec.type has to match", Rules{{Allow: []AllowedKind{{"API", "openapi"}}}}, "API", "OpenAPI", true},
		{"another spec.type does not", Rules{{Allow: []AllowedKind{{"API", "openapi"}}}}, "API", "grpc", false},
		{"an entity without spec.type does not", Rules{{Allow: []AllowedKind{{"API", "openapi"}}}}, "API", "", false},
		{"an empty list of locations matches none", Rules{{Allow: allow("User"), Locations: at()}}, "User", "", false},
		{"the type of location has to match", Rules{{Allow: allow("User"), Locations: at(LocationMatch{Type: "file"})}}, "User", "", false},
		{"a type alone matches all its locations", Rules{{Allow: allow("User"), Locations: at(LocationMatch{Type: "url"})}}, "User", "", true},
		{"an exact target matches", Rules{{Allow: allow("User"), Locations: at(LocationMatch{Type: "url", Exact: target})}}, "User", "", true},
		{"an exact target has case", Rules{{Allow: allow("User"), Locations: at(LocationMatch{Type: "url", Exact: "https://github.com/acme/shop/blob/main/a/catalog-info.yaml"})}}, "User", "", false},
		{"a pattern has no case", Rules{{Allow: allow("User"), Locations: at(LocationMatch{Type: "url", Pattern: "https://github.com/acme/**"})}}, "User", "", true},
		{"one star stays within a segment", Rules{{Allow: allow("User"), Locations: at(LocationMatch{Type: "url", Pattern: "https://github.com/acme/*"})}}, "User", "", false},
		{"stars can stand in segments", Rules{{Allow: allow("User"), Locations: at(LocationMatch{Type: "url", Pattern: "https://github.com/*/*/blob/main/*/catalog-*.yaml"})}}, "User", "", true},
		{"a pattern is for the whole target", Rules{{Allow: allow("User"), Locations: at(LocationMatch{Type: "url", Pattern: "https://github.com/acme/shop"})}}, "User", "", false},
		{"the second location matches", Rules{{Allow: allow("User"), Locations: at(LocationMatch{Type: "file"}, LocationMatch{Type: "url"})}}, "User", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.rules.Allows(tt.kind, tt.specType, entity.Location{Type: "url", Target: target}); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
	if !(Rules{{Allow: allow("User"), Locations: at(LocationMatch{Type: "file", Pattern: "/etc/**/*.yaml"})}}).Allows("User", "", entity.Location{Type: "file", Target: "/etc/.hidden/a.yaml"}) {
		t.Error("a pattern does not match a file below a directory with a leading dot")
	}
	if CheckPattern("[") == nil {
		t.Error("a pattern that is no glob is accepted")
	}
}
