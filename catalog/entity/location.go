package entity

import (
	"fmt"
	"strings"
	"unicode"
)

// Well-known annotations that the catalog itself writes or reads (contract
// catalog.md, 2.6).
const (
	AnnotationManagedBy       = "backstage.io/managed-by-location"
	AnnotationManagedByOrigin = "backstage.io/managed-by-origin-location"
	AnnotationViewURL         = "backstage.io/view-url"
	AnnotationEditURL         = "backstage.io/edit-url"
	AnnotationSource          = "backstage.io/source-location"
	AnnotationOrphan          = "backstage.io/orphan"
)

// A Location is a place entities are read from, such as the URL of a descriptor.
// Its text form is type:target.
type Location struct {
	Type   string `json:"type"`
	Target string `json:"target"`
}

// ParseLocation reads type:target. Both halves are trimmed and must not be empty.
// The types http and https are refused, because they are what a URL without a type
// looks like, and so are targets that are scripts (contract catalog.md, 2.3).
func ParseLocation(s string) (Location, error) {
	typ, target, ok := strings.Cut(s, ":")
	loc := Location{Type: strings.TrimSpace(typ), Target: strings.TrimSpace(target)}
	if !ok {
		return Location{}, fmt.Errorf("location %q has no type; expected <type>:<target>, such as url:https://example.com/catalog-info.yaml", shorten(s))
	}
	if err := loc.check(s); err != nil {
		return Location{}, err
	}
	return loc, nil
}

func (l Location) check(s string) error {
	switch {
	case l.Type == "" || l.Target == "":
		return fmt.Errorf("location %q has an empty type or target; expected <type>:<target>", shorten(s))
	case strings.EqualFold(l.Type, "http") || strings.EqualFold(l.Type, "https"):
		return fmt.Errorf("location %q has no type; write url:%s", shorten(s), shorten(s))
	case IsScriptURL(l.Target):
		return fmt.Errorf("location %q has a script as its target", shorten(s))
	}
	return nil
}

// String is type:target.
func (l Location) String() string { return l.Type + ":" + l.Target }

// IsScriptURL says whether browsers might run s as a javascript: URL. White space and
// control characters are looked through wherever they stand, since browsers drop
// some of them.
func IsScriptURL(s string) bool {
	const scheme = "javascript:"
	matched := 0
	for _, r := range s {
		if unicode.IsSpace(r) || unicode.IsControl(r) || r == '\u200b' || r == '\ufeff' {
			continue
		}
		if r > unicode.MaxASCII || byte(unicode.ToLower(r)) != scheme[matched] {
			return false
		}
		if matched++; matched == len(scheme) {
			return true
		}
	}
	return false
}

// LocationOf is the place e was read from, by its managed-by-location annotation.
func LocationOf(e Entity) (Location, error) { return locationAnnotation(e, AnnotationManagedBy) }

// OriginOf is the root of the chain of places e was reached by.
func OriginOf(e Entity) (Location, error) { return locationAnnotation(e, AnnotationManagedByOrigin) }

func locationAnnotation(e Entity, key string) (Location, error) {
	s := e.Annotation(key)
	if s == "" {
		return Location{}, fmt.Errorf("%s has no annotation %s", e.Ref(), key)
	}
	loc, err := ParseLocation(s)
	if err != nil {
		return Location{}, fmt.Errorf("annotation %s of %s: %w", key, e.Ref(), err)
	}
	return loc, nil
}

// NewLocationEntity is the Location entity the catalog generates for a place
// (contract catalog.md, 3.2). The name is generated- and the SHA-1 of the location.
// A root location annotates itself, a nested one carries the two locations of its
// parent; pass the zero Location for both to make a root. An empty presence is left out.
func NewLocationEntity(loc, managedBy, origin Location, presence string) Entity {
	if managedBy == (Location{}) {
		managedBy = loc
	}
	if origin == (Location{}) {
		origin = managedBy
	}
	spec := map[string]any{"type": loc.Type, "target": loc.Target}
	if presence != "" {
		spec["presence"] = presence
	}
	return Entity{
		"apiVersion": "backstage.io/v1alpha1",
		"kind":       "Location",
		"metadata": map[string]any{
			"name": "generated-" + hash([]byte(loc.String())),
			"annotations": map[string]any{
				AnnotationManagedBy:       managedBy.String(),
				AnnotationManagedByOrigin: origin.String(),
			},
		},
		"spec": spec,
	}
}
