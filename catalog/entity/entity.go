package entity

import (
	"maps"
	"reflect"
)

// DefaultNamespace is the namespace of entities whose source names none.
const DefaultNamespace = "default"

// An Entity is one catalog entity, as a JSON object. Its canonical values are the
// six JSON types as map[string]any, []any, string, float64, bool and nil; what Go
// programs build with other types becomes canonical by [Normalize].
//
// Accessors never fail: what is absent or of another type reads as the zero value,
// since an Entity may be one that was never validated. A nil Entity reads as an
// empty one.
type Entity map[string]any

// APIVersion is the apiVersion member.
func (e Entity) APIVersion() string { return text(e["apiVersion"]) }

// Kind is the kind member, in the case the source wrote it.
func (e Entity) Kind() string { return text(e["kind"]) }

// Metadata is the metadata object, not a copy; nil if there is none.
func (e Entity) Metadata() map[string]any { return object(e["metadata"]) }

// Name is metadata.name, in the case the source wrote it.
func (e Entity) Name() string { return text(e.Metadata()["name"]) }

// Namespace is metadata.namespace, or DefaultNamespace when that is absent or empty.
func (e Entity) Namespace() string {
	if ns := text(e.Metadata()["namespace"]); ns != "" {
		return ns
	}
	return DefaultNamespace
}

// UID is metadata.uid, which the catalog assigns.
func (e Entity) UID() string { return text(e.Metadata()["uid"]) }

// ETag is metadata.etag, which changes whenever the served content does.
func (e Entity) ETag() string { return text(e.Metadata()["etag"]) }

// Title is metadata.title.
func (e Entity) Title() string { return text(e.Metadata()["title"]) }

// Description is metadata.description.
func (e Entity) Description() string { return text(e.Metadata()["description"]) }

// Ref is the reference of the entity, with the case of its source kept and the
// default namespace filled in. Ref().String() is its canonical form.
func (e Entity) Ref() Ref {
	return Ref{Kind: e.Kind(), Namespace: e.Namespace(), Name: e.Name()}
}

// Annotation is the value of one annotation, or "".
func (e Entity) Annotation(key string) string {
	return text(object(e.Metadata()["annotations"])[key])
}

// SetAnnotation sets one annotation in place, and makes the objects it needs.
func (e Entity) SetAnnotation(key, value string) { e.Set(value, "metadata", "annotations", key) }

// Annotations is a copy of the annotations that are strings.
func (e Entity) Annotations() map[string]string { return stringMap(e.Metadata()["annotations"]) }

// Labels is a copy of the labels that are strings.
func (e Entity) Labels() map[string]string { return stringMap(e.Metadata()["labels"]) }

// Tags is a copy of the tags.
func (e Entity) Tags() []string { return e.Strings("metadata", "tags") }

// Spec is the spec object, not a copy; nil if there is none.
func (e Entity) Spec() map[string]any { return object(e["spec"]) }

// SpecString is the string at path below spec, or "".
func (e Entity) SpecString(path ...string) string {
	v, _ := lookup(e["spec"], path)
	return text(v)
}

// SpecStrings is a copy of the strings of the array at path below spec. A single
// string reads as an array of one, other elements are left out.
func (e Entity) SpecStrings(path ...string) []string {
	v, _ := lookup(e["spec"], path)
	return texts(v)
}

// Strings is SpecStrings for a path from the root.
func (e Entity) Strings(path ...string) []string {
	v, _ := e.Get(path...)
	return texts(v)
}

// Get finds the value at path, which descends into objects only. The value is not
// a copy. An empty path is the entity itself, as a map[string]any.
func (e Entity) Get(path ...string) (value any, ok bool) {
	return lookup(map[string]any(e), path)
}

// Set puts value at path in place. Objects on the way are made where they are
// missing; a value on the way that is not an object is replaced by one. An empty
// path changes nothing.
func (e Entity) Set(value any, path ...string) {
	if len(path) == 0 {
		return
	}
	at := map[string]any(e)
	for _, key := range path[:len(path)-1] {
		next := object(at[key])
		if next == nil {
			next = map[string]any{}
			at[key] = next
		}
		at = next
	}
	at[path[len(path)-1]] = value
}

// Delete removes the value at path in place, and says whether there was one.
func (e Entity) Delete(path ...string) bool {
	if len(path) == 0 {
		return false
	}
	parent, _ := e.Get(path[:len(path)-1]...)
	at, last := object(parent), path[len(path)-1]
	if _, ok := at[last]; !ok {
		return false
	}
	delete(at, last)
	return true
}

// Clone is a deep copy: no object or array is shared with e.
func (e Entity) Clone() Entity {
	if e == nil {
		return nil
	}
	return cloneMap(e)
}

// Equal says whether both have the same content. Numbers compare by value,
// whatever their Go type.
func (e Entity) Equal(other Entity) bool { return equal(map[string]any(e), map[string]any(other)) }

func lookup(v any, path []string) (any, bool) {
	for _, key := range path {
		m := object(v)
		next, ok := m[key]
		if !ok {
			return nil, false
		}
		v = next
	}
	return v, true
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func object(v any) map[string]any {
	switch v := v.(type) {
	case map[string]any:
		return v
	case Entity:
		return v
	}
	return nil
}

func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []string:
		return append([]string(nil), v...)
	case []any:
		var out []string
		for _, item := range v {
			if s, ok := item.(string); ok {
				if out == nil {
					out = make([]string, 0, len(v))
				}
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

func stringMap(v any) map[string]string {
	if m, ok := v.(map[string]string); ok {
		return maps.Clone(m)
	}
	m := object(v)
	out := make(map[string]string, len(m))
	for key, value := range m {
		if s, ok := value.(string); ok {
			out[key] = s
		}
	}
	return out
}

// clone copies canonical values. Other Go values are copied as they are: Normalize
// makes them canonical first.
func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return map[string]any(cloneMap(v))
	case Entity:
		return cloneMap(v)
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = clone(item)
		}
		return out
	case []string:
		return append([]string(nil), v...)
	case map[string]string:
		return maps.Clone(v)
	}
	return v
}

func cloneMap(m map[string]any) Entity {
	out := make(Entity, len(m))
	for key, value := range m {
		out[key] = clone(value)
	}
	return out
}

func equal(a, b any) bool {
	switch a := a.(type) {
	case nil:
		return b == nil
	case string:
		s, ok := b.(string)
		return ok && s == a
	case bool:
		s, ok := b.(bool)
		return ok && s == a
	case []any:
		s, ok := b.([]any)
		if !ok || len(s) != len(a) {
			return false
		}
		for i := range a {
			if !equal(a[i], s[i]) {
				return false
			}
		}
		return true
	}
	if m := object(a); m != nil {
		n := object(b)
		if n == nil || len(m) != len(n) {
			return false
		}
		for key, value := range m {
			other, ok := n[key]
			if !ok || !equal(value, other) {
				return false
			}
		}
		return true
	}
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y
	}
	return reflect.DeepEqual(a, b)
}
