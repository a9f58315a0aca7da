package wiretest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Group is the exchanges of one recorded subject, in the order in which they build on each other.
type Group struct {
	Name      string
	Exchanges []*Exchange
}

// An Exchange is one request and the answer that a backend must give to it.
type Exchange struct {
	Name string
	// Note says why the recording looks as it does, for the reader of a failure.
	Note string
	// Steps are done before the request is sent, in order.
	Steps []Step
	// Captures are taken from our answer after it came, for later requests.
	Captures []Capture
	// Ignore lists what is not compared: JSON paths ($.a[*].b), or headers.NAME.
	Ignore []string
	// Unordered lists the JSON paths of arrays whose order is not compared.
	Unordered []string
	// Timeout bounds the answer; what came until then counts as the answer. 40 s if zero.
	Timeout time.Duration
	Request Request
	Answer  Answer
}

// A Request is sent byte for byte, after placeholders are filled in.
type Request struct {
	Method string
	Path   string // with the query, as on the request line
	Header []Field
	Body   string
}

// Field is one header line.
type Field struct{ Name, Value string }

// An Answer holds what of an answer is compared.
type Answer struct {
	Status int
	// Header has lower-case names; of set-cookie every line is kept, sorted, with "…" for the value.
	Header map[string][]string
	// Body is the decoded JSON document, or the text if it is none.
	Body any
	// JWT holds the decoded tokens of the body, in order; nil if the recording has none.
	JWT any
	// Message is the document that a sign-in page posts to its opener; nil if the recording has none.
	Message any
}

// The verbs of a Step.
const (
	verbFetch   = "fetch"   // GET Path, keep the string at Where as Name
	verbAwait   = "await"   // GET Path until Where holds: a status, "not STATUS", or a JSON path that is present
	verbFixture = "fixture" // set the fixture server's switch Name to Where
	verbPause   = "pause"   // wait for the duration Where
	verbVisit   = "visit"   // GET the address Path, keep the first group of the pattern Where in its Location as Name
)

// A Step prepares an exchange. It is not compared with anything.
type Step struct{ Verb, Name, Where, Path string }

// A Capture keeps a string of an answer under Name: the one at the JSON path From; if From is
// "header NAME", the first group of Pattern in that header; if it is "cookie NAME", the value of that cookie; and if
// it is "message PATH", the one at that JSON path of the message that a sign-in page posts.
type Capture struct{ Name, From, Pattern string }

// Parse reads a group in the text form that Format writes. An exchange is
//
//	== name
//	# a note
//	fetch NAME $.path /api/path          steps, before the request
//	await 200 /api/path
//	fixture dynamic one
//	pause 2s
//	visit NAME state=([^&]+) {{address}}
//	timeout 5s
//	ignore $.path
//	unordered $.path
//	> POST /api/path                     the request: line, headers, body
//	> authorization: Bearer {{token:static}}
//	>> {"a": 1}
//	< 200                                the answer: status, headers, then the body as JSON
//	< content-type: application/json; charset=utf-8
//	{"status":"ok"}
//	capture NAME $.path                  before the request or after it
//	capture NAME header link after=([^&>]+)
//	capture NAME cookie session
//	capture NAME message $.path
//	jwt [...]
//	message {...}
//
// A line "let NAME = VALUE" before the first exchange defines {{NAME}} for the whole file. Errors name the line.
func Parse(name, text string) (*Group, error) {
	p := parser{group: &Group{Name: name}, lets: map[string]string{}}
	for i, line := range strings.Split(text, "\n") {
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("recording %s, line %d: %w", name, i+1, err)
		}
	}
	if err := p.finish(); err != nil {
		return nil, fmt.Errorf("recording %s: %w", name, err)
	}
	return p.group, nil
}

type parser struct {
	group *Group
	lets  map[string]string
	cur   *Exchange
	body  []string // lines of the JSON body of cur
}

func (p *parser) line(line string) error {
	if name, ok := strings.CutPrefix(line, "== "); ok {
		if err := p.finish(); err != nil {
			return err
		}
		p.cur = &Exchange{Name: name, Answer: Answer{Header: map[string][]string{}, Body: ""}}
		return nil
	}
	if p.cur == nil {
		return p.preamble(line)
	}
	x := p.cur
	if body, ok := strings.CutPrefix(line, ">> "); ok {
		if x.Request.Body != "" {
			x.Request.Body += "\n"
		}
		x.Request.Body += body
		return nil
	}
	if rest, ok := strings.CutPrefix(line, "> "); ok {
		return p.request(rest)
	}
	if rest, ok := strings.CutPrefix(line, "< "); ok {
		return p.answer(rest)
	}
	if note, ok := strings.CutPrefix(line, "# "); ok {
		x.Note = note
		return nil
	}
	if done, err := p.directive(line); done || err != nil {
		return err
	}
	if strings.TrimSpace(line) != "" {
		p.body = append(p.body, line)
	}
	return nil
}

func (p *parser) preamble(line string) error {
	rest, ok := strings.CutPrefix(line, "let ")
	if !ok {
		if line == "" || strings.HasPrefix(line, "#") {
			return nil
		}
		return fmt.Errorf("%q stands before the first exchange", line)
	}
	name, value, ok := strings.Cut(rest, " = ")
	if !ok {
		return fmt.Errorf("let needs NAME = VALUE")
	}
	p.lets["{{"+name+"}}"] = value
	return nil
}

func (p *parser) request(rest string) error {
	r := &p.cur.Request
	if r.Method == "" {
		method, path, ok := strings.Cut(rest, " ")
		if !ok {
			return fmt.Errorf("the request line %q has no path", rest)
		}
		r.Method, r.Path = method, path
		return nil
	}
	name, value, _ := strings.Cut(rest, ": ")
	r.Header = append(r.Header, Field{name, value})
	return nil
}

func (p *parser) answer(rest string) (err error) {
	a := &p.cur.Answer
	if name, value, ok := strings.Cut(rest, ": "); ok {
		if let, ok := p.lets[value]; ok {
			value = let
		}
		a.Header[name] = append(a.Header[name], value)
		return nil
	}
	if a.Status, err = strconv.Atoi(rest); err != nil {
		return fmt.Errorf("the answer starts with %q, which is no status", rest)
	}
	return nil
}

// directive reads the lines that start with a verb. It reports false for lines of the body.
func (p *parser) directive(line string) (bool, error) {
	x := p.cur
	verb, rest, _ := strings.Cut(line, " ")
	part := strings.SplitN(rest, " ", 4)
	need := func(n int) error {
		if len(part) < n {
			return fmt.Errorf("%q needs %d words", line, n+1)
		}
		return nil
	}
	switch verb {
	case "ignore":
		x.Ignore = append(x.Ignore, rest)
	case "unordered":
		x.Unordered = append(x.Unordered, rest)
	case "timeout":
		d, err := time.ParseDuration(rest)
		x.Timeout = d
		return true, err
	case verbPause:
		x.Steps = append(x.Steps, Step{Verb: verbPause, Where: rest})
	case verbFetch:
		if err := need(3); err != nil {
			return true, err
		}
		x.Steps = append(x.Steps, Step{Verb: verbFetch, Name: part[0], Where: part[1], Path: part[2]})
	case verbAwait:
		i := strings.LastIndex(rest, " ")
		if i < 0 {
			return true, need(2)
		}
		x.Steps = append(x.Steps, Step{Verb: verbAwait, Where: rest[:i], Path: rest[i+1:]})
	case verbFixture:
		if err := need(2); err != nil {
			return true, err
		}
		x.Steps = append(x.Steps, Step{Verb: verbFixture, Name: part[0], Where: part[1]})
	case verbVisit:
		if err := need(3); err != nil {
			return true, err
		}
		x.Steps = append(x.Steps, Step{Verb: verbVisit, Name: part[0], Where: part[1], Path: part[2]})
	case "capture":
		if err := need(2); err != nil {
			return true, err
		}
		c := Capture{Name: part[0], From: part[1]}
		if c.From == "cookie" || c.From == "message" {
			if err := need(3); err != nil {
				return true, err
			}
			c.From += " " + part[2]
		}
		if c.From == "header" {
			if err := need(4); err != nil {
				return true, err
			}
			c.From, c.Pattern = "header "+part[2], part[3]
		}
		x.Captures = append(x.Captures, c)
	case "jwt":
		return true, json.Unmarshal([]byte(rest), &x.Answer.JWT)
	case "message":
		return true, json.Unmarshal([]byte(rest), &x.Answer.Message)
	default:
		return false, nil
	}
	return true, nil
}

// finish closes the exchange that is being read.
func (p *parser) finish() error {
	if p.cur == nil {
		return nil
	}
	if len(p.body) > 0 {
		if err := json.Unmarshal([]byte(strings.Join(p.body, "\n")), &p.cur.Answer.Body); err != nil {
			return fmt.Errorf("the body of %q is no JSON: %w", p.cur.Name, err)
		}
	}
	for _, x := range p.group.Exchanges {
		if x.Name == p.cur.Name {
			return fmt.Errorf("two exchanges are named %q", x.Name)
		}
	}
	p.group.Exchanges = append(p.group.Exchanges, p.cur)
	p.cur, p.body = nil, nil
	return nil
}
