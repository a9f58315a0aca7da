// Package entity holds the words of the software catalog: entities, references to
// them, where they come from, and the rules they obey. It is a leaf: the engine,
// the public catalog package, providers and tools all speak it, and it imports
// none of them.
//
// Three concepts carry the rest:
//
//   - An [Entity] is a JSON object. Anything a descriptor file can say fits in it,
//     also what is wrong, so that the rules can name what is wrong.
//   - A [Ref] names an entity: kind, namespace and name. Its text form
//     component:default/petstore is lower case, and is the identity of the entity
//     everywhere in the catalog.
//   - A [Model] knows what a well-formed entity is ([Model.Validate]) and how it
//     relates to others ([Model.RelationsOf]).
//
// Around them: [ParseDocuments] reads descriptor files with positions, [Finalize]
// makes the entity that is served, [Flatten] makes the rows that filters, facets
// and ordering work on, and [Fields] projects served bytes.
//
// Nothing in this package does I/O or keeps state; everything is safe for
// concurrent use as long as callers do not change an Entity while others read it.
package entity
