package backend

import "fmt"

// bootConfig is backend.startup: what a failing feature does to the others
// (contract/backend.md section 2).
type bootConfig struct {
	Default struct {
		OnPluginBootFailure       bootPolicy `config:"onPluginBootFailure" doc:"what a plugin that cannot start does to the backend: abort or continue"`
		OnPluginModuleBootFailure bootPolicy `config:"onPluginModuleBootFailure" doc:"the same for modules"`
	} `config:"default"`
	Plugins map[string]pluginBootConfig `config:"plugins" doc:"overrides by plugin id"`
}

type pluginBootConfig struct {
	OnPluginBootFailure bootPolicy                  `config:"onPluginBootFailure" doc:"abort or continue"`
	Modules             map[string]moduleBootConfig `config:"modules" doc:"overrides by module id"`
}

type moduleBootConfig struct {
	OnPluginModuleBootFailure bootPolicy `config:"onPluginModuleBootFailure" doc:"abort or continue"`
}

type bootPolicy string

func (p bootPolicy) Validate() error {
	switch p {
	case "", "abort", "continue":
		return nil
	}
	return fmt.Errorf("unknown policy %q, use abort or continue", string(p))
}

// tolerates reports whether a failure of f leaves the others running.
func (c bootConfig) tolerates(f *feature) bool {
	switch f.kind {
	case pluginFeature:
		p := c.Plugins[string(f.plugin)].OnPluginBootFailure
		if p == "" {
			p = c.Default.OnPluginBootFailure
		}
		return p == "continue"
	case moduleFeature:
		p := c.Plugins[string(f.plugin)].Modules[f.module].OnPluginModuleBootFailure
		if p == "" {
			p = c.Default.OnPluginModuleBootFailure
		}
		return p == "continue"
	}
	return false
}
