package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// strayed looks for a required key close to where it belongs: misspelt, one level
// too high, or one level too deep. It returns the end of a sentence.
func (d *decoder) strayed(name string) string {
	here := d.levels[len(d.levels)-1]
	var unknown []string
	for _, key := range here.node.keys {
		if here.node.fields[key].present() && !slices.Contains(names(here.fields), key) {
			unknown = append(unknown, key)
		}
	}
	if near := Suggest(name, unknown); near != "" {
		return fmt.Sprintf("; %s (%s) is no key, did you mean %s?", here.at.key(near), here.node.fields[near].place(), name)
	}
	for i := len(d.levels) - 2; i >= 0; i-- {
		outer := d.levels[i]
		if stray := outer.node.fields[name]; stray.present() && !slices.Contains(names(outer.fields), name) {
			return fmt.Sprintf("; move %s (%s) here", outer.at.key(name), stray.place())
		}
	}
	for _, key := range here.node.keys {
		inner := here.node.fields[key]
		if !inner.present() || inner.kind != object {
			continue
		}
		stray := inner.fields[name]
		known := slices.IndexFunc(here.fields, func(f field) bool { return f.name == key })
		if stray.present() && (known < 0 || !slices.Contains(keysOf(here.fields[known].typ), name)) {
			return fmt.Sprintf("; move %s (%s) here", here.at.key(key).key(name), stray.place())
		}
	}
	return ""
}

// misspelt finds the key that p probably means where it leaves the tree.
func (c *Config) misspelt(p path) string {
	n := c.tree.root
	for i, s := range p {
		next := n.child(s)
		if next != nil {
			n = next
			continue
		}
		if near := Suggest(s.key, n.keys); !s.list && near != "" {
			return fmt.Sprintf("did you mean %s where the file has %s (%s)?", p[:i+1], p[:i].key(near), n.fields[near].place())
		}
		break
	}
	return ""
}

// scrub takes the hidden values at and below n out of the text of err.
func scrub(err error, n *node, p path) error {
	said := err.Error()
	clean := said
	eachLeaf(n, p, func(leaf *node, at path) {
		s, ok := leaf.value.(string)
		// Shorter values would strike out syllables.
		if !ok || len(s) < 4 || !hidden(at, leaf) {
			return
		}
		quoted := strconv.Quote(s)
		for _, form := range []string{s, quoted[1 : len(quoted)-1], url.QueryEscape(s), url.PathEscape(s)} {
			// Host names are repeated in lower case.
			if strings.Contains(strings.ToLower(clean), strings.ToLower(form)) {
				clean = regexp.MustCompile("(?i)"+regexp.QuoteMeta(form)).ReplaceAllLiteralString(clean, mask)
			}
		}
	})
	if clean == said {
		return err
	}
	return &scrubbed{clean, err}
}

// A scrubbed error has its own words and still matches what errors.Is looks for.
type scrubbed struct {
	said string
	err  error
}

func (s *scrubbed) Error() string { return s.said }

// Is looks into the error without handing out its text, as Unwrap would.
func (s *scrubbed) Is(target error) bool { return errors.Is(s.err, target) }

// eachLeaf calls visit for every scalar at or below n.
func eachLeaf(n *node, p path, visit func(*node, path)) {
	if n == nil {
		return
	}
	switch n.kind {
	case list:
		for i, item := range n.items {
			eachLeaf(item, p.at(i), visit)
		}
	case object:
		for _, key := range n.keys {
			eachLeaf(n.fields[key], p.key(key), visit)
		}
	case text, number, boolean:
		visit(n, p)
	}
}
