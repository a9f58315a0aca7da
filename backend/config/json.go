package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// parseJSON reads one JSON value and keeps positions. The YAML parser would do for
// most of JSON, but not for its escapes beyond the basic plane. With inLine set, the
// data is one variable, whose name is the position.
func parseJSON(name string, data []byte, inLine bool) (*node, error) {
	if len(data) > maxFileSize {
		return nil, errAt(nil, position{file: name}, "file is larger than %d MB", maxFileSize>>20)
	}
	r := &jsonReader{file: name, data: data, dec: json.NewDecoder(bytes.NewReader(data)), inLine: inLine}
	r.dec.UseNumber()
	n, err := r.read(nil, 0)
	if err == nil {
		if _, more := r.dec.Token(); !errors.Is(more, io.EOF) {
			err = r.fail(nil, "text follows the JSON value")
		}
	}
	if err != nil {
		return nil, err
	}
	return n, nil
}

type jsonReader struct {
	file   string
	data   []byte
	dec    *json.Decoder
	inLine bool
}

// next returns the position of the next token.
func (r *jsonReader) next() position {
	at := int(r.dec.InputOffset())
	for at < len(r.data) && bytes.IndexByte([]byte(" \t\r\n,:"), r.data[at]) >= 0 {
		at++
	}
	return r.position(at)
}

func (r *jsonReader) position(at int) position {
	if r.inLine {
		return position{file: r.file}
	}
	at = min(at, len(r.data))
	start := bytes.LastIndexByte(r.data[:at], '\n') + 1
	return position{r.file, 1 + bytes.Count(r.data[:at], []byte("\n")), 1 + utf8.RuneCount(r.data[start:at])}
}

func (r *jsonReader) fail(p path, format string, args ...any) error {
	return errAt(p, r.next(), format, args...)
}

func (r *jsonReader) token(p path) (json.Token, error) {
	start := r.next()
	tok, err := r.dec.Token()
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		// The library's text may quote a character of the value, which may be a secret.
		return nil, errAt(p, start, "not valid JSON")
	case err != nil:
		return nil, errAt(p, start, "not valid JSON: the text ends too early")
	}
	return tok, nil
}

func (r *jsonReader) read(p path, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, r.fail(nil, "objects and lists are nested more than %d deep", maxDepth)
	}
	pos := r.next()
	tok, err := r.token(p)
	if err != nil {
		return nil, err
	}
	switch v := tok.(type) {
	case json.Delim:
		if v == '{' {
			return r.object(p, pos, depth)
		}
		return r.list(p, pos, depth)
	case string:
		return &node{kind: text, value: v, pos: pos}, nil
	case bool:
		return &node{kind: boolean, value: v, pos: pos}, nil
	case json.Number:
		f, ok := parseNumber(v.String())
		if !ok {
			return nil, errAt(p, pos, "number is out of range")
		}
		return &node{kind: number, value: f, pos: pos}, nil
	case nil:
		return &node{kind: null, pos: pos}, nil
	}
	return nil, errAt(p, pos, "unexpected JSON token %v", fmt.Sprintf("%T", tok))
}

func (r *jsonReader) object(p path, pos position, depth int) (*node, error) {
	out := &node{kind: object, pos: pos}
	for r.dec.More() {
		keyPos := r.next()
		tok, err := r.token(p)
		if err != nil {
			return nil, err
		}
		key, ok := tok.(string)
		if !ok {
			return nil, errAt(p, keyPos, "key is not a string")
		}
		if first, ok := out.fields[key]; ok {
			return nil, errAt(p.key(key), keyPos, "key is already set at %s", first.keyPos)
		}
		field, err := r.read(p.key(key), depth+1)
		if err != nil {
			return nil, err
		}
		field.keyPos = keyPos
		out.set(key, field)
	}
	_, err := r.token(p)
	return out, err
}

func (r *jsonReader) list(p path, pos position, depth int) (*node, error) {
	out := &node{kind: list, pos: pos, items: []*node{}}
	for r.dec.More() {
		item, err := r.read(p.at(len(out.items)), depth+1)
		if err != nil {
			return nil, err
		}
		out.items = append(out.items, item)
	}
	_, err := r.token(p)
	return out, err
}
