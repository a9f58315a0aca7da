package entity

import (
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// A Position is a place in a file. Line and column count from 1, columns in
// characters. The zero Position is unknown.
type Position struct {
	Line   int
	Column int
}

// Positions finds the places of the values of one document. It keeps the syntax tree
// of the document, so it should not outlive the reading of a file by much. The zero
// Positions knows no place.
type Positions struct {
	node *yaml.Node
	line int // lines of the file before the text that node was read from
}

// At is the place of the value that a JSON pointer such as /spec/owner names: of a
// scalar where it stands, of an object or array where its key stands. If there is no
// such value, it is the place of the innermost object or array around it, where the
// missing value should be added.
func (p Positions) At(pointer string) Position {
	node := p.node
	if node == nil {
		return Position{}
	}
	if node.Kind == yaml.DocumentNode {
		if len(node.Content) == 0 {
			return p.of(node)
		}
		node = node.Content[0]
	}
	place := p.of(node)
	for pointer != "" {
		var key string
		key, pointer, _ = strings.Cut(strings.TrimPrefix(pointer, "/"), "/")
		if pointer != "" {
			pointer = "/" + pointer
		}
		key = strings.NewReplacer("~1", "/", "~0", "~").Replace(key)
		for node.Kind == yaml.AliasNode && node.Alias != nil {
			node = node.Alias
		}
		keyNode, next := child(node, key)
		if next == nil {
			return place
		}
		node = next
		if keyNode != nil && (next.Kind == yaml.MappingNode || next.Kind == yaml.SequenceNode) {
			place = p.of(keyNode)
		} else {
			place = p.of(next)
		}
	}
	return place
}

// Key is the place of the key of a member, for errors that are about the key.
func (p Positions) Key(pointer string) Position {
	i := strings.LastIndexByte(pointer, '/')
	if i < 0 || p.node == nil {
		return p.At(pointer)
	}
	node := p.node
	if node.Kind == yaml.DocumentNode && len(node.Content) > 0 {
		node = node.Content[0]
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		key := strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		for node.Kind == yaml.AliasNode && node.Alias != nil {
			node = node.Alias
		}
		keyNode, next := child(node, key)
		if next == nil {
			return p.At(pointer)
		}
		i -= len(part) + 1
		if i < 0 && keyNode != nil {
			return p.of(keyNode)
		}
		node = next
	}
	return p.At(pointer)
}

func (p Positions) of(node *yaml.Node) Position {
	return Position{Line: p.line + node.Line, Column: node.Column}
}

func child(node *yaml.Node, key string) (keyNode, value *yaml.Node) {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if name, err := keyText(node.Content[i]); err == nil && name == key {
				return node.Content[i], node.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(node.Content) {
			return nil, node.Content[i]
		}
	}
	return nil, nil
}
