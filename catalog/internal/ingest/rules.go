package ingest

import (
	"fmt"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/callboard-dev/callboard/catalog/entity"
)

// A Rule allows kinds of entities from locations (contract catalog.md, 3.7).
type Rule struct {
	Allow []AllowedKind
	// Locations are the origins the rule is about; nil: any, empty: none.
	Locations []LocationMatch
}

// AllowedKind matches a kind, and spec.type if that is set, without regard to case.
type AllowedKind struct{ Kind, SpecType string }

// LocationMatch matches a location: Exact to the letter, Pattern as a glob in which *
// stays within a path segment, ** does not, and case does not matter. At most one of
// the two is set; neither matches every location of the type.
type LocationMatch struct{ Type, Exact, Pattern string }

// Rules decide which entities processing may emit. An entity passes if one of them
// matches.
type Rules []Rule

// DefaultRules hold where catalog.rules is absent.
func DefaultRules() Rules {
	return Rules{{Allow: []AllowedKind{{Kind: "Component"}, {Kind: "API"}, {Kind: "Location"}}}}
}

// CheckPattern reports a pattern that can never match.
func CheckPattern(pattern string) error {
	if !doublestar.ValidatePattern(pattern) {
		return fmt.Errorf("%q is no valid glob", pattern)
	}
	return nil
}

// Anywhere are the rules as they are for a location of which nobody knows what it will
// be: each one that can match some location matches it.
func (r Rules) Anywhere() Rules {
	var out Rules
	for _, rule := range r {
		if rule.Locations == nil || len(rule.Locations) > 0 {
			out = append(out, Rule{Allow: rule.Allow})
		}
	}
	return out
}

// Allows says whether an entity of the kind may come from origin.
func (r Rules) Allows(kind, specType string, origin entity.Location) bool {
	for _, rule := range r {
		if rule.matchesLocation(origin) && rule.matchesKind(kind, specType) {
			return true
		}
	}
	return false
}

func (r Rule) matchesKind(kind, specType string) bool {
	for _, a := range r.Allow {
		if strings.EqualFold(a.Kind, kind) && (a.SpecType == "" || strings.EqualFold(a.SpecType, specType)) {
			return true
		}
	}
	return false
}

func (r Rule) matchesLocation(origin entity.Location) bool {
	if r.Locations == nil {
		return true
	}
	for _, l := range r.Locations {
		if l.Type != origin.Type || l.Exact != "" && l.Exact != origin.Target {
			continue
		}
		if l.Pattern == "" || globMatch(l.Pattern, origin.Target) {
			return true
		}
	}
	return false
}

// globMatch matches text, which is usually a URL: the empty segment in https:// is
// like any other.
func globMatch(pattern, text string) bool {
	ok, err := doublestar.Match(strings.ToLower(pattern), strings.ToLower(text))
	return ok && err == nil
}
