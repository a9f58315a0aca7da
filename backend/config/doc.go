// Package config reads app-config.yaml into typed values.
//
// A program declares a struct with `config` tags and decodes a section into it:
//
//	cfg, err := config.Load(ctx, config.Sources{Files: []string{"app-config.yaml"}})
//	...
//	var c Config
//	err = cfg.Decode("catalog.providers.pagerduty", &c)
//
// Three concepts:
//
//   - [Config] is one tree, merged from files and environment variables, in which
//     every value knows the file, line and column it came from. It never changes;
//     when files change, a [Watcher] loads a new one.
//   - [Config.Decode] turns a subtree into a struct and reports everything that is
//     wrong with it, each problem a [KeyError] with path and position. Types that
//     need more say so by [Validator], [Unmarshaler] or [Defaulter].
//   - [Secret] is text that does not show. Errors of this package never contain the
//     value of a key that is a secret by type or by name, or that came from a
//     variable or a file.
//
// Files, merging, ${VAR}, $env, $file, $include and APP_CONFIG_ variables work as in
// upstream's app-config.yaml; docs/configuration.md describes them.
package config
