package apispec

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const pets = `{
  "openapi": "3.1.0", "info": {"title": "pets", "version": "1"},
  "paths": {"/pets/{name}": {"get": {
    "parameters": [{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}],
    "responses": {
      "200": {"description": "a pet", "content": {"application/json": {"schema": {"type": "object", "required": ["name"],
        "properties": {"name": {"type": "string"}, "legs": {"type": "integer"}}}}}},
      "204": {"description": "nothing"},
      "default": {"description": "an error", "content": {"application/json": {"schema": {"type": "object", "required": ["error"]}}}}}}}}
}`

func TestCheck(t *testing.T) {
	t.Parallel()
	s, err := Load("pets", []byte(pets), "/api")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path, body string
		status     int
		want       string // in the error; empty for none
	}{
		{path: "/api/pets/rex", status: 200, body: `{"name":"Rex"}`},
		{path: "/api/pets/rex", status: 200, body: `{"legs":4}`, want: "missing property 'name'"},
		{path: "/api/pets/rex", status: 200, body: `{"name":"Rex","legs":"four"}`, want: "legs"},
		{path: "/api/pets/rex", status: 404, body: `{"error":{}}`},
		{path: "/api/pets/rex", status: 404, body: `{}`, want: "missing property 'error'"},
		{path: "/api/pets/rex", status: 204, body: `{}`, want: "with a body"},
		{path: "/api/cats", status: 200, body: `{}`, want: "pets has no GET /cats"},
		{path: "/elsewhere", status: 200, body: `nonsense`},
	} {
		err := s.Check(httptest.NewRequest("GET", tt.path, nil), tt.status, http.Header{"Content-Type": {"application/json"}}, []byte(tt.body))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s %d %s: %v, want %q", tt.path, tt.status, tt.body, err, tt.want)
		}
	}
	if got := s.Uncovered(); got != nil {
		t.Errorf("not covered: %v", got)
	}
	s.Wrong("legs")
	if got := strings.Join(s.Uncovered(), ""); !strings.Contains(got, "legs") {
		t.Errorf("a mistake that does not come up: %v", got)
	}
	check := func(body string) error {
		return s.Check(httptest.NewRequest("GET", "/api/pets/rex", nil), 200, http.Header{"Content-Type": {"application/json"}}, []byte(body))
	}
	if err := check(`{"name":"Rex","legs":"four"}`); err != nil {
		t.Errorf("a mistake of the description: %v", err)
	}
	if err := check(`{"legs":"four"}`); err == nil {
		t.Error("a mistake of the description hides another problem")
	}
}
