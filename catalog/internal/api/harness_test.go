package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/catalogtest"
	"github.com/callboard-dev/callboard/catalog/entity"
)

const config = `
backend:
  reading: {allow: [{host: '127.0.0.1:1-65535'}]}
  auth:
    externalAccess:
      - type: static
        options: {token: read-only-token-0123456789, subject: reader}
        accessRestrictions: [{plugin: catalog, permission: catalog.entity.read}]
catalog: {rules: [{allow: [Component, API, Group, Location]}]}
`

// A server is a running catalog, and a user who asks it.
type server struct {
	t      testing.TB
	url    string
	client *http.Client
	plugin *http.Client // another plugin, which may apply conditions
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) String() string { return fmt.Sprintf("%d %.300s", a.status, a.body) }

// json decodes the body into a value.
func (a answer) json(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		t.Fatalf("%v in %s", err, a)
	}
}

// errorName is error.name of an error body.
func (a answer) errorName(t testing.TB) string {
	var body struct {
		Error    struct{ Name, Message string }
		Response struct{ StatusCode int }
	}
	a.json(t, &body)
	if body.Response.StatusCode != a.status || body.Error.Message == "" {
		t.Errorf("not an error body: %s", a)
	}
	return body.Error.Name
}

// ask sends a request; a body is JSON. header is pairs of names and values.
func (s *server) ask(method, path, body string, header ...string) answer {
	s.t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+"/api/catalog"+path, content)
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := s.client
	if strings.HasSuffix(path, "/apply-conditions") {
		client = s.plugin
	}
	if req.Header.Get("Authorization") != "" {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	doc, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(bytes.TrimSpace(doc))}
}

func (s *server) get(path string) answer { s.t.Helper(); return s.ask("GET", path, "") }

func component(name, typ string, more ...any) entity.Entity {
	e := entity.Entity{
		"apiVersion": "backstage.io/v1alpha1", "kind": "Component",
		"metadata": map[string]any{"name": name, "namespace": "default", "tags": []any{"java"}, "annotations": map[string]any{"example.com/Id": name}},
		"spec":     map[string]any{"type": typ, "lifecycle": "production", "owner": "team-a"},
	}
	for i := 0; i < len(more); i += 2 {
		e.Set(more[i+1], strings.Split(more[i].(string), "/")...)
	}
	return e
}

// start boots a catalog and waits until it serves the entities.
func start(t testing.TB, yaml string, entities ...entity.Entity) *server {
	t.Helper()
	b := backendtest.Start(t, yaml, catalog.Plugin(), catalogtest.Entities(entities...))
	s := &server{t, b.URL, b.As("user:default/alice"), b.AsPlugin("catalog")}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var page struct{ TotalItems int }
		s.get("/entities/by-query?limit=0").json(t, &page)
		if page.TotalItems >= len(entities) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d entities are served", page.TotalItems, len(entities))
		}
	}
}

// some are the entities of tests that do not care.
func some() []entity.Entity {
	return []entity.Entity{
		component("petstore", "service"),
		component("Petstore-Web", "website"),
		component("library", "library", "metadata/tags", []any{}),
		{"apiVersion": "backstage.io/v1alpha1", "kind": "Group", "metadata": map[string]any{"name": "team-a"}, "spec": map[string]any{"type": "team", "children": []any{}}},
	}
}
