package config_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/config"
)

type schedules struct {
	Schedule config.Schedule `config:"schedule"`
	Filters  struct {
		Branch string `config:"branch"`
		Deep   struct {
			Topic string `config:"topic"`
		} `config:"deep"`
	} `config:"filters"`
	Old    string           `config:"old" deprecated:"use filters.branch"`
	Peers  []base           `config:"peers"`
	ByName map[string]*base `config:"byName"`
	Any    any              `config:"any"`
	Opaque oneOrMany        `config:"opaque"`
	Forms  shaped           `config:"forms"`
	Token  config.Secret    `config:"token"`
	TTL    config.Duration  `config:"ttl"`
	Free   map[string]any   `config:"free"`
}

// shaped is a base or a list of bases, and says so.
type shaped []base

func (*shaped) ConfigShapes() []any { return []any{base{}, []base{}} }

func (s *shaped) UnmarshalConfig(c *config.Config) error {
	if c.Len("") == 0 {
		*s = shaped{{}}
		return c.Decode("", &(*s)[0])
	}
	type plain shaped
	return c.Decode("", (*plain)(s))
}

func TestUnknownKeys(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, yaml, want string }{
		{"known keys are no warning", "schedule: {frequency: 1m, timeout: {minutes: 1}}\ntoken: t\nttl: {hours: 1}\nany: {x: 1}\nopaque: {x: 1}\nfree: {a: {b: 1}}", ""},
		{"a misspelt key", "schedul: {}", "p.schedul: unknown key; did you mean schedule? (c.yaml:2:3)"},
		{"a key that is like no other", "zebra: 1", "p.zebra: unknown key (c.yaml:2:3)"},
		{"a key one level too high", "frequency: PT1M", "p.frequency: unknown key; did you mean p.schedule.frequency? (c.yaml:2:3)"},
		{"a key two levels too high", "topic: x", "p.topic: unknown key; did you mean p.filters.deep.topic? (c.yaml:2:3)"},
		{"a key one level too deep", "filters: {token: x}", "p.filters.token: unknown key; did you mean p.token? (c.yaml:2:13)"},
		{"in elements of lists and maps", "peers: [{host: a, hots: b}]\nbyName: {x: {hoost: c}}", "p.peers[0].hots: unknown key; did you mean host? (c.yaml:2:21)\np.byName.x.hoost: unknown key; did you mean host? (c.yaml:3:16)"},
		{"a type with several forms, in the first", "forms: {host: a, x: 1}", "p.forms.x: unknown key (c.yaml:2:20)"},
		{"a type with several forms, in the second", "forms: [{host: a}, {x: 1}]", "p.forms[1].x: unknown key (c.yaml:2:23)"},
		{"a removed key is no warning", "zebra: null", ""},
		{"a deprecated key", "old: x", "p.old: is deprecated: use filters.branch (c.yaml:2:3)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Parse("c.yaml", []byte("p:\n  "+strings.ReplaceAll(tt.yaml, "\n", "\n  ")))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range cfg.Warnings("p", reflect.TypeFor[schedules]()) {
				got = append(got, w.Error())
			}
			want := strings.Split(tt.want, "\n")
			if len(got) > 1 {
				want[0], want[1] = want[1], want[0] // by path
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ word, want string }{
		{"minuts", "minutes"}, {"Minutes", "minutes"}, {"huors", "hours"}, {"x", ""}, {"", ""}, {strings.Repeat("m", 100), ""}, {"parsecs", ""},
	} {
		if got := config.Suggest(tt.word, []string{"hours", "minutes", strings.Repeat("m", 99)}); got != tt.want {
			t.Errorf("%s suggests %q, want %q", tt.word, got, tt.want)
		}
	}
}

func TestIsSecretName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"token": true, "accessToken": true, "clientSecret": true, "API_KEY": true, "X-Api-Key": true, "privateKey": true, "password": true, "webhookSecret": true,
		"Authorization": true, "credentials": true, "tokenUrl": false, "monkey": false, "keyPrefixSeparator": false, "secretary": false, "host": false, "keys": false, "": false,
	} {
		if got := config.IsSecretName(name); got != want {
			t.Errorf("%s is secret: %v, want %v", name, got, want)
		}
	}
}
