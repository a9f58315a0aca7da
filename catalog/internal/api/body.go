package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/catalog/entity"
)

const (
	// maxBody is the limit for queries: those of a thousand references have 90 KiB.
	maxBody = 2 << 20
	// maxEntityBody is the limit for an entity, which may carry an API definition.
	maxEntityBody = 10 << 20
	// maxCount bounds limits, offsets and counts to what every database can add one to.
	maxCount = math.MaxInt32
)

// A body reads the members of a JSON object by asking for them, as httpx.QueryReader
// does for parameters. Names are compared to the letter, null is a value of the wrong
// type, and the first thing that is wrong is remembered.
type body struct {
	members map[string]json.RawMessage
	at      string // of the object within the request body; empty for the body itself
	asked   []string
	err     error
}

func readBody(r *http.Request, limit int, opts ...httpx.DecodeOption) *body {
	b := &body{}
	var doc json.RawMessage
	b.err = httpx.DecodeJSON(r, &doc, append(opts, httpx.MaxBytes(limit))...)
	if b.err == nil && doc != nil {
		b.object(doc)
	}
	return b
}

func (b *body) object(doc json.RawMessage) {
	var ok bool
	if b.members, ok = membersOf(doc); !ok {
		b.fail("", "must be object")
	}
}

// membersOf takes an object apart, which is valid JSON, in one pass: bodies are lists of
// references for the most part, and package json passes over them three times.
func membersOf(doc json.RawMessage) (map[string]json.RawMessage, bool) {
	if doc[0] != '{' {
		return nil, false
	}
	out := map[string]json.RawMessage{}
	for i := 1; i < len(doc); i++ {
		if doc[i] != '"' {
			continue // space, a comma, or the end
		}
		end := stringEnd(doc, i)
		name := string(doc[i+1 : end])
		if strings.Contains(name, `\`) || !utf8.ValidString(name) {
			if json.Unmarshal(doc[i:end+1], &name) != nil {
				return nil, false
			}
		}
		start := end + 1 + bytes.IndexByte(doc[end+1:], ':') + 1
		i = valueEnd(doc, start)
		out[name] = bytes.TrimSpace(doc[start:i])
	}
	return out, true
}

// stringEnd is the place of the quotation mark that ends the string beginning at i.
func stringEnd(doc []byte, i int) int {
	for i++; i < len(doc) && doc[i] != '"'; i++ {
		if doc[i] == '\\' {
			i++
		}
	}
	return i
}

// valueEnd is the place of what follows the value that begins at i: a comma, or the end of
// what it is in.
func valueEnd(doc []byte, i int) int {
	for depth := 0; i < len(doc); i++ {
		switch doc[i] {
		case '"':
			i = stringEnd(doc, i)
		case '{', '[':
			depth++
		case ',':
			if depth == 0 {
				return i
			}
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		}
	}
	return i
}

func (b *body) fail(name, must string) {
	if b.err == nil {
		b.err = httpx.Invalid(strings.Trim(b.at+"/"+name, "/"), must)
	}
}

// has says whether a member is there, and notes that it may be.
func (b *body) has(name string) bool {
	b.asked = append(b.asked, name)
	_, ok := b.members[name]
	return ok
}

// require is has for members that have to be there.
func (b *body) require(name string) bool {
	if b.has(name) {
		return true
	}
	if b.err == nil {
		b.err = httpx.Missing(b.at, name)
	}
	return false
}

// read decodes a member that is there into a value of the type that must names.
func (b *body) read(name string, into any, must string) {
	raw := b.members[name]
	if string(raw) == "null" || json.Unmarshal(raw, into) != nil {
		b.fail(name, "must be "+must)
	}
}

// text returns a string, "" if it is absent; needed ones have to be there and not be
// empty.
func (b *body) text(name string, needed bool) (s string) {
	if needed && !b.require(name) || !b.has(name) {
		return ""
	}
	b.read(name, &s, "string")
	if s == "" && needed {
		b.fail(name, "must NOT have fewer than 1 characters")
	}
	if strings.Contains(s, "\x00") {
		b.fail(name, "must NOT contain a NUL character")
	}
	return s
}

// enum returns one of words, the first one if the member is absent.
func (b *body) enum(name string, words ...string) string {
	if !b.has(name) {
		return words[0]
	}
	s := b.text(name, false)
	if !slices.Contains(words, s) {
		b.fail(name, "must be equal to one of the allowed values: "+strings.Join(words, ", "))
	}
	return s
}

// count returns an integer of at least least; nil if it is absent.
func (b *body) count(name string, least int) *int {
	if !b.has(name) {
		return nil
	}
	var f float64
	b.read(name, &f, "integer")
	switch {
	case f != math.Trunc(f):
		b.fail(name, "must be integer")
	case f < float64(least):
		b.fail(name, fmt.Sprintf("must be >= %d", least))
	case f > maxCount:
		b.fail(name, fmt.Sprintf("must be <= %d", maxCount))
	default:
		n := int(f)
		return &n
	}
	return nil
}

// texts returns an array of strings, nil if it is absent.
func (b *body) texts(name string, most int) []string {
	if out, ok := plainTexts(b.members[name], most); ok {
		b.asked = append(b.asked, name)
		return out
	}
	var list []json.RawMessage
	if !b.list(name, &list, most) {
		return nil
	}
	out := make([]string, len(list))
	for i, raw := range list {
		if raw[0] != '"' || json.Unmarshal(raw, &out[i]) != nil {
			b.fail(fmt.Sprintf("%s/%d", name, i), "must be string")
		}
	}
	return out
}

// plainTexts reads an array of strings without escapes, in ASCII, as lists of references
// are; false if raw is something else, or has more than most of them. raw is valid JSON.
func plainTexts(raw json.RawMessage, most int) ([]string, bool) {
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	all := string(raw)
	out := make([]string, 0, min(most, strings.Count(all, `"`)/2))
	for i := 1; i < len(all); i++ {
		switch all[i] {
		case ' ', '\n', '\r', '\t', ',':
		case ']':
			return out, true
		case '"':
			start := i + 1
			for i++; all[i] != '"'; i++ {
				if all[i] == '\\' || all[i] >= utf8.RuneSelf {
					return nil, false
				}
			}
			if len(out) == most {
				return nil, false
			}
			out = append(out, all[start:i])
		default:
			return nil, false
		}
	}
	return nil, false
}

// objects returns a reader for each object of an array.
func (b *body) objects(name string, most int) []*body {
	var list []json.RawMessage
	if !b.list(name, &list, most) {
		return nil
	}
	out := make([]*body, len(list))
	for i, raw := range list {
		out[i] = &body{at: strings.Trim(fmt.Sprintf("%s/%s/%d", b.at, name, i), "/")}
		out[i].object(raw)
	}
	return out
}

func (b *body) list(name string, into *[]json.RawMessage, most int) bool {
	if !b.has(name) {
		return false
	}
	b.read(name, into, "array")
	if len(*into) > most {
		b.fail(name, fmt.Sprintf("must NOT have more than %d items", most))
	}
	return b.err == nil
}

// raw returns a member as it is, nil if it is absent.
func (b *body) raw(name string) json.RawMessage {
	if !b.has(name) {
		return nil
	}
	return b.members[name]
}

// child returns a reader for an object that has to be there.
func (b *body) child(name string) *body {
	out := &body{at: strings.Trim(b.at+"/"+name, "/")}
	if b.require(name) {
		out.object(b.members[name])
	}
	if out.err == nil {
		out.err = b.err
	}
	return out
}

// closed refuses members that nobody has asked for.
func (b *body) closed() {
	for name := range b.members {
		if !slices.Contains(b.asked, name) {
			b.fail("", fmt.Sprintf("must NOT have additional properties, found %q", name))
		}
	}
}

// location reads the members type and target as they are: a target may even be blank, as
// recorded (location_create_blank_target).
func (b *body) location() entity.Location {
	return entity.Location{Type: b.text("type", true), Target: b.text("target", true)}
}
