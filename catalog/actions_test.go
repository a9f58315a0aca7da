package catalog_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/principal"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/catalogtest"
	"github.com/callboard-dev/callboard/catalog/entity"
)

const storesYAML = `
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: store}
spec: {type: service, lifecycle: production, owner: team}
---
apiVersion: backstage.io/v1alpha1
kind: API
metadata: {name: store}
spec: {type: openapi, lifecycle: production, owner: team, definition: x}
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: pump}
spec: {type: library, lifecycle: production, owner: team}
`

// TestActions invokes every action of the catalog as an assistant would.
func TestActions(t *testing.T) {
	t.Parallel()
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.ReplaceAll(storesYAML, "store", "shop"))
	}))
	t.Cleanup(files.Close)
	host := strings.TrimPrefix(files.URL, "http://")
	var stores []entity.Entity
	for doc, err := range entity.ParseDocuments("stores.yaml", []byte(storesYAML), entity.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		stores = append(stores, doc.Entity)
	}
	var client backend.ActionsClient
	backendtest.Start(t, fmt.Sprintf("backend: {actions: {pluginSources: [catalog]}, reading: {allow: [{host: %q}]}}", host),
		catalog.Plugin(), catalogtest.Entities(stores...),
		backend.NewPlugin("assistant", fx.Invoke(func(a backend.ActionsClient) { client = a })))
	robot := backend.Credentials{Principal: principal.Service{Subject: "plugin:assistant"}}
	invoke := func(name, input string) (string, error) {
		out, err := client.Invoke(t.Context(), robot, "catalog:"+name, json.RawMessage(input), nil)
		return string(out), err
	}
	await := func(name, input, want string) {
		t.Helper()
		var got string
		var err error
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if got, err = invoke(name, input); err == nil && strings.Contains(got, want) {
				return
			}
		}
		t.Fatalf("%s %s: %s, %v; want %s", name, input, got, err, want)
	}
	await("query-catalog-entities", `{"query":{"spec.owner":"team"}}`, `"totalItems":3`)

	registered := ""
	for _, tt := range []struct {
		name, input string
		want        []string // parts of the output
		kind        apierr.Kind
		wantErr     string
	}{
		{name: "get-catalog-model-description", input: `{}`, want: slices.Concat(entity.NewModel(entity.ModelOptions{}).Kinds(), []string{
			entity.OwnedBy, entity.OwnerOf, entity.PartOf, entity.HasPart, entity.ProvidesAPI, entity.APIProvidedBy, entity.ConsumesAPI,
			entity.APIConsumedBy, entity.DependsOn, entity.DependencyOf, entity.MemberOf, entity.HasMember, entity.ChildOf, entity.ParentOf,
		})},
		{name: "get-catalog-entity", input: `{"name":"pump"}`, want: []string{`"kind":"Component"`, `"etag":`}},
		{name: "get-catalog-entity", input: `{"name":"store","kind":"api"}`, want: []string{`"kind":"API"`}},
		{name: "get-catalog-entity", input: `{"name":"store"}`, kind: apierr.Input, wantErr: "2 entities have the name store; say which kind and namespace: "},
		{name: "get-catalog-entity", input: `{"name":"store","kind":"User","namespace":"x"}`, kind: apierr.Input, wantErr: "no entity has the name store, kind User, namespace x"},
		{name: "query-catalog-entities", input: `{"query":{"kind":"component"},"fields":["metadata.name"],"orderFields":{"field":"metadata.name","order":"asc"},"limit":1}`,
			want: []string{`"items":[{"metadata":{"name":"pump"}}]`, `"totalItems":2`, `"hasMoreEntities":true`, `"nextPageCursor":"`}},
		{name: "query-catalog-entities", input: `{"query":{"$any":[{"spec.type":{"$in":["library"]}},{"kind":"API"}]},"orderFields":[{"field":"metadata.name","order":"desc"}],"fields":["metadata.name"]}`,
			want: []string{`"items":[{"metadata":{"name":"store"}},{"metadata":{"name":"pump"}}]`, `"hasMoreEntities":false`}},
		{name: "query-catalog-entities", input: `{"query":{},"fullTextFilter":{"term":"um","fields":["metadata.name"]}}`, want: []string{`"totalItems":1`}},
		{name: "query-catalog-entities", input: `{"query":"store"}`, kind: apierr.Input, wantErr: "query is a value"},
		{name: "query-catalog-entities", input: `{"query":{"a":{"$like":"b"}}}`, kind: apierr.Input, wantErr: "Invalid input to action"},
		{name: "query-catalog-entities", input: `{"limit":0}`, kind: apierr.Input, wantErr: "Invalid input to action"},
		{name: "refresh-catalog-entity", input: `{"name":"pump"}`, want: []string{`"entityRef":"component:default/pump"`}},
		{name: "refresh-catalog-entity", input: `{"name":""}`, kind: apierr.Input, wantErr: "Invalid input to action"},
		{name: "validate-entity", input: `{"entity":"kind: Component"}`, want: []string{`"isValid":false,"isValidYaml":true,"errors":["`}},
		{name: "validate-entity", input: `{"entity":"a: ]"}`, want: []string{`"isValid":false,"isValidYaml":false,"errors":["entity.yaml:1:`}},
		{name: "validate-entity", input: `{"entity":""}`, want: []string{`"isValid":false`, "expected one entity, found 0"}},
		{name: "validate-entity", input: quoted("apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: a}\nspec: {type: t, lifecycle: l, owner: o}\n"),
			want: []string{`"isValid":true,"isValidYaml":true,"errors":[],"entity":{`}},
		{name: "validate-entity", input: `{"entity":"kind: Component","location":"file:///etc"}`, kind: apierr.Input, wantErr: "is not an http or https URL"},
		{name: "register-entity", input: `{"locationUrl":"file:///etc/passwd"}`, kind: apierr.Input, wantErr: "is not an http or https URL"},
		{name: "register-entity", input: `{"locationUrl":"` + files.URL + `/a.yaml"}`, want: []string{`"locationId":"`}},
		{name: "register-entity", input: `{"locationUrl":"` + files.URL + `/a.yaml"}`, kind: apierr.Conflict, wantErr: "registered"},
		{name: "unregister-entity", input: `{"type":{"locationUrl":"` + files.URL + `/b.yaml"}}`, kind: apierr.NotFound, wantErr: "no location is registered"},
		{name: "unregister-entity", input: `{"type":{}}`, kind: apierr.Input, wantErr: "Invalid input to action"},
	} {
		got, err := invoke(tt.name, tt.input)
		if tt.wantErr != "" {
			if kind, _ := apierr.KindOf(err); err == nil || kind != tt.kind || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("%s %s: %s, %v, want %s: %s", tt.name, tt.input, got, err, tt.kind.Name(), tt.wantErr)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %s: %v", tt.name, tt.input, err)
		}
		for _, want := range tt.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s %s:\n%s\nwant %s", tt.name, tt.input, got, want)
			}
		}
		if tt.name == "register-entity" {
			registered = got
		}
	}
	await("get-catalog-entity", `{"name":"shop","kind":"component"}`, `"name":"shop"`)
	var id struct{ LocationID string }
	if err := json.Unmarshal([]byte(registered), &id); err != nil {
		t.Fatal(err)
	}
	if got, err := invoke("unregister-entity", `{"type":{"locationId":"`+id.LocationID+`"}}`); err != nil || got != "{}" {
		t.Errorf("unregister: %s, %v", got, err)
	}
	await("query-catalog-entities", `{"query":{"metadata.name":"shop"}}`, `"totalItems":0`)
}

func quoted(text string) string {
	out, _ := json.Marshal(map[string]string{"entity": text})
	return string(out)
}
