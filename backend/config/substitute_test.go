package config_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/config"
)

func TestSubstitution(t *testing.T) {
	t.Parallel()
	env := []string{"A=one", "B=two", "SPACED=  x  ", "EMPTY="}
	for _, tt := range []struct{ name, in, want string }{
		{"a variable", "${A}", `"one"`},
		{"several in one string", "http://${A}:${B}/", `"http://one:two/"`},
		{"the name is trimmed", "${ A }", `"one"`},
		{"the value is trimmed", "[${SPACED}]", `"[x]"`},
		{"an empty variable is empty text", "${EMPTY}", `""`},
		{"an undefined variable makes the whole value undefined", "x${UNSET}y", "null"},
		{"one undefined variable of two is enough", "${A}${UNSET}", "null"},
		{"a fallback is for an unset variable", "${UNSET:-f}", `"f"`},
		{"a fallback is for an empty variable", "${EMPTY:-f}", `"f"`},
		{"a fallback is not for a variable that is set", "${A:-f}", `"one"`},
		{"a fallback is trimmed", "${UNSET:-  f  }", `"f"`},
		{"a fallback may contain :-", "${UNSET:-a:-b}", `"a:-b"`},
		{"an empty fallback is undefined", "${UNSET:-}", "null"},
		{"an empty fallback is undefined even with text around it", "a${EMPTY:- }b", "null"},
		{"an escape is literal", "$${A}", `"${A}"`},
		{"an escape next to a variable", "$${A}${A}", `"${A}one"`},
		{"the result is always text", "${N:-1}", `"1"`},
		{"template expressions are not variables", "${{ parameters.name }}", `"${{ parameters.name }}"`},
		{"an open brace alone is text", "${A", `"${A"`},
		{"a dollar alone is text", "$A $ $$", `"$A $ $$"`},
		{"an empty name is undefined", "${}", "null"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Parse("c.yaml", []byte("v: '"+tt.in+"'"), env...)
			if err != nil {
				t.Fatal(err)
			}
			if got := asJSON(t, cfg.Value("v")); got != tt.want {
				t.Errorf("%s is %s, want %s", tt.in, got, tt.want)
			}
		})
	}
}

func TestSubstitutionLeavesKeysAndDropsElements(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("c.yaml", []byte("${A}: 1\nlist: [a, '${UNSET}', '${A}']\nobject: {x: '${UNSET}', y: 1}"), "A=one")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := asJSON(t, cfg.Value("")), `{"${A}":1,"list":["a","one"],"object":{"y":1}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if cfg.Has("object.x") {
		t.Error("an undefined key is present")
	}
}

func TestNestedFallbackIsRefused(t *testing.T) {
	t.Parallel()
	_, err := config.Parse("c.yaml", []byte("a: ${A:-${B}}"))
	if want := "a: a fallback cannot contain another ${...} (c.yaml:1:4)"; text(err) != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestIncludes(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"conf/secret.txt":      "s3cret ${A}\n\n \t\n",
		"conf/inc.yaml":        "a: {b: {c: [1, '${A}']}}\nsecret: {$file: sub/token}\nempty: null\n",
		"conf/inc.json":        `{"emoji": "\ud83d\ude00", "n": 1e3}`,
		"conf/inc.yml":         "deep: {$include: sub/leaf.yaml}",
		"conf/sub/token":       "tok",
		"conf/sub/leaf.yaml":   "v: {$file: ./token}",
		"conf/blank.yaml":      "",
		"conf/app-config.yaml": "",
	})
	for _, tt := range []struct{ name, yaml, want string }{
		{"$env is the variable", "{$env: A}", `"one"`},
		{"$env of an unset variable is undefined", "{$env: UNSET}", "null"},
		{"$file is the text without trailing white space, not substituted", "{$file: secret.txt}", `"s3cret ${A}"`},
		{"substitution applies to the path", "{$file: '${NAME}.txt'}", `"s3cret ${A}"`},
		{"an undefined path makes the value undefined", "{$file: '${UNSET}.txt'}", "null"},
		{"$include is transformed again with its own directory", "{$include: inc.yaml}", `{"a":{"b":{"c":[1,"one"]}},"secret":"tok"}`},
		{"$include takes a data path", "{$include: inc.yaml#a.b.c}", `[1,"one"]`},
		{"a data path may end in a scalar directive", "{$include: inc.yaml#secret}", `"tok"`},
		{"the last key of a data path may be missing", "{$include: inc.yaml#a.nope}", "null"},
		{"$include reads JSON", "{$include: inc.json}", `{"emoji":"😀","n":1000}`},
		{"$include reads .yml, and includes nest", "{$include: inc.yml}", `{"deep":{"v":"tok"}}`},
		{"an empty file is undefined", "{$include: blank.yaml}", "null"},
		{"other keys with a dollar are keys", "{$text: x}", `{"$text":"x"}`},
		{"directives work in lists, undefined elements drop", "[{$env: A}, {$env: UNSET}]", `["one"]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Parse(filepath.Join(dir, "conf", "c.yaml"), []byte("v: "+tt.yaml), "A=one", "NAME=secret")
			if err != nil {
				t.Fatal(err)
			}
			if got := asJSON(t, cfg.Value("v")); got != tt.want {
				t.Errorf("%s is %s, want %s", tt.yaml, got, tt.want)
			}
		})
	}
}

func TestIncludeErrors(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"inc.yaml": "a: {b: 1}", "bad.yaml": "a: [", "bad.json": `{"a": }`, "x.toml": ""})
	for _, tt := range []struct{ name, yaml, want string }{
		{"a missing file", "{$file: nope}", "v: $file DIR/nope does not exist (DIR/c.yaml:1:12)"},
		{"a missing include", "{$include: nope.yaml}", "v: $include DIR/nope.yaml does not exist (DIR/c.yaml:1:15)"},
		{"another extension", "{$include: x.toml}", "v: no configuration parser available for included file DIR/x.toml (DIR/c.yaml:1:15)"},
		{"a key next to a directive", "{a: 1, $file: x}", `v: include key $file should not have adjacent keys, found "a" (DIR/c.yaml:1:5)`},
		{"two directives", "{$env: A, $file: x}", `v: include key $env should not have adjacent keys, found "$file" (DIR/c.yaml:1:14)`},
		{"a directive without text", "{$env: [A]}", "v: $env expects a string, got a list (DIR/c.yaml:1:11)"},
		{"a data path through a scalar", "{$include: inc.yaml#a.b.c.d}", `v: $include DIR/inc.yaml: what leads to a.b.c.d is not an object (DIR/c.yaml:1:15)`},
		{"an include with a syntax error", "{$include: bad.yaml}", "not valid YAML: did not find expected node content (DIR/bad.yaml:2:1)"},
		{"an include with a JSON error", "{$include: bad.json}", "a: not valid JSON (DIR/bad.json:1:7)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Parse(filepath.Join(dir, "c.yaml"), []byte("v: "+tt.yaml))
			if got := strings.ReplaceAll(text(err), dir, "DIR"); got != tt.want {
				t.Errorf("error is %q, want %q", got, tt.want)
			}
		})
	}
}

func TestYAMLScalars(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"yes": `"yes"`, "no": `"no"`, "on": `"on"`, "y": `"y"`, "True": "true", "FALSE": "false",
		"010": "10", "0o10": "8", "0x1F": "31", "1_000": `"1_000"`, "0b1": `"0b1"`, "+1": "1", "1.": "1", ".5": "0.5", "1e3": "1000",
		"2001-01-01": `"2001-01-01"`, "~": "null", "Null": "null", "": "null", ".inf": `".inf"`, ".nan": `".nan"`,
		"12345678901234567890": "12345678901234567000", "1e999": `"1e999"`, "1:30": `"1:30"`,
		"'1'": `"1"`, `"true"`: `"true"`, "!!str 1": `"1"`, "!!int 1": "1", "{<<: {a: 1}, b: 2}": `{"\u003c\u003c":{"a":1},"b":2}`,
		"{1: a, true: b}": `{"1":"a","true":"b"}`, "|\n  a\n  b\n": `"a\nb\n"`,
	} {
		cfg, err := config.Parse("c.yaml", []byte("v: "+in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := asJSON(t, cfg.Value("v")); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
}
