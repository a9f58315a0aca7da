package openapicatalog

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// Bounds of one definition, with all that it refers to.
const (
	maxFiles = 200
	maxNodes = 500_000
	maxDepth = 500
)

// A bundler makes one document of a definition and the files that it refers to. What is
// referred to first is put in the place of the reference; later references, also those
// from within, lead to that place.
type bundler struct {
	// read returns a file, by its path from the descriptor or its URL.
	read func(ctx context.Context, ref string) ([]byte, error)
	// keep says which places of the result have to stay references.
	keep  func(root *yaml.Node, place string) bool
	root  string
	files map[string]*yaml.Node // by name
	place map[string]string     // of what is there already: name#pointer to pointer in the result
	nodes int
}

func newBundler(read func(context.Context, string) ([]byte, error), keep func(*yaml.Node, string) bool) *bundler {
	return &bundler{read: read, keep: keep, files: map[string]*yaml.Node{}, place: map[string]string{}}
}

// bundle returns the document that ref names, as YAML. A document that refers to no other
// file is returned as it is.
func (b *bundler) bundle(ctx context.Context, ref string) (string, error) {
	content, err := b.read(ctx, ref)
	if err != nil {
		return "", err
	}
	root, err := parse(ref, content)
	if err != nil {
		return "", err
	}
	b.root, b.files[ref] = ref, root
	changed, err := b.walk(ctx, ref, root, "#", 0)
	if err != nil {
		return "", err
	}
	if !changed {
		return string(content), nil
	}
	out, err := yaml.Marshal(root)
	return string(out), err
}

// parse reads a file of one document, within the limits that descriptors have.
func parse(name string, content []byte) (*yaml.Node, error) {
	if _, err := entity.ParseValue(path.Base(name), content, entity.Limits{}); err != nil {
		return nil, apierr.Input.Wrap(err, "%s cannot be bundled", name)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		return nil, apierr.Input.Wrap(err, "%s cannot be bundled", name)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, apierr.Input.New("%s cannot be bundled: expected a document, found nothing", name)
	}
	return doc.Content[0], nil
}

// walk replaces the references in a value, which has the given place in the result.
func (b *bundler) walk(ctx context.Context, from string, node *yaml.Node, place string, depth int) (changed bool, err error) {
	if b.nodes++; b.nodes > maxNodes || depth > maxDepth {
		return false, apierr.Input.New("%s has too many values, or too many levels of them, with all that it refers to", from)
	}
	switch node.Kind {
	case yaml.MappingNode:
		if ref, ok := reference(node); ok {
			return b.resolve(ctx, from, node, ref, place, depth)
		}
		for i := 0; i+1 < len(node.Content); i += 2 {
			one, err := b.walk(ctx, from, node.Content[i+1], place+"/"+escape(node.Content[i].Value), depth+1)
			if changed = changed || one; err != nil {
				return changed, err
			}
		}
	case yaml.SequenceNode:
		for i, item := range node.Content {
			one, err := b.walk(ctx, from, item, place+"/"+strconv.Itoa(i), depth+1)
			if changed = changed || one; err != nil {
				return changed, err
			}
		}
	case yaml.AliasNode:
		*node = *clone(node.Alias) // what it stands for may be in several places
		return b.walk(ctx, from, node, place, depth+1)
	}
	return changed, nil
}

// reference is the target of {$ref: target}.
func reference(node *yaml.Node) (string, bool) {
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == "$ref" && node.Content[i+1].Kind == yaml.ScalarNode {
			return node.Content[i+1].Value, true
		}
	}
	return "", false
}

// resolve puts what a reference means in its place.
func (b *bundler) resolve(ctx context.Context, from string, node *yaml.Node, ref, place string, depth int) (bool, error) {
	name, pointer, _ := strings.Cut(ref, "#")
	file, err := join(from, name)
	switch {
	case err != nil:
		return false, err
	case file == b.root: // the definition's own values stay where they are
		if name != "" || from != b.root {
			set(node, "#"+pointer)
		}
		return name != "", nil
	case b.keep(b.files[b.root], place):
		return false, nil
	}
	id := file + "#" + pointer
	if first, ok := b.place[id]; ok {
		if first == place {
			return false, apierr.Input.New("%s refers to itself", id)
		}
		set(node, first)
		return true, nil
	}
	root, err := b.file(ctx, file)
	if err != nil {
		return false, fmt.Errorf("%s refers to %s: %w", from, ref, err)
	}
	target, err := lookup(root, pointer)
	if err != nil {
		return false, apierr.Input.New("%s refers to %s: %s", from, ref, err.Error())
	}
	beside := besideRef(node)
	*node = *clone(target)
	if len(beside) == 0 {
		b.place[id] = place
	} else {
		extend(node, beside)
	}
	_, err = b.walk(ctx, file, node, place, depth+1)
	return true, err
}

// besideRef are the members beside $ref, which OpenAPI 3.1 lets override what is
// referred to.
func besideRef(node *yaml.Node) (members []*yaml.Node) {
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value != "$ref" {
			members = append(members, node.Content[i], node.Content[i+1])
		}
	}
	return members
}

func extend(node *yaml.Node, members []*yaml.Node) {
	if node.Kind != yaml.MappingNode {
		return
	}
next:
	for i := 0; i+1 < len(members); i += 2 {
		for j := 0; j+1 < len(node.Content); j += 2 {
			if node.Content[j].Value == members[i].Value {
				node.Content[j+1] = members[i+1]
				continue next
			}
		}
		node.Content = append(node.Content, members[i], members[i+1])
	}
}

func (b *bundler) file(ctx context.Context, name string) (*yaml.Node, error) {
	if root, ok := b.files[name]; ok {
		return root, nil
	}
	if len(b.files) >= maxFiles {
		return nil, apierr.Input.New("the definition is made of more than %d files", maxFiles)
	}
	content, err := b.read(ctx, name)
	if err != nil {
		return nil, err
	}
	root, err := parse(name, content)
	if err == nil {
		b.files[name] = root
	}
	return root, err
}

// join resolves a reference against the file that it is in.
func join(file, ref string) (string, error) {
	if ref == "" {
		return file, nil
	}
	if u, err := url.Parse(ref); err == nil && u.IsAbs() {
		return ref, nil
	}
	if base, err := url.Parse(file); err == nil && base.IsAbs() {
		to, err := base.Parse(ref)
		if err != nil {
			return "", apierr.Input.New("%s refers to %q, which is no path", file, ref)
		}
		return to.String(), nil
	}
	if strings.HasPrefix(ref, "/") {
		return ref, nil
	}
	joined := path.Join(path.Dir(file), ref)
	if !strings.HasPrefix(joined, "/") && !strings.HasPrefix(joined, ".") {
		joined = "./" + joined
	}
	return joined, nil
}

// lookup finds what a JSON pointer names.
func lookup(root *yaml.Node, pointer string) (*yaml.Node, error) {
	node := root
	if pointer == "" || pointer == "/" {
		return node, nil
	}
	text, err := url.PathUnescape(pointer)
	if err != nil {
		return nil, fmt.Errorf("%q is no pointer", pointer)
	}
next:
	for key := range strings.SplitSeq(strings.TrimPrefix(text, "/"), "/") {
		key = strings.NewReplacer("~1", "/", "~0", "~").Replace(key)
		for node.Kind == yaml.AliasNode {
			node = node.Alias
		}
		switch node.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(node.Content); i += 2 {
				if node.Content[i].Value == key {
					node = node.Content[i+1]
					continue next
				}
			}
		case yaml.SequenceNode:
			if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(node.Content) {
				node = node.Content[i]
				continue next
			}
		}
		return nil, fmt.Errorf("there is no %s", pointer)
	}
	return node, nil
}

// set makes a reference one to a place of the result; what is beside it stays.
func set(node *yaml.Node, place string) {
	beside := besideRef(node)
	*node = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: append([]*yaml.Node{
		{Kind: yaml.ScalarNode, Tag: "!!str", Value: "$ref"}, {Kind: yaml.ScalarNode, Tag: "!!str", Value: place, Style: yaml.SingleQuotedStyle},
	}, beside...)}
}

func clone(node *yaml.Node) *yaml.Node {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	out := *node
	out.Anchor = ""
	out.Content = make([]*yaml.Node, len(node.Content))
	for i, c := range node.Content {
		out.Content[i] = clone(c)
	}
	return &out
}

func escape(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }
