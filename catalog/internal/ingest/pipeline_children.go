package ingest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/entity"
)

func (r *run) addKey(key string) {
	key = boundKey(key)
	if !slices.Contains(r.out.refreshKeys, key) {
		r.out.refreshKeys = append(r.out.refreshKeys, key)
	}
	if r.reading != nil {
		r.reading.keys = append(r.reading.keys, key)
	}
}

// boundKey shortens long refresh keys so that they fit an index (contract 5.1).
func boundKey(key string) string {
	if len(key) <= 255 {
		return key
	}
	return fmt.Sprintf("%s#sha256:%x", key[:180], sha256.Sum256([]byte(key)))
}

// addEntity makes a child of an emitted entity: checked, annotated, hashed.
func (r *run) addEntity(e Emission) {
	bad := func(err error) {
		if e.doc != nil {
			err = e.doc.Err(err)
		}
		if r.reading != nil {
			r.reading.failed = true
		} else {
			r.out.unreadable[anyTarget] = true
		}
		r.fail(CodeDocument, err)
	}
	made, err := entity.Normalize(e.entity)
	if err != nil {
		bad(err)
		return
	}
	if err := r.Model.CheckIdentity(made); err != nil {
		bad(err)
		return
	}
	ref := made.Ref().String()
	if ref == r.self {
		r.warn("an entity that emits itself is left out", "entity", ref, "location", e.at.String())
		return
	}
	made = annotated(made, e.at, r.origin)
	document, err := made.MarshalStable()
	if err != nil {
		bad(err)
		return
	}
	c := child{Ref: ref, Kind: made.Kind(), SpecType: made.SpecString("type"), Key: e.at.String(), at: e.at, document: document}
	if e.key != nil {
		c.Key = *e.key
	}
	if r.inspect {
		c.doc = e.doc
	}
	if c.places, err = placesOf(e.doc, r.faults); err != nil {
		bad(err)
		return
	}
	hash := sha256.New()
	hash.Write(document)
	if strings.Contains(string(c.places), `"at"`) {
		hash.Write(c.places) // so that a line number that is shown is the right one
	}
	c.Hash = hash.Sum(nil)
	if r.reading != nil {
		c.via = r.reading.via
	}
	r.addChild(c)
}

// faults is what the child's own run will probably complain about.
func (r *run) faults(e entity.Entity) error {
	_, kind := r.Model.CheckKind(e)
	_, relations := r.Model.RelationsOf(e)
	var all entity.ValidationErrors
	for _, err := range []error{r.Model.CheckRootFields(e), r.Model.CheckFormats(e), kind, relations, entity.CheckKeys(e)} {
		var list entity.ValidationErrors
		if errors.As(err, &list) {
			all = append(all, list...)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// annotated is a copy of e with the two locations, whatever e said itself.
func annotated(e entity.Entity, at, origin entity.Location) entity.Entity {
	e.SetAnnotation(entity.AnnotationManagedBy, at.String())
	e.SetAnnotation(entity.AnnotationManagedByOrigin, origin.String())
	return e
}

// addChild notes a child. Of two with one reference and one key the first stands, and
// it is an error; with different keys it is for the store to decide who holds it.
func (r *run) addChild(c child) {
	id := c.Ref + "\n" + c.Key
	if first, ok := r.seen[id]; ok {
		if string(r.out.children[first].Hash) != string(c.Hash) || r.out.children[first].via == c.via {
			r.fail(CodeDuplicate, c.place("/metadata/name", apierr.Input.New("%s is defined twice in %s; the first definition stands", c.Ref, c.Key)))
			if r.reading != nil {
				r.reading.version = ""
			}
		}
		return
	}
	r.seen[id] = len(r.out.children)
	r.out.children = append(r.out.children, c)
}
