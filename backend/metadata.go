package backend

import (
	"maps"
	"slices"
)

// InstanceMetadata tells what this process is made of. It is available everywhere.
type InstanceMetadata interface {
	// Plugins returns the plugins of this process with their modules, sorted by id.
	// Features that were left out because they cannot start are not among them.
	Plugins() []InstalledPlugin
}

// InstalledPlugin is a plugin of this process.
type InstalledPlugin struct {
	ID      PluginID
	Modules []string // sorted
}

// SystemMetadata tells of which plugins the whole system is known to consist: those of
// this process, and those that discovery.endpoints names.
type SystemMetadata interface {
	// Plugins returns them sorted by id.
	Plugins() ([]SystemPlugin, error)
}

// SystemPlugin is a plugin of the system, and where it answers.
type SystemPlugin struct {
	ID       PluginID
	BaseURL  string // for other plugins
	External string // for browsers
}

// instance implements InstanceMetadata.
type instance []InstalledPlugin

// Plugins implements InstanceMetadata.
func (i instance) Plugins() []InstalledPlugin {
	out := make([]InstalledPlugin, len(i))
	for n, p := range i {
		out[n] = InstalledPlugin{ID: p.ID, Modules: slices.Clone(p.Modules)}
	}
	return out
}

// instance lists what is left of the features.
func (c *composition) instance() instance {
	out := instance{}
	for _, g := range c.plugins {
		p := InstalledPlugin{ID: g.id(), Modules: []string{}}
		for _, m := range g.modules {
			p.Modules = append(p.Modules, m.module)
		}
		slices.Sort(p.Modules)
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b InstalledPlugin) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out
}

// system implements SystemMetadata.
type system struct {
	instance  InstanceMetadata
	elsewhere []discoveryEndpoint
	discovery Discovery
}

// Plugins implements SystemMetadata.
func (s system) Plugins() ([]SystemPlugin, error) {
	ids := map[PluginID]bool{}
	for _, p := range s.instance.Plugins() {
		ids[p.ID] = true
	}
	for _, e := range s.elsewhere {
		for _, id := range e.Plugins {
			if id != "*" {
				ids[PluginID(id)] = true
			}
		}
	}
	var out []SystemPlugin
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		internal, err := s.discovery.BaseURL(string(id))
		if err != nil {
			return nil, err
		}
		external, err := s.discovery.ExternalBaseURL(string(id))
		if err != nil {
			return nil, err
		}
		out = append(out, SystemPlugin{ID: id, BaseURL: internal, External: external})
	}
	return out, nil
}
