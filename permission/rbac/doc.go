// Package rbac is a policy made of roles: a CSV file, conditional policies in YAML, and a
// REST API with which a user interface edits roles (contract permission.md, sections 2 to 6).
//
//	backend.Add(permission.Plugin())
//	backend.Add(rbac.Module())
//
// Three concepts:
//
//   - A role has members (users and groups), rules (allow or deny an action on a
//     permission, or on a type of resources) and conditions. Whoever is a member, directly
//     or through groups of the catalog, has its rules.
//   - Every role has a source, which alone may change it: the file, the configuration,
//     the REST API, or a Provider.
//   - All of it is stored in the database of the permission plugin, and decided by an
//     immutable snapshot in memory. Files are taken over whole, or not at all. Changes are
//     seen by other replicas within two seconds.
//
// Where things are:
//
//	config.go, module.go      the section permission.rbac, and how the parts hang together
//	policy.go, live.go        decisions, and the snapshot they are made from
//	members.go                groups and users of the catalog
//	reconcile.go, files.go    what files and configuration say becomes what is stored
//	edit*.go, rest*.go        changes by the REST API
//	provider.go, plugins.go   Extensions, and what /plugins/* lists
//	lint.go, command.go       what is probably a mistake; the subcommand policy
package rbac
