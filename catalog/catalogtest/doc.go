// Package catalogtest helps with tests of what extends the catalog.
//
//   - [Recorder] is a Connection in memory: it shows what a provider's set has become.
//   - [Start] boots a catalog that has entities, for plugins that read it.
//   - [Entities] is a feature that puts entities into the catalog of a test's backend.
//   - [RunProvider] and [RunProcessor] are the rules of the interfaces as test suites.
package catalogtest
