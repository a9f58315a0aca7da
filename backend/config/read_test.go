package config_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/callboard-dev/callboard/backend/config"
)

func TestTypedReads(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ typ, in, want, wantErr string }{
		{typ: "string", in: "abc", want: "abc"},
		{typ: "string", in: "'12'", want: "12"},
		{typ: "string", in: "12", wantErr: "expected a string, got 12"},
		{typ: "string", in: "1.50", wantErr: "expected a string, got 1.5"},
		{typ: "string", in: "true", wantErr: "expected a string, got true"},
		{typ: "string", in: "''", wantErr: "expected a string that is not empty, got an empty string"},
		{typ: "string", in: "${EMPTY}", wantErr: "environment variable EMPTY is empty"},
		{typ: "string", in: "[a]", wantErr: "expected a string, got a list"},
		{typ: "string", in: "{a: 1}", wantErr: "expected a string, got an object"},
		{typ: "string", in: "null", want: "absent"},
		{typ: "string", in: "${UNSET}", want: "absent"},

		{typ: "int", in: "7007", want: "7007"},
		{typ: "int", in: "'7007'", want: "7007"},
		{typ: "int", in: "' 7007 '", want: "7007"},
		{typ: "int", in: "${SEVEN}", want: "7"},
		{typ: "int", in: "1e3", want: "1000"},
		{typ: "int", in: "1.5", wantErr: "expected a whole number, got 1.5"},
		{typ: "int", in: "1e30", wantErr: "expected a whole number, got 1e+30"},
		{typ: "int", in: "seven", wantErr: `expected a number, got "seven"`},
		{typ: "int", in: "''", wantErr: "expected a number, got an empty string"},
		{typ: "int", in: "true", wantErr: "expected a number, got true"},
		{typ: "int", in: "${WORD}", wantErr: "expected a number, got a string"},

		{typ: "float", in: "1.5", want: "1.5"},
		{typ: "float", in: "'1.5'", want: "1.5"},
		{typ: "float", in: "2", want: "2"},
		{typ: "float", in: "[]", wantErr: "expected a number, got a list"},

		{typ: "bool", in: "true", want: "true"},
		{typ: "bool", in: "yes", want: "true"},
		{typ: "bool", in: "Y", want: "true"},
		{typ: "bool", in: "On", want: "true"},
		{typ: "bool", in: "1", want: "true"},
		{typ: "bool", in: "'TRUE'", want: "true"},
		{typ: "bool", in: "no", want: "false"},
		{typ: "bool", in: "N", want: "false"},
		{typ: "bool", in: "OFF", want: "false"},
		{typ: "bool", in: "0", want: "false"},
		{typ: "bool", in: "'false'", want: "false"},
		{typ: "bool", in: "2", wantErr: "expected a boolean (true or false), got 2"},
		{typ: "bool", in: "maybe", wantErr: `expected a boolean (true or false), got "maybe"`},
		{typ: "bool", in: "''", wantErr: "expected a boolean (true or false), got an empty string"},

		{typ: "duration", in: "15m", want: "15m0s"},
		{typ: "duration", in: "{hours: '${SEVEN}'}", want: "7h0m0s"},
		{typ: "duration", in: "5", wantErr: "expected a duration with a unit, got 5: write it as 15m, 2 hours, PT15M or {minutes: 15}"},

		{typ: "strings", in: "[a, b]", want: "[a b]"},
		{typ: "strings", in: "a", wantErr: `expected a list, got "a"`},
	} {
		t.Run(tt.typ+" "+tt.in, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Parse("c.yaml", []byte("x:\n  v: "+tt.in), "EMPTY=", "SEVEN=7", "WORD=canary")
			if err != nil {
				t.Fatal(err)
			}
			var v any
			var ok bool
			switch tt.typ {
			case "string":
				v, ok, err = cfg.String("x.v")
			case "int":
				v, ok, err = cfg.Int("x.v")
			case "float":
				v, ok, err = cfg.Float("x.v")
			case "bool":
				v, ok, err = cfg.Bool("x.v")
			case "duration":
				v, ok, err = cfg.Duration("x.v")
			case "strings":
				v, ok, err = cfg.Strings("x.v")
			}
			got := fmt.Sprint(v)
			if !ok {
				got = "absent"
			}
			if tt.wantErr != "" {
				if want := "x.v: " + tt.wantErr + " (c.yaml:2:6)"; text(err) != want {
					t.Fatalf("error is %q, want %q", text(err), want)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %s, %v; want %s", got, err, tt.want)
			}
		})
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("c.yaml", []byte(`
a: {b: [{c: 1}, {d: [x, y]}], "with.dot": {"/echo": z}, "": empty}
`))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"a.b[0].c": "1", "a.b[1].d[1]": `"y"`, "a.b[2]": "null", "a.b[-1]": "null", "a.b.c": "null", "a..b": "null", ".a": "null", "a.": "null",
		`a["with.dot"]./echo`: `"z"`, `a["with.dot"]["/echo"]`: `"z"`, `a[""]`: `"empty"`, "a[0]": "null", "a[": "null", `a["x`: "null", "a.b[1].d": `["x","y"]`,
	} {
		if got := asJSON(t, cfg.Value(path)); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
		if cfg.Has(path) != (want != "null") {
			t.Errorf("Has(%s) is %v", path, cfg.Has(path))
		}
	}
	sub := cfg.Sub("a").Sub("b[1]")
	if sub.Path() != "a.b[1]" || sub.Len("d") != 2 || sub.Pos("d[1]") != "c.yaml:2:25" {
		t.Errorf("sub is at %s with %d elements, the second at %s", sub.Path(), sub.Len("d"), sub.Pos("d[1]"))
	}
	if got, want := cfg.Keys("a"), []string{"b", "with.dot", ""}; !slices.Equal(got, want) {
		t.Errorf("keys are %q, want %q", got, want)
	}
	var n int
	if got, want := text(sub.Decode("d[0]", &n)), `a.b[1].d[0]: expected a number, got "x" (c.yaml:2:22)`; got != want {
		t.Errorf("error is %s, want %s", got, want)
	}
	if got, want := text(cfg.Decode(`a["with.dot"]./echo`, &n)), `a["with.dot"]./echo: expected a number, got "z" (c.yaml:2:53)`; got != want {
		t.Errorf("error is %s, want %s", got, want)
	}
	missing := cfg.Sub("nope.nope")
	if missing.Has("x") || missing.Value("") != nil || missing.Keys("") != nil {
		t.Error("an absent part has content")
	}
}
