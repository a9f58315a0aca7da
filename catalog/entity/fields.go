package entity

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// Bounds of a projection. Requests beyond them are refused at once.
const (
	maxFields     = 1000
	maxFieldBytes = 64 << 10
)

// Fields is a projection: which subtrees of entities to return (contract catalog.md,
// 1.4). It is parsed once per request and applied to stored bytes. The zero Fields
// selects everything. It is safe for concurrent use.
type Fields struct {
	paths   [][]string
	scratch *sync.Pool // of *projector
}

// ParseFields reads the values of the query parameter fields, each a list of paths
// separated by commas. Blank paths are dropped; if none remains, everything is
// selected. Errors say what is wrong with a path, or that there are too many.
func ParseFields(values ...string) (Fields, error) {
	var f Fields
	size := 0
	for _, value := range values {
		if size += len(value); size > maxFieldBytes {
			return Fields{}, fmt.Errorf("fields: expected at most %d bytes", maxFieldBytes)
		}
		for path := range strings.SplitSeq(value, ",") {
			path = strings.TrimSpace(path)
			if path == "" {
				continue
			}
			if strings.ContainsRune(path, '[') {
				return Fields{}, fmt.Errorf("field %q: elements of arrays cannot be selected; name the whole array", shorten(path))
			}
			segments := strings.Split(path, ".")
			for _, segment := range segments {
				if segment == "__proto__" {
					return Fields{}, fmt.Errorf("field %q: __proto__ is no part of an entity", shorten(path))
				}
			}
			if len(f.paths) == maxFields {
				return Fields{}, fmt.Errorf("fields: expected at most %d paths", maxFields)
			}
			f.paths = append(f.paths, segments)
		}
	}
	if f.paths != nil {
		f.scratch = &sync.Pool{New: func() any { return new(projector) }}
	}
	return f, nil
}

// All says whether the projection selects everything.
func (f Fields) All() bool { return len(f.paths) == 0 }

// Append appends the projection of data, the JSON of an entity, to dst. Selected
// subtrees are copied as they are, in the order of the request; if nothing is
// selected, that is {}. The dots of a path may belong to keys: where a key does not
// exist, it is tried again together with the next part. Only data that is no JSON
// object makes an error.
func (f Fields) Append(dst, data []byte) ([]byte, error) {
	if f.All() {
		return append(dst, data...), nil
	}
	p := f.scratch.Get().(*projector)
	defer f.scratch.Put(p)
	p.reset(data)
	if !p.scan(0) {
		return dst, errors.New("project fields: entity is not a JSON object")
	}
	for _, path := range f.paths {
		p.choose(path)
	}
	return p.write(dst, 0), nil
}

// A projector holds the part of a JSON text that was looked at, as a tree of nodes:
// the members of an object are scanned once, when the first path leads there.
type projector struct {
	data  []byte
	nodes []jsonMember
	trail []int
}

// A jsonMember is a member of an object with its value.
type jsonMember struct {
	key        []byte // between its quotes
	start, end int    // of the value
	first      int    // of its members among the nodes, if scanned
	count      int
	scanned    bool
	whole      bool // the value is selected as it is
	chosen     []int
}

func (p *projector) reset(data []byte) {
	p.data = data
	p.nodes = p.nodes[:0]
	p.node(jsonMember{start: skipSpace(data, 0), end: len(data)})
}

// node appends a node, and keeps the memory of an earlier one in its place.
func (p *projector) node(n jsonMember) {
	if len(p.nodes) < cap(p.nodes) {
		old := p.nodes[:len(p.nodes)+1]
		n.chosen = old[len(p.nodes)].chosen[:0]
	}
	p.nodes = append(p.nodes, n)
}

// choose selects what path leads to. The nodes on the way become chosen only when
// the path exists, in the order of the request.
func (p *projector) choose(path []string) {
	at := 0
	p.trail = p.trail[:0]
	for i := 0; i < len(path); {
		if !p.scan(at) {
			return
		}
		next, used := p.find(at, path[i:])
		if next < 0 {
			return
		}
		p.trail = append(p.trail, next)
		at, i = next, i+used
	}
	parent := 0
	for _, node := range p.trail {
		if p.nodes[parent].whole {
			return
		}
		if !contains(p.nodes[parent].chosen, node) {
			p.nodes[parent].chosen = append(p.nodes[parent].chosen, node)
		}
		parent = node
	}
	p.nodes[parent].whole = true
}

// find looks for the member that the fewest leading parts of path name.
func (p *projector) find(at int, path []string) (node, used int) {
	n := &p.nodes[at]
	for used := 1; used <= len(path); used++ {
		for i := n.first; i < n.first+n.count; i++ {
			if matchesKey(p.nodes[i].key, path[:used]) {
				return i, used
			}
		}
	}
	return -1, 0
}

// matchesKey compares a raw key with parts joined by dots, without joining them.
func matchesKey(raw []byte, parts []string) bool {
	for _, c := range raw {
		if c == '\\' {
			var key string
			quoted := append(append([]byte{'"'}, raw...), '"')
			return json.Unmarshal(quoted, &key) == nil && key == strings.Join(parts, ".")
		}
	}
	for i, part := range parts {
		if i > 0 {
			if len(raw) == 0 || raw[0] != '.' {
				return false
			}
			raw = raw[1:]
		}
		if len(raw) < len(part) || string(raw[:len(part)]) != part {
			return false
		}
		raw = raw[len(part):]
	}
	return len(raw) == 0
}

// scan makes sure that the members of a node are known; false means that it is no
// object.
func (p *projector) scan(at int) bool {
	n := p.nodes[at]
	if n.scanned {
		return n.count >= 0
	}
	ok := p.members(&n)
	n.scanned = true
	if !ok {
		n.count = -1
	}
	n.chosen = p.nodes[at].chosen
	p.nodes[at] = n
	return ok
}

// members appends the members of an object to the nodes. Of repeated keys all are
// kept and the first is found; stored entities have none.
func (p *projector) members(n *jsonMember) bool {
	data, i := p.data, n.start
	if i >= len(data) || data[i] != '{' {
		return false
	}
	first := len(p.nodes)
	i = skipSpace(data, i+1)
	for i < len(data) && data[i] == '"' {
		keyEnd := skipString(data, i)
		colon := skipSpace(data, keyEnd)
		start := skipSpace(data, colon+1)
		end := skipValue(data, start)
		if end > len(data) || colon >= len(data) {
			return false
		}
		p.node(jsonMember{key: data[i+1 : keyEnd-1], start: start, end: end})
		i = skipSpace(data, end)
		if i < len(data) && data[i] == ',' {
			i = skipSpace(data, i+1)
		}
	}
	n.first, n.count, n.scanned = first, len(p.nodes)-first, true
	return i < len(data) && data[i] == '}'
}

func (p *projector) write(dst []byte, at int) []byte {
	n := p.nodes[at]
	if n.whole {
		return append(dst, p.data[n.start:n.end]...)
	}
	dst = append(dst, '{')
	for i, child := range n.chosen {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), p.nodes[child].key...), '"', ':')
		dst = p.write(dst, child)
	}
	return append(dst, '}')
}

func contains(list []int, n int) bool {
	for _, m := range list {
		if m == n {
			return true
		}
	}
	return false
}
