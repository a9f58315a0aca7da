package wiretest

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const recordedJSON = `[
 {
  "name": "make",
  "request": {"method": "POST", "path": "/api/catalog/locations?a=%20b", "headers": {"Authorization": "Bearer ref-static-token-0123456789"},
   "body": {"target": "http://127.0.0.1:7198/fixtures/catalog/x.yaml", "n": [1, {"a": "b: c, d"}], "e": {}}},
  "response": {"status": 201, "headers": {"etag": "W/\"1-abc\"", "set-cookie-names": ["s"], "set-cookie-attrs": ["s=…; Max-Age=17; Path=/"]},
   "body": {"id": 7, "uid": "x", "ref": "location:default/generated-1e0b7bbfc0ecafe2c9ab01ac2dc8b04fd47ee8f0", "at": "2026-01-02T03:04:05.678Z",
    "error": {"name": "Error", "message": "words of somebody else"}, "link": "{{BASE}}/x", "secret": "0177e5a9-710c-4b51-8efa-85afcde4c4a9"}},
  "ignore": ["request", "$.secret", "headers.link"], "unordered": ["$"], "note": "why"
 },
 {"name": "use", "request": {"method": "GET", "path": "/x/recorded-cursor", "headers": {"X-A": "recorded"}},
  "response": {"status": 200, "headers": {}, "body": ""}}
]`

func TestConvert(t *testing.T) {
	t.Parallel()
	name := generatedName("url:" + Recorded.Fixtures + "/fixtures/catalog/x.yaml")
	data := strings.Replace(recordedJSON, "generated-1e0b7bbfc0ecafe2c9ab01ac2dc8b04fd47ee8f0", name, 1)
	data = strings.Replace(data, `"n": [1`, `"loc": "url:http://127.0.0.1:7198/fixtures/catalog/x.yaml", "n": [1`, 1)
	flow, err := Parse("tiny", "== use\nfetch c $.c /c\nawait not 200 /d\nfixture dynamic one\npause 1s\ntimeout 5s\n> GET /x/{{c|query}}\n> X-A: {{c}}\ncapture later header link after=([^&>]+)\n")
	if err != nil {
		t.Fatal(err)
	}
	g, err := Convert("tiny", []byte(data), flow)
	if err != nil {
		t.Fatal(err)
	}
	const want = `# Recorded exchanges of tiny. Written by internal/wiretest/gen; see internal/wiretest for the form.

== make
# why
ignore $.secret
ignore headers.link
unordered $
> POST /api/catalog/locations?a=%20b
> Authorization: Bearer {{token:static}}
>> {"target": "{{FIXTURES}}/fixtures/catalog/x.yaml", "loc": "url:{{FIXTURES}}/fixtures/catalog/x.yaml", "n": [1, {"a": "b: c, d"}], "e": {}}
< 201
< etag: W/
< set-cookie: s=…; Max-Age=§; Path=/
{
 "at": "§ts",
 "error": {
  "message": "§text",
  "name": "Error"
 },
 "id": "§id",
 "link": "§/x",
 "ref": "location:default/{{generated url:{{FIXTURES}}/fixtures/catalog/x.yaml}}",
 "secret": "§ignored",
 "uid": "§any"
}

== use
fetch c $.c /c
await not 200 /d
fixture dynamic one
pause 1s
timeout 5s
> GET /x/{{c|query}}
> X-A: {{c}}
< 200
capture later header link after=([^&>]+)
`
	if got := Format(g); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	places := Places{Fixtures: "http://127.0.0.1:1", Files: "/elsewhere"}
	if text := places.expand(want); !strings.Contains(text, generatedName("url:http://127.0.0.1:1/fixtures/catalog/x.yaml")) || strings.Contains(text, "{{FIX") {
		t.Errorf("expanded:\n%s", text)
	}
}

func TestConvertRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, json, flow, want string }{
		{"a generated name without a target", `[{"name": "x", "response": {"body": "generated-1e0b7bbfc0ecafe2c9ab01ac2dc8b04fd47ee8f0"}}]`, "", "no location in it has the name generated-1e0b"},
		{"an address in another form", `[{"name": "x", "request": {"path": "//127.0.0.1:7198/x"}}]`, "", "line 4: 127.0.0.1:7198 is a place of the recording"},
		{"a flow for an exchange that is not there", `[]`, "== y\n", `there is no exchange "y"`},
		{"no JSON", `{`, "", "unexpected end"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			flow, err := Parse("tiny", tt.flow)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Convert("tiny", []byte(tt.json), flow); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestParseNamesTheLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"text before the first exchange", "\nhello\n", `line 2: "hello" stands before the first exchange`},
		{"no status", "== a\n> GET /\n< ok\n", `line 3: the answer starts with "ok", which is no status`},
		{"no path", "== a\n> GET\n", `line 2: the request line "GET" has no path`},
		{"a body that is no JSON", "== a\n> GET /\n< 200\n{nope\n", `the body of "a" is no JSON`},
		{"a name twice", "== a\n> GET /\n\n== a\n> GET /\n", `two exchanges are named "a"`},
		{"a short fetch", "== a\nfetch x $.y\n", `line 2: "fetch x $.y" needs 4 words`},
		{"a bad timeout", "== a\ntimeout soon\n", `line 2: time: invalid duration`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := Parse("tiny", tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want one with %q", err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("== a\n# n\nlet x = y\n> GET /\n> a: b\n>> c\n< 200\n< d: e\n{\"f\":1}\ncapture g $.h\n")
	f.Add("let csp = x\n== a\nfetch a $.b /c\nawait not 200 /d\njwt []\nmessage {}\n")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := Parse("fuzz", text)
		if err != nil {
			return
		}
		for _, x := range g.Exchanges {
			comparableBody(x, x.Answer.Body, true)
		}
	})
}

func TestNormalForms(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, path, in, want string
	}{
		{"the message of an error", "/x", `{"error":{"message":"a","stack":"b","name":"c"}}`, `{"error":{"message":"§text","name":"c","stack":"§any"}}`},
		{"the message of a cause in a list", "/x", `{"errors":[{"message":"a"}]}`, `{"errors":[{"message":"§text"}]}`},
		{"a message that is data", "/x", `{"input":{"message":"a","name":"b"}}`, `{"input":{"message":"a","name":"b"}}`},
		{"the message of a log line", "/x", `[{"body":{"message":"a","stepId":"s"}}]`, `[{"body":{"message":"§text","stepId":"s"}}]`},
		{"a status item", "/x", `{"status":{"items":[{"message":"a","level":"error"}]}}`, `{"status":{"items":[{"level":"error","message":"§text"}]}}`},
		{"a description on a prose path", "/api/x/v2/actions", `[{"description":"a","examples":[1],"id":"b"}]`, `[{"description":"§text","examples":"§text","id":"b"}]`},
		{"a description elsewhere", "/x", `{"description":"a"}`, `{"description":"a"}`},
		{"an OpenAPI document", "/api/x/openapi.json?a", `{"paths":{"/y":{"post":{},"get":{},"parameters":[]}}}`, `{"openapi":"§text","paths":{"/y":["get","post"]}}`},
		{"a recorded OpenAPI document", "/api/x/openapi.json", `{"openapi":"§text","paths":{"/y":["get","post"]}}`, `{"openapi":"§text","paths":{"/y":["get","post"]}}`},
		{"ids of the database", "/x", `{"id":5,"n":5}`, `{"id":"§id","n":5}`},
		{"ids in texts", "/x", `{"a":"x 0177e5a9-710c-4b51-8efa-85afcde4c4a9 y","b":"2026-01-02T03:04:05Z","c":"logId=0a1b"}`, `{"a":"x § y","b":"§ts","c":"logId=§"}`},
		{"volatile members of another type", "/x", `{"uid":null,"etag":["a"]}`, `{"etag":["a"],"uid":null}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			x := &Exchange{Request: Request{Path: tt.path}}
			got := comparableBody(x, raw{body: []byte(tt.in)}.json(), false)
			if compactJSON(got) != tt.want {
				t.Errorf("%s\nwant %s", compactJSON(got), tt.want)
			}
			if again := comparableBody(x, got, false); compactJSON(again) != tt.want {
				t.Errorf("a second time: %s", compactJSON(again))
			}
		})
	}
}

func TestAnswerForms(t *testing.T) {
	t.Parallel()
	hide := func(s string) string { return strings.ReplaceAll(s, "secret", markValue) }
	token := "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJzZWNyZXQifQ.c2ln"
	for _, tt := range []struct {
		name, mediaType, body string
		want                  func(Answer) any
		json                  string
	}{
		{"a document", "application/json", `{"a":"secret"}`, func(a Answer) any { return a.Body }, `{"a":"§"}`},
		{"a text", "text/plain", `secret text`, func(a Answer) any { return a.Body }, `"§ text"`},
		{"no body", "", ``, func(a Answer) any { return a.Body }, `""`},
		{"a stream", "text/event-stream; charset=utf-8", "id: 1\nevent: log\ndata: {\"a\":1}\n\ndata: plain\n\n", func(a Answer) any { return a.Body },
			`{"$sse":[{"data":{"a":1},"event":"log","id":"1"},{"data":"plain"}]}`},
		{"a long text", "text/plain", strings.Repeat("x", 20000), func(a Answer) any { return a.Body.(map[string]any)["length"] }, `20000`},
		{"a token", "application/json", `{"t":"` + token + `"}`, func(a Answer) any { return a.JWT }, `[{"header":{"alg":"ES256"},"payload":{"sub":"§"}}]`},
		{"a sign-in page", "text/html", `<html>decodeURIComponent('%7B%22a%22%3A%22secret%22%7D')`, func(a Answer) any { return a.Message }, `{"a":"§"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := raw{status: 200, header: http.Header{"Content-Type": {tt.mediaType}}, body: []byte(tt.body)}
			if got := compactJSON(tt.want(r.answer(hide))); got != tt.json {
				t.Errorf("%s, want %s", got, tt.json)
			}
		})
	}
}

func TestGeneratedNamesMayComeInAnotherOrder(t *testing.T) {
	t.Parallel()
	x := &Exchange{Request: Request{Path: "/x"}}
	list := func(names ...string) any {
		out := []any{}
		for _, n := range names {
			out = append(out, map[string]any{"metadata": map[string]any{"name": n}})
		}
		return out
	}
	a, b := list("a", "generated-1", "generated-2", "z"), list("a", "generated-2", "generated-1", "z")
	if d := diff("$", comparableBody(x, a, true), comparableBody(x, b, true), nil); len(d) > 0 {
		t.Errorf("other places: %q", d)
	}
	if d := diff("$", comparableBody(x, a, false), comparableBody(x, b, false), nil); len(d) == 0 {
		t.Error("recorded places: the order does not count")
	}
	if d := diff("$", comparableBody(x, a, true), comparableBody(x, list("generated-1", "a", "generated-2", "z"), true), nil); len(d) == 0 {
		t.Error("an entity between them does not count")
	}
}

func TestConfigIsYAMLWithItsPlaces(t *testing.T) {
	t.Parallel()
	var doc struct {
		Backend struct {
			BaseURL string `yaml:"baseUrl"`
			Listen  struct {
				Host string
				Port int
			}
			Reading struct{ Allow []struct{ Host string } }
		}
		Catalog struct {
			Locations []struct{ Type, Target string }
		}
	}
	text := Config("http://127.0.0.1:4001", "/files/here", "http://127.0.0.1:4002")
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var targets []string
	for _, l := range doc.Catalog.Locations {
		targets = append(targets, l.Type+" "+l.Target)
	}
	if want := []string{"url http://127.0.0.1:4001/fixtures/catalog/root.yaml", "file /files/here/templates/root.yaml"}; !slices.Equal(targets, want) {
		t.Errorf("locations %q, want %q", targets, want)
	}
	b := doc.Backend
	if b.BaseURL != "http://127.0.0.1:4002" || b.Listen.Host != "127.0.0.1" || b.Listen.Port != 4002 || b.Reading.Allow[0].Host != "127.0.0.1:4001" {
		t.Errorf("backend: %+v", b)
	}
}

func TestInstalledAsksTheBackend(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/catalog/") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	if got, err := Installed(t.Context(), server.URL); err != nil || !slices.Equal(got, []string{"catalog"}) {
		t.Errorf("%q, %v", got, err)
	}
	server.Close()
	if _, err := Installed(t.Context(), server.URL); err == nil || !strings.Contains(err.Error(), "no response") {
		t.Errorf("a backend that is gone: %v", err)
	}
}
