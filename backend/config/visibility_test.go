package config_test

import (
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/config"
)

// bundle is a .config-schema.json with every construct that visibility passes through.
const bundle = `{"backstageConfigSchemaVersion": 1, "schemas": [
  {"path": "a", "packageName": "app", "value": {"type": "object", "properties": {
    "app": {"type": "object", "properties": {
      "title": {"type": "string", "visibility": "frontend"},
      "port": {"type": "number", "visibility": "frontend"},
      "internal": {"type": "string"},
      "support": {"type": "object", "deepVisibility": "frontend", "properties": {"hidden": {"type": "string", "visibility": "backend"}}},
      "old": {"type": "string", "visibility": "frontend", "deprecated": "use app.title"},
      "empty": {"type": "object", "visibility": "frontend"},
      "list": {"type": "array", "items": {"type": "object", "properties": {"shown": {"type": "string", "visibility": "frontend"}}}}
    }},
    "backend": {"type": "object", "properties": {
      "baseUrl": {"type": "string", "visibility": "frontend"},
      "credentials": {"type": "object", "deepVisibility": "secret"},
      "pin": {"type": "string", "visibility": "secret"}
    }},
    "byName": {"type": "object", "additionalProperties": {"$ref": "#/definitions/entry"}},
    "byPattern": {"type": "object", "patternProperties": {"^x-": {"type": "string", "visibility": "frontend"}}},
    "either": {"anyOf": [
      {"type": "object", "properties": {"kind": {"const": "open"}, "value": {"type": "string", "visibility": "frontend"}}, "required": ["kind"]},
      {"type": "object", "properties": {"kind": {"const": "closed"}, "value": {"type": "string", "visibility": "secret"}}, "required": ["kind"]}
    ]},
    "tree": {"$ref": "#/definitions/tree"}
  }, "definitions": {
    "entry": {"allOf": [{"type": "object"}, {"properties": {"host": {"type": "string", "visibility": "frontend"}}}]},
    "tree": {"type": "object", "properties": {"name": {"type": "string", "visibility": "frontend"}, "left": {"$ref": "#/definitions/tree"}, "right": {"$ref": "#/definitions/tree"}}}
  }}},
  {"path": "b", "value": {"type": "object", "properties": {"app": {"type": "object", "properties": {"extra": {"type": "string", "visibility": "frontend"}}}}}}
]}`

func schemas(t testing.TB, text string) []config.Schema {
	t.Helper()
	out, err := config.ParseSchemas([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestVisible(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, yaml string
		env        []string
		want       string
	}{
		{name: "a leaf is kept only if it is visible", yaml: "app: {title: T, internal: x, unknown: y}\nother: z", want: `{"app":{"title":"T"}}`},
		{name: "keys are visible in the schema of any package", yaml: "app: {title: T, extra: E}", want: `{"app":{"extra":"E","title":"T"}}`},
		{name: "deepVisibility is inherited", yaml: "app: {support: {a: {b: [1]}}}", want: `{"app":{"support":{"a":{"b":[1]}}}}`},
		{name: "an explicit backend ends what is inherited", yaml: "app: {support: {a: 1, hidden: x}}", want: `{"app":{"support":{"a":1}}}`},
		{name: "an object that is empty is kept if it is visible itself", yaml: "app: {empty: {x: 1}}", want: `{"app":{"empty":{}}}`},
		{name: "an object that is empty is dropped otherwise", yaml: "app: {internal: x}\nbackend: {pin: y}", want: `{}`},
		{name: "lists keep the elements that have something visible", yaml: "app: {list: [{shown: a, x: 1}, {x: 2}, {shown: b}]}", want: `{"app":{"list":[{"shown":"a"},{"shown":"b"}]}}`},
		{name: "additionalProperties, $ref and allOf", yaml: "byName: {one: {host: h, token: t}}", want: `{"byName":{"one":{"host":"h"}}}`},
		{name: "patternProperties", yaml: "byPattern: {x-a: 1, y: 2, x-b: b}", want: `{"byPattern":{"x-a":1,"x-b":"b"}}`},
		{name: "of alternatives, the one that fits counts", yaml: "either: {kind: open, value: v}", want: `{"either":{"value":"v"}}`},
		{name: "the other alternative", yaml: "either: {kind: closed, value: v}", want: `{}`},
		{name: "schemas that contain themselves", yaml: "tree: {name: a, left: {name: b, x: 1, right: {name: c}}}", want: `{"tree":{"left":{"name":"b","right":{"name":"c"}},"name":"a"}}`},
		{name: "null and undefined are left out", yaml: "app: {title: null, extra: '${UNSET}', port: 1}", want: `{"app":{"port":1}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Parse("c.yaml", []byte(tt.yaml), tt.env...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := cfg.Visible(schemas(t, bundle))
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 1 || got[0].Context != "app" || asJSON(t, got[0].Data) != tt.want {
				t.Errorf("got %s, want %s", asJSON(t, got), tt.want)
			}
		})
	}
}

func TestVisibleSourceList(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("c.yaml", []byte("app: {title: FromFile, extra: E, old: o}"), "APP_CONFIG_app_title=FromEnv")
	if err != nil {
		t.Fatal(err)
	}
	got, err := cfg.Visible(schemas(t, bundle))
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"context":"env","deprecatedKeys":[],"data":{"app":{"title":"FromEnv"}}},` +
		`{"context":"app","deprecatedKeys":[{"key":"app.old","description":"use app.title"}],"data":{"app":{"extra":"E","old":"o","title":"FromEnv"}}}]`
	if asJSON(t, got) != want {
		t.Errorf("got\n%s, want\n%s", asJSON(t, got), want)
	}
	if got, err := cfg.Visible(nil); err != nil || asJSON(t, got) != "[]" {
		t.Errorf("without schemas: %s, %v", asJSON(t, got), err)
	}
}

func TestSEC14_EnvironmentValuesDoNotReachTheFrontend(t *testing.T) {
	t.Parallel()
	env := []string{
		"APP_CONFIG_app_title=visible",
		"APP_CONFIG_app_internal=" + canary,                             // no visibility
		"APP_CONFIG_app_unknown=" + canary,                              // in no schema
		"APP_CONFIG_backend_pin=" + canary,                              // secret
		"APP_CONFIG_backend_credentials_user=" + canary,                 // secret by inheritance
		"APP_CONFIG_backend_database_connection_password=" + canary,     // in no schema
		`APP_CONFIG_byName={"a":{"host":"h","token":"` + canary + `"}}`, // next to a visible key
		`APP_CONFIG_app_support_hidden=` + canary,                       // backend inside of visible
		`APP_CONFIG_app_list=[{"shown":"s","hidden":"` + canary + `"}]`,
		`APP_CONFIG_either={"kind":"closed","value":"` + canary + `"}`,
	}
	cfg, err := config.Parse("c.yaml", []byte("app: {title: file}"), env...)
	if err != nil {
		t.Fatal(err)
	}
	got, err := cfg.Visible(schemas(t, bundle))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"app":{"list":[{"shown":"s"}],"support":{},"title":"visible"},"byName":{"a":{"host":"h"}}}`
	for _, source := range got {
		if asJSON(t, source.Data) != want {
			t.Errorf("the frontend gets from %s\n%s, want\n%s", source.Context, asJSON(t, source.Data), want)
		}
	}
	if len(got) != 2 || strings.Contains(asJSON(t, got), canary) {
		t.Errorf("the frontend gets %s", asJSON(t, got))
	}
	if out := asJSON(t, cfg.Redacted(schemas(t, bundle)...)); strings.Contains(out, `"pin":"`+canary) || strings.Contains(out, `"password":"`+canary) {
		t.Errorf("the administrator's view shows %s", out)
	}
}

func TestSchemaConflicts(t *testing.T) {
	t.Parallel()
	const frontend = `{"properties": {"a": {"properties": {"b": {"visibility": "frontend"}}}}}`
	for name, other := range map[string]string{
		"own":       `{"properties": {"a": {"properties": {"b": {"visibility": "secret"}}}}}`,
		"inherited": `{"properties": {"a": {"deepVisibility": "secret"}}}`,
		"by $ref":   `{"properties": {"a": {"$ref": "#/definitions/a"}}, "definitions": {"a": {"allOf": [{"properties": {"b": {"visibility": "secret"}}}]}}}`,
	} {
		s := schemas(t, `{"backstageConfigSchemaVersion": 1, "schemas": [{"value": `+frontend+`}, {"value": `+other+`}]}`)
		want := "a.b: schemas give this key both the visibility frontend and secret"
		if got := text(config.CheckSchemas(s)); got != want {
			t.Errorf("%s: error is %q, want %q", name, got, want)
		}
		cfg, _ := config.Parse("c.yaml", []byte("a: {b: 1}"))
		if _, err := cfg.Visible(s); text(err) != want {
			t.Errorf("%s: error is %q, want %q", name, text(err), want)
		}
	}
	// A conflict between alternatives shows only for a value that fits both.
	s := schemas(t, `{"backstageConfigSchemaVersion": 1, "schemas": [{"value": {"properties": {"a": {"anyOf": [{"type": "string", "visibility": "frontend"}, {"visibility": "secret"}]}}}}]}`)
	for yaml, want := range map[string]string{"a: [1]": "", "a: x": "a: schemas give this key both the visibility frontend and secret"} {
		cfg, _ := config.Parse("c.yaml", []byte(yaml))
		if _, err := cfg.Visible(s); text(err) != want {
			t.Errorf("%s: error is %q, want %q", yaml, text(err), want)
		}
	}
}

func TestParseSchemasErrors(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"backstageConfigSchemaVersion": 2}`: "read configuration schema: version is 2, want 1",
		`{`:                                   "read configuration schema: unexpected end of JSON input",
	} {
		if _, err := config.ParseSchemas([]byte(in)); text(err) != want {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}

func TestRedactedTree(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("c.yaml", []byte(`
app: {title: T}
backend: {pin: p, credentials: {a: 1}, database: {connection: {host: h, password: x}}, cache: {connection: 'redis://u:p@h'}}
proxy: {target: 'http://u:p@h/', plain: 'http://h/'}
list: [{token: t, name: n}, null]
`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"app":{"title":"T"},"backend":{"cache":{"connection":"<secret>"},"credentials":"<secret>","database":{"connection":{"host":"h","password":"<secret>"}},"pin":"<secret>"},` +
		`"list":[{"name":"n","token":"<secret>"},null],"proxy":{"plain":"http://h/","target":"<secret>"}}`
	if got := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(asJSON(t, cfg.Redacted(schemas(t, bundle)...))); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}
