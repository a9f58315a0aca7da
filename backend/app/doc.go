// Package app serves the frontend: the folder of files that a stock frontend is built into.
//
//	backend.Add(app.Plugin())
//
// Three concepts:
//
//   - The bundle is what the build of the frontend leaves in packages/app/dist. It is found
//     at app.bundleDir, else in packages/<app.packageName>/dist below the working directory,
//     else embedded in the binary by Bundle. Without one the backend keeps its plain page.
//   - The frontend gets its configuration from here: those values of app-config.yaml that the
//     schemas in the bundle make visible, and no others. When the files change, so does what
//     the next page load gets.
//   - Files below static have hashes in their names and are kept by browsers; pages are not.
//     Those of earlier releases are kept in the database, so that during a rollout pages of
//     either release find their scripts on replicas of the other.
//
// The contract is contract/backend.md section 15; docs/frontend.md is for operators.
package app
