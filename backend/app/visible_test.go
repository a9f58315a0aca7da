package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/callboard-dev/callboard/backend/app/internal/site"
	"github.com/callboard-dev/callboard/backend/app/internal/store"
	"github.com/callboard-dev/callboard/backend/config"
)

// tree is a random configuration with the schema that belongs to it. Every value is a text
// of its own, so that it can be looked for in what is served.
type tree struct {
	r       *rand.Rand
	next    int
	visible map[string]bool // by value, those that a schema makes visible
}

// grow returns a value and its schema. inherited is the deep visibility around it.
func (g *tree) grow(depth int, inherited string) (value any, schema map[string]any) {
	schema = map[string]any{}
	own := ""
	switch g.r.IntN(6) {
	case 0:
		own = "frontend"
	case 1:
		own = "backend"
	case 2:
		own = "secret"
	}
	if inherited == "frontend" && own == "secret" || inherited == "secret" && own == "frontend" {
		own = "" // schemas that contradict themselves are refused
	}
	if depth == 0 || g.r.IntN(3) == 0 {
		g.next++
		text := fmt.Sprintf("canary-%d-", g.next)
		if own != "" {
			schema["visibility"] = own
		}
		schema["type"] = "string"
		g.visible[text] = own == "frontend" || own == "" && inherited == "frontend"
		return text, schema
	}
	deep := inherited
	if deep == "" && g.r.IntN(8) == 0 {
		deep = []string{"frontend", "secret"}[g.r.IntN(2)]
		schema["deepVisibility"] = deep
	}
	if g.r.IntN(4) == 0 {
		// Elements have one schema, so they are all seen or all not.
		list := []any{}
		v, items := g.grow(0, deep)
		list = append(list, v)
		for range g.r.IntN(3) {
			g.next++
			text := fmt.Sprintf("canary-%d-", g.next)
			g.visible[text] = g.visible[v.(string)]
			list = append(list, text)
		}
		schema["type"], schema["items"] = "array", items
		return list, schema
	}
	object, properties := map[string]any{}, map[string]any{}
	for i := range 1 + g.r.IntN(4) {
		key := fmt.Sprintf("k%d", i)
		v, s := g.grow(depth-1, deep)
		object[key] = v
		if g.r.IntN(5) == 0 && deep == "" {
			g.hide(v) // there is no schema for it
			continue
		}
		properties[key] = s
	}
	schema["type"], schema["properties"] = "object", properties
	return object, schema
}

func (g *tree) hide(v any) {
	switch v := v.(type) {
	case string:
		g.visible[v] = false
	case []any:
		for _, e := range v {
			g.hide(e)
		}
	case map[string]any:
		for _, e := range v {
			g.hide(e)
		}
	}
}

var canary = regexp.MustCompile(`canary-\d+-`)

// onlyVisible holds that of a random configuration exactly the values arrive that a schema
// makes visible, by a page and by a script.
func onlyVisible(t *testing.T, seed uint64) {
	t.Helper()
	g := &tree{r: rand.New(rand.NewPCG(seed, 1)), visible: map[string]bool{}}
	value, schema := g.grow(4, "")
	root := map[string]any{"root": value, "unknown": "canary-0-"}
	whole := map[string]any{"type": "object", "properties": map[string]any{"root": schema}}
	file, err := json.Marshal(map[string]any{"backstageConfigSchemaVersion": 1, "schemas": []any{map[string]any{"path": "x", "value": whole}}})
	if err != nil {
		t.Fatal(err)
	}
	yaml, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("app-config.yaml", yaml)
	if err != nil {
		t.Fatal(err)
	}
	for name, bundle := range map[string]fstest.MapFS{
		"page":   {"static/a.js": {Data: []byte("a")}, "index.html.tmpl": {Data: []byte("<%= config.getOptional('root.k0') %></head>")}},
		"script": {"static/a.js": {Data: []byte(`"__APP_INJECTED_RUNTIME_CONFIG__"`)}, "index.html": {Data: []byte("</head>")}},
	} {
		bundle[".config-schema.json"] = &fstest.MapFile{Data: file}
		e, err := openEntry(bundle, store.Main, Config{}, site.NewBudget(site.DefaultMemory))
		if err != nil {
			t.Fatal(err)
		}
		v, err := e.render(cfg)
		if err != nil {
			t.Fatalf("%v, schema %s", err, file)
		}
		e.view.Store(v)
		var out bytes.Buffer
		s := &server{main: e}
		for _, path := range []string{"/", "/static/a.js", "/index.html", "/.config-schema.json"} {
			w := httptest.NewRecorder()
			if err := s.serve(w, httptest.NewRequest("GET", path, nil)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(&out, w.Body); err != nil {
				t.Fatal(err)
			}
		}
		got := map[string]bool{}
		for _, text := range canary.FindAllString(out.String(), -1) {
			got[text] = true
			if !g.visible[text] {
				t.Errorf("%s: %s is not for the frontend, and there it is; seed %d\nconfiguration %s\nschema %s", name, text, seed, yaml, file)
			}
		}
		for text, visible := range g.visible {
			if visible && !got[text] {
				t.Errorf("%s: %s is missing; seed %d\nconfiguration %s\nschema %s", name, text, seed, yaml, file)
			}
		}
	}
}

// TestSEC14_OnlyVisibleValuesAreServed is the property that FuzzOnlyVisibleValuesAreServed
// looks for exceptions of.
func TestSEC14_OnlyVisibleValuesAreServed(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		if onlyVisible(t, seed); t.Failed() {
			return
		}
	}
}

func FuzzOnlyVisibleValuesAreServed(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(onlyVisible)
}

// TestSEC14_VariablesOfTheEnvironmentStayHere holds the class of CVE-2024-47762: what
// APP_CONFIG_ variables say is filtered like files.
func TestSEC14_VariablesOfTheEnvironmentStayHere(t *testing.T) {
	t.Parallel()
	schema := `{"backstageConfigSchemaVersion": 1, "schemas": [{"value": {"type": "object", "properties": {
		"app": {"type": "object", "properties": {"title": {"type": "string", "visibility": "frontend"}}}}}}]}`
	cfg, err := config.Parse("app-config.yaml", []byte("app: {title: file}"),
		"APP_CONFIG_app_title=env", "APP_CONFIG_backend_auth_secret=hidden", "APP_CONFIG_app_other=hidden", "APP_CONFIG_integrations_github_token=hidden")
	if err != nil {
		t.Fatal(err)
	}
	e, err := openEntry(fstest.MapFS{
		"static/a.js": {Data: []byte("a")}, ".config-schema.json": {Data: []byte(schema)},
		"index.html.tmpl": {Data: []byte("<%= config.getOptionalString('app.title') %><%= config.getOptionalString('app.other') %></head>")},
	}, store.Main, Config{}, site.NewBudget(site.DefaultMemory))
	if err != nil {
		t.Fatal(err)
	}
	v, err := e.render(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if err := v.index.Serve(w, httptest.NewRequest("GET", "/", nil), nil); err != nil {
		t.Fatal(err)
	}
	page := w.Body.String()
	if strings.Contains(page, "hidden") || !strings.HasPrefix(page, "env") || strings.Count(page, `"title": "env"`) != 2 {
		t.Errorf("the page is %s", page)
	}
}
