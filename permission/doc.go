// Package permission decides who may do what.
//
// A portal adds the plugin and one module with a policy:
//
//	backend.Add(permission.Plugin())
//	backend.Add(rbac.Module()) // or allowall.Module(), or a module of your own with SetPolicy
//
// Three concepts:
//
//   - A Policy answers questions: may this user do that? Its Decision is Allow, Deny, or
//     "those resources that meet these Criteria" (If).
//   - A plugin that protects something has Use among its options. It registers what it
//     protects with Extensions (permissions, Rules, and how resources are loaded), and
//     asks its Authorizer on every request.
//   - Who asks and who decides may run in different processes. In one process they
//     speak Go, otherwise HTTP (contract permission.md, section 1); the answers are the same.
//
// Where things are:
//
//	permission.go, decision.go, criteria.go   the words
//	policy.go                                 what authors of policies implement
//	rule.go, resource.go, extensions.go       what authors of plugins register
//	authorizer.go, use.go                     what plugins ask
//	host.go, authorize.go, plugin.go          the plugin that answers
//	wellknown.go                              what every plugin with Use serves
package permission
