package config_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/callboard-dev/callboard/backend/config"
)

type documented struct {
	BaseURL   string                  `config:"baseUrl" visibility:"frontend" doc:"where the service is"`
	Mode      string                  `config:"mode,required" oneof:"fast|safe" doc:"how to work"`
	Workers   int                     `config:"workers" doc:"how many at once"`
	Ratio     float64                 `config:"ratio"`
	Verbose   bool                    `config:"verbose"`
	TTL       config.Duration         `config:"ttl,millis" doc:"how long to keep"`
	Token     config.Secret           `config:"token" doc:"from the console"`
	Tags      []string                `config:"tags"`
	Providers map[string]*docProvider `config:"providers"`
	Tree      *docTree                `config:"tree"`
	Any       any                     `config:"any" deepVisibility:"frontend"`
	Old       string                  `config:"old" deprecated:"use mode"`
	Forms     shaped                  `config:"forms"`
}

type docProvider struct {
	Name     string          `config:"name,required" doc:"of the organisation"`
	Schedule config.Schedule `config:"schedule" doc:"when to read"`
}

type docTree struct {
	Name string     `config:"name"`
	Kids []*docTree `config:"kids"`
}

var docDefaults = documented{BaseURL: "https://x", Workers: 4, TTL: config.Duration(90 * time.Second), Tags: []string{"a", "b"}}

func TestReference(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	for _, k := range config.Reference("x", docDefaults) {
		fmt.Fprintf(&got, "%s | %s | %s | %s | required %v | %s | %s\n", k.Path, k.Type, k.Default, strings.Join(k.OneOf, ", "), k.Required, k.Doc, k.Deprecated)
	}
	want := `x.baseUrl | text | https://x |  | required false | where the service is | 
x.mode | text |  | fast, safe | required true | how to work | 
x.workers | whole number | 4 |  | required false | how many at once | 
x.ratio | number |  |  | required false |  | 
x.verbose | true or false |  |  | required false |  | 
x.ttl | duration or milliseconds | PT1M30S |  | required false | how long to keep | 
x.token | secret |  |  | required false | from the console | 
x.tags | list of text | [a, b] |  | required false |  | 
x.providers.<name>.name | text |  |  | required true | of the organisation | 
x.providers.<name>.schedule | object |  |  | required false | when to read | 
x.providers.<name>.schedule.frequency | duration, {cron} or {trigger: manual} |  |  | required true | how often the task runs | 
x.providers.<name>.schedule.timeout | duration |  |  | required true | how long one run may take | 
x.providers.<name>.schedule.initialDelay | duration |  |  | required false | how long to wait after the start before the first run | 
x.providers.<name>.schedule.scope | text | global | global, local | required false | global: on one replica at a time; local: on every replica | 
x.tree.name | text |  |  | required false |  | 
x.tree.kids | list of object |  |  | required false |  | 
x.any | any |  |  | required false |  | 
x.old | text |  |  | required false |  | use mode
x.forms.host | text |  |  | required true |  | 
x.forms[].host | text |  |  | required true |  | 
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &got, want)
	}
}

func TestSchemaOf(t *testing.T) {
	t.Parallel()
	s := config.SchemaOf("a.x", docDefaults)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(asJSON(t, s)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("config.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		json string
		ok   bool
	}{
		{`{"a":{"x":{"mode":"fast","workers":4,"ttl":1500,"verbose":true,"tags":["a"],"token":"t"}}}`, true},
		{`{"a":{"x":{"mode":"${MODE}","workers":"${N}","verbose":"yes","token":{"$file":"t.txt"},"ttl":{"minutes":1}}}}`, true},
		{`{"a":{"x":{"providers":{"p":{"name":"n","schedule":{"frequency":{"cron":"* * * * *"},"timeout":"3m"}}},"tree":{"kids":[{"kids":[]}]}}}}`, true},
		{`{"a":{"x":{"unknown":1,"any":[1],"forms":[{"host":"h"}]}},"other":1}`, true},
		{`{"a":{"x":{"mode":"slow"}}}`, false},
		{`{"a":{"x":{"workers":[1]}}}`, false},
		{`{"a":{"x":{"ttl":{"minuts":1}}}}`, false},
		{`{"a":{"x":{"token":{"file":"x"}}}}`, false},
		{`{"a":{"x":{"providers":{"p":{"schedule":{"frequency":{"trigger":"auto"}}}}}}}`, false},
	} {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(tt.json)))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(v); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.json, err)
		}
	}
	cfg, err := config.Parse("c.yaml", []byte("a: {x: {baseUrl: u, mode: fast, token: "+canary+", any: {b: [1]}, old: o}}"))
	if err != nil {
		t.Fatal(err)
	}
	visible, err := cfg.Visible([]config.Schema{s})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := asJSON(t, visible[0].Data), `{"a":{"x":{"any":{"b":[1]},"baseUrl":"u"}}}`; got != want {
		t.Errorf("the frontend sees %s, want %s", got, want)
	}
	if got := asJSON(t, visible[0].DeprecatedKeys); got != `[{"key":"a.x.old","description":"use mode"}]` {
		t.Errorf("deprecated: %s", got)
	}
}
