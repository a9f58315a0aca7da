// Package ingest turns what providers emit into processed entities.
//
// Three concepts carry it. A Provider owns a set of entities and changes it as a
// whole or in parts. The pipeline processes one entity in the seven stages of the
// contract (catalog.md 3.3) and touches no table. The Engine claims entities that are
// due, runs them through the pipeline, and commits the outcomes in batches: result,
// children, relations, refresh keys and the stitch queue change in one transaction.
//
// Every reference has one holder, the sources that emit it with the location key it
// is held by. Each of them has an edge to it. What other sources emit under the same
// reference is kept as a claim, and the best claim takes over in the transaction in
// which the last edge goes. So these hold between transactions:
//
//   - all edges to a row carry the row's location key;
//   - a row without an edge has no claims, and is marked as an orphan;
//   - what cannot be read keeps what was read through it earlier.
package ingest
