package actions

import (
	"errors"
	"fmt"
	"slices"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/callboard-dev/callboard/backend/config"
)

// Config is the subtree backend.actions.
type Config struct {
	PluginSources *[]string `config:"pluginSources" doc:"plugins whose actions are offered; without it each plugin offers its own, and nobody lists them all"`
	Filter        Filter    `config:"filter"`
}

// A Filter says which actions are offered.
type Filter struct {
	Include []Rule `config:"include" doc:"what is offered of them; everything without a rule"`
	Exclude []Rule `config:"exclude" doc:"what is not offered, whatever include says"`
}

// A Rule matches the actions that have all that it says.
type Rule struct {
	ID         string `config:"id" doc:"a pattern for ids, such as catalog:*"`
	Attributes struct {
		Destructive *bool `config:"destructive" doc:"whether the action can destroy something"`
		Idempotent  *bool `config:"idempotent" doc:"whether repeating the action changes nothing more"`
		ReadOnly    *bool `config:"readOnly" doc:"whether the action only reads"`
	} `config:"attributes"`
}

// Validate implements config.Validator.
func (r *Rule) Validate() error {
	if r.ID != "" && !doublestar.ValidatePattern(r.ID) {
		return config.At("id", fmt.Errorf("%q is no pattern", r.ID))
	}
	a := r.Attributes
	if r.ID == "" && a.Destructive == nil && a.Idempotent == nil && a.ReadOnly == nil {
		return errors.New("a rule has an id or attributes")
	}
	return nil
}

func (r Rule) matches(id string, a Attributes) bool {
	if r.ID != "" && !doublestar.MatchUnvalidated(r.ID, id) {
		return false
	}
	same := func(want *bool, have bool) bool { return want == nil || *want == have }
	w := r.Attributes
	return same(w.Destructive, a.Destructive) && same(w.Idempotent, a.Idempotent) && same(w.ReadOnly, a.ReadOnly)
}

// source reports whether the actions of a plugin are offered.
func (c Config) source(plugin string) bool {
	return c.PluginSources == nil || slices.Contains(*c.PluginSources, plugin)
}

// Offers reports whether an action gets through.
func (f Filter) Offers(id string, a Attributes) bool {
	hit := func(r Rule) bool { return r.matches(id, a) }
	if slices.ContainsFunc(f.Exclude, hit) {
		return false
	}
	return len(f.Include) == 0 || slices.ContainsFunc(f.Include, hit)
}
