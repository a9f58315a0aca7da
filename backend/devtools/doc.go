// Package devtools shows administrators what their portal runs on: versions, the
// configuration without its secrets, and whether the services that it depends on answer.
//
//	backend.Add(devtools.Plugin())
//
// It is what the DevTools page of the stock frontend asks. Every part has a permission of
// its own, so that a policy can give them to administrators alone; without one, with
// permission.enabled, nobody has them.
//
// The API is that of contract/backend.md section 21; docs/devtools.md describes it.
package devtools
