// Package docscheck keeps the documentation true: links lead somewhere, Go code
// compiles or is quoted from code that does, commands name things that exist, security
// tests are listed by name, and nothing that was committed tells on the machine that it
// was written on.
package docscheck

import (
	"fmt"
	"regexp"
	"strings"
)

// A Block is a fenced block of code.
type Block struct {
	Lang string // the word after the fence
	Line int    // of the opening fence, from 1
	Text string
}

// A Link is a link or an image in running text.
type Link struct {
	Line   int
	Target string
}

// A Page is what the checks need to know of a Markdown file.
type Page struct {
	Blocks  []Block
	Links   []Link
	Anchors map[string]bool // what #fragments can name
}

var (
	linkTarget = regexp.MustCompile(`\]\(([^()\s]+(?:\([^()\s]*\))?)(?:\s+"[^"]*")?\)`)
	inlineCode = regexp.MustCompile("`[^`]*`")
	heading    = regexp.MustCompile(`^#{1,6}\s+(.*?)\s*#*$`)
	notInSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	linkText   = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// Parse reads the parts of Markdown that this repository's documents use: fences of
// backticks at the start of a line, links in one line, and headings with "#".
func Parse(text string) Page {
	page := Page{Anchors: map[string]bool{}}
	var open *Block
	fence := ""
	for i, line := range strings.Split(text, "\n") {
		switch ticks := leadingTicks(line); {
		case open != nil && ticks != "" && ticks == strings.TrimRight(line, " ") && len(ticks) >= len(fence):
			page.Blocks = append(page.Blocks, *open)
			open = nil
		case open != nil:
			open.Text += line + "\n"
		case len(ticks) >= 3:
			lang, _, _ := strings.Cut(strings.TrimSpace(line[len(ticks):]), " ")
			open, fence = &Block{Lang: lang, Line: i + 1}, ticks
		default:
			if h := heading.FindStringSubmatch(line); h != nil {
				page.addAnchor(h[1])
			}
			for _, m := range linkTarget.FindAllStringSubmatch(hideCode(line), -1) {
				page.Links = append(page.Links, Link{i + 1, m[1]})
			}
		}
	}
	if open != nil {
		page.Blocks = append(page.Blocks, *open)
	}
	return page
}

func leadingTicks(line string) string {
	return line[:len(line)-len(strings.TrimLeft(line, "`"))]
}

// hideCode blanks inline code, but not the text of a link: [`doc.go`](doc.go) is one.
func hideCode(line string) string {
	return inlineCode.ReplaceAllStringFunc(line, func(code string) string {
		return strings.Repeat("x", len(code))
	})
}

// addAnchor adds the name that GitHub gives a heading; the second heading of the same
// text gets -1, and so on.
func (p *Page) addAnchor(title string) {
	title = linkText.ReplaceAllString(title, "$1")
	slug := strings.ReplaceAll(notInSlug.ReplaceAllString(strings.ToLower(title), ""), " ", "-")
	name := slug
	for n := 1; p.Anchors[name]; n++ {
		name = fmt.Sprintf("%s-%d", slug, n)
	}
	p.Anchors[name] = true
}
