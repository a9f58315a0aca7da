package actions

import (
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/config"
)

func decode(t *testing.T, yaml string) (c Config, err error) {
	t.Helper()
	cfg, err := config.Parse("app-config.yaml", []byte("backend: {actions: "+yaml+"}"))
	if err != nil {
		t.Fatal(err)
	}
	return c, cfg.Decode("backend.actions", &c)
}

func TestFilter(t *testing.T) {
	t.Parallel()
	list := map[string]Attributes{
		"catalog:get-entity":        {ReadOnly: true, Idempotent: true},
		"catalog:unregister-entity": {Destructive: true, Idempotent: true},
		"scaffolder:execute":        {Destructive: true},
	}
	for _, tt := range []struct{ yaml, want string }{
		{`{}`, "catalog:get-entity catalog:unregister-entity scaffolder:execute"},
		{`{filter: {include: [{id: "catalog:*"}]}}`, "catalog:get-entity catalog:unregister-entity"},
		{`{filter: {include: [{id: "*:{get,execute}*"}]}}`, "catalog:get-entity scaffolder:execute"},
		{`{filter: {include: [{attributes: {destructive: false}}]}}`, "catalog:get-entity"},
		{`{filter: {include: [{id: "catalog:*", attributes: {destructive: true}}]}}`, "catalog:unregister-entity"},
		{`{filter: {include: [{id: "catalog:get-*"}, {id: "scaffolder:*"}]}}`, "catalog:get-entity scaffolder:execute"},
		{`{filter: {exclude: [{attributes: {destructive: true, idempotent: true}}]}}`, "catalog:get-entity scaffolder:execute"},
		{`{filter: {include: [{id: "catalog:*"}], exclude: [{id: "*:unregister*"}]}}`, "catalog:get-entity"},
		{`{filter: {include: [{id: "catalog:get-entity"}], exclude: [{id: "catalog:get-entity"}]}}`, ""},
	} {
		c, err := decode(t, tt.yaml)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, id := range []string{"catalog:get-entity", "catalog:unregister-entity", "scaffolder:execute"} {
			if c.Filter.Offers(id, list[id]) {
				got = append(got, id)
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v, want %s", tt.yaml, got, tt.want)
		}
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]bool{`{}`: true, `{pluginSources: []}`: false, `{pluginSources: [catalog]}`: true, `{pluginSources: [search]}`: false} {
		c, err := decode(t, yaml)
		if err != nil || c.source("catalog") != want {
			t.Errorf("%s: catalog is a source: %v, %v, want %v", yaml, c.source("catalog"), err, want)
		}
	}
}

func TestWrongRules(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		`{filter: {include: [{}]}}`:          "backend.actions.filter.include[0]: a rule has an id or attributes",
		`{filter: {exclude: [{id: "a[b"}]}}`: `backend.actions.filter.exclude[0].id: "a[b" is no pattern`,
	} {
		if _, err := decode(t, yaml); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", yaml, err, want)
		}
	}
}
