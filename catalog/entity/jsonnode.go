package entity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
)

// parseJSON reads a JSON file into the same kind of syntax tree as YAML, so that
// positions, limits and duplicate keys are handled in one place.
func parseJSON(data []byte, limits Limits) (*yaml.Node, error) {
	p := jsonParser{data: data, dec: json.NewDecoder(bytes.NewReader(data)), limits: limits}
	p.dec.UseNumber()
	for i, c := range data {
		if c == '\n' {
			p.newlines = append(p.newlines, i)
		}
	}
	node, err := p.value(0)
	if err != nil {
		return nil, p.place(err)
	}
	start := p.next()
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		line, column := p.position(start)
		return nil, errAt(line, column, "expected the end of the file behind the JSON value")
	}
	return node, nil
}

type jsonParser struct {
	data     []byte
	dec      *json.Decoder
	limits   Limits
	newlines []int
}

// next is the offset of the next token.
func (p *jsonParser) next() int {
	at := int(p.dec.InputOffset())
	for at < len(p.data) && bytes.IndexByte([]byte(" \t\r\n,:"), p.data[at]) >= 0 {
		at++
	}
	return at
}

func (p *jsonParser) position(offset int) (line, column int) {
	line = sort.SearchInts(p.newlines, offset)
	start := 0
	if line > 0 {
		start = p.newlines[line-1] + 1
	}
	return line + 1, utf8.RuneCount(p.data[start:offset]) + 1
}

func (p *jsonParser) place(err error) error {
	var placed *positionError
	if errors.As(err, &placed) {
		return err
	}
	// The offset of a json.SyntaxError does not count what Token consumed.
	offset := p.next()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		offset, err = len(p.data), errors.New("unexpected end of JSON")
	}
	line, column := p.position(min(offset, len(p.data)))
	return errAt(line, column, "%w", err)
}

func (p *jsonParser) value(depth int) (*yaml.Node, error) {
	start := p.next()
	token, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	line, column := p.position(start)
	if depth > p.limits.Depth+1 {
		return nil, errAt(line, column, "document is nested more than %d levels deep", p.limits.Depth)
	}
	node := &yaml.Node{Kind: yaml.ScalarNode, Line: line, Column: column}
	switch token := token.(type) {
	case json.Delim:
		if token == '[' {
			node.Kind = yaml.SequenceNode
		} else {
			node.Kind = yaml.MappingNode
		}
		for p.dec.More() {
			child, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, child)
		}
		_, err := p.dec.Token()
		return node, err
	case string:
		node.Style, node.Value = yaml.DoubleQuotedStyle, token
	case nil:
		node.Value = "null"
	default:
		node.Value = fmt.Sprint(token)
	}
	return node, nil
}
