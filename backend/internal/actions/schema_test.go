package actions

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
)

type passthrough map[string]any

func (passthrough) JSONSchema() json.RawMessage {
	return json.RawMessage(`{"type":"object","properties":{},"additionalProperties":true}`)
}

type base struct {
	ID string `json:"id"`
}

type everything struct {
	base
	Name     string            `json:"name" doc:"what it is called" minLength:"1" maxLength:"63" pattern:"^a"`
	Kind     string            `json:"kind,omitempty" enum:"a,b" default:"a"`
	Limit    int               `json:"limit,omitempty" minimum:"1" maximum:"1000" default:"10"`
	Total    float64           `json:"total"`
	On       *bool             `json:"on"`
	Tags     []string          `json:"tags,omitzero" minItems:"1" maxItems:"3"`
	Values   map[string]any    `json:"values,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Any      any               `json:"any,omitempty"`
	Raw      json.RawMessage   `json:"raw,omitempty"`
	List     []any             `json:"list,omitempty"`
	At       time.Time         `json:"at"`
	URL      string            `json:"url,omitempty" format:"uri"`
	Entity   passthrough       `json:"entity" doc:"an entity"`
	Nested   []struct{ A int } `json:"nested,omitempty"`
	Hidden   string            `json:"-"`
	internal string
}

func TestSchemaOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   any
		want string
	}{
		{struct{}{}, `{"type":"object","properties":{},"additionalProperties":false,"$schema":"http://json-schema.org/draft-07/schema#"}`},
		{map[string]any{}, `{"type":"object","additionalProperties":true,"properties":{},"$schema":"http://json-schema.org/draft-07/schema#"}`},
		{everything{internal: ""}, `{"type":"object","properties":{` +
			`"id":{"type":"string"},` +
			`"name":{"type":"string","minLength":1,"maxLength":63,"pattern":"^a","description":"what it is called"},` +
			`"kind":{"type":"string","enum":["a","b"],"default":"a"},` +
			`"limit":{"type":"integer","minimum":1,"maximum":1000,"default":10},` +
			`"total":{"type":"number"},"on":{"type":"boolean"},` +
			`"tags":{"type":"array","items":{"type":"string"},"minItems":1,"maxItems":3},` +
			`"values":{"type":"object","additionalProperties":{}},` +
			`"labels":{"type":"object","additionalProperties":{"type":"string"}},` +
			`"any":{},"raw":{},"list":{"type":"array"},"at":{"type":"string","format":"date-time"},` +
			`"url":{"type":"string","format":"uri"},` +
			`"entity":{"type":"object","properties":{},"additionalProperties":true,"description":"an entity"},` +
			`"nested":{"type":"array","items":{"type":"object","properties":{"A":{"type":"integer"}},"required":["A"],"additionalProperties":false}}},` +
			`"required":["id","name","total","at","entity"],"additionalProperties":false,"$schema":"http://json-schema.org/draft-07/schema#"}`},
	} {
		got, err := SchemaOf(reflect.TypeOf(tt.in))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != tt.want {
			t.Errorf("%T:\n got %s\nwant %s", tt.in, got, tt.want)
		}
		if _, err := NewChecker(got); err != nil {
			t.Errorf("%T: %v", tt.in, err)
		}
	}
}

type loop struct{ Next *loop }

func TestTypesWithoutSchema(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   any
		want string
	}{
		{struct{ F func() }{}, ".F: func() has no JSON"},
		{struct{ C []chan int }{}, ".C[]: chan int has no JSON"},
		{struct{ M map[int]string }{}, "keys of type int"},
		{loop{}, "contains itself"},
		{struct {
			N int `minimum:"one"`
		}{}, `tag minimum is "one"`},
	} {
		if _, err := SchemaOf(reflect.TypeOf(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%T: %v, want %s", tt.in, err, tt.want)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	schema := `{"type":"object","properties":{"kind":{"type":"string"},"name":{"type":"string","minLength":1},"n":{"type":"integer","minimum":1},
		"e":{"enum":["a","b"]},"list":{"type":"array","items":{"type":"object","properties":{"x":{"type":"number"}},"required":["x"]}},
		"u":{"anyOf":[{"type":"string"},{"type":"number"}]},"url":{"type":"string","format":"uri"}},"required":["name"],"additionalProperties":false}`
	c, err := NewChecker(json.RawMessage(schema))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ in, want string }{
		{`{"name":"a"}`, ``},
		{`{"name":"a","more":1}`, ``}, // upstream leaves out what it does not know
		{`{"kind":1}`, `[{"code":"invalid_type","expected":"string","received":"number","path":["kind"],"message":"Expected string, received number"},` +
			`{"code":"invalid_type","expected":"string","received":"undefined","path":["name"],"message":"Required"}]`},
		{``, `[{"code":"invalid_type","expected":"object","received":"undefined","path":[],"message":"Required"}]`},
		{`[]`, `[{"code":"invalid_type","expected":"object","received":"array","path":[],"message":"Expected object, received array"}]`},
		{`{"name":""}`, `[{"code":"too_small","path":["name"],"message":"minLength: got 0, want 1"}]`},
		{`{"name":"a","n":0}`, `[{"code":"too_small","path":["n"],"message":"minimum: got 0, want 1"}]`},
		{`{"name":"a","e":"c"}`, `[{"code":"invalid_enum_value","received":"c","options":["a","b"],"path":["e"],"message":"value must be one of 'a', 'b'"}]`},
		{`{"name":"a","list":[{"x":1},{}]}`, `[{"code":"invalid_type","expected":"number","received":"undefined","path":["list",1,"x"],"message":"Required"}]`},
		{`{"name":"a","u":true}`, `[{"code":"invalid_union","path":["u"],"message":"'anyOf' failed"}]`},
		{`{"name":"a","url":"no url"}`, `[{"code":"invalid_string","path":["url"],"message":"'no url' is not valid uri: relative url"}]`},
	} {
		text := json.RawMessage(tt.in)
		if tt.in == "" {
			text = nil
		}
		err := c.Check(text)
		if (err == nil) != (tt.want == "") {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		if err == nil {
			continue
		}
		var body struct {
			Error struct {
				Name   string
				Issues json.RawMessage
			}
		}
		if uerr := json.Unmarshal(apierr.Render(err, false).Body("GET", "/"), &body); uerr != nil {
			t.Fatal(uerr)
		}
		if body.Error.Name != "ZodError" || string(body.Error.Issues) != tt.want {
			t.Errorf("%s: %s\n got %s\nwant %s", tt.in, body.Error.Name, body.Error.Issues, tt.want)
		}
	}
}

func TestSchemasReferToNothingOutside(t *testing.T) {
	t.Parallel()
	for _, ref := range []string{"file:///etc/passwd", "http://169.254.169.254/"} {
		if _, err := NewChecker(json.RawMessage(`{"$ref":"` + ref + `"}`)); err == nil {
			t.Errorf("%s is read", ref)
		}
	}
}

func FuzzCheck(f *testing.F) {
	schema, err := SchemaOf(reflect.TypeFor[everything]())
	if err != nil {
		f.Fatal(err)
	}
	c, err := NewChecker(schema)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{`{}`, `{"id":"a"}`, `[1,2]`, `{"nested":[{"A":"x"}]}`, `"`, `{"list":[[[[]]]]}`, `null`} {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, text string) { _ = c.Check(json.RawMessage(text)) })
}
