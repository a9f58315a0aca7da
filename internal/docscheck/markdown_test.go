package docscheck

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	page := Parse(strings.Join([]string{
		"# Title: with `code`!",
		"A [link](a.md) and ![image](b.png \"title\"), [`code`](c.go), not `[this](d.md)`.",
		"```go",
		"# not a heading, [not a link](e.md)",
		"```",
		"## Same",
		"## Same",
		"````md",
		"```sh",
		"```",
		"````",
		"## [Linked](f.md) heading",
		"```sh extra words",
		"never closed",
	}, "\n"))
	var targets []string
	for _, l := range page.Links {
		targets = append(targets, l.Target)
	}
	if want := []string{"a.md", "b.png", "c.go", "f.md"}; !slices.Equal(targets, want) {
		t.Errorf("links %q, want %q", targets, want)
	}
	if got, want := slices.Sorted(maps.Keys(page.Anchors)), []string{"linked-heading", "same", "same-1", "title-with-code"}; !slices.Equal(got, want) {
		t.Errorf("anchors %q, want %q", got, want)
	}
	want := []Block{
		{"go", 3, "# not a heading, [not a link](e.md)\n"},
		{"md", 8, "```sh\n```\n"},
		{"sh", 13, "never closed\n"},
	}
	if !slices.Equal(page.Blocks, want) {
		t.Errorf("blocks %+v, want %+v", page.Blocks, want)
	}
}

// A document is somebody's input too: no text makes the parser fail.
func FuzzParse(f *testing.F) {
	f.Add("# A\n[b](c#d)\n```go\nx\n```\n")
	f.Add("````\n```\n")
	f.Add("]()](")
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Count(text, "\n") + 1
		for _, b := range Parse(text).Blocks {
			if b.Line < 1 || b.Line > lines {
				t.Errorf("a block at line %d of %d", b.Line, lines)
			}
		}
	})
}
