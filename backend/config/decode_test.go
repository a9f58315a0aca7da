package config_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
)

type base struct {
	Host string `config:"host,required"`
}

type everything struct {
	base                        // keys of an embedded struct are keys of this one
	Port      uint16            `config:"port"`
	Ratio     float32           `config:"ratio"`
	On        bool              `config:"on"`
	Level     level             `config:"level" oneof:"debug|info|warn"`
	Tags      []string          `config:"tags"`
	Labels    map[string]string `config:"labels"`
	Sub       *nested           `config:"sub"`
	List      []nested          `config:"list"`
	Map       map[string]nested `config:"map"`
	Raw       any               `config:"raw"`
	Net       netip.Prefix      `config:"net"`
	TTL       config.Duration   `config:"ttl,millis"`
	Every     time.Duration     `config:"every"`
	Token     config.Secret     `config:"token"`
	Separator string            `config:"separator,allowEmpty"`
	Origins   oneOrMany         `config:"origins"`
	Ignored   string
	Skipped   string `config:"-"`
}

type level string

type nested struct {
	Name string `config:"name,required"`
	Size int8   `config:"size"`
}

// SetDefaults is for elements of lists and maps.
func (n *nested) SetDefaults() { n.Size = 7 }

func (n *nested) Validate() error {
	if n.Size > 100 {
		return config.At("size", errors.New("is larger than 100"))
	}
	if n.Name == "bad" {
		return errors.New("bad name")
	}
	return nil
}

// oneOrMany is a text or a list of texts.
type oneOrMany []string

func (o *oneOrMany) UnmarshalConfig(c *config.Config) error {
	if s, ok := c.Value("").(string); ok {
		*o = oneOrMany{s}
		return nil
	}
	type plain oneOrMany
	return c.Decode("", (*plain)(o))
}

func TestDecode(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("c.yaml", []byte(`
x:
  host: example.com
  port: '${PORT}'
  ratio: 0.5
  on: yes
  level: info
  tags: [a, b]
  labels: {a: x, b: null, c: y}
  sub: {name: s}
  list: [{name: l0}, {name: l1, size: 1}]
  map: {m: {name: m0}}
  raw: {a: [1, 2.5, x, true, null]}
  net: 10.0.0.0/8
  ttl: 1500
  every: {seconds: 5}
  token: t
  separator: ''
  origins: http://a
  unknown: ignored
`), "PORT=8080")
	if err != nil {
		t.Fatal(err)
	}
	sub := &nested{Name: "default", Size: 9}
	got := everything{Sub: sub, Labels: map[string]string{"b": "default", "z": "kept"}, Separator: ":", Ignored: "i", Skipped: "s"}
	labels := got.Labels
	if err := cfg.Decode("x", &got); err != nil {
		t.Fatal(err)
	}
	want := everything{
		base: base{Host: "example.com"}, Port: 8080, Ratio: 0.5, On: true, Level: "info", Tags: []string{"a", "b"},
		Labels: map[string]string{"a": "x", "c": "y", "z": "kept"},
		Sub:    &nested{Name: "s", Size: 9}, List: []nested{{"l0", 7}, {"l1", 1}}, Map: map[string]nested{"m": {"m0", 7}},
		Raw: map[string]any{"a": []any{int64(1), 2.5, "x", true, nil}}, Net: netip.MustParsePrefix("10.0.0.0/8"),
		TTL: config.Duration(1500 * time.Millisecond), Every: 5 * time.Second, Token: config.NewSecret("t"),
		Origins: oneOrMany{"http://a"}, Ignored: "i", Skipped: "s",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
	if sub.Name != "default" || labels["b"] != "default" {
		t.Error("the caller's defaults were changed")
	}
}

func TestDecodeErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, yaml, want string }{
		{"a required key that is absent points at the object", "x:\n  port: 1", "x.host: required key is missing (c.yaml:1:1)"},
		{"a required key that is null", "x: {host: null}", "x.host: required key is null (c.yaml:1:11)"},
		{"a required key whose variable is not set", "x: {host: 'a${NOPE}'}", "x.host: environment variable NOPE is not set (c.yaml:1:11)"},
		{"a required key whose variable is empty", "x: {host: '${EMPTY}'}", "x.host: environment variable EMPTY is empty (c.yaml:1:11)"},
		{"a required key whose fallback is empty", "x: {host: '${NOPE:-}'}", "x.host: environment variable NOPE is not set, and its fallback is empty (c.yaml:1:11)"},
		{"a required key by $env", "x: {host: {$env: NOPE}}", "x.host: environment variable NOPE is not set (c.yaml:1:18)"},
		{"a section that is absent", "y: 1", "x.host: required key is missing"},
		{"a section that is no object", "x: [1]", "x: expected an object, got a list (c.yaml:1:4)"},
		{"an unsigned number that is negative", "x: {host: a, port: -1}", "x.port: expected a whole number that is not negative, got -1 (c.yaml:1:20)"},
		{"a number that is too large", "x: {host: a, port: 70000}", "x.port: expected a whole number up to 65535, got 70000 (c.yaml:1:20)"},
		{"a signed number that is too large", "x: {host: a, list: [{name: n, size: 200}]}", "x.list[0].size: expected a whole number from -128 to 127, got 200 (c.yaml:1:37)"},
		{"an unknown value with a suggestion", "x: {host: a, level: inof}", `x.level: expected one of debug, info, warn, got "inof"; did you mean "info"? (c.yaml:1:21)`},
		{"an unknown value without one", "x: {host: a, level: loud}", `x.level: expected one of debug, info, warn, got "loud" (c.yaml:1:21)`},
		{"an unknown value that came from a variable is not shown", "x: {host: a, level: '${WORD}'}", `x.level: expected one of debug, info, warn, got a string (c.yaml:1:21)`},
		{"a value that reads itself", "x: {host: a, net: 10.0.0.0}", `x.net: netip.ParsePrefix("10.0.0.0"): no '/' (c.yaml:1:19)`},
		{"a value that reads itself and came from a variable", "x: {host: a, net: '${WORD}'}", `x.net: expected a valid Prefix, got a string (c.yaml:1:19)`},
		{"an error inside a type with UnmarshalConfig has the whole path", "x: {host: a, origins: [a, 1]}", "x.origins[1]: expected a string, got 1 (c.yaml:1:27)"},
		{"an element that is null", "x: {host: a, tags: [a, null]}", "x.tags[1]: expected a string, got null (c.yaml:1:24)"},
		{"Validate of an element", "x: {host: a, list: [{name: ok}, {name: bad}]}", "x.list[1]: bad name (c.yaml:1:33)"},
		{"Validate names a key below", "x: {host: a, map: {m: {name: n, size: 101}}}", "x.map.m.size: is larger than 100 (c.yaml:1:39)"},
		{"Validate names a key that the file does not have", "x: {host: a, sub: {name: bad}}", "x.sub: bad name (c.yaml:1:14)"},
		{
			"everything at once", "x:\n  port: a\n  on: 7\n  tags: x\n  list: [{}]\n",
			"x.host: required key is missing (c.yaml:1:1)\n" +
				"x.port: expected a number, got \"a\" (c.yaml:2:9)\n" +
				"x.on: expected a boolean (true or false), got 7 (c.yaml:3:7)\n" +
				"x.tags: expected a list, got \"x\" (c.yaml:4:9)\n" +
				"x.list[0].name: required key is missing (c.yaml:5:10)",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Parse("c.yaml", []byte(tt.yaml), "EMPTY=", "WORD=canary")
			if err != nil {
				t.Fatal(err)
			}
			var out everything
			err = cfg.Decode("x", &out)
			if text(err) != tt.want {
				t.Errorf("error is\n%s\nwant\n%s", text(err), tt.want)
			}
			for _, problem := range config.Problems(err) {
				if _, ok := problem.(*config.KeyError); !ok {
					t.Errorf("%T is no *KeyError", problem)
				}
			}
		})
	}
}

type provider struct {
	Organization string          `config:"organization,required"`
	Token        config.Secret   `config:"token"`
	Schedule     config.Schedule `config:"schedule,required"`
}

type providers map[string]provider

// UnmarshalConfig accepts a single provider without a name.
func (p *providers) UnmarshalConfig(c *config.Config) error {
	if c.Has("organization") {
		var one provider
		err := c.Decode("", &one)
		*p = providers{"default": one}
		return err
	}
	type plain providers
	return c.Decode("", (*plain)(p))
}

// The texts that operators see at boot (architecture section 4.3).
func TestBootErrorTexts(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("app-config.yaml", []byte(`catalog:
  rules:
    - allow: Component
  providers:
    github:
      production:
        organization: ${ORG}
        schedule: {frequency: {minuts: 30}}
      staging:
        organisation: acme
        frequency: PT30M
        schedule:
          timeout: {}
          scope: globl
      dev:
        organization: acme
        schedule:
          frequency: {cron: "61 * * * *"}
          timeout: {minutes: -1}
          initialDelay: 10
      late: {organization: acme, schedule: {frequency: {trigger: auto}, timeout: 0s}}
`))
	if err != nil {
		t.Fatal(err)
	}
	var rules []struct {
		Allow []string `config:"allow"`
	}
	var p providers
	got := text(cfg.Decode("catalog.rules", &rules)) + "\n" + text(cfg.Decode("catalog.providers.github", &p))
	want := `catalog.rules[0].allow: expected a list, got "Component" (app-config.yaml:3:14)
catalog.providers.github.production.organization: environment variable ORG is not set (app-config.yaml:7:23)
catalog.providers.github.production.schedule.frequency: unknown unit "minuts", use one of days, hours, milliseconds, minutes, months, seconds, weeks, years; did you mean "minutes"? (app-config.yaml:8:32)
catalog.providers.github.production.schedule.timeout: required key is missing (app-config.yaml:8:9)
catalog.providers.github.staging.organization: required key is missing; catalog.providers.github.staging.organisation (app-config.yaml:10:9) is no key, did you mean organization? (app-config.yaml:9:7)
catalog.providers.github.staging.schedule.frequency: required key is missing; move catalog.providers.github.staging.frequency (app-config.yaml:11:9) here (app-config.yaml:12:9)
catalog.providers.github.staging.schedule.timeout: duration has no unit, use at least one of days, hours, milliseconds, minutes, months, seconds, weeks, years (app-config.yaml:13:11)
catalog.providers.github.staging.schedule.scope: expected one of global, local, got "globl"; did you mean "global"? (app-config.yaml:14:18)
catalog.providers.github.dev.schedule.frequency.cron: cron expression "61 * * * *": end of range (61) above maximum (59): 61 (app-config.yaml:18:29)
catalog.providers.github.dev.schedule.timeout.minutes: duration is negative (app-config.yaml:19:30)
catalog.providers.github.dev.schedule.initialDelay: expected a duration with a unit, got 10: write it as 15m, 2 hours, PT15M or {minutes: 15} (app-config.yaml:20:25)
catalog.providers.github.late.schedule.frequency.trigger: expected "manual", got "auto" (app-config.yaml:21:66)
catalog.providers.github.late.schedule.timeout: must be longer than zero (app-config.yaml:21:82)`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestStrayKeys(t *testing.T) {
	t.Parallel()
	type inner struct {
		Timeout config.Duration `config:"timeout"`
	}
	type outer struct {
		Organization string `config:"organization,required"`
		Filters      inner  `config:"filters"`
	}
	for _, tt := range []struct{ name, yaml, want string }{
		{"one level too deep", "p: {filters: {organization: x}}", "p.organization: required key is missing; move p.filters.organization (c.yaml:1:15) here (c.yaml:1:1)"},
		{"a known key elsewhere is not suspected", "p: {filters: {timeout: 1s}}", "p.organization: required key is missing (c.yaml:1:1)"},
		{"a misspelt parent", "a: {providr: {p: {organization: x}}}", "a.provider.p.organization: required key is missing; did you mean a.provider where the file has a.providr (c.yaml:1:5)? (c.yaml:1:1)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Parse("c.yaml", []byte(tt.yaml))
			if err != nil {
				t.Fatal(err)
			}
			section := "p"
			if strings.HasPrefix(tt.yaml, "a") {
				section = "a.provider.p"
			}
			if got := text(cfg.Decode(section, &outer{})); got != tt.want {
				t.Errorf("error is\n%s, want\n%s", got, tt.want)
			}
		})
	}
}

func TestSingleEntryShortForm(t *testing.T) {
	t.Parallel()
	const schedule = "schedule: {frequency: PT1H, timeout: 3m}"
	for name, yaml := range map[string]string{"default": "p: {organization: a, " + schedule + "}", "prod": "p: {prod: {organization: a, " + schedule + "}}"} {
		cfg, err := config.Parse("c.yaml", []byte(yaml))
		if err != nil {
			t.Fatal(err)
		}
		var p providers
		if err := cfg.Decode("p", &p); err != nil {
			t.Fatal(err)
		}
		if len(p) != 1 || p[name].Organization != "a" || p[name].Schedule.Scope != "global" {
			t.Errorf("%s decodes to %+v", yaml, p)
		}
	}
}

func TestDecodeMisuse(t *testing.T) {
	t.Parallel()
	cfg, _ := config.Parse("c.yaml", []byte("a: {b: 1}"))
	var ch struct {
		B chan int `config:"b"`
	}
	for want, err := range map[string]error{
		"a: decode needs a pointer, got int":                                                cfg.Decode("a", 1),
		`a..b: path is not valid: write a.b[0] or a["b.c"]`:                                 cfg.Decode("a..b", new(int)),
		"a.b: chan int cannot be decoded: declare a type with UnmarshalConfig (c.yaml:1:8)": cfg.Decode("a", &ch),
	} {
		if text(err) != want {
			t.Errorf("error is %q, want %q", text(err), want)
		}
	}
	if config.At("x", nil) != nil || config.Problems(nil) != nil {
		t.Error("no error is an error")
	}
	wrapped := fmt.Errorf("around: %w", errors.Join(errors.New("one"), errors.New("two")))
	if got := len(config.Problems(wrapped)); got != 2 {
		t.Errorf("%d problems, want 2", got)
	}
}

func TestCauseIsFound(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("c.yaml", []byte("v: secret-value-x"))
	if err != nil {
		t.Fatal(err)
	}
	var out failing
	err = cfg.Decode("v", &out)
	var key *config.KeyError
	if !errors.Is(err, errCause) || !errors.As(err, &key) || key.Path != "v" || key.Pos != "c.yaml:1:4" {
		t.Errorf("error is %#v", err)
	}
}

var errCause = errors.New("cause")

type failing struct{}

func (*failing) UnmarshalConfig(*config.Config) error { return errCause }
