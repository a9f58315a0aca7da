package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Limits that keep a hostile or mistaken file from taking the process down. Real
// configurations stay far below them.
const (
	maxFileSize = 8 << 20 // bytes of one file
	maxNodes    = 500_000 // values of one load, after aliases are expanded
	maxDepth    = 200     // objects and lists in one another
	maxIncludes = 32      // files that include one another
)

// parseYAML reads one document with the scalars of the YAML 1.2 core schema, which
// is what upstream reads: yes and 010 are a string and the number ten, and << is a
// key like any other. It returns nil, without an error, for an empty document.
func parseYAML(name string, data []byte) (*node, []error) {
	if len(data) > maxFileSize {
		return nil, []error{errAt(nil, position{file: name}, "file is larger than %d MB", maxFileSize>>20)}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, []error{yamlError(name, data, err)}
	}
	var second yaml.Node
	switch err := dec.Decode(&second); {
	case err == nil:
		return nil, []error{errAt(nil, position{name, second.Line, second.Column}, "file has more than one YAML document")}
	case !errors.Is(err, io.EOF):
		return nil, []error{yamlError(name, data, err)}
	}
	r := yamlReader{file: name, left: maxNodes}
	root := r.read(&doc, nil, 0)
	if len(r.errs) > 0 {
		return nil, r.errs
	}
	return root, nil
}

// yamlReader turns the library's nodes into ours.
type yamlReader struct {
	file string
	left int          // nodes that may still be made
	open []*yaml.Node // the aliases being followed
	errs []error
}

func (r *yamlReader) fail(n *yaml.Node, p path, format string, args ...any) *node {
	pos := position{r.file, n.Line, n.Column}
	// After the budget is used up every further node would fail the same way.
	if r.left >= 0 || len(r.errs) == 0 {
		r.errs = append(r.errs, errAt(p, pos, format, args...))
	}
	return &node{pos: pos, reported: true}
}

func (r *yamlReader) read(n *yaml.Node, p path, depth int) *node {
	if r.left--; r.left < 0 {
		return r.fail(n, nil, "file has more than %d values, counting what its aliases stand for", maxNodes)
	}
	if depth > maxDepth {
		return r.fail(n, nil, "objects and lists are nested more than %d deep", maxDepth)
	}
	pos := position{r.file, n.Line, n.Column}
	switch n.Kind {
	case yaml.DocumentNode:
		return r.read(n.Content[0], p, depth)
	case yaml.AliasNode:
		if slices.Contains(r.open, n.Alias) {
			return r.fail(n, p, "alias contains itself")
		}
		r.open = append(r.open, n.Alias)
		out := r.read(n.Alias, p, depth+1)
		r.open = r.open[:len(r.open)-1]
		// The problem, if there is one, is where the alias is used.
		out.pos = pos
		return out
	case yaml.MappingNode:
		return r.object(n, p, depth)
	case yaml.SequenceNode:
		out := &node{kind: list, pos: pos, items: make([]*node, 0, len(n.Content))}
		for i, item := range n.Content {
			out.items = append(out.items, r.read(item, p.at(i), depth+1))
		}
		return out
	}
	k, v, err := yamlScalar(n)
	if err != nil {
		return r.fail(n, p, "%w", err)
	}
	return &node{kind: k, value: v, pos: pos}
}

func (r *yamlReader) object(n *yaml.Node, p path, depth int) *node {
	out := &node{kind: object, pos: position{r.file, n.Line, n.Column}}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.Kind != yaml.ScalarNode {
			r.fail(n.Content[i], p, "key is not a string")
			continue
		}
		here := position{r.file, n.Content[i].Line, n.Content[i].Column}
		if first, ok := out.fields[k.Value]; ok {
			r.errs = append(r.errs, errAt(p.key(k.Value), here, "key is already set at %s", first.keyPos))
			continue
		}
		field := r.read(n.Content[i+1], p.key(k.Value), depth+1)
		field.keyPos = here
		out.set(k.Value, field)
	}
	return out
}

var (
	yamlInt   = regexp.MustCompile(`^[-+]?[0-9]+$`)
	yamlFloat = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	yamlBased = regexp.MustCompile(`^0(o[0-7]+|x[0-9a-fA-F]+)$`)
)

// yamlScalar resolves a scalar by the core schema. Infinity and not-a-number stay
// strings: the tree is JSON, which has neither.
func yamlScalar(n *yaml.Node) (kind, any, error) {
	const quoted = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	tagged := n.Style&yaml.TaggedStyle != 0
	if !tagged && n.Style&quoted != 0 || tagged && (n.ShortTag() == "!!str" || n.Tag == "!") {
		return text, n.Value, nil
	}
	k, v := plainScalar(n.Value)
	if !tagged {
		return k, v, nil
	}
	want, known := map[string]kind{"!!null": null, "!!bool": boolean, "!!int": number, "!!float": number}[n.ShortTag()]
	switch {
	case !known:
		// Not repeated: "password: !hunter2" must not end up in a log.
		return 0, nil, errors.New("unknown YAML tag; a string that starts with ! needs quotes")
	case k != want:
		return 0, nil, fmt.Errorf("value does not match its YAML tag %s", n.ShortTag())
	}
	return k, v, nil
}

func plainScalar(s string) (kind, any) {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return null, nil
	case "true", "True", "TRUE":
		return boolean, true
	case "false", "False", "FALSE":
		return boolean, false
	}
	if v, ok := parseNumber(s); ok {
		return number, v
	}
	return text, s
}

// parseNumber reads a number of YAML's core schema or of JSON: an int64 if it is
// whole and fits, else a float64.
func parseNumber(s string) (any, bool) {
	switch {
	case yamlInt.MatchString(s):
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return i, true
		}
	case yamlBased.MatchString(s):
		base := map[byte]int{'o': 8, 'x': 16}[s[1]]
		i, err := strconv.ParseInt(s[2:], base, 64)
		return i, err == nil
	case !yamlFloat.MatchString(s):
		return nil, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && !math.IsInf(f, 0)
}

var (
	yamlLine   = regexp.MustCompile(`^(?:yaml: )?line (\d+): `)
	yamlAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
	// The library counts lines from zero in what its parser reports, as opposed to
	// its scanner.
	yamlParser = regexp.MustCompile(`^did not find expected (node content|'-' indicator|key|',' or '[]}]'|<)|^found (undefined tag handle|duplicate %|incompatible)`)
)

// yamlError gives a syntax error of the library a column, and leaves out the name
// of an unknown anchor: "password: *hunter2" must not end up in a log.
func yamlError(name string, data []byte, err error) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	pos := position{file: name, line: 1}
	if m := yamlLine.FindStringSubmatch(msg); m != nil {
		msg = msg[len(m[0]):]
		pos.line, _ = strconv.Atoi(m[1])
		if yamlParser.MatchString(msg) {
			pos.line++
		}
	}
	pos.col = firstColumn(data, pos.line)
	at := -1
	if m := yamlAnchor.FindStringSubmatch(msg); m != nil {
		msg = "alias names an unknown anchor; a string that starts with * needs quotes"
		at = bytes.Index(data, []byte("*"+m[1]))
	} else if strings.Contains(msg, "UTF-8") || strings.Contains(msg, "control characters") {
		at = bytes.IndexFunc(data, func(r rune) bool {
			return r == utf8.RuneError || r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f
		})
	}
	if at >= 0 {
		start := bytes.LastIndexByte(data[:at], '\n') + 1
		pos.line = 1 + bytes.Count(data[:at], []byte("\n"))
		pos.col = 1 + utf8.RuneCount(data[start:at])
	}
	return &KeyError{Pos: pos.String(), Err: fmt.Errorf("not valid YAML: %s", msg)}
}

// firstColumn returns the column of the first character of a line that is no space.
func firstColumn(data []byte, line int) int {
	for i, l := range bytes.SplitN(data, []byte("\n"), line+1) {
		if i == line-1 {
			return 1 + len(l) - len(bytes.TrimLeft(l, " \t"))
		}
	}
	return 1
}
