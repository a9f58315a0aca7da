package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/scm/scmtest"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/entity"
)

func oneEntity(kind, name string) string {
	return "apiVersion: backstage.io/v1alpha1\nkind: " + kind + "\nmetadata: {name: " + name + "}\nspec: {type: service, lifecycle: production, owner: team-a}\n"
}

// TestAnalyzeLocation_ExistingFiles: what a repository has is read from its default
// branch and checked as a dry run does.
func TestAnalyzeLocation_ExistingFiles(t *testing.T) {
	t.Parallel()
	store := scmtest.NewStore()
	store.Commit("acme/shop", "trunk", map[string]string{
		"catalog-info.yaml":      oneEntity("Component", "shop") + "---\n" + oneEntity("Component", "shop-web"),
		"docs/catalog-info.yaml": "kind: [",
		"README.md":              "# Shop",
	})
	store.Commit("acme/shop", "next", map[string]string{"catalog-info.yaml": oneEntity("Component", "shop-next")})
	store.Commit("acme/other", "main", map[string]string{"portal.yaml": oneEntity("Component", "other")})
	store.Commit("acme/broken", "main", map[string]string{"catalog-info.yaml": oneEntity("Componnent", "broken")})
	github := scmtest.NewGitHub(store)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = "api.github.com"
		github.ServeHTTP(w, r)
	}))
	t.Cleanup(site.Close)
	host := strings.TrimPrefix(site.URL, "http://")
	s := start(t, config+"integrations: {github: [{host: '"+host+"', apiBaseUrl: 'http://"+host+"'}]}\n")
	at := "https://" + host + "/acme/"

	if a := s.ask("POST", "/locations", `{"type":"url","target":"`+at+`shop/blob/trunk/catalog-info.yaml"}`); a.status != 201 {
		t.Fatal(a)
	}
	for _, tt := range []struct {
		target, filename, want string // names of what exists, in order
		registered             bool
		status                 int
	}{
		{target: "shop", want: "shop shop-web", registered: true, status: 200},
		{target: "shop/", want: "shop shop-web", registered: true, status: 200},
		{target: "shop/tree/next", want: "shop-next", status: 200},
		{target: "other", status: 200},
		{target: "other", filename: "portal.yaml", want: "other", status: 200},
		{target: "missing", status: 200},
		{target: "broken", status: 400},
		{target: "shop", filename: "**/*.yaml", status: 400},
		{target: "shop", filename: "../x.yaml", status: 400},
	} {
		body, _ := json.Marshal(map[string]any{"location": map[string]string{"type": "url", "target": at + tt.target}, "catalogFilename": tt.filename})
		a := s.ask("POST", "/analyze-location", string(body))
		if a.status != tt.status {
			t.Errorf("%s %s: %s", tt.target, tt.filename, a)
			continue
		}
		if a.status == 400 {
			if tt.target == "broken" && !strings.Contains(a.body, "did you mean Component?") {
				t.Errorf("the error does not say what is wrong: %s", a)
			}
			continue
		}
		var got struct {
			Existing []struct {
				Location   struct{ Type, Target string }
				Registered bool `json:"isRegistered"`
				Entity     struct{ Metadata struct{ Name, UID string } }
			} `json:"existingEntityFiles"`
			Generated []any `json:"generateEntities"`
		}
		a.json(t, &got)
		var names []string
		for _, e := range got.Existing {
			names = append(names, e.Entity.Metadata.Name)
			if e.Registered != tt.registered || e.Location.Type != "url" || !strings.HasPrefix(e.Location.Target, at) || !strings.Contains(e.Location.Target, "/blob/") || e.Entity.Metadata.UID != "" {
				t.Errorf("%s: %+v", tt.target, e)
			}
		}
		if strings.Join(names, " ") != tt.want || (len(got.Generated) == 0) != (tt.want != "") {
			t.Errorf("%s %s: %s", tt.target, tt.filename, a)
		}
	}
}

// own is an adopter's analysis.
type own struct{}

func (own) AnalyzeLocation(_ context.Context, loc entity.Location, filename string) (*catalog.Analysis, error) {
	if loc.Target == "nowhere" {
		return nil, apierr.Input.New("%s is nowhere", filename)
	}
	value := "team-a"
	return &catalog.Analysis{Generated: []catalog.GeneratedEntity{{
		Entity: entity.Entity{"kind": "Component"},
		Fields: []catalog.FieldHint{{Field: "spec.owner", State: catalog.FieldSuggested, Value: &value, Description: "from CODEOWNERS"}, {Field: "spec.type", State: catalog.FieldNeeded}},
	}}}, nil
}

// codeSearch is an adopter's search.
type codeSearch []string

func (codeSearch) Supports(rawURL string) bool {
	return strings.HasPrefix(rawURL, "https://github.com/acme/")
}

func (x codeSearch) Descriptors(context.Context, string, string) ([]string, error) { return x, nil }

func TestAnalyzeLocation_Extensions(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, oneEntity("Component", "indexed"))
	}))
	t.Cleanup(site.Close)
	module := func(register func(*catalog.Extensions)) backend.Feature {
		return backend.NewModule("catalog", "analysis", fx.Invoke(register))
	}
	ask := func(features ...backend.Feature) func(string) answer {
		b := backendtest.Start(t, config, append(features, catalog.Plugin())...)
		s := &server{t, b.URL, b.As("user:default/alice"), b.AsPlugin("catalog")}
		return func(target string) answer {
			return s.ask("POST", "/analyze-location", `{"location":{"type":"url","target":"`+target+`"}}`)
		}
	}
	replaced := ask(module(func(x *catalog.Extensions) { x.SetLocationAnalyzer(own{}) }))
	if a := replaced("anything"); a.body != `{"existingEntityFiles":[],"generateEntities":[{"entity":{"kind":"Component"},"fields":[{"field":"spec.owner","state":"analysisSuggestedValue","value":"team-a","description":"from CODEOWNERS"},{"field":"spec.type","state":"needsUserInput","value":null,"description":""}]}]}` {
		t.Error(a)
	}
	if a := replaced("nowhere"); a.status != 400 || a.errorName(t) != "InputError" {
		t.Error(a)
	}
	added := ask(module(func(x *catalog.Extensions) { x.AddSCMLocationAnalyzer(codeSearch{site.URL + "/catalog-info.yaml"}) }))
	if a := added("https://github.com/acme/shop"); a.status != 200 || !strings.Contains(a.body, `"name":"indexed"`) || !strings.Contains(a.body, `"generateEntities":[]`) {
		t.Error(a)
	}
}
