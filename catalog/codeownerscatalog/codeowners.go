package codeownerscatalog

import (
	"bufio"
	"bytes"
	"regexp"
	"strings"
)

// Bounds of what is read of a file.
const (
	maxLine  = 64 << 10
	maxRules = 20_000
)

// A rule gives the files of a pattern their owners.
type rule struct {
	pattern string
	owners  []string
}

// owners are the rules of a CODEOWNERS file, in its order. GitHub, GitLab and Bitbucket
// agree on the form: a pattern and owners per line, and the last match counts.
type owners []rule

// parse reads a CODEOWNERS file. Lines that it cannot read say nothing about any file:
// comments, sections, and patterns that hosts ignore too.
func parse(data []byte) owners {
	var out owners
	var inherited []string // owners that a GitLab section gives to its rules
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxLine)
	for lines.Scan() && len(out) < maxRules {
		fields := split(lines.Text())
		if len(fields) == 0 {
			continue
		}
		if strings.HasPrefix(fields[0], "[") || strings.HasPrefix(fields[0], "^[") {
			inherited = ownersIn(fields[1:])
			continue
		}
		own := ownersIn(fields[1:])
		if len(own) == 0 {
			own = inherited
		}
		out = append(out, rule{fields[0], own})
	}
	return out
}

// split takes a line apart: at white space that no backslash precedes, up to a comment.
func split(line string) []string {
	var out []string
	var word strings.Builder
	end := func() {
		if word.Len() > 0 {
			out = append(out, word.String())
			word.Reset()
		}
	}
	inSection := strings.HasPrefix(strings.TrimLeft(line, " \t^"), "[")
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line) && (line[i+1] == ' ' || line[i+1] == '#'):
			i++
			word.WriteByte(line[i])
		case c == '#' && (word.Len() == 0):
			end()
			return out
		case c == ']' && inSection: // the name of a section may have spaces
			word.WriteByte(c)
			inSection = false
		case (c == ' ' || c == '\t' || c == '\r') && !inSection:
			end()
		default:
			word.WriteByte(c)
		}
	}
	end()
	return out
}

// ownersIn are the words that are owners: @user, @group/team or an e-mail address. Others,
// such as the number of approvals of a section, are not.
func ownersIn(words []string) []string {
	var out []string
	for _, w := range words {
		if len(w) > 1 && strings.Contains(w, "@") && !strings.HasPrefix(w, "[") {
			out = append(out, w)
		}
	}
	return out
}

// compile reads a pattern by the rules of gitignore, as far as CODEOWNERS files have
// them; nil for one that matches nothing.
func compile(pattern string) func(string) bool {
	if strings.HasPrefix(pattern, "!") {
		return nil // hosts do not know negations
	}
	anchored := strings.Contains(strings.TrimSuffix(pattern, "/"), "/")
	directory := strings.HasSuffix(pattern, "/")
	text := strings.Trim(pattern, "/")
	if text == "" {
		return func(string) bool { return pattern == "/" }
	}
	var b strings.Builder
	b.WriteString("^")
	if !anchored {
		b.WriteString("(?:.*/)?")
	}
	for i := 0; i < len(text); i++ {
		switch {
		case strings.HasPrefix(text[i:], "**/"):
			b.WriteString("(?:.*/)?")
			i += 2
		case strings.HasPrefix(text[i:], "**"):
			b.WriteString(".*")
			i++
		case text[i] == '*':
			b.WriteString("[^/]*")
		case text[i] == '?':
			b.WriteString("[^/]")
		default:
			b.WriteString(regexp.QuoteMeta(text[i : i+1]))
		}
	}
	switch last := text[strings.LastIndexByte(text, '/')+1:]; {
	case directory:
		b.WriteString("/.*$")
	case last == "*" && anchored: // docs/* is what is in docs, and not what is below it
		b.WriteString("$")
	default: // a file, or a directory with all that is in it
		b.WriteString("(?:/.*)?$")
	}
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil // bytes that are no text
	}
	return re.MatchString
}

// of are the owners of a file, by its path from the root of the repository. A last match
// without owners means that nobody owns it.
func (o owners) of(path string) []string {
	for i := len(o) - 1; i >= 0; i-- {
		if matches := compile(o[i].pattern); matches != nil && matches(path) {
			return o[i].owners
		}
	}
	return nil
}

// reference is an owner as spec.owner says it: a team by its name, a person as a user. The
// local part of an e-mail address is the name of a group or of a user; nobody knows.
func reference(owner string) string {
	name, isName := strings.CutPrefix(owner, "@")
	switch {
	case isName && strings.Contains(name, "/"):
		return name[strings.LastIndexByte(name, '/')+1:]
	case isName:
		return "user:" + name
	}
	local, _, _ := strings.Cut(owner, "@")
	return local
}
