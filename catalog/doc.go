// Package catalog is the software catalog: it keeps entities up to date from where
// they are described, and serves them below /api/catalog.
//
//	backend := backend.New()
//	backend.Add(catalog.Plugin())
//	backend.Main()
//
// This reads the locations that catalog.locations in app-config.yaml lists. What
// else there is comes from modules, which take the plugin's [*Extensions].
//
// Three concepts carry the package:
//
//   - An [EntityProvider] owns a set of entities and says how it changes. Most
//     providers list one source every so often: they implement [Source], and [Poll]
//     does the rest.
//   - A [Processor] takes part in the processing of every entity: it reads what
//     Locations point to, fills in what sources leave out, checks, and relates.
//   - Processing repeats. An entity is run through the processors when its source
//     changed, when somebody asks for it, and every few minutes; a run that
//     changes nothing writes nothing, and one that fails leaves what is served.
//
// Package catalogtest has fakes and the rules of these interfaces as test suites.
// docs/catalog.md has the configuration.
package catalog
