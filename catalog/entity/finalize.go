package entity

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// StatusType is the type of the status items for processing errors.
const StatusType = "backstage.io/catalog-processing"

// InertURL replaces script URLs in served entities.
const InertURL = "https://callboard.invalid/removed-for-security"

// A StatusError is one error of the latest processing run, as it is stored and
// served: {"name", "message", "code"?, "cause"?}.
type StatusError struct {
	Name    string       `json:"name"`
	Message string       `json:"message"`
	Code    string       `json:"code,omitempty"`
	Cause   *StatusError `json:"cause,omitempty"`
}

func (s StatusError) object() map[string]any {
	out := map[string]any{"name": s.Name, "message": s.Message}
	if s.Code != "" {
		out["code"] = s.Code
	}
	if s.Cause != nil {
		out["cause"] = s.Cause.object()
	}
	return out
}

// Stitch is what the catalog adds to a processed entity.
type Stitch struct {
	UID       string        // of the refresh state
	Relations []Relation    // that the entity is the source of, in any order
	Orphan    bool          // nothing references the entity
	Errors    []StatusError // of the latest run
}

// A Final is an entity as it is served.
type Final struct {
	Entity Entity
	JSON   []byte // Entity in stable form, byte for byte what routes serve
	Hash   string // SHA-1 of the JSON without a generated etag: equal means nothing to write
}

// ETag is the etag that is served, equal to Hash unless the source supplied one.
func (f Final) ETag() string { return f.Entity.ETag() }

// Finalize makes the final entity (contract catalog.md, 2.7) of a processed one, which
// does not change; the result shares memory with it. URLs that browsers would run as
// scripts are replaced by InertURL in annotations and links. Relations whose source is
// another entity are left out.
func Finalize(processed Entity, s Stitch) (Final, error) {
	if processed.Metadata() == nil {
		return Final{}, errors.New("finalize entity: expected an object with metadata")
	}
	e := maps.Clone(processed)
	meta := maps.Clone(processed.Metadata())
	e["metadata"] = meta
	meta["uid"] = s.UID
	finalAnnotations(meta, s.Orphan)
	finalLinks(meta)
	e["relations"] = finalRelations(processed.Ref().String(), s.Relations)
	finalStatus(e, s.Errors)

	own := text(meta["etag"])
	if own == "" {
		delete(meta, "etag")
	}
	w := holeWriter{meta: meta, hole: -1}
	data, err := w.entity(e)
	if err != nil {
		return Final{}, err
	}
	f := Final{Entity: e, Hash: hash(data)}
	if own == "" {
		meta["etag"] = f.Hash
		data = slices.Insert(data, w.hole, []byte(w.before+`"etag":"`+f.Hash+`"`+w.after)...)
	}
	f.JSON = data
	return f, nil
}

func finalAnnotations(meta map[string]any, orphan bool) {
	annotations := object(meta["annotations"])
	var changed map[string]any
	change := func(key string, value any) {
		if changed == nil {
			changed = make(map[string]any, len(annotations)+1)
			maps.Copy(changed, annotations)
			meta["annotations"] = changed
		}
		changed[key] = value
	}
	for key, v := range annotations {
		if s, ok := v.(string); ok {
			if safe, bad := inert(s); bad {
				change(key, safe)
			}
		}
	}
	if orphan {
		change(AnnotationOrphan, "true")
	} else if _, ok := annotations[AnnotationOrphan]; ok {
		change(AnnotationOrphan, nil)
		delete(changed, AnnotationOrphan)
	}
}

// inert also looks behind the type of a location such as url:javascript:...
func inert(s string) (safe string, bad bool) {
	if IsScriptURL(s) {
		return InertURL, true
	}
	if typ, target, ok := strings.Cut(s, ":"); ok && IsScriptURL(target) {
		return typ + ":" + InertURL, true
	}
	return s, false
}

func finalLinks(meta map[string]any) {
	links, ok := meta["links"].([]any)
	if !ok {
		return
	}
	copied := false
	for i, item := range links {
		link := object(item)
		s, _ := link["url"].(string)
		if !IsScriptURL(s) {
			continue
		}
		if !copied {
			links, copied = slices.Clone(links), true
		}
		link = maps.Clone(link)
		link["url"] = InertURL
		links[i] = link
	}
	if copied {
		meta["links"] = links
	}
}

func finalRelations(self string, relations []Relation) []any {
	sorted := make([]Relation, 0, len(relations))
	for _, r := range relations {
		if r.Source == "" || r.Source == self {
			sorted = append(sorted, Relation{Type: r.Type, Target: r.Target})
		}
	}
	slices.SortFunc(sorted, func(a, b Relation) int {
		if c := strings.Compare(a.Type, b.Type); c != 0 {
			return c
		}
		return strings.Compare(a.Target, b.Target)
	})
	sorted = slices.Compact(sorted)
	out := make([]any, len(sorted))
	for i, r := range sorted {
		out[i] = map[string]any{"type": r.Type, "targetRef": r.Target}
	}
	return out
}

func finalStatus(e Entity, errs []StatusError) {
	if len(errs) == 0 {
		if items, ok := object(e["status"])["items"].([]any); !ok || len(items) == 0 {
			delete(e, "status")
		}
		return
	}
	status := maps.Clone(object(e["status"]))
	if status == nil {
		status = map[string]any{}
	}
	old, _ := status["items"].([]any)
	items := slices.Grow(slices.Clone(old), len(errs))
	for _, err := range errs {
		items = append(items, map[string]any{
			"type":    StatusType,
			"level":   "error",
			"message": err.Name + ": " + err.Message,
			"error":   err.object(),
		})
	}
	status["items"] = items
	e["status"] = status
}

// A holeWriter writes an entity without etag once, and remembers where the etag will
// be inserted after the bytes were hashed.
type holeWriter struct {
	meta          map[string]any
	hole          int
	before, after string // separators around the etag
}

func (w *holeWriter) entity(e Entity) ([]byte, error) {
	dst := []byte{'{'}
	for i, key := range sortedKeys(e) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, key), ':')
		var err error
		if key == "metadata" {
			dst, err = w.metadata(dst)
		} else {
			dst, err = AppendJSON(dst, e[key])
		}
		if err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

func (w *holeWriter) metadata(dst []byte) ([]byte, error) {
	dst = append(dst, '{')
	for i, key := range sortedKeys(w.meta) {
		if w.hole < 0 && key > "etag" {
			w.hole, w.after = len(dst), ","
			if i > 0 {
				w.hole++ // behind the comma about to be written
			}
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, key), ':')
		var err error
		if dst, err = AppendJSON(dst, w.meta[key]); err != nil {
			return nil, err
		}
	}
	if w.hole < 0 {
		w.hole = len(dst)
		if len(w.meta) > 0 {
			w.before = ","
		}
	}
	return append(dst, '}'), nil
}
