package config

import (
	"net/url"
	"slices"
	"strconv"
)

// Secrets returns the values that logs and error reports must not show, sorted and
// without duplicates: those of keys that are secrets by name (contract/backend.md
// section 4), that were decoded into a [Secret] so far, or that a schema calls
// secret; and the passwords and credentials in addresses, wherever they stand.
func (c *Config) Secrets(schemas ...Schema) []string {
	var out []string
	add := func(leaf *node) {
		if leaf.kind == text || leaf.kind == number {
			out = append(out, scalarText(leaf.value))
		}
	}
	eachLeaf(c.tree.root, nil, func(leaf *node, p path) {
		if secretPath(p) {
			add(leaf)
		}
		if s, ok := leaf.value.(string); ok {
			out = append(out, passwordsIn(s)...)
			if isURL(s) {
				out = append(out, credentialsOf(s)...)
			}
		}
	})
	for _, p := range c.tree.texts.noted() {
		if leaf, _ := c.tree.root.find(p); leaf != nil {
			add(leaf)
		}
	}
	w := visibilityWalk{schemas: schemas}
	w.walk(c.tree.root, func(n *node, _ path, v visibility) {
		if v.secret() {
			add(n)
		}
	})
	slices.Sort(out)
	out = slices.Compact(out)
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}

// passwordsIn returns the password of a URL, as it is written and as it is meant.
func passwordsIn(s string) []string {
	u, err := url.Parse(s)
	if err != nil || u.User == nil {
		return nil
	}
	password, ok := u.User.Password()
	if !ok || password == "" {
		return nil
	}
	_, written, _ := cutLast(u.User.String(), ":")
	return []string{password, written}
}

func cutLast(s, sep string) (before, after string, ok bool) {
	for i := len(s) - len(sep); i >= 0; i-- {
		if s[i:i+len(sep)] == sep {
			return s[:i], s[i+len(sep):], true
		}
	}
	return s, "", false
}

// spellings returns the forms in which a secret turns up in text: as it is, in JSON
// and Go strings, in addresses, and, if it has several lines, each long line.
func spellings(secret string) []string {
	quoted := strconv.Quote(secret)
	out := []string{secret, quoted[1 : len(quoted)-1], url.QueryEscape(secret), url.PathEscape(secret), jsonSpelling(secret)}
	return append(out, longLines(secret)...)
}
