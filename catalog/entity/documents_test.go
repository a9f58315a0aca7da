package entity

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"
)

// parsed lists what ParseDocuments yields: JSON of entities, text of errors.
func parsed(name, text string, limits Limits) []string {
	var out []string
	for doc, err := range ParseDocuments(name, []byte(text), limits) {
		if err != nil {
			out = append(out, err.Error())
			continue
		}
		data, err := doc.Entity.MarshalStable()
		if err != nil {
			data = []byte(err.Error())
		}
		out = append(out, string(data))
	}
	return out
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		in   string
		want []string
	}{
		{"nothing", "", nil},
		{"comments only", "# a\n\n# b\n", nil},
		{"null documents", "---\n---\nnull\n---\n~\n---\na: 1\n---\n", []string{`{"a":1}`}},
		{"several documents", "a: 1\n---\nb: 2\n--- {c: 3}\n...\n---\nd: 4\n", []string{`{"a":1}`, `{"b":2}`, `{"c":3}`, `{"d":4}`}},
		{"markers in a block scalar", "a: |\n  ---\n  x\n  ...\nb: 1\n---\nc: 2", []string{`{"a":"---\nx\n...\n","b":1}`, `{"c":2}`}},
		{"something like a marker", "a: 1\n---b: 2\n", []string{`{"---b":2,"a":1}`}},
		{"no object", "- 1\n---\nx\n---\na: 1", []string{
			"x.yaml:1:1: expected an entity, an object with apiVersion, kind and metadata, found an array",
			`x.yaml:3:1: expected an entity, an object with apiVersion, kind and metadata, found "x"`, `{"a":1}`}},
		{"an error between others", "a: 1\n---\nb: [\n---\nc: 3\n", []string{`{"a":1}`, "x.yaml:3:1: did not find expected node content", `{"c":3}`}},
		{"wrong indentation", "a: 1\nb:\n  - x\n c: 2\nd: 3\n", []string{"x.yaml:4:2: did not find expected key"}},
		{"two colons in the third document", "a: 1\n---\nb: 2\n---\nc: 1\nd: x: y\n", []string{`{"a":1}`, `{"b":2}`, "x.yaml:6:1: mapping values are not allowed in this context"}},
		{"open quote", "a: 1\nb: 'x\nc: 1\nd: 2\n---\ne: 1", []string{"x.yaml:2:1: found unexpected end of stream", `{"e":1}`}},
		{"tab", "a:\n\tb: 2\n", []string{"x.yaml:2:2: found character that cannot start any token"}},
		{"unknown anchor", "a: 1\nb: *x\n", []string{"x.yaml:2:1: unknown anchor 'x' referenced"}},
		{"duplicate key", "a: 1\nspec:\n  b: 1\n  b: 2\n", []string{`x.yaml:4:3: key "b" stands twice in one object; the first is in line 3`}},
		{"duplicate key by value", "1: a\n1.0: b\n", []string{`x.yaml:2:1: key "1" stands twice in one object; the first is in line 1`}},
		{"core schema", "a: [010, 0o10, 0x1F, 1_0, 1e3, .5, +1, -1.5, ., 1., '1', 0x, 0o8, 1e, --1]", []string{`{"a":[10,8,31,"1_0",1000,0.5,1,-1.5,".",1,"1","0x","0o8","1e","--1"]}`}},
		{"no yes, dates or bases of YAML 1.1", "a: [yes, on, 2020-01-01, 1:30, 0b1, 12e03, y]", []string{`{"a":["yes","on","2020-01-01","1:30","0b1",12000,"y"]}`}},
		{"nulls and booleans", "a: [~, null, Null, NULL, '', true, True, TRUE, false, nULL, tRUE]\nb:", []string{`{"a":[null,null,null,null,"",true,true,true,false,"nULL","tRUE"],"b":null}`}},
		{"infinity is null in JSON", "a: [.inf, -.INF, .nan, +.nan, 1e999]", []string{`{"a":[null,null,null,"+.nan",null]}`}},
		{"tags", "a: [!!str 1, !!int '1', !!float 1, !!null '', !!bool 'true', !custom 1]", []string{`{"a":["1",1,1,null,true,"1"]}`}},
		{"a tag that does not fit", "a: !!int x", []string{`x.yaml:1:4: "x" does not fit its tag !!int`}},
		{"merge keys are off", "a: &a {b: 1}\nc: {<<: *a, d: 2}", []string{`{"a":{"b":1},"c":{"<<":{"b":1},"d":2}}`}},
		{"keys that are no text", "1: a\ntrue: b\nnull: c\n0x10: d\n", []string{`{"":"c","1":"a","16":"d","true":"b"}`}},
		{"complex keys", "? [1]\n: x", []string{"x.yaml:1:3: expected a text as key, found an object or array; quote the key if it begins with { or ["}},
		{"aliases", "a: &x [1]\nb: *x", []string{`{"a":[1],"b":[1]}`}},
		{"an alias of itself", "a: &x {b: [*x]}", []string{"x.yaml:1:12: alias *x is part of the value it stands for"}},
		{"anchors end with their document", "a: &x 1\n---\nb: *x", []string{`{"a":1}`, "x.yaml:3:1: unknown anchor 'x' referenced"}},
		{"directives", "%YAML 1.2\n---\na: 1\n...\n# c\n%YAML 1.2\n%TAG !e! tag:example.com,2000:\n---\nb: !e!x 1\n", []string{`{"a":1}`, `{"b":"1"}`}},
		{"carriage returns", "a: 1\r\n---\r\nb: 2\r\n", []string{`{"a":1}`, `{"b":2}`}},
		{"only carriage returns", "a: 1\r---\rb: 2\r", []string{`{"a":1}`, `{"b":2}`}},
		{"byte order mark", "\ufeffa: 1", []string{`{"a":1}`}},
		{"UTF-16", utf16Text("a: ü😀\n---\nb: 1"), []string{`{"a":"ü😀"}`, `{"b":1}`}},
		{"invalid UTF-8", "a: 1\n---\nb: \xff\n---\nc: 1", []string{`{"a":1}`, "x.yaml:3:1: invalid leading UTF-8 octet", `{"c":1}`}},
		{"JSON escapes that YAML lacks", `{"a": "\ud83d\ude00\/"}`, []string{`{"a":"😀/"}`}},
		{"keys named like prototypes", "__proto__: {a: 1}\nconstructor: 1", []string{`{"__proto__":{"a":1},"constructor":1}`}},
		{"config placeholders stay text", "a: ${PD_KEY}", []string{`{"a":"${PD_KEY}"}`}},
	} {
		if got := parsed("x.yaml", tt.in, Limits{}); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.want) {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, got, tt.want)
		}
	}
}

func utf16Text(s string) string {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

func TestJSONFiles(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"{\"a\": \"\\ud83d\\ude00\",\n\t\"b\":[1,2.50,true,null,{}]}": `{"a":"😀","b":[1,2.5,true,null,{}]}`,
		"{\"a\": 1,\n \"a\":2}":                        `x.JSON:2:2: key "a" stands twice in one object; the first is in line 1`,
		"{\"a\": 1,\n \"b\":[":                         "x.JSON:2:7: unexpected end of JSON",
		"{\"a\": 1}\n]":                                "x.JSON:2:1: expected the end of the file behind the JSON value",
		"# YAML after all\n{\"a\": 1, b: 2}":           `{"a":1,"b":2}`,
		"[1]":                                          "x.JSON:1:1: expected an entity, an object with apiVersion, kind and metadata, found an array",
		"{\"a\":" + strings.Repeat("[", 200):           "x.JSON:1:107: document is nested more than 100 levels deep",
		"{\"a\":" + strings.Repeat("[", 100) + "\x01}": "x.JSON:1:106: invalid character '\\x01' looking for beginning of value",
	} {
		if got := strings.Join(parsed("x.JSON", in, Limits{}), "\n"); got != want {
			t.Errorf("%q:\n got %s\nwant %s", in, got, want)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	laughs := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'j'; c++ {
		laughs += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c, ", c-1), 10))
	}
	for _, tt := range []struct {
		name   string
		in     string
		limits Limits
		want   string // suffix of the last thing yielded
	}{
		{"size", "a: 12345", Limits{Bytes: 7}, "x.yaml:1:1: file has 8 bytes, more than the limit of 7"},
		{"documents", "a: 1\n---\na: 2\n---\na: 3\n", Limits{Documents: 2}, "x.yaml:4:1: file has more than 2 documents"},
		{"documents just allowed", "a: 1\n---\na: 2\n", Limits{Documents: 2}, `{"a":2}`},
		{"depth", "a: [[[1]]]", Limits{Depth: 3}, "x.yaml:1:7: document is nested more than 3 levels deep"},
		{"depth just allowed", "a: [[1]]", Limits{Depth: 3}, `{"a":[[1]]}`},
		{"depth by default", "a: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000), Limits{}, "document is nested more than 100 levels deep"},
		{"values", "a: [1, 2, 3]", Limits{Nodes: 4}, "x.yaml:1:11: document has more than 4 values"},
		{"repeated values", "a: &x [1, 2]\nb: [*x, *x]", Limits{AliasedNodes: 5}, "x.yaml:1:11: aliases repeat more than 5 values"},
		{"a billion laughs", laughs, Limits{}, "aliases repeat more than 50000 values"},
	} {
		got := parsed("x.yaml", tt.in, tt.limits)
		if len(got) == 0 || !strings.HasSuffix(got[len(got)-1], tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Descriptors that make careless YAML parsers slow: twice the size must not take much
// more than twice the work, which is counted in allocations.
func TestWorkIsProportionalToSize(t *testing.T) {
	for name, of := range map[string]func(n int) string{
		"open brackets": func(n int) string { return strings.Repeat("[", n) },
		"sequences":     func(n int) string { return strings.Repeat("- ", n) },
		"keys":          func(n int) string { return strings.Repeat("? ", n) },
		"comments":      func(n int) string { return strings.Repeat("k:\n  # x\n", n) },
		"bad documents": func(n int) string { return strings.Repeat("---\n[\n", n) },
		"bad lines":     func(n int) string { return strings.Repeat("a: 1\n", n) + "\tx" },
		"aliases":       func(n int) string { return "a: &x b\nc:\n" + strings.Repeat("- *x\n", n) },
	} {
		work := func(n int) float64 {
			return testing.AllocsPerRun(1, func() { parsed("x.yaml", of(n), Limits{}) })
		}
		if small, large := work(2000), work(8000); large > 8*small+1000 {
			t.Errorf("%s: 4 times the size makes %v allocations of %v", name, large, small)
		}
	}
}

func TestPositions(t *testing.T) {
	t.Parallel()
	const text = "# comment\n---\napiVersion: v1\nmetadata:\n  name: x\n  labels:\n    example.com/tier: '1'\n  tags:\n    - a\n    - [b,  c]\nspec: &s\n  owner:\n    - k: 1\nagain: *s\n"
	for name, in := range map[string]string{"x.yaml": text} {
		for doc, err := range ParseDocuments(name, []byte(in), Limits{}) {
			if err != nil {
				t.Fatal(err)
			}
			for pointer, want := range map[string]Position{
				"":                                   {3, 1},
				"/apiVersion":                        {3, 13},
				"/metadata":                          {4, 1},
				"/metadata/name":                     {5, 9},
				"/metadata/namespace":                {4, 1},
				"/metadata/labels/example.com~1tier": {7, 23},
				"/metadata/tags":                     {8, 3},
				"/metadata/tags/0":                   {9, 7},
				"/metadata/tags/1":                   {10, 7},
				"/metadata/tags/1/1":                 {10, 12},
				"/metadata/tags/9":                   {8, 3},
				"/spec/owner/0/k":                    {13, 10},
				"/again/owner":                       {12, 3},
				"/nope/deeper":                       {3, 1},
			} {
				if got := doc.Positions.At(pointer); got != want {
					t.Errorf("%q is at %v, want %v", pointer, got, want)
				}
			}
			if got := doc.Positions.Key("/metadata/labels/example.com~1tier"); got != (Position{7, 5}) {
				t.Errorf("key at %v", got)
			}
		}
	}
	if got := (Positions{}).At("/a"); got != (Position{}) {
		t.Error(got)
	}
}

func TestValidationErrorsGetPlaces(t *testing.T) {
	t.Parallel()
	const text = "apiVersion: backstage.io/v1alpha1\nkind: componnent\nmetadata:\n  name: a b\n---\napiVersion: backstage.io/v1alpha1\nkind: System\nmetadata: {name: ok}\nspec:\n  domain: ''\n"
	var got []string
	m := NewModel(ModelOptions{})
	for doc, err := range ParseDocuments("catalog-info.yaml", []byte(text), Limits{}) {
		if err == nil {
			err = m.Validate(doc.Entity)
		}
		got = append(got, doc.Err(err).Error())
		var place *DocumentError
		if !errors.As(doc.Err(err), &place) || place.Line == 0 {
			t.Error("no DocumentError in", doc.Err(err))
		}
	}
	want := []string{
		`catalog-info.yaml:4:9: /metadata/name: expected 1 to 63 of letters, digits, - _ and ., with a letter or digit at both ends, found "a b"
catalog-info.yaml:2:7: /kind: expected a kind of this catalog: Component, API, Resource, System, Domain, Group, User, Location or Template, found "componnent"; did you mean Component?`,
		`catalog-info.yaml:9:1: /spec/owner: expected a non-empty string, found nothing
catalog-info.yaml:10:11: /spec/domain: expected a non-empty string, found an empty string`,
	}
	if strings.Join(got, "\n=\n") != strings.Join(want, "\n=\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n=\n"))
	}
}

func TestParseValueWantsOneDocument(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"[1, a]":       "",
		"null":         "",
		"":             "x.yaml:1:1: expected exactly one document, found none",
		"a\n---\nb\n":  "x.yaml:3:1: expected exactly one document, found a second one",
		"a: [":         "x.yaml:1:1: did not find expected node content",
		"a: 1\na: 2\n": `x.yaml:2:1: key "a" stands twice in one object; the first is in line 1`,
	} {
		_, err := ParseValue("x.yaml", []byte(in), Limits{})
		if err == nil && want != "" || err != nil && err.Error() != want {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}

func TestReadingStopsWhenTheCallerDoes(t *testing.T) {
	t.Parallel()
	for range ParseDocuments("x.yaml", []byte("a: 1\n---\nb: [\n---\nc: 1\n"), Limits{}) {
		break
	}
	n := 0
	for range ParseDocuments("x.yaml", []byte("a: 1\n---\nb: [\n---\nc: 1\n"), Limits{}) {
		if n++; n == 2 {
			break
		}
	}
}

func FuzzParseDocuments(f *testing.F) {
	for _, s := range []string{
		"a: 1\n---\nb: [\n---\nc: |\n  ---\n", "%YAML 1.2\n---\na: &x {b: *x}\n", "{\"a\": \"\\ud83d\"}", "a: !!int x\n<<: {}\n", "? [1]\n: 2\n",
		"a: 'x\n\nb: \"\\x00\"\n", "\xff\xfea\x00:\x00", "a:\r- b\r...\r", "- - - -\n", "a: >-\n  x\n\n  y\n#c", "--- !<x> y\n", "a: 0x1F\n1: 2\n~: 3\n",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, json bool) {
		name := "x.yaml"
		if json {
			name = "x.json"
		}
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + strings.Count(string(data), "\x85") + strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029") + 2
		m := NewModel(ModelOptions{})
		for doc, err := range ParseDocuments(name, data, Limits{Bytes: 1 << 16, Nodes: 5000}) {
			var place *DocumentError
			if err != nil {
				if !errors.As(err, &place) || len(data) > 0 && data[0] < 0xf0 && place.Line > lines {
					t.Fatalf("error %v without a place in the file", err)
				}
				continue
			}
			text, err := doc.Entity.MarshalStable()
			if err != nil {
				t.Fatal(err)
			}
			again, err := Decode(text)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if second, _ := again.MarshalStable(); string(second) != string(text) {
				t.Fatalf("%s became %s", text, second)
			}
			if err := m.Validate(doc.Entity); err != nil {
				_ = doc.Err(err).Error()
			}
			_, _ = m.RelationsOf(doc.Entity)
			_ = Flatten(doc.Entity, nil)
		}
	})
}
