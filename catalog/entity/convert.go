package entity

import (
	"errors"
	"math"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// convert makes canonical values of a syntax tree.
func convert(root Positions, limits Limits) (any, error) {
	node := root.node
	if node.Kind == yaml.DocumentNode {
		if len(node.Content) == 0 {
			return nil, nil
		}
		node = node.Content[0]
	}
	c := converter{root: root, limits: limits}
	return c.value(node, 0)
}

type converter struct {
	root           Positions
	limits         Limits
	nodes, aliased int
	inAlias        int
	open           []*yaml.Node // aliased nodes that are being expanded
}

func (c *converter) fail(node *yaml.Node, format string, args ...any) error {
	at := c.root.of(node)
	return errAt(at.Line, at.Column, format, args...)
}

func (c *converter) value(node *yaml.Node, depth int) (any, error) {
	if c.nodes++; c.nodes > c.limits.Nodes {
		return nil, c.fail(node, "document has more than %d values", c.limits.Nodes)
	}
	if c.inAlias > 0 {
		if c.aliased++; c.aliased > c.limits.AliasedNodes {
			return nil, c.fail(node, "aliases repeat more than %d values", c.limits.AliasedNodes)
		}
	}
	if depth > c.limits.Depth {
		return nil, c.fail(node, "document is nested more than %d levels deep", c.limits.Depth)
	}
	switch node.Kind {
	case yaml.ScalarNode:
		v, err := scalar(node)
		if err != nil {
			return nil, c.fail(node, "%w", err)
		}
		return v, nil
	case yaml.MappingNode:
		return c.mapping(node, depth)
	case yaml.SequenceNode:
		out := make([]any, len(node.Content))
		for i, item := range node.Content {
			v, err := c.value(item, depth+1)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	case yaml.AliasNode:
		return c.alias(node, depth)
	}
	return nil, c.fail(node, "unexpected content")
}

func (c *converter) mapping(node *yaml.Node, depth int) (any, error) {
	out := make(map[string]any, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, err := keyText(node.Content[i])
		if err != nil {
			return nil, c.fail(node.Content[i], "%w", err)
		}
		if _, ok := out[key]; ok {
			first, _ := child(node, key)
			return nil, c.fail(node.Content[i], "key %q stands twice in one object; the first is in line %d", shorten(key), c.root.of(first).Line)
		}
		v, err := c.value(node.Content[i+1], depth+1)
		if err != nil {
			return nil, err
		}
		out[key] = v
	}
	return out, nil
}

// alias expands the anchored value anew, so that no two places of an entity share an
// object.
func (c *converter) alias(node *yaml.Node, depth int) (any, error) {
	for _, open := range c.open {
		if open == node.Alias {
			return nil, c.fail(node, "alias *%s is part of the value it stands for", node.Value)
		}
	}
	c.open = append(c.open, node.Alias)
	c.inAlias++
	v, err := c.value(node.Alias, depth)
	c.inAlias--
	c.open = c.open[:len(c.open)-1]
	return v, err
}

const quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle

// scalar resolves a scalar by the core schema of YAML 1.2. The YAML library's own
// resolution follows 1.1 in octal numbers, underscores and dates.
func scalar(node *yaml.Node) (any, error) {
	if node.Style&yaml.TaggedStyle != 0 {
		return tagged(node)
	}
	if node.Style&quoted != 0 {
		return node.Value, nil
	}
	return plain(node.Value), nil
}

// tagged resolves a scalar with an explicit tag. Tags the core schema does not know
// leave a string.
func tagged(node *yaml.Node) (any, error) {
	v := plain(node.Value)
	ok := true
	switch node.ShortTag() {
	case "!!null":
		ok = v == nil
	case "!!bool":
		_, ok = v.(bool)
	case "!!int":
		f, isNumber := v.(float64)
		ok = isNumber && f == math.Trunc(f)
	case "!!float":
		_, ok = v.(float64)
	default:
		return node.Value, nil
	}
	if !ok {
		return nil, errors.New(strconv.Quote(shorten(node.Value)) + " does not fit its tag " + node.ShortTag())
	}
	return v, nil
}

func plain(s string) any {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return nil
	case "true", "True", "TRUE":
		return true
	case "false", "False", "FALSE":
		return false
	}
	if c := s[0]; c < '+' || c > '9' {
		return s
	}
	if f, ok := plainNumber(s); ok {
		if math.IsInf(f, 0) || math.IsNaN(f) {
			return nil // JSON has no infinity: it becomes null
		}
		return f
	}
	return s
}

func plainNumber(s string) (float64, bool) {
	if base := numberBase(s); base != 0 {
		f := 0.0
		for _, c := range []byte(s[2:]) {
			digit, err := strconv.ParseUint(string(c), base, 8)
			if err != nil {
				return 0, false
			}
			f = f*float64(base) + float64(digit)
		}
		return f, len(s) > 2
	}
	unsigned := strings.TrimLeft(s, "+-")
	if len(s)-len(unsigned) > 1 {
		return 0, false
	}
	switch unsigned {
	case ".inf", ".Inf", ".INF":
		return math.Inf(1), true
	case ".nan", ".NaN", ".NAN":
		return math.NaN(), len(s) == len(unsigned)
	}
	if !isDecimal(unsigned) {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return f, true
}

func numberBase(s string) int {
	switch {
	case strings.HasPrefix(s, "0x"):
		return 16
	case strings.HasPrefix(s, "0o"):
		return 8
	}
	return 0
}

// isDecimal matches (\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
func isDecimal(s string) bool {
	whole := digits(s)
	s = s[whole:]
	if strings.HasPrefix(s, ".") {
		fraction := digits(s[1:])
		if whole == 0 && fraction == 0 {
			return false
		}
		s = s[1+fraction:]
	} else if whole == 0 {
		return false
	}
	if s == "" {
		return true
	}
	if s[0]|0x20 != 'e' {
		return false
	}
	s = s[1:]
	if s != "" && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	return s != "" && digits(s) == len(s)
}

func digits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}

// keyText is a key as JavaScript would use it: 1.0 is "1", and nothing is "".
func keyText(node *yaml.Node) (string, error) {
	for node.Kind == yaml.AliasNode && node.Alias != nil {
		node = node.Alias
	}
	if node.Kind != yaml.ScalarNode {
		return "", errors.New("expected a text as key, found an object or array; quote the key if it begins with { or [")
	}
	v, err := scalar(node)
	if err != nil {
		return "", err
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case float64:
		return string(appendNumber(nil, v)), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return "", nil
}
