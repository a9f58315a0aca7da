// Package scm reads files and trees from source hosts, buckets and plain URLs.
//
// It answers two questions for the rest of the backend. Where does a URL point:
// [Integrations] finds the configured host of a URL and knows its URL forms
// (blob, tree, edit, raw), so that relative references can be resolved and edit
// links written. What is there: a [Reader] reads one file, a tree, or all files
// that a glob matches, conditionally on an ETag.
//
// A program starts with two calls:
//
//	integrations, err := scm.NewIntegrations(cfg)          // integrations.*
//	reader, err := scm.NewReader(integrations, scm.Options{Reading: reading})
//
// Three concepts carry the package.
//
//   - An [Integration] is one host of one kind (github.com, a GitLab server, the
//     buckets of one endpoint). It is data and URL forms, no network.
//   - A [Reader] talks to hosts. The reader that [NewReader] returns asks, in a
//     fixed order, which kind of host a URL belongs to; the first match reads it,
//     and a URL without a match is not read at all. Kinds that need a large
//     dependency live in packages of their own and join as a [ReaderFactory].
//   - [Clients] hold one budget per host and credential: whoever talks to a host
//     with the same credential shares its rate limit, its waiting time after a
//     429, and the cache of conditional answers.
//
// What is refused is part of the contract: URLs whose decoded path has a dot
// segment, hosts that neither an integration nor backend.reading.allow names,
// redirects to such hosts, private addresses that nobody listed, and archives
// with entries that an honest archive does not hold. docs/url-reading.md lists
// all of it for operators.
package scm
