// Package callboard is the overview of this module; it exports nothing.
//
// Callboard is a backend for developer portals, in Go. It serves the API that stock
// Backstage frontends and clients speak, as one binary that adopters compose
// themselves. A portal is a program:
//
//	func main() {
//		backend := backend.New()
//		backend.Add(catalog.Plugin())
//		backend.Main()
//	}
//
// What main does not import is not in the binary. There are three concepts:
//
//   - A plugin (backend.NewPlugin) owns a part of the API, /api/<plugin>, with a
//     database, a configuration section and a logger of its own.
//   - A module (backend.NewModule) extends a plugin through its extension point, a
//     struct called Extensions that the plugin's package exports.
//   - A service (backend.NewService) replaces or adds what plugins share.
//
// Where to go on:
//
//   - package backend: composing, booting and stopping; what a plugin may ask for
//   - package catalog: entities, and what it takes to bring some in
//   - examples/quickstart: a portal with a sample organisation, to look around in
//   - docs/adr: why things are as they are
package callboard
