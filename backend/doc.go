// Package backend composes plugins into one server.
//
//	func main() {
//		backend := backend.New()
//		backend.Add(catalog.Plugin())
//		backend.Add(githubcatalog.Module())
//		backend.Main()
//	}
//
// Three concepts:
//
//   - A Feature is a plugin (NewPlugin), a module that extends one (NewModule), or a
//     service (NewService, NewPluginService). Features are made of fx options and of what
//     this package adds to them: Section decodes configuration, ExtensionPoint is what
//     modules fill, Migrations are run before the first start hook.
//   - Every plugin has a scope of its own, in which its core services are its own: the
//     router serves below /api/<plugin>, the database is the plugin's, tokens say its name.
//     NewPlugin lists them.
//   - Boot reports everything that is wrong at once, with key and line or with the line of
//     the Add, and what to do: see BootError. --check stops after that.
//
// Where things are:
//
//	backend.go, feature.go, services.go   what programs and plugins use
//	compose.go, preflight.go, graph.go    features become a graph, and its mistakes a list
//	core.go, scope.go, auth.go            what the scopes are filled with
//	start.go, hooks.go, policy.go         start, stop, and who may fail
//	main.go                               the command line
//
// Constructors do no I/O. Whatever a plugin needs from another one it asks for over HTTP,
// at the address that Discovery gives.
package backend
