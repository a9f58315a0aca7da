package entity

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
)

// A Placeholder is an object with exactly one key that begins with $, such as
// {"$text": "./openapi.yaml"}.
type Placeholder struct {
	Name  string // without the $
	Value any    // what the key holds; resolvers of the contract want a string
	Path  string // JSON pointer of the object
}

// A PlaceholderError says that a placeholder could not be resolved.
type PlaceholderError struct {
	Path string // JSON pointer of the placeholder
	Err  error
}

func (e *PlaceholderError) Error() string { return e.Path + ": " + e.Err.Error() }
func (e *PlaceholderError) Unwrap() error { return e.Err }

// ResolvePlaceholders replaces the placeholders anywhere in e (contract catalog.md,
// 3.8). resolve is called for each, in the order of their paths; when it reports that
// it does not know the name, the object stays as it is. Replacements are not searched
// for placeholders: they belong to another file.
//
// The result shares what has no placeholders with e, and is e itself when nothing was
// replaced; e does not change. All errors of resolve are joined, each in a
// *PlaceholderError. An entity nested deeper than 200 levels is an error.
func ResolvePlaceholders(ctx context.Context, e Entity, resolve func(context.Context, Placeholder) (value any, known bool, err error)) (Entity, error) {
	w := placeholderWalk{ctx: ctx, resolve: resolve}
	out, changed := w.members(map[string]any(e))
	if w.errs != nil {
		return nil, errors.Join(w.errs...)
	}
	if !changed {
		return e, nil
	}
	return out, nil
}

const maxPlaceholderDepth = 200

type placeholderWalk struct {
	ctx     context.Context
	resolve func(context.Context, Placeholder) (any, bool, error)
	path    []step
	errs    []error
}

func (w *placeholderWalk) members(m map[string]any) (map[string]any, bool) {
	var out map[string]any // a copy, made for the first change
	for _, key := range sortedKeys(m) {
		w.path = append(w.path, step{key: key})
		v, changed := w.value(m[key])
		w.path = w.path[:len(w.path)-1]
		if !changed {
			continue
		}
		if out == nil {
			out = maps.Clone(m)
		}
		out[key] = v
	}
	if out == nil {
		return m, false
	}
	return out, true
}

func (w *placeholderWalk) value(v any) (any, bool) {
	if len(w.path) > maxPlaceholderDepth {
		w.fail(fmt.Errorf("entity is nested more than %d levels deep", maxPlaceholderDepth))
		return v, false
	}
	if items, ok := v.([]any); ok {
		return w.array(items)
	}
	m := object(v)
	if m == nil {
		return v, false
	}
	if len(m) == 1 {
		for key, value := range m {
			if name, ok := strings.CutPrefix(key, "$"); ok && name != "" {
				return w.placeholder(m, name, value)
			}
		}
	}
	return w.members(m)
}

func (w *placeholderWalk) array(items []any) (any, bool) {
	var out []any
	for i, item := range items {
		w.path = append(w.path, step{index: i, array: true})
		v, changed := w.value(item)
		w.path = w.path[:len(w.path)-1]
		if !changed {
			continue
		}
		if out == nil {
			out = append(make([]any, 0, len(items)), items...)
		}
		out[i] = v
	}
	if out == nil {
		return items, false
	}
	return out, true
}

func (w *placeholderWalk) placeholder(m map[string]any, name string, value any) (any, bool) {
	if err := w.ctx.Err(); err != nil {
		// One error is enough: nothing else will be resolved either.
		if len(w.errs) == 0 {
			w.fail(err)
		}
		return m, false
	}
	resolved, known, err := w.resolve(w.ctx, Placeholder{Name: name, Value: value, Path: pointer(w.path)})
	switch {
	case err != nil:
		w.fail(err)
		return m, false
	case !known:
		return w.members(m)
	}
	return resolved, true
}

func (w *placeholderWalk) fail(err error) {
	w.errs = append(w.errs, &PlaceholderError{pointer(w.path), err})
}
