package entity

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"path"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
)

// Limits bound what a descriptor file may cost. A zero field stands for its default.
type Limits struct {
	Bytes        int // size of a file; default 10 MiB
	Documents    int // documents of a file; default 10,000
	Depth        int // nesting of objects and arrays; default 100
	Nodes        int // values of one document, with aliases expanded; default 250,000
	AliasedNodes int // values of one document that aliases repeat; default 50,000
}

func (l Limits) withDefaults() Limits {
	for _, p := range []struct {
		own *int
		def int
	}{{&l.Bytes, 10 << 20}, {&l.Documents, 10_000}, {&l.Depth, 100}, {&l.Nodes, 250_000}, {&l.AliasedNodes, 50_000}} {
		if *p.own <= 0 {
			*p.own = p.def
		}
	}
	return l
}

// A Document is one entity of a descriptor file.
type Document struct {
	Name      string // of the file, as passed to ParseDocuments
	Index     int    // among the documents of the file, from 0; empty ones count
	Entity    Entity
	Positions Positions
}

// Err puts a place to err, which is about this document: each ValidationError in it
// becomes a DocumentError at the place of its path, anything else one at the start of
// the document. No error stays none.
func (d Document) Err(err error) error {
	if err == nil {
		return nil
	}
	var list ValidationErrors
	if !errors.As(err, &list) {
		return d.errAt("", err)
	}
	out := make([]error, len(list))
	for i, one := range list {
		out[i] = d.errAt(one.Path, one)
	}
	return errors.Join(out...)
}

func (d Document) errAt(pointer string, err error) *DocumentError {
	return &DocumentError{Name: d.Name, Index: d.Index, Position: d.Positions.At(pointer), Err: err}
}

// A DocumentError is about one document of a file; the others are not concerned.
type DocumentError struct {
	Name  string
	Index int
	Position
	Err error
}

// Error begins with file:line:column.
func (e *DocumentError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.Name, e.Line, e.Column, e.Err)
}

func (e *DocumentError) Unwrap() error { return e.Err }

// ParseDocuments reads the entities of a descriptor file (contract catalog.md, 2.1):
// YAML 1.2 with the core schema and without merge keys, any number of documents. Empty
// documents are skipped. A document that is wrong yields a *DocumentError, and reading
// goes on with the next one. name is used in errors; when it ends in .json, the file is
// read as JSON first, which allows what YAML parsers reject in it.
//
// A file that exceeds limits as a whole yields one error and nothing else.
func ParseDocuments(name string, data []byte, limits Limits) iter.Seq2[Document, error] {
	limits = limits.withDefaults()
	return func(yield func(Document, error) bool) {
		index := 0
		for root, err := range parseNodes(name, data, limits) {
			doc := Document{Name: name, Index: index}
			index++
			if root.node != nil {
				doc.Positions = root
			}
			var value any
			if err == nil {
				value, err = convert(root, limits)
			}
			if err == nil && value == nil {
				continue
			}
			if m, ok := value.(map[string]any); ok {
				doc.Entity = m
			} else if err == nil {
				err = fmt.Errorf("expected an entity, an object with apiVersion, kind and metadata, found %s", describe(value))
			}
			if err != nil {
				if !yield(Document{Name: name, Index: doc.Index}, doc.place(err)) {
					return
				}
				continue
			}
			if !yield(doc, nil) {
				return
			}
		}
	}
}

func (d Document) place(err error) *DocumentError {
	var p *positionError
	if errors.As(err, &p) {
		return &DocumentError{Name: d.Name, Index: d.Index, Position: p.Position, Err: p.err}
	}
	return d.errAt("", err)
}

// ParseValue reads a file that has exactly one document of any shape, by the rules of
// ParseDocuments. Errors are of type *DocumentError.
func ParseValue(name string, data []byte, limits Limits) (any, error) {
	limits = limits.withDefaults()
	var value any
	count := 0
	for root, err := range parseNodes(name, data, limits) {
		d := Document{Name: name, Index: count}
		if root.node != nil {
			d.Positions = root
		}
		if err == nil && count > 0 {
			err = errors.New("expected exactly one document, found a second one")
		}
		if err == nil {
			value, err = convert(root, limits)
		}
		if err != nil {
			return nil, d.place(err)
		}
		count++
	}
	if count == 0 {
		return nil, &DocumentError{Name: name, Position: Position{1, 1}, Err: errors.New("expected exactly one document, found none")}
	}
	return value, nil
}

// A positionError carries the place within a file until the file's name is known.
type positionError struct {
	Position
	err error
}

func (e *positionError) Error() string { return e.err.Error() }
func (e *positionError) Unwrap() error { return e.err }

func errAt(line, column int, format string, args ...any) error {
	return &positionError{Position{line, column}, fmt.Errorf(format, args...)}
}

// parseNodes yields the syntax tree of every document, or its syntax error.
func parseNodes(name string, data []byte, limits Limits) iter.Seq2[Positions, error] {
	return func(yield func(Positions, error) bool) {
		if len(data) > limits.Bytes {
			yield(Positions{}, errAt(1, 1, "file has %d bytes, more than the limit of %d", len(data), limits.Bytes))
			return
		}
		data = toUTF8(data)
		if strings.EqualFold(path.Ext(name), ".json") {
			// A .json file that is YAML after all, such as one with comments, is
			// read as such; if it is neither, the JSON error tells more.
			node, err := parseJSON(data, limits)
			if err == nil || !isYAML(data) {
				yield(Positions{node: node}, err)
				return
			}
		}
		count := 0
		// What looking for the lines of syntax errors may cost, for the whole file.
		search := 4 << 20
		for chunk := range splitDocuments(data) {
			for root, err := range chunk.parse(limits, &search) {
				if count++; count > limits.Documents {
					yield(Positions{}, errAt(chunk.line+1, 1, "file has more than %d documents", limits.Documents))
					return
				}
				if !yield(root, err) {
					return
				}
			}
		}
	}
}

func isYAML(data []byte) bool {
	for chunk := range splitDocuments(data) {
		for _, err := range chunk.parse(Limits{}, new(int)) {
			if err != nil {
				return false
			}
		}
	}
	return true
}

// A chunk is the text of one document, which begins line lines into the file.
type chunk struct {
	text []byte
	line int
}

// splitDocuments cuts at document markers, so that a syntax error in one document
// leaves the others readable. In YAML a line that begins with --- or ... at its first
// column is a marker wherever it stands: text in block scalars is indented, and quoted
// text must not contain it.
func splitDocuments(data []byte) iter.Seq[chunk] {
	return func(yield func(chunk) bool) {
		start, startLine := 0, 0
		started := false // something other than comments and directives has begun
		line := 0
		for at := 0; at < len(data); line++ {
			end := len(data)
			if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
				end = at + i + 1
			}
			text := data[at:end]
			switch {
			case isMarker(text, "---"):
				if started {
					if !yield(chunk{data[start:at], startLine}) {
						return
					}
					start, startLine = at, line
				}
				started = true
			case isMarker(text, "..."):
				if started && !yield(chunk{data[start:end], startLine}) {
					return
				}
				start, startLine, started = end, line+1, false
			case !started:
				rest := bytes.TrimSpace(text)
				started = len(rest) > 0 && rest[0] != '#' && text[0] != '%'
			}
			at = end
		}
		if started {
			yield(chunk{data[start:], startLine})
		}
	}
}

func isMarker(line []byte, marker string) bool {
	if !bytes.HasPrefix(line, []byte(marker)) {
		return false
	}
	return len(line) == len(marker) || strings.IndexByte(" \t\r\n", line[len(marker)]) >= 0
}

// parse yields the documents of the chunk: one, except where carriage returns alone
// end the lines.
func (c chunk) parse(limits Limits, search *int) iter.Seq2[Positions, error] {
	return func(yield func(Positions, error) bool) {
		text := withoutVersion(c.text)
		dec := yaml.NewDecoder(bytes.NewReader(text))
		for {
			var node yaml.Node
			err := decodeNode(dec, &node)
			if errors.Is(err, errEOF) {
				return
			}
			if err != nil {
				// JSON may escape characters in a way that the YAML library rejects.
				if node, jsonErr := parseJSON(text, limits); jsonErr == nil {
					yield(Positions{node: node, line: c.line}, nil)
					return
				}
				yield(Positions{}, chunk{text, c.line}.syntaxError(err, search))
				return
			}
			if !yield(Positions{node: &node, line: c.line}, nil) {
				return
			}
		}
	}
}

// withoutVersion makes a comment of a leading %YAML directive: the YAML library only
// knows version 1.1, and what is read as 1.2 is decided here anyway.
func withoutVersion(text []byte) []byte {
	for at := 0; at < len(text) && (text[at] == '%' || text[at] == '#' || text[at] == '\n' || text[at] == '\r'); {
		end := len(text)
		if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if bytes.HasPrefix(text[at:], []byte("%YAML")) {
			text = bytes.Clone(text)
			text[at] = '#'
		}
		at = end
	}
	return text
}

// toUTF8 removes a byte order mark, and decodes UTF-16 that announces itself by one.
func toUTF8(data []byte) []byte {
	if rest, ok := bytes.CutPrefix(data, []byte("\xef\xbb\xbf")); ok {
		return rest
	}
	big := bytes.HasPrefix(data, []byte("\xfe\xff"))
	if !big && !bytes.HasPrefix(data, []byte("\xff\xfe")) {
		return data
	}
	units := make([]uint16, 0, len(data)/2)
	for i := 2; i+1 < len(data); i += 2 {
		hi, lo := data[i], data[i+1]
		if !big {
			hi, lo = lo, hi
		}
		units = append(units, uint16(hi)<<8|uint16(lo))
	}
	out := make([]byte, 0, len(units))
	for _, r := range utf16.Decode(units) {
		out = utf8.AppendRune(out, r)
	}
	return out
}
