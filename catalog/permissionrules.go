package catalog

import "github.com/callboard-dev/callboard/catalog/internal/filter"

// An IndexQuery is a condition on the search index of entities, in which a permission rule
// filters lists. Modules of the catalog that add rules for entities take a
// *permission.Extensions and make a permission.Rule[entity.Entity, P, catalog.IndexQuery]:
// see ExampleIndexQuery. Keys are paths such as spec.type and relations.ownedBy; keys and
// values compare without regard to case.
type IndexQuery = filter.Predicate

// Indexed holds for entities that have one of values below key, or anything at all if there
// are no values.
func Indexed(key string, values ...string) IndexQuery {
	if len(values) == 0 {
		return filter.KeyExists(key)
	}
	return filter.KeyIn(key, values...)
}

// AllIndexed holds where all of its parts do.
func AllIndexed(of ...IndexQuery) IndexQuery { return filter.AllOf(of...) }

// AnyIndexed holds where one of its parts does; without parts, nowhere.
func AnyIndexed(of ...IndexQuery) IndexQuery { return filter.AnyOf(of...) }

// NotIndexed holds where q does not.
func NotIndexed(q IndexQuery) IndexQuery { return filter.NotOf(q) }
