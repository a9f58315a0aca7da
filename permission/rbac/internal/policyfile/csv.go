// Package policyfile reads what operators write: the policy CSV and the file of
// conditional policies (contract permission.md, sections 3 and 5).
package policyfile

import (
	"encoding/csv"
	"errors"
	"fmt"
	"strings"

	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
)

// A Policy is what a CSV file says.
type Policy struct {
	Rules   []engine.Rule
	Members []engine.Member
	// Problems are the lines that are not part of it, in their order.
	Problems []Problem
	lines    map[any]int
	void     bool
}

// Void returns an error for a file that has something in it, but not one line that is a
// rule or a membership: it is something else, and no empty policy. Its text begins with
// the line.
func (p *Policy) Void() error {
	if !p.void {
		return nil
	}
	const text = "the file has neither a rule nor a membership; only a file that is really empty is an empty policy"
	if len(p.Problems) == 0 {
		return errors.New("1:1: " + text)
	}
	first := p.Problems[0]
	return fmt.Errorf("%d:%d: %s (%s)", first.Line, first.Column, text, first.Text)
}

// LineOf returns the line of a Rule's or Member's key, 0 if it is not of this file.
func (p *Policy) LineOf(key any) int { return p.lines[key] }

// A Problem is a line that is left out, and why.
type Problem struct {
	Line, Column int
	Text         string
	// Duplicate is set for lines that are fine but contradict or repeat others.
	Duplicate bool
}

// At puts the file's name in front: file:line:column: text.
func (p Problem) At(file string) string {
	return fmt.Sprintf("%s:%d:%d: %s", file, p.Line, p.Column, p.Text)
}

// ParseCSV reads a policy. Lines that are wrong are left out, each with a Problem; so are
// all copies of a rule that stands there more than once, and rules that both allow and
// deny the same.
func ParseCSV(text string) *Policy {
	p := &Policy{lines: map[any]int{}}
	var rules []ruleLine
	var members []memberLine
	for i, line := range strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n") {
		line = strings.TrimSuffix(line, "\r")
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		at := Problem{Line: i + 1, Column: strings.Index(line, trimmed[:1]) + 1}
		fields, err := split(trimmed)
		if err != nil {
			at.Text = "this is not CSV: " + err.Error()
			p.Problems = append(p.Problems, at)
			continue
		}
		switch fields[0] {
		case "p":
			r, err := rule(fields)
			if err != nil {
				p.problem(at, err)
				continue
			}
			rules = append(rules, ruleLine{r, at})
		case "g":
			m, err := member(fields)
			if err != nil {
				p.problem(at, err)
				continue
			}
			members = append(members, memberLine{m, at})
		default:
			p.problem(at, fmt.Errorf("a line must begin with p (a rule), g (a membership) or #, not with %.20q", fields[0]))
		}
	}
	p.void = len(rules)+len(members) == 0 && strings.TrimSpace(strings.TrimPrefix(text, "\ufeff")) != ""
	p.keepRules(rules)
	p.keepMembers(members)
	return p
}

type ruleLine struct {
	engine.Rule
	at Problem
}

type memberLine struct {
	engine.Member
	at Problem
}

func (p *Policy) problem(at Problem, err error) {
	at.Text = err.Error()
	p.Problems = append(p.Problems, at)
}

func split(line string) ([]string, error) {
	if !strings.Contains(line, `"`) { // nearly all lines, and files may have many
		fields := strings.Split(line, ",")
		for i, f := range fields {
			fields[i] = strings.TrimSpace(f)
		}
		return fields, nil
	}
	r := csv.NewReader(strings.NewReader(line))
	r.FieldsPerRecord, r.TrimLeadingSpace = -1, true
	fields, err := r.Read()
	if err != nil {
		if parse, ok := err.(*csv.ParseError); ok {
			err = parse.Err
		}
		return nil, err
	}
	for i, f := range fields {
		fields[i] = strings.TrimSpace(f)
	}
	return fields, nil
}

func rule(f []string) (engine.Rule, error) {
	if len(f) != 5 {
		return engine.Rule{}, fmt.Errorf("a rule has five fields, this has %d: p, <subject>, <permission>, <action>, <effect>", len(f))
	}
	r := engine.Rule{Subject: f[1], Permission: f[2], Action: f[3], Effect: f[4], Source: engine.SourceCSV}
	return r, engine.CheckRule(r)
}

func member(f []string) (engine.Member, error) {
	if len(f) != 3 {
		return engine.Member{}, fmt.Errorf("a membership has three fields, this has %d: g, <user or group>, <role>", len(f))
	}
	m := engine.Member{Ref: strings.ToLower(f[1]), Role: f[2], Source: engine.SourceCSV}
	return m, engine.CheckMember(m)
}

// keepRules leaves out what is repeated or contradicted.
func (p *Policy) keepRules(list []ruleLine) {
	count := map[[4]string]int{}
	for _, r := range list {
		count[r.Key()]++
	}
	for _, r := range list {
		other := r.Rule
		other.Effect = map[string]string{"allow": "deny", "deny": "allow"}[r.Effect]
		at := r.at
		at.Duplicate = true
		switch {
		case count[r.Key()] > 1:
			at.Text = "this rule stands here more than once; none of the copies counts"
		case count[other.Key()] > 0:
			at.Text = "the same is both allowed and denied; neither counts"
		default:
			p.Rules = append(p.Rules, r.Rule)
			p.lines[r.Key()] = at.Line
			continue
		}
		p.Problems = append(p.Problems, at)
	}
}

func (p *Policy) keepMembers(list []memberLine) {
	count := map[[2]string]int{}
	for _, m := range list {
		count[[2]string{m.Ref, m.Role}]++
	}
	for _, m := range list {
		key := [2]string{m.Ref, m.Role}
		if count[key] > 1 {
			at := m.at
			at.Duplicate, at.Text = true, "this membership stands here more than once; none of the copies counts"
			p.Problems = append(p.Problems, at)
			continue
		}
		p.Members = append(p.Members, m.Member)
		p.lines[key] = m.at.Line
	}
}
