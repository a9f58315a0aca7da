package config

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// envPrefix starts the variables that set configuration keys.
const envPrefix = "APP_CONFIG_"

// envPart is what each part between the underscores must look like.
var envPart = regexp.MustCompile(`^(?i)[a-z][a-z0-9]*([-_:][a-z0-9]+)*$`)

// readEnv returns the tree that the APP_CONFIG_ variables of environ make, nil if
// there are none. Variables are taken in the order of their names, so that the
// result does not depend on the order of the environment.
func readEnv(environ []string) (*node, []error) {
	var root *node
	var errs []error
	environ = slices.Clone(environ)
	slices.Sort(environ)
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		key, ok := strings.CutPrefix(name, envPrefix)
		if !ok || value == "" {
			continue
		}
		pos := position{file: "environment variable " + name}
		var p path
		valid := true
		for part := range strings.SplitSeq(key, "_") {
			valid = valid && envPart.MatchString(part)
			p = p.key(part)
		}
		if !valid {
			errs = append(errs, errAt(nil, pos, "invalid env config key '%s': each part between _ needs letters, digits, - and :, and starts with a letter", key))
			continue
		}
		leaf, err := parseJSON(pos.file, []byte(value), true)
		switch {
		case err != nil && json.Valid([]byte(value)):
			// JSON, but not what a tree can hold: taking it for text would hide that.
			rel, _ := parsePath(err.(*KeyError).Path)
			errs = append(errs, errAt(p.join(rel), pos, "%w", err.(*KeyError).Err))
			continue
		case err != nil:
			leaf = &node{kind: text, value: value, pos: pos}
		case leaf.kind == null:
			e := errAt(p, pos, "value is null, which a variable cannot set")
			e.fix = "give " + name + " a value, or take it out of the environment"
			errs = append(errs, e)
			continue
		}
		markExternal(leaf)
		if root == nil {
			root = &node{kind: object, pos: position{file: "environment"}}
		}
		if problem := setEnv(root, p, leaf); problem != nil {
			errs = append(errs, problem)
		}
	}
	return root, errs
}

// setEnv puts leaf at p. The same key twice and a key below a value are conflicts.
func setEnv(root *node, p path, leaf *node) error {
	n := root
	for i, s := range p[:len(p)-1] {
		next := n.fields[s.key]
		if next == nil {
			next = &node{kind: object, pos: leaf.pos, keyPos: leaf.pos}
			n.set(s.key, next)
		}
		if next.kind != object {
			return errAt(p, leaf.pos, "conflicts with %s, which gives %s a value that is no object", next.pos, p[:i+1])
		}
		n = next
	}
	return addEnv(n, p, leaf)
}

func addEnv(parent *node, p path, leaf *node) error {
	key := p[len(p)-1].key
	leaf.keyPos = leaf.pos
	old := parent.fields[key]
	switch {
	case old == nil:
		parent.set(key, leaf)
		return nil
	case old.kind != object || leaf.kind != object:
		return errAt(p, leaf.pos, "conflicts with %s, which already sets this key", old.pos)
	}
	for _, k := range leaf.keys {
		if err := addEnv(old, p.key(k), leaf.fields[k]); err != nil {
			return err
		}
	}
	return nil
}

// markExternal keeps the values of a variable out of errors.
func markExternal(n *node) {
	n.external = n.kind != object && n.kind != list
	for _, item := range n.items {
		markExternal(item)
	}
	for _, field := range n.fields {
		markExternal(field)
	}
}
