package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// A Schema is a JSON Schema (draft 7) of a part of the configuration, from its root
// on, with the keywords visibility, deepVisibility and deprecated that
// contract/backend.md section 4 describes. Several schemas apply side by side.
type Schema map[string]any

// ParseSchemas reads the .config-schema.json of a frontend bundle.
func ParseSchemas(data []byte) ([]Schema, error) {
	var file struct {
		Version int `json:"backstageConfigSchemaVersion"`
		Schemas []struct {
			Value Schema `json:"value"`
		} `json:"schemas"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("read configuration schema: %w", err)
	}
	if file.Version != 1 {
		return nil, fmt.Errorf("read configuration schema: version is %d, want 1", file.Version)
	}
	var out []Schema
	for _, s := range file.Schemas {
		if s.Value != nil {
			out = append(out, s.Value)
		}
	}
	return out, nil
}

// A VisibleSource is one element of the list that is injected into the frontend.
type VisibleSource struct {
	Context        string          `json:"context"` // env or app
	DeprecatedKeys []DeprecatedKey `json:"deprecatedKeys"`
	Data           map[string]any  `json:"data"`
}

// A DeprecatedKey is a key that a schema advises against.
type DeprecatedKey struct {
	Key         string `json:"key"`
	Description string `json:"description"`
}

// Visible returns what the frontend may see of the configuration: first what the
// APP_CONFIG_ variables say, if anything of it is visible, then the merged tree. A
// value is kept only if a schema makes it visible; without schemas the list is
// empty. An error says that schemas disagree about a key.
func (c *Config) Visible(schemas []Schema) ([]VisibleSource, error) {
	out := []VisibleSource{}
	if len(schemas) == 0 {
		return out, nil
	}
	if err := CheckSchemas(schemas); err != nil {
		return nil, err
	}
	env, err := visibleSource("env", c.tree.env, schemas)
	if err != nil {
		return nil, err
	}
	app, err := visibleSource("app", c.tree.root, schemas)
	if err != nil {
		return nil, err
	}
	if len(env.Data) > 0 {
		out = append(out, env)
	}
	return append(out, app), nil
}

func visibleSource(context string, root *node, schemas []Schema) (VisibleSource, error) {
	out := VisibleSource{Context: context, DeprecatedKeys: []DeprecatedKey{}, Data: map[string]any{}}
	marks := map[*node]visibility{}
	var errs []error
	w := visibilityWalk{schemas: schemas}
	w.walk(root, func(n *node, p path, v visibility) {
		if v.frontend() && v.secret() {
			errs = append(errs, conflict(p))
		}
		marks[n] = v
		if v.deprecated != "" {
			out.DeprecatedKeys = append(out.DeprecatedKeys, DeprecatedKey{p.String(), v.deprecated})
		}
	})
	if data, ok := filter(root, marks); ok {
		out.Data, _ = data.(map[string]any)
	}
	return out, errors.Join(errs...)
}

// filter keeps the leaves that are visible, and what contains them.
func filter(n *node, marks map[*node]visibility) (any, bool) {
	if !n.present() {
		return nil, false
	}
	visible := marks[n].frontend()
	switch n.kind {
	case object:
		out := map[string]any{}
		for _, key := range n.keys {
			if v, ok := filter(n.fields[key], marks); ok {
				out[key] = v
			}
		}
		return out, len(out) > 0 || visible
	case list:
		out := []any{}
		for _, item := range n.items {
			if v, ok := filter(item, marks); ok {
				out = append(out, v)
			}
		}
		return out, len(out) > 0 || visible
	}
	return n.value, visible
}

// Redacted returns the whole tree as JSON values, with every secret replaced by
// "<secret>", for administrators to look at.
func (c *Config) Redacted(schemas ...Schema) map[string]any {
	secret := map[*node]bool{}
	w := visibilityWalk{schemas: schemas}
	w.walk(c.tree.root, func(n *node, _ path, v visibility) {
		if v.secret() {
			secret[n] = true
		}
	})
	for _, p := range c.tree.texts.noted() {
		if n, _ := c.tree.root.find(p); n != nil {
			secret[n] = true
		}
	}
	out, _ := redacted(c.tree.root, nil, secret).(map[string]any)
	return out
}

func redacted(n *node, p path, secret map[*node]bool) any {
	switch {
	case secret[n]:
		return "<secret>"
	case n.kind == object:
		out := map[string]any{}
		for _, key := range n.keys {
			if field := n.fields[key]; field.present() {
				out[key] = redacted(field, p.key(key), secret)
			}
		}
		return out
	case n.kind == list:
		out := []any{}
		for i, item := range n.items {
			out = append(out, redacted(item, p.at(i), secret))
		}
		return out
	case n.kind == null:
		return nil
	case secretPath(p):
		return "<secret>"
	}
	if s, ok := n.value.(string); ok && slices.ContainsFunc(passwordsIn(s), func(string) bool { return true }) {
		return "<secret>"
	}
	return n.value
}

func conflict(p path) error {
	return &KeyError{Path: p.String(), Err: errors.New("schemas give this key both the visibility frontend and secret")}
}
