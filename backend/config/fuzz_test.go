package config_test

import (
	"encoding/json"
	"reflect"
	"strconv"
	"testing"

	"github.com/callboard-dev/callboard/backend/config"
)

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "a: 1", "a: {b: [1, x, null, true, 1.5]}", "a: &x [1]\nb: *x", "a: &a {b: *a}", "a: ${A}b${B:-c}$${D}", "a: {$env: A}", "a: {$file: /dev/null}",
		"a: {$include: x.yaml#a.b}", "? [a]\n: b", "a: !!int x", "<<: {a: 1}", "---\na: 1\n---\nb: 1", "a: |\n  x\n b", "\xff", "a: \"\\u0000\"", "{a: 1, a: 2}",
		"schedule: {frequency: {cron: '* * * * 5-7'}, timeout: PT1M}", "host: x\nport: 1e99\nlist: [{name: x}]\nmap: {'a.b': {name: y, size: 300}}", "- - - a", "a: *b",
	} {
		f.Add([]byte(s), "x")
	}
	f.Fuzz(func(t *testing.T, yaml []byte, value string) {
		cfg, err := config.Parse("c.yaml", yaml, "A="+value, "APP_CONFIG_a_b="+value)
		for _, problem := range config.Problems(err) {
			if _, ok := problem.(*config.KeyError); !ok {
				t.Fatalf("%T is no *KeyError: %v", problem, problem)
			}
		}
		if cfg == nil {
			return
		}
		if _, err := json.Marshal(cfg.Value("")); err != nil {
			t.Fatalf("the tree is no JSON: %v", err)
		}
		for _, key := range cfg.Keys("") {
			// Every key can be addressed, and has a place.
			path := "[" + strconv.Quote(key) + "]"
			if !cfg.Has(path) || cfg.Pos(path) == "" {
				t.Fatalf("key %q is listed but is not there", key)
			}
		}
		_ = cfg.Decode("", &everything{})
		_ = cfg.Decode("schedule", &config.Schedule{})
		_ = cfg.Warnings("", reflect.TypeFor[everything]())
		config.NewRedactor(cfg.Secrets()...).Redact(string(yaml))
		cfg.Redacted()
	})
}
