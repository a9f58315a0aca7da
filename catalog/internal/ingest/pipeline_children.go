package ingest

import (
	"cmp"
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

// addEntity notes what an entity was made into. Errors are about its document.
func (r *run) addEntity(e Emission) {
	if e.made == nil {
		e = r.make(e)
	}
	c, err := *e.made, e.err
	if err != nil {
		if r.reading != nil {
			r.reading.failed = true
		} else {
			r.out.unreadable[anyTarget] = true
		}
		r.fail(CodeDocument, err)
		return
	}
	if c.Ref == r.self {
		r.warn("an entity that emits itself is left out", "entity", c.Ref, "location", e.at.String())
		return
	}
	if r.reading != nil {
		c.via = r.reading.via
	}
	r.addChild(c)
}

// make makes a child of an emitted entity: checked, annotated, hashed. It reads what
// does not change during a run, so that several goroutines may call it.
func (r *run) make(e Emission) Emission {
	c, err := r.childOf(e)
	if err != nil && e.doc != nil {
		err = e.doc.Err(err)
	}
	e.made, e.err = &c, err
	e.entity, e.doc = nil, nil // the child holds what is needed of them
	return e
}

func (r *run) childOf(e Emission) (c child, err error) {
	made, err := entity.Normalize(e.entity)
	if err != nil {
		return c, err
	}
	if err := r.Model.CheckIdentity(made); err != nil {
		return c, err
	}
	ref := made.Ref().String()
	if ref == r.self {
		return child{Ref: ref}, nil
	}
	made = annotated(made, e.at, r.origin)
	doc, err := made.MarshalStable()
	if err != nil {
		return c, err
	}
	c = child{Ref: ref, Kind: made.Kind(), SpecType: made.SpecString("type"), Key: e.at.String(), at: e.at, document: document{held: slices.Clip(doc)}}
	if e.key != nil {
		c.Key = *e.key
	}
	if r.inspect {
		c.doc = e.doc
	}
	if c.Places, err = placesOf(e.doc, r.faults); err != nil {
		return c, err
	}
	hash := sha256.New()
	hash.Write(doc)
	if strings.Contains(string(c.Places), `"at"`) {
		hash.Write(c.Places) // so that a line number that is shown is the right one
	}
	c.Hash = hash.Sum(nil)
	return c, nil
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

const defaultMaxChildren = 100_000

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
	if most := cmp.Or(r.MaxChildren, defaultMaxChildren); len(r.out.children) >= most {
		// What was there before stays: nothing says that it is gone.
		r.out.unreadable[anyTarget] = true
		if !r.over {
			r.over = true
			r.fail(CodeTarget, apierr.Input.New("%s leads to more than %d entities; split it, or raise catalog.limits.entitiesPerLocation", r.self, most))
		}
		return
	}
	r.seen[id] = len(r.out.children)
	c.document = r.out.parking.put(c.document)
	r.out.children = append(r.out.children, c)
}
