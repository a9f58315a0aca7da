package config_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/config"
)

// picky repeats its value in every error that it makes.
type picky struct {
	Token config.Secret `config:"token"`
	Name  string        `config:"name"`
}

func (p *picky) Validate() error {
	return fmt.Errorf("cannot use %s and %q, nor %s", p.Token.Reveal(), p.Name, url.QueryEscape(p.Name))
}

// address is a type whose UnmarshalText repeats its input, and parts of it.
type address struct{ url.URL }

func (a *address) UnmarshalText(b []byte) error {
	u, err := url.Parse("%zz" + string(b))
	if err == nil {
		a.URL = *u
	}
	return err
}

// blabbing repeats its value in an error of UnmarshalConfig.
type blabbing struct{}

func (*blabbing) UnmarshalConfig(c *config.Config) error {
	return errors.Join(fmt.Errorf("bad value %v", c.Value("")), config.At("x.y", fmt.Errorf("and %q", c.Value(""))))
}

// TestSEC19_ErrorsDoNotShowSecrets puts a canary through every way a value can take
// into a configuration, and through every error a value can cause.
func TestSEC19_ErrorsDoNotShowSecrets(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"canary.txt": canary, "inc.yaml": "v: ${CANARY}\n", "empty.txt": ""})
	ways := map[string]string{
		"variable":          "{KEY: '${CANARY}'}",
		"part of a value":   "{KEY: 'x${CANARY}y'}",
		"fallback":          "{KEY: '${UNSET:-" + canary + "}'}",
		"$env":              "{KEY: {$env: CANARY}}",
		"$file":             "{KEY: {$file: canary.txt}}",
		"$include":          "{KEY: {$include: inc.yaml#v}}",
		"$include of text":  "{KEY: {$include: '${CANARY}.toml'}}",
		"missing $file":     "{KEY: {$file: '${CANARY}.txt'}}",
		"missing $include":  "{KEY: {$include: '${CANARY}.yaml'}}",
		"list":              "{KEY: ['${CANARY}']}",
		"object":            "{KEY: {inner: '${CANARY}'}}",
		"duration object":   "{KEY: {minutes: '${CANARY}'}}",
		"cron":              "{KEY: {cron: '${CANARY}'}}",
		"trigger":           "{KEY: {trigger: '${CANARY}'}}",
		"literal":           "{SECRET: " + canary + "}",
		"literal in a list": "{SECRET: [" + canary + "]}",
		"literal in object": "{SECRET: {inner: " + canary + ", minutes: " + canary + "}}",
		"literal duration":  "{SECRET: 5 " + canary + "}",
	}
	names := []string{"token", "clientSecret", "password", "privateKey", "connection", "credentials", "secret", "X-Api-Key", "Authorization"}
	targets := map[string]func() any{
		"string":   func() any { return new(string) },
		"int":      func() any { return new(int) },
		"int8":     func() any { return new(int8) },
		"uint":     func() any { return new(uint) },
		"float":    func() any { return new(float64) },
		"bool":     func() any { return new(bool) },
		"duration": func() any { return new(config.Duration) },
		"cadence":  func() any { return new(config.Cadence) },
		"schedule": func() any { return new(config.Schedule) },
		"secret":   func() any { return new(config.Secret) },
		"strings":  func() any { return new([]string) },
		"ints":     func() any { return new([]int) },
		"map":      func() any { return new(map[string]int) },
		"struct":   func() any { return new(provider) },
		"address":  func() any { return new(address) },
		"channel":  func() any { return new(chan int) },
		"enum": func() any {
			return new(struct {
				V string `config:"inner" oneof:"a|b"`
			})
		},
		"validator": func() any { return new(picky) },
		"blabbing":  func() any { return new(blabbing) },
	}
	seen := 0
	check := func(what string, err error) {
		t.Helper()
		for _, form := range []string{canary, strings.ToLower(canary), url.QueryEscape(canary), canary[:10]} {
			if err != nil && strings.Contains(err.Error(), form) {
				t.Errorf("%s: the error shows the secret: %v", what, err)
			}
		}
		if err != nil {
			seen++
		}
	}
	for way, yaml := range ways {
		for _, name := range names {
			doc := strings.ReplaceAll(strings.ReplaceAll(yaml, "KEY", "plain"), "SECRET", name)
			cfg, err := config.Parse(dir+"/c.yaml", []byte("x: "+doc), "CANARY="+canary)
			check(way, err)
			if cfg == nil {
				continue
			}
			key := "x." + strings.ReplaceAll(strings.Trim(strings.SplitN(doc, ":", 2)[0], "{"), "SECRET", name)
			for target, fresh := range targets {
				out := fresh()
				err := cfg.Decode(key, out)
				check(way+" as "+target, err)
				if text := fmt.Sprintf("%v %+v", cfg, err); strings.Contains(text, canary) {
					t.Errorf("%s: printing shows the secret: %s", way, text)
				}
			}
		}
	}
	if seen < 1000 {
		t.Errorf("only %d errors were looked at", seen)
	}
}

func TestSEC19_SyntaxErrorsDoNotShowSecrets(t *testing.T) {
	t.Parallel()
	for _, yaml := range []string{
		"password: *" + canary, "password: \"" + canary, "password: '" + canary, "password: !" + canary + " x", "password: &" + canary + " *" + canary,
		"password: [" + canary, "password: {" + canary, "password: " + canary + "\n  x: y", "password: " + canary + ": x", "password: \"\\z" + canary + "\"",
		"password: @" + canary, "password: %" + canary, "password: `" + canary, "- " + canary, canary, "password: |\n" + canary, "password: >z\n " + canary, "%" + canary,
		"password: \"" + canary + "\x01\"", "password: " + canary + "\xff", "password: !!int " + canary, "? [" + canary + "]\n: x", "password: {$file: [" + canary + "]}",
		"password: {$env: {x: " + canary + "}}", "password: {$file: x, other: " + canary + "}", "password: '${A:-${" + canary + "}'",
	} {
		if _, err := config.Parse("c.yaml", []byte(yaml)); err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("%q: the error shows the secret: %v", yaml, err)
		}
	}
	for _, value := range []string{`{"a": ` + canary, `"` + canary, `[1, "` + canary + `"`, canary} {
		env := []string{"APP_CONFIG_a_token=" + value, "APP_CONFIG_a_token_x=1", "APP_CONFIG_b={\"c\":\"" + canary + "\"}", "APP_CONFIG_b_c_d=1"}
		_, err := config.Parse("c.yaml", nil, env...)
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: error is %v", value, err)
		}
	}
}

// leaky wraps a cause in an error that shows its secret.
type leaky struct {
	Token config.Secret `config:"token"`
}

func (l *leaky) Validate() error {
	return config.At("token", fmt.Errorf("refused %s: %w", l.Token.Reveal(), errCause))
}

func TestScrubbedErrorsKeepTheirCause(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("c.yaml", []byte("x: {token: "+canary+"}"))
	if err != nil {
		t.Fatal(err)
	}
	err = cfg.Decode("x", &leaky{})
	if got := text(err); got != "x.token: refused ***: cause (c.yaml:1:12)" || !errors.Is(err, errCause) {
		t.Errorf("error is %q, and its cause is found: %v", got, errors.Is(err, errCause))
	}
	if s, ok, err := cfg.Secret("x.token"); s.Reveal() != canary || !ok || err != nil {
		t.Errorf("the secret is %v, %v", ok, err)
	}
}
