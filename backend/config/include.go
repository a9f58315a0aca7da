package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A loader builds one tree. It collects problems instead of stopping at the first.
type loader struct {
	env     lookup
	texts   *fileValues         // the $file values of this tree and its successors
	read    map[string]string   // of every $file, the text that this load has seen
	watched map[string]struct{} // absolute paths of all files the tree depends on
	left    int                 // nodes that may still be made
	errs    []error
}

func newLoader(env lookup, texts *fileValues) *loader {
	return &loader{env: env, texts: texts, read: map[string]string{}, watched: map[string]struct{}{}, left: maxNodes}
}

// A source is the file that a node is being transformed for. What messages call a
// file is kept apart from where it is: a name that was written with a ${VAR} is shown
// as it was written.
type source struct {
	dir   string // what relative paths are relative to
	shown string // dir, for messages
	chain []link // the includes that lead here, for finding cycles
	noDir string // why $file and $include do not work here, if they do not
}

// A link is one file, or a part of it, in a chain of includes.
type link struct{ id, shown string }

// file is where a directive points to.
func (s source) file(written, name string) (file, shown string) {
	return resolve(s.dir, name), resolve(s.shown, written)
}

// fail records a problem and returns a node that is not reported a second time.
func (l *loader) fail(n *node, p path, format string, args ...any) *node {
	l.errs = append(l.errs, errAt(p, n.pos, format, args...))
	return &node{pos: n.pos, keyPos: n.keyPos, why: "could not be read", reported: true}
}

// transform returns n with variables and includes replaced.
func (l *loader) transform(n *node, p path, src source) *node {
	if l.left--; l.left < 0 {
		if l.left == -1 {
			return l.fail(n, nil, "configuration has more than %d values, counting what it includes", maxNodes)
		}
		return &node{pos: n.pos, keyPos: n.keyPos, reported: true}
	}
	switch n.kind {
	case text:
		return l.text(n, p)
	case list:
		out := &node{kind: list, pos: n.pos, keyPos: n.keyPos, items: make([]*node, 0, len(n.items))}
		for i, item := range n.items {
			// An element that became undefined is dropped, as upstream does.
			if item := l.transform(item, p.at(i), src); item.kind != absent {
				out.items = append(out.items, item)
			}
		}
		return out
	case object:
		for _, word := range [...]string{"$env", "$file", "$include"} {
			if target := n.fields[word]; target != nil {
				return l.directive(n, word, target, p, src)
			}
		}
		out := &node{kind: object, pos: n.pos, keyPos: n.keyPos}
		for _, key := range n.keys {
			out.set(key, l.transform(n.fields[key], p.key(key), src))
		}
		return out
	}
	return n
}

func (l *loader) text(n *node, p path) *node {
	value, vars, undefined, err := substitute(n.value.(string), l.env)
	switch {
	case err != nil:
		return l.fail(n, p, "%w", err)
	case undefined != "":
		return &node{pos: n.pos, keyPos: n.keyPos, why: undefined, vars: vars}
	}
	return &node{kind: text, value: value, pos: n.pos, keyPos: n.keyPos, vars: vars, external: len(vars) > 0}
}

// directive evaluates {$env: NAME}, {$file: path} or {$include: path#a.b}.
func (l *loader) directive(n *node, word string, target *node, p path, src source) *node {
	if len(n.keys) > 1 {
		other := n.keys[slices.IndexFunc(n.keys, func(k string) bool { return k != word })]
		at := &node{pos: n.fields[other].place(), keyPos: n.keyPos}
		return l.fail(at, p, "include key %s should not have adjacent keys, found %q", word, other)
	}
	if target.kind != text || target.value == "" {
		return l.fail(target, p, "%s expects a string, got %s", word, target.describe(hidden(p, target)))
	}
	arg := l.text(target, p)
	arg.keyPos = n.keyPos
	if arg.kind == absent {
		return arg
	}
	name := arg.value.(string)
	if word == "$env" {
		value, ok := l.env(name)
		if !ok {
			// As written: what a ${VAR} stood for is not repeated.
			return &node{pos: target.pos, keyPos: n.keyPos, why: fmt.Sprintf("environment variable %s is not set", target.value), vars: []string{fmt.Sprint(target.value)}}
		}
		return &node{kind: text, value: value, pos: target.pos, keyPos: n.keyPos, vars: []string{name}, external: true}
	}
	if src.noDir != "" {
		return l.fail(target, p, "%s does not work %s", word, src.noDir)
	}
	if word == "$file" {
		file, shown := src.file(target.value.(string), name)
		return l.includeText(file, shown, arg, p)
	}
	return l.includeTree(target.value.(string), name, arg, p, src)
}

// includeText returns the text of a file without its trailing white space.
func (l *loader) includeText(file, shown string, at *node, p path) *node {
	data, err := l.readFile(file)
	if err != nil {
		return l.fail(at, p, "$file %s", fileProblem(shown, err))
	}
	value := strings.TrimRight(string(data), " \t\r\n\v\f")
	abs := absolute(file)
	l.read[abs] = value
	return &node{kind: text, value: value, pos: at.pos, keyPos: at.keyPos, external: true, file: l.texts.of(abs, value)}
}

// includeTree returns the value at the data path of a file, transformed with that
// file's own directory as base.
func (l *loader) includeTree(written, name string, at *node, p path, src source) *node {
	name, dataPath, hasPath := strings.Cut(name, "#")
	written, writtenPath, _ := strings.Cut(written, "#")
	file, shown := src.file(written, name)
	here := link{absolute(file) + "#" + dataPath, shown}
	if len(src.chain) >= maxIncludes || slices.ContainsFunc(src.chain, func(l link) bool { return l.id == here.id }) {
		said := ""
		for _, l := range src.chain {
			said += l.shown + " includes "
		}
		return l.fail(at, p, "$include cycle: %s", said+shown)
	}
	var root *node
	data, err := l.readFile(file)
	if err != nil {
		return l.fail(at, p, "$include %s", fileProblem(shown, err))
	}
	switch filepath.Ext(file) {
	case ".json":
		root, err = parseJSON(shown, data, false)
	case ".yaml", ".yml":
		var errs []error
		root, errs = parseYAML(shown, data)
		err = errors.Join(errs...)
	default:
		return l.fail(at, p, "no configuration parser available for included file %s", shown)
	}
	if err != nil {
		l.errs = append(l.errs, Problems(err)...)
		return &node{pos: at.pos, keyPos: at.keyPos, reported: true}
	}
	if hasPath {
		found, ok := dataAt(root, dataPath)
		if !ok {
			return l.fail(at, p, "$include %s: what leads to %s is not an object", shown, writtenPath)
		}
		if found == nil {
			return &node{pos: at.pos, keyPos: at.keyPos, why: fmt.Sprintf("%s has no key %s", shown, writtenPath)}
		}
		root = found
	}
	if root == nil {
		return &node{pos: at.pos, keyPos: at.keyPos, why: shown + " is empty"}
	}
	inner := source{dir: filepath.Dir(file), shown: filepath.Dir(shown), chain: append(slices.Clone(src.chain), here)}
	out := *l.transform(root, p, inner)
	out.keyPos = at.keyPos
	return &out
}

// dataAt follows a data path of plain keys. The last key may be missing, which makes
// the value undefined; what leads to it must be there.
func dataAt(n *node, dataPath string) (found *node, ok bool) {
	for part := range strings.SplitSeq(dataPath, ".") {
		if n == nil || n.kind != object {
			return nil, false
		}
		n = n.fields[part]
	}
	return n, true
}

// readFile reads a file of bounded size and remembers that the tree depends on it.
func (l *loader) readFile(file string) ([]byte, error) {
	l.watched[absolute(file)] = struct{}{}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.New("is a directory")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err == nil && len(data) > maxFileSize {
		err = fmt.Errorf("is larger than %d MB", maxFileSize>>20)
	}
	return bytes.TrimPrefix(data, []byte("\ufeff")), err
}

// fileProblem says what is wrong with a file in words that an operator uses.
func fileProblem(file string, err error) error {
	var pathErr *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &fileError{file + " does not exist", err}
	case errors.Is(err, fs.ErrPermission):
		return &fileError{file + " cannot be read: permission denied", err}
	case errors.As(err, &pathErr):
		return &fileError{file + ": " + pathErr.Err.Error(), err}
	}
	return &fileError{file + " " + err.Error(), err}
}

// A fileError has its own words and still matches fs.ErrNotExist.
type fileError struct {
	text string
	err  error
}

func (e *fileError) Error() string { return e.text }
func (e *fileError) Unwrap() error { return e.err }

func resolve(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

func absolute(file string) string {
	if abs, err := filepath.Abs(file); err == nil {
		return abs
	}
	return file
}
