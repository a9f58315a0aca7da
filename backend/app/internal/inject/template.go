// Package inject puts configuration into the pages and scripts of a frontend bundle:
// it renders index.html.tmpl, writes the script element that the frontend reads its
// configuration from, and replaces the marker that older bundles have in a script.
//
// Everything works on text in memory. Values come from what the schemas of the bundle
// make visible, and from nowhere else (contract/backend.md sections 4 and 15).
package inject

import (
	"fmt"
	"html"
	"strings"
)

// A Template is an index.html.tmpl. It is safe for concurrent use.
type Template struct{ nodes []node }

// node is text, an inserted expression, or a choice.
type node struct {
	text    string
	insert  expr
	escape  bool
	choices []choice
}

// choice is one branch of an if block; without a condition it is the else branch.
type choice struct {
	cond expr
	body []node
}

// ParseTemplate reads the part of lodash's templates that bundles use: <%= %> inserts,
// <%- %> inserts with HTML escaped, and <% if (…) { %> … <% } else { %> … <% } %>. Expressions
// are publicPath, config.get, getOptional, getString, getOptionalString and has with a path
// in quotes, literals, !, ||, && and ??, and parentheses. Anything else is an error that
// names file, line and column.
func ParseTemplate(name, text string) (*Template, error) {
	p := templateParser{name: name, text: text}
	nodes, end, err := p.block(false)
	if err != nil {
		return nil, err
	}
	if end.script != "" {
		return nil, p.errorAt(end.at, "this closes a block that was not opened")
	}
	return &Template{nodes}, nil
}

// Scope is what expressions see.
type Scope struct {
	PublicPath string         // the path of app.baseUrl, without a slash at the end
	Config     map[string]any // the frontend-visible configuration
}

// Render fills the template in. Its error says which key has no value, or a wrong one.
func (t *Template) Render(s Scope) (string, error) {
	var b strings.Builder
	err := render(&b, t.nodes, s)
	return b.String(), err
}

func render(b *strings.Builder, nodes []node, s Scope) error {
	for _, n := range nodes {
		switch {
		case n.insert != nil:
			v, err := n.insert.eval(s)
			if err != nil {
				return err
			}
			text := textOf(v)
			if n.escape {
				text = html.EscapeString(text)
			}
			b.WriteString(text)
		case n.choices != nil:
			for _, c := range n.choices {
				if c.cond != nil {
					v, err := c.cond.eval(s)
					if err != nil {
						return err
					}
					if !truthy(v) {
						continue
					}
				}
				if err := render(b, c.body, s); err != nil {
					return err
				}
				break
			}
		default:
			b.WriteString(n.text)
		}
	}
	return nil
}

type templateParser struct {
	name, text string
	pos        int
}

// ending is the script that ended a block, "}" or "} else {" or the like.
type ending struct {
	script string
	at     int
}

// block reads nodes up to the script that closes the block, or the end of the text.
func (p *templateParser) block(inner bool) ([]node, ending, error) {
	var out []node
	opened := p.pos
	for {
		open := strings.Index(p.text[p.pos:], "<%")
		if open < 0 {
			if inner {
				return nil, ending{}, p.errorAt(opened, "the if block is not closed")
			}
			if rest := p.text[p.pos:]; rest != "" {
				out = append(out, node{text: rest})
			}
			p.pos = len(p.text)
			return out, ending{}, nil
		}
		if open > 0 {
			out = append(out, node{text: p.text[p.pos : p.pos+open]})
		}
		at := p.pos + open
		length := strings.Index(p.text[at+2:], "%>") // <%> has none
		if length < 0 {
			return nil, ending{}, p.errorAt(at, "<%% has no %%>")
		}
		code, from := p.text[at+2:at+2+length], at+2
		p.pos = from + length + 2
		switch {
		case strings.HasPrefix(code, "=") || strings.HasPrefix(code, "-"):
			e, err := p.expression(code[1:], from+1)
			if err != nil {
				return nil, ending{}, err
			}
			out = append(out, node{insert: e, escape: code[0] == '-'})
		case strings.HasPrefix(strings.TrimSpace(code), "}"):
			return out, ending{code, from}, nil
		default:
			n, err := p.conditional(code, from)
			if err != nil {
				return nil, ending{}, err
			}
			out = append(out, n)
		}
	}
}

// conditional reads an if block whose head is code, and all of its branches.
func (p *templateParser) conditional(code string, from int) (node, error) {
	var n node
	for {
		cond, err := p.head(code, from)
		if err != nil {
			return n, err
		}
		body, end, err := p.block(true)
		if err != nil {
			return n, err
		}
		n.choices = append(n.choices, choice{cond, body})
		for { // after an else there can only be the end
			rest := strings.TrimSpace(strings.TrimSpace(end.script)[1:])
			if rest == "" {
				return n, nil
			}
			next, isElse := strings.CutPrefix(rest, "else")
			if !isElse {
				return n, p.errorAt(end.at, "%q is not supported: an if block goes on with } else {, } else if (…) { or }", strings.TrimSpace(end.script))
			}
			if strings.TrimSpace(next) != "{" {
				code, from = next, end.at+strings.Index(end.script, "else")+len("else")
				break
			}
			if body, end, err = p.block(true); err != nil {
				return n, err
			}
			n.choices = append(n.choices, choice{nil, body})
			if strings.TrimSpace(end.script) != "}" {
				return n, p.errorAt(end.at, "after } else { a block can only be closed with }")
			}
		}
	}
}

// head reads "if (condition) {".
func (p *templateParser) head(code string, from int) (expr, error) {
	trimmed := strings.TrimSpace(code)
	rest, ok := strings.CutPrefix(trimmed, "if")
	rest = strings.TrimSpace(rest)
	inner, closed := strings.CutSuffix(rest, "{")
	inner = strings.TrimSpace(inner)
	if !ok || !closed || !strings.HasPrefix(inner, "(") || !strings.HasSuffix(inner, ")") {
		return nil, p.errorAt(from, "the script %q is not supported: only if (…) { is", trimmed)
	}
	return p.expression(inner, from+strings.Index(code, inner))
}

func (p *templateParser) errorAt(at int, format string, args ...any) error {
	line := 1 + strings.Count(p.text[:at], "\n")
	column := at - strings.LastIndex(p.text[:at], "\n")
	return fmt.Errorf("%s:%d:%d: %s", p.name, line, column, fmt.Sprintf(format, args...))
}
