package inject

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// expr is an expression of a template. Values are those of JSON, and nil for undefined
// and null, which nothing here tells apart.
type expr interface{ eval(Scope) (any, error) }

type (
	literal  struct{ value any }
	pathExpr struct{} // publicPath
	not      struct{ of expr }
	binary   struct {
		op          string
		left, right expr
	}
	read struct {
		method, path string
		where        string // file:line:column
	}
)

func (l literal) eval(Scope) (any, error)  { return l.value, nil }
func (pathExpr) eval(s Scope) (any, error) { return s.PublicPath, nil }
func (n not) eval(s Scope) (any, error) {
	v, err := n.of.eval(s)
	return !truthy(v), err
}

func (b binary) eval(s Scope) (any, error) {
	left, err := b.left.eval(s)
	if err != nil {
		return nil, err
	}
	done := false
	switch b.op {
	case "||":
		done = truthy(left)
	case "&&":
		done = !truthy(left)
	case "??":
		done = left != nil
	}
	if done {
		return left, nil
	}
	return b.right.eval(s)
}

func (r read) eval(s Scope) (any, error) {
	v := lookup(s.Config, r.path)
	switch r.method {
	case "has":
		return v != nil, nil
	case "get", "getString":
		if v == nil {
			return nil, fmt.Errorf("%s: the frontend-visible configuration has no value at %s", r.where, r.path)
		}
	}
	if v == nil || r.method == "get" || r.method == "getOptional" {
		return v, nil
	}
	if text, ok := v.(string); ok && text != "" {
		return text, nil
	}
	return nil, fmt.Errorf("%s: the value at %s is not text, or empty", r.where, r.path)
}

func lookup(config map[string]any, path string) any {
	var v any = config
	for key := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

// truthy is JavaScript's notion.
func truthy(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case int64:
		return v != 0
	case float64:
		return v != 0 && !math.IsNaN(v)
	}
	return true
}

// textOf is how a template inserts a value.
func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = textOf(e)
		}
		return strings.Join(parts, ",")
	case map[string]any:
		return "[object Object]"
	}
	return fmt.Sprint(v)
}

// methods are those of config that templates may call.
var methods = []string{"get", "getOptional", "getString", "getOptionalString", "has"}

type exprParser struct {
	p     *templateParser
	code  string
	start int // of code in the template
	pos   int
	depth int
}

// maxDepth bounds parentheses and negations, which are read by recursion.
const maxDepth = 100

// expression reads all of code, which begins at from in the template.
func (p *templateParser) expression(code string, from int) (expr, error) {
	x := exprParser{p: p, code: code, start: from}
	e, err := x.either()
	if err != nil {
		return nil, err
	}
	if x.blank(); x.pos < len(x.code) {
		return nil, x.unsupported()
	}
	return e, nil
}

// either reads operands of || and ??, which must not be mixed, as in JavaScript.
func (x *exprParser) either() (expr, error) {
	e, both, err := x.both()
	if err != nil {
		return nil, err
	}
	used := ""
	for {
		op := x.operator("||", "??")
		if op == "" {
			return e, nil
		}
		if used != "" && op != used || op == "??" && both {
			return nil, x.errorf("?? cannot be mixed with || and && without parentheses")
		}
		used = op
		right, mixed, err := x.both()
		if err != nil {
			return nil, err
		}
		if op == "??" && mixed {
			return nil, x.errorf("?? cannot be mixed with || and && without parentheses")
		}
		e = binary{op, e, right}
	}
}

// both reads operands of &&, and reports whether there was more than one.
func (x *exprParser) both() (e expr, several bool, err error) {
	if e, err = x.unary(); err != nil {
		return nil, false, err
	}
	for x.operator("&&") != "" {
		several = true
		right, err := x.unary()
		if err != nil {
			return nil, false, err
		}
		e = binary{"&&", e, right}
	}
	return e, several, nil
}

func (x *exprParser) unary() (expr, error) {
	x.depth++
	defer func() { x.depth-- }()
	x.blank()
	switch {
	case x.depth > maxDepth:
		return nil, x.errorf("the expression is nested too deeply")
	case x.pos >= len(x.code):
		return nil, x.errorf("the expression ends too early")
	case x.code[x.pos] == '!':
		x.pos++
		e, err := x.unary()
		return not{e}, err
	case x.code[x.pos] == '(':
		x.pos++
		e, err := x.either()
		if err != nil {
			return nil, err
		}
		if x.operator(")") == "" {
			return nil, x.unsupported()
		}
		return e, nil
	case x.code[x.pos] == '\'' || x.code[x.pos] == '"':
		s, err := x.quoted()
		return literal{s}, err
	}
	return x.name()
}

// name reads a number, a keyword, publicPath, or a call of a method of config.
func (x *exprParser) name() (expr, error) {
	start := x.pos
	for x.pos < len(x.code) && isWord(x.code[x.pos]) {
		x.pos++
	}
	word := x.code[start:x.pos]
	switch word {
	case "publicPath":
		return pathExpr{}, nil
	case "true", "false":
		return literal{word == "true"}, nil
	case "null", "undefined":
		return literal{nil}, nil
	case "config":
		return x.call(start)
	}
	if word != "" && word[0] >= '0' && word[0] <= '9' {
		if n, err := strconv.ParseInt(word, 10, 64); err == nil {
			return literal{n}, nil
		}
	}
	x.pos = start
	return nil, x.unsupported()
}

func (x *exprParser) call(start int) (expr, error) {
	where := x.start + start
	if x.operator(".") == "" {
		return nil, x.unsupported()
	}
	x.blank()
	from := x.pos
	for x.pos < len(x.code) && isWord(x.code[x.pos]) {
		x.pos++
	}
	r := read{method: x.code[from:x.pos], where: x.p.place(where)}
	known := false
	for _, m := range methods {
		known = known || m == r.method
	}
	if !known {
		x.pos = from
		return nil, x.errorf("config.%s is not supported, use one of %s", r.method, strings.Join(methods, ", "))
	}
	if x.operator("(") == "" {
		return nil, x.unsupported()
	}
	x.blank()
	var err error
	if r.path, err = x.quoted(); err != nil {
		return nil, err
	}
	if x.operator(")") == "" {
		return nil, x.unsupported()
	}
	return r, nil
}

// quoted reads a text in quotes; escapes are those that paths and titles need.
func (x *exprParser) quoted() (string, error) {
	if x.pos >= len(x.code) || x.code[x.pos] != '\'' && x.code[x.pos] != '"' {
		return "", x.unsupported()
	}
	quote := x.code[x.pos]
	var b strings.Builder
	for i := x.pos + 1; i < len(x.code); i++ {
		switch c := x.code[i]; {
		case c == quote:
			x.pos = i + 1
			return b.String(), nil
		case c == '\\' && i+1 < len(x.code) && strings.IndexByte(`'"\`, x.code[i+1]) >= 0:
			i++
			b.WriteByte(x.code[i])
		case c == '\\' || c == '\n':
			x.pos = i
			return "", x.errorf("%q is not supported in a text", c)
		default:
			b.WriteByte(c)
		}
	}
	return "", x.errorf("the text is not closed")
}

func (x *exprParser) blank() {
	for x.pos < len(x.code) && strings.IndexByte(" \t\r\n", x.code[x.pos]) >= 0 {
		x.pos++
	}
}

// operator takes one of ops if it comes next.
func (x *exprParser) operator(ops ...string) string {
	x.blank()
	for _, op := range ops {
		if strings.HasPrefix(x.code[x.pos:], op) {
			x.pos += len(op)
			return op
		}
	}
	return ""
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (x *exprParser) unsupported() error {
	rest := strings.TrimSpace(x.code[min(x.pos, len(x.code)):])
	if rest == "" {
		return x.errorf("the expression ends too early")
	}
	return x.errorf("%q is not supported: expressions are publicPath, config.getOptionalString('…') and its kin, texts, ||, && and ??", rest)
}

func (x *exprParser) errorf(format string, args ...any) error {
	return x.p.errorAt(x.start+min(x.pos, len(x.code)), format, args...)
}

func (p *templateParser) place(at int) string {
	return strings.TrimSuffix(p.errorAt(at, "").Error(), ": ")
}
