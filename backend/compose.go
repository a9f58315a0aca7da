package backend

import (
	"fmt"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/config"
)

// A composition is the features of a backend put in order: modules with their
// plugins, services apart. It is what a graph is built from, and what is left of it
// when a feature that may fail has been taken out.
type composition struct {
	plugins      []*pluginGroup
	services     []*feature
	replacements [][]*replacement // one list per type, each in the order of Add
	left         map[string]error // features taken out under the policy continue, with the reason
}

type pluginGroup struct {
	plugin  *feature
	modules []*feature
}

func (g *pluginGroup) id() PluginID { return g.plugin.plugin }

// compose groups features, and reports what cannot be grouped.
func compose(features []*feature) (*composition, problems) {
	c := &composition{left: map[string]error{}}
	var found problems
	groups := map[PluginID]*pluginGroup{}
	folded := map[string]*feature{}
	for _, f := range features {
		if err := f.checkID(); err != nil {
			found.add(f, err)
			continue
		}
		if f.kind != pluginFeature {
			continue
		}
		if first, ok := folded[strings.ToLower(string(f.plugin))]; ok {
			found.add(f, Fix(fmt.Sprintf("plugin %q is already part of this backend (added at %s)", f.plugin, first.addedAt),
				"remove one of the two lines"))
			continue
		}
		folded[strings.ToLower(string(f.plugin))] = f
		groups[f.plugin] = &pluginGroup{plugin: f}
		c.plugins = append(c.plugins, groups[f.plugin])
	}
	modules := map[string]*feature{}
	for _, f := range features {
		switch f.kind {
		case moduleFeature:
			if f.checkID() != nil {
				continue
			}
			if first, ok := modules[f.name()]; ok {
				found.add(f, Fix(fmt.Sprintf("module %q of plugin %q is already part of this backend (added at %s)", f.module, f.plugin, first.addedAt),
					"remove one of the two lines"))
				continue
			}
			modules[f.name()] = f
			g, ok := groups[f.plugin]
			if !ok {
				found.add(f, missingPlugin(f, groups))
				continue
			}
			g.modules = append(g.modules, f)
		case serviceFeature:
			c.services = append(c.services, f)
		case pluginServiceFeature:
			c.addReplacement(f.replace)
		}
	}
	return c, found
}

func missingPlugin(f *feature, groups map[PluginID]*pluginGroup) error {
	what := fmt.Sprintf("extends plugin %q, which is not part of this backend", f.plugin)
	var ids []string
	for id := range groups {
		ids = append(ids, string(id))
	}
	slices.Sort(ids)
	if near := config.Suggest(string(f.plugin), ids); near != "" {
		return Fix(what, fmt.Sprintf("declare it with backend.NewModule(%q, %q, ...)", near, f.module))
	}
	return Fix(what, fmt.Sprintf("backend.Add(%s.Plugin())", strings.ReplaceAll(string(f.plugin), "-", "")))
}

func (c *composition) addReplacement(r *replacement) {
	for i := range c.replacements {
		if c.replacements[i][0].typ == r.typ {
			c.replacements[i] = append(c.replacements[i], r)
			return
		}
	}
	c.replacements = append(c.replacements, []*replacement{r})
}

// without is c with the named feature taken out: a plugin goes with its modules.
func (c *composition) without(name string, why error) *composition {
	out := &composition{services: c.services, replacements: c.replacements, left: map[string]error{}}
	for k, v := range c.left {
		out.left[k] = v
	}
	out.left[name] = why
	for _, g := range c.plugins {
		if g.plugin.name() == name {
			continue
		}
		kept := &pluginGroup{plugin: g.plugin}
		for _, m := range g.modules {
			if m.name() != name {
				kept.modules = append(kept.modules, m)
			}
		}
		out.plugins = append(out.plugins, kept)
	}
	return out
}

// find is the feature of a name, as fx scopes and problems carry it.
func (c *composition) find(name string) *feature {
	for _, g := range c.plugins {
		if g.plugin.name() == name {
			return g.plugin
		}
		for _, m := range g.modules {
			if m.name() == name {
				return m
			}
		}
	}
	return nil
}

// everything is features, and the services.
func (c *composition) everything() []*feature { return append(c.features(), c.services...) }

// features is all plugins and modules, in order.
func (c *composition) features() []*feature {
	var out []*feature
	for _, g := range c.plugins {
		out = append(out, g.plugin)
		out = append(out, g.modules...)
	}
	return out
}

// offering puts modules that offer an extension point last, so that they are invoked
// after those that fill it.
func (g *pluginGroup) ordered() []*feature {
	out := slices.Clone(g.modules)
	slices.SortStableFunc(out, func(a, b *feature) int {
		return len(a.extensionPoints()) - len(b.extensionPoints())
	})
	// Of several that offer one, the last added goes first: a chain is declared from
	// the plugin outwards, and must be filled from the far end.
	first := slices.IndexFunc(out, func(f *feature) bool { return len(f.extensionPoints()) > 0 })
	if first >= 0 {
		slices.Reverse(out[first:])
	}
	return out
}
