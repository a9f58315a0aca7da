package config

import (
	"strconv"
	"strings"
)

// A path leads from the root of a tree to one of its nodes.
type path []step

// A step goes into an object by key or, when list is set, into a list by index.
type step struct {
	key   string
	index int
	list  bool
}

// parsePath reads a.b[0].c. A key that has dots or brackets of its own is written
// in quotes: discovery["example.com"]. The empty string is the path of the root.
func parsePath(s string) (path, bool) {
	var p path
	for i := 0; i < len(s); {
		switch {
		case s[i] == '[':
			st, size, ok := parseBracket(s[i:])
			if !ok {
				return nil, false
			}
			p = append(p, st)
			i += size
		case s[i] == '.' && i > 0 && i+1 < len(s) && s[i+1] != '.' && s[i+1] != '[':
			i++
			fallthrough
		case i == 0 && s[i] != '.':
			end := strings.IndexAny(s[i:], ".[")
			if end < 0 {
				end = len(s) - i
			}
			p = append(p, step{key: s[i : i+end]})
			i += end
		default:
			return nil, false
		}
	}
	return p, true
}

// parseBracket reads [12] or ["a.b"] at the start of s and returns its length.
func parseBracket(s string) (step, int, bool) {
	if strings.HasPrefix(s, `["`) {
		quoted, err := strconv.QuotedPrefix(s[1:])
		if err != nil || !strings.HasPrefix(s[1+len(quoted):], "]") {
			return step{}, 0, false
		}
		key, err := strconv.Unquote(quoted)
		return step{key: key}, len(quoted) + 2, err == nil
	}
	end := strings.IndexByte(s, ']')
	if end < 0 {
		return step{}, 0, false
	}
	n, err := strconv.Atoi(s[1:end])
	if err != nil || n < 0 {
		return step{}, 0, false
	}
	return step{index: n, list: true}, end + 1, true
}

// String writes p as parsePath reads it.
func (p path) String() string {
	var b strings.Builder
	for _, s := range p {
		switch {
		case s.list:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case s.key == "" || strings.ContainsAny(s.key, ".[]\"\n"):
			b.WriteString("[" + strconv.Quote(s.key) + "]")
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s.key)
		}
	}
	return b.String()
}

// key returns p extended by an object key. It never shares memory with a sibling.
func (p path) key(k string) path { return append(p[:len(p):len(p)], step{key: k}) }

// at returns p extended by a list index.
func (p path) at(i int) path { return append(p[:len(p):len(p)], step{index: i, list: true}) }

// join returns p extended by all of q.
func (p path) join(q path) path { return append(p[:len(p):len(p)], q...) }
