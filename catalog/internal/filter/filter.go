// Package filter holds the conditions of catalog queries: one tree for the filter
// parameters of GET requests ([ParseQuery]) and the predicates of POST bodies
// ([Parse]). The query layer turns the tree into SQL; [Predicate.Match] evaluates it
// in memory, for permission rules and as what SQL is tested against.
//
// Three things to know: every condition is about rows of the search index
// (entity.Flatten), a key holds when any of its rows does, and texts keep the case in
// which they were written, for cursors, until [Predicate.Lower].
package filter

import (
	"slices"

	"github.com/callboard-dev/callboard/catalog/entity"
)

// An Op says what a Predicate is.
type Op uint8

const (
	All    Op = iota // every predicate of Of holds; the zero Predicate holds always
	Any              // a predicate of Of holds; an empty Of never does
	Not              // the one predicate of Of does not hold
	Exists           // the index has a row for Key
	In               // a row for Key has one of Values; empty Values never hold
	Prefix           // a row for Key begins with the one of Values
)

// A Predicate is a condition on the search rows of an entity, or on the fields of a
// registered location.
type Predicate struct {
	Op     Op
	Of     []Predicate
	Key    string
	Values []string
	// Exact compares Values without regard to how the index folds case. Only
	// predicates on locations have it, for ids.
	Exact bool
}

// Nothing never holds.
func Nothing() Predicate { return Predicate{Op: Any} }

// AllOf is the conjunction of list; a single one stands for itself.
func AllOf(list ...Predicate) Predicate { return group(All, list) }

// AnyOf is the disjunction of list; a single one stands for itself.
func AnyOf(list ...Predicate) Predicate { return group(Any, list) }

func group(op Op, list []Predicate) Predicate {
	if len(list) == 1 {
		return list[0]
	}
	return Predicate{Op: op, Of: list}
}

// NotOf is the negation of p.
func NotOf(p Predicate) Predicate { return Predicate{Op: Not, Of: []Predicate{p}} }

// KeyExists holds when the index has a row for key.
func KeyExists(key string) Predicate { return Predicate{Op: Exists, Key: key} }

// KeyIn holds when a row for key has one of values.
func KeyIn(key string, values ...string) Predicate {
	return Predicate{Op: In, Key: key, Values: values}
}

// Everything says whether p holds for all entities, so that nothing need be filtered.
func (p Predicate) Everything() bool { return p.Op == All && len(p.Of) == 0 }

// Lower is p with keys and values as the search index has them (entity.SearchText),
// where conditions compare byte by byte.
func (p Predicate) Lower() Predicate {
	p.Key = entity.SearchText(p.Key)
	if !p.Exact {
		p.Values = slices.Clone(p.Values)
		for i, v := range p.Values {
			p.Values[i] = entity.SearchText(v)
		}
	}
	p.Of = slices.Clone(p.Of)
	for i, of := range p.Of {
		p.Of[i] = of.Lower()
	}
	return p
}
