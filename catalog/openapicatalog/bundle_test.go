package openapicatalog

import (
	"context"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// bundled is what files become, and which were read.
func bundled(files map[string]string, root string, keep func(*yaml.Node, string) bool) (string, []string, error) {
	var read []string
	b := newBundler(func(_ context.Context, ref string) ([]byte, error) {
		read = append(read, ref)
		content, ok := files[ref]
		if !ok {
			return nil, apierr.NotFound.New("%s: no such file", ref)
		}
		return []byte(content), nil
	}, keep)
	got, err := b.bundle(context.Background(), root)
	return got, read, err
}

func nothing(*yaml.Node, string) bool { return false }

func TestBundle(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		files map[string]string
		root  string
		want  string // as YAML; empty: an error
		wrong string // in the error
	}{
		{name: "nothing to do", files: map[string]string{"./a.yaml": "b: {$ref: '#/c'}\nc:   1 # kept\n"}, want: "b: {$ref: '#/c'}\nc:   1 # kept\n"},
		{name: "a whole file", files: map[string]string{"./a.yaml": "b: {$ref: ./b.yaml}\n", "./b.yaml": "x: 1\n"}, want: "b: {x: 1}"},
		{name: "a part of a file", files: map[string]string{"./a.yaml": "b: {$ref: 'b.yaml#/p/q~1r'}\n", "./b.yaml": "p: {q/r: [1]}\n"}, want: "b: [1]"},
		{name: "JSON", files: map[string]string{"./a.yaml": "b: {$ref: b.json}\n", "./b.json": `{"x": [1, "2"]}`}, want: `b: {x: [1, "2"]}`},
		{name: "relative to each other", files: map[string]string{"./a.yaml": "b: {$ref: d/b.yaml}\n", "./d/b.yaml": "c: {$ref: ../e/c.yaml}\n", "./e/c.yaml": "x: 1\n"}, want: "b: {c: {x: 1}}"},
		{name: "twice", files: map[string]string{"./a.yaml": "b: {$ref: b.yaml}\nc: [{$ref: ./b.yaml}]\n", "./b.yaml": "x: 1\n"}, want: "b: {x: 1}\nc: [{$ref: '#/b'}]"},
		{name: "within another file", files: map[string]string{"./a.yaml": "b: {$ref: 'b.yaml#/p'}\n", "./b.yaml": "p: {q: {$ref: '#/r'}}\nr: {x: 1}\n"}, want: "b: {q: {x: 1}}"},
		{name: "a circle", files: map[string]string{"./a.yaml": "b: {$ref: 'b.yaml#/node'}\n", "./b.yaml": "node: {next: {$ref: '#/node'}}\n"}, want: "b: {next: {$ref: '#/b'}}"},
		{name: "back to the definition", files: map[string]string{"./a.yaml": "b: {$ref: b.yaml}\nc: 1\n", "./b.yaml": "x: {$ref: 'a.yaml#/c'}\n"}, want: "b: {x: {$ref: '#/c'}}\nc: 1"},
		{name: "the definition by its name", files: map[string]string{"./a.yaml": "b: {$ref: './a.yaml#/c'}\nc: 1\n"}, want: "b: {$ref: '#/c'}\nc: 1"},
		{name: "members beside the reference", files: map[string]string{"./a.yaml": "b: {$ref: b.yaml, description: own, more: 2}\n", "./b.yaml": "x: 1\ndescription: theirs\n"}, want: "b: {x: 1, description: own, more: 2}"},
		{name: "keys with slashes", files: map[string]string{"./a.yaml": "paths: {/pets: {$ref: b.yaml}}\nagain: {$ref: b.yaml}\n", "./b.yaml": "x: 1\n"}, want: "paths: {/pets: {x: 1}}\nagain: {$ref: '#/paths/~1pets'}"},
		{name: "aliases", files: map[string]string{"./a.yaml": "b: &b {$ref: b.yaml}\nc: *b\n", "./b.yaml": "x: 1\n"}, want: "b: {x: 1}\nc: {x: 1}"},
		{name: "members beside a later reference", files: map[string]string{"./a.yaml": "b: {$ref: b.yaml}\nc: {$ref: b.yaml, more: 1}\n", "./b.yaml": "x: 1\n"}, want: "b: {x: 1}\nc: {$ref: '#/b', more: 1}"},
		{name: "another host", files: map[string]string{"https://e.example/d/a.yaml": "b: {$ref: ../b.yaml}\n", "https://e.example/b.yaml": "x: 1\n"}, root: "https://e.example/d/a.yaml", want: "b: {x: 1}"},
		{name: "a file that is not there", files: map[string]string{"./a.yaml": "b: {$ref: b.yaml}\n"}, wrong: "./a.yaml refers to b.yaml: ./b.yaml: no such file"},
		{name: "a part that is not there", files: map[string]string{"./a.yaml": "b: {$ref: 'b.yaml#/p/q'}\n", "./b.yaml": "p: 1\n"}, wrong: "there is no /p/q"},
		{name: "a file that is no YAML", files: map[string]string{"./a.yaml": "b: {$ref: b.yaml}\n", "./b.yaml": "x: [\n"}, wrong: "./b.yaml cannot be bundled"},
		{name: "a reference that is its own meaning", files: map[string]string{"./a.yaml": "b: {$ref: b.yaml}\n", "./b.yaml": "$ref: b.yaml\n"}, wrong: "refers to itself"},
		{name: "nothing", files: map[string]string{"./a.yaml": ""}, wrong: "./a.yaml cannot be bundled"},
	} {
		root := tt.root
		if root == "" {
			root = "./a.yaml"
		}
		got, _, err := bundled(tt.files, root, nothing)
		switch {
		case tt.wrong != "":
			if err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.wrong)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case !same(t, got, tt.want):
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
}

// same compares documents by their values, and by the order of their keys.
func same(t *testing.T, a, b string) bool {
	flat := func(s string) string {
		var n yaml.Node
		if err := yaml.Unmarshal([]byte(s), &n); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		var walk func(*yaml.Node)
		walk = func(n *yaml.Node) {
			out.WriteString("(" + n.Value)
			for _, c := range n.Content {
				walk(c)
			}
			out.WriteString(")")
		}
		walk(&n)
		return out.String()
	}
	return flat(a) == flat(b)
}

// TestBundle_IsBounded: what refers to much, or to itself in growing ways, ends.
func TestBundle_IsBounded(t *testing.T) {
	t.Parallel()
	many := map[string]string{"./a.yaml": "list:\n"}
	for i := range maxFiles + 5 {
		name := "f" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + strings.Repeat("y", i/26) + ".yaml"
		many["./a.yaml"] += "  - {$ref: " + name + "}\n"
		many["./"+name] = "x: 1\n"
	}
	if _, read, err := bundled(many, "./a.yaml", nothing); err == nil || !strings.Contains(err.Error(), "more than 200 files") || len(read) > maxFiles {
		t.Errorf("%d files were read: %v", len(read), err)
	}
	deep := map[string]string{"./a.yaml": "x: {$ref: 'b.yaml#/a', more: 1}\n", "./b.yaml": "a: {n: {$ref: '#/a', more: 1}}\n"}
	if _, _, err := bundled(deep, "./a.yaml", nothing); err == nil {
		t.Error("a reference that is extended without an end is bundled")
	}
}

func FuzzBundle(f *testing.F) {
	f.Add("b: {$ref: b.yaml}", "x: {$ref: '#/y'}\ny: {$ref: a.yaml}")
	f.Add("a: &a [*a]", "")
	f.Add("b: {$ref: 'b.yaml#/%zz'}", "$ref: './b.yaml#/'")
	f.Fuzz(func(t *testing.T, a, b string) {
		got, _, err := bundled(map[string]string{"./a.yaml": a, "./b.yaml": b}, "./a.yaml", nothing)
		if err == nil && yaml.Unmarshal([]byte(got), new(any)) != nil && yaml.Unmarshal([]byte(a), new(any)) == nil {
			t.Errorf("%q and %q become %q", a, b, got)
		}
	})
}
