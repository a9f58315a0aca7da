package config

import "slices"

// Config is a merged, immutable configuration tree that remembers the file and
// line every value came from. It is safe for concurrent use.
//
// A path names keys separated by dots and list elements by their index:
// catalog.rules[0].allow. A key that contains dots or brackets is written in quotes:
// discovery["example.com"]. The empty path is the whole tree. Paths given to a
// Config that Sub returned are relative to it; paths in errors are always whole.
type Config struct {
	tree *tree
	at   path
	root *node // the node at at, nil if there is none
}

// A tree is what all views of one configuration share.
type tree struct {
	root    *node
	env     *node // what the APP_CONFIG_ variables alone say, nil without any
	files   []string
	loaded  bool // from sources, as opposed to from memory
	sources Sources
	texts   *fileValues
	read    map[string]string
	watched map[string]struct{}
	fixed   bool // secrets are what they are in this tree, and follow no file
}

func newConfig(t *tree) *Config {
	if t.root == nil {
		t.root = &node{kind: object}
	}
	return &Config{tree: t, root: t.root}
}

// Files returns the files that were read, in order of increasing precedence, as
// they were named. Credentials in addresses are left out.
func (c *Config) Files() []string {
	out := slices.Clone(c.tree.files)
	for i, name := range out {
		if isURL(name) {
			out[i] = shownURL(name)
		}
	}
	return out
}

// Sub returns the part of c at path. It may be absent, in which case every key in
// it is.
func (c *Config) Sub(path string) *Config {
	p, n, _ := c.find(path)
	return &Config{tree: c.tree, at: p, root: n}
}

// Path returns where in the whole configuration c is, empty for all of it.
func (c *Config) Path() string { return c.at.String() }

// Has reports whether path is present. A key that is null, or whose variable is not
// set, is not.
func (c *Config) Has(path string) bool {
	_, n, _ := c.find(path)
	return n.present()
}

// Keys returns the keys of the object at path in the order in which the files have
// them, nil if there is no object.
func (c *Config) Keys(path string) []string {
	_, n, _ := c.find(path)
	if n == nil || n.kind != object {
		return nil
	}
	var out []string
	for _, key := range n.keys {
		if n.fields[key].present() {
			out = append(out, key)
		}
	}
	return out
}

// Len returns the number of elements of the list at path, 0 if there is no list.
func (c *Config) Len(path string) int {
	_, n, _ := c.find(path)
	if n == nil {
		return 0
	}
	return len(n.items)
}

// Value returns the value at path as JSON has it: nil (also if the path is absent),
// bool, int64, float64, string, []any or map[string]any. The caller owns it.
func (c *Config) Value(path string) any {
	_, n, _ := c.find(path)
	return n.plain()
}

// Pos returns the place of the value at path, "app-config.yaml:7:23" with column
// counted in characters from 1, or "environment variable APP_CONFIG_backend_baseUrl".
// It is empty if path is absent.
func (c *Config) Pos(path string) string {
	_, n, _ := c.find(path)
	if n == nil {
		return ""
	}
	return n.pos.String()
}

// String returns the text at path, false if it is absent. Text that is empty or not
// text at all is a *[KeyError], as for the typed reads below.
func (c *Config) String(path string) (string, bool, error) { return read[string](c, path) }

// Bool returns a boolean; the texts and numbers y, yes, true, 1, on and their
// opposites are taken too, in any case.
func (c *Config) Bool(path string) (value, ok bool, err error) { return read[bool](c, path) }

// Int returns a whole number, or text that is one.
func (c *Config) Int(path string) (int, bool, error) { return read[int](c, path) }

// Float returns a number, or text that is one.
func (c *Config) Float(path string) (float64, bool, error) { return read[float64](c, path) }

// Duration returns a duration in any form that [Duration] accepts.
func (c *Config) Duration(path string) (Duration, bool, error) { return read[Duration](c, path) }

// Secret returns text that does not show.
func (c *Config) Secret(path string) (Secret, bool, error) { return read[Secret](c, path) }

// Strings returns a list of texts.
func (c *Config) Strings(path string) ([]string, bool, error) { return read[[]string](c, path) }

func read[T any](c *Config, path string) (value T, ok bool, err error) {
	if !c.Has(path) {
		return value, false, nil
	}
	if err := c.Decode(path, &value); err != nil {
		var zero T
		return zero, false, err
	}
	return value, true, nil
}

// find resolves a path; nearest is the closest node on the way that exists.
func (c *Config) find(s string) (p path, found, nearest *node) {
	rel, ok := parsePath(s)
	if !ok {
		// No tree has such a key, so it is absent; Decode says what is wrong with it.
		return c.at.key(s), nil, c.root
	}
	found, nearest = c.root.find(rel)
	if nearest == nil {
		_, nearest = c.tree.root.find(c.at)
	}
	return c.at.join(rel), found, nearest
}
