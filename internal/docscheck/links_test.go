package docscheck

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestEveryRelativeLinkLeadsSomewhere(t *testing.T) {
	pages := documents(t)
	for name, page := range pages {
		for _, link := range page.Links {
			if strings.Contains(link.Target, "://") || strings.HasPrefix(link.Target, "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(link.Target, "#")
			target := name
			if file != "" {
				target = path.Join(path.Dir(name), file)
			}
			if strings.HasPrefix(target, "../") || strings.HasPrefix(file, "/") {
				t.Errorf("%s:%d: the link to %s leaves the repository", name, link.Line, link.Target)
				continue
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s:%d: the link to %s leads nowhere", name, link.Line, link.Target)
				continue
			}
			if to, ok := pages[target]; anchor != "" && ok && !to.Anchors[anchor] {
				t.Errorf("%s:%d: %s has no heading #%s", name, link.Line, target, anchor)
			}
		}
	}
}

func TestTheIndexListsEveryPage(t *testing.T) {
	pages := documents(t)
	listed := indexed(pages)
	for name := range pages {
		if strings.HasPrefix(name, "docs/") && name != "docs/README.md" && !listed[name] {
			t.Errorf("docs/README.md does not list %s", name)
		}
	}
}

// indexed are the pages that docs/README.md links to.
func indexed(pages map[string]Page) map[string]bool {
	listed := map[string]bool{}
	for _, link := range pages["docs/README.md"].Links {
		listed[path.Join("docs", link.Target)] = true
	}
	return listed
}

func TestDecisionsAreNumberedAndComplete(t *testing.T) {
	pages := documents(t)
	number := regexp.MustCompile(`^docs/adr/(\d{4})-[a-z0-9-]+\.md$`)
	seen := map[string]string{}
	for name, page := range pages {
		if path.Dir(name) != "docs/adr" {
			continue
		}
		m := number.FindStringSubmatch(name)
		if m == nil {
			t.Errorf("%s is not named like 0001-what-was-decided.md", name)
			continue
		}
		if other := seen[m[1]]; other != "" {
			t.Errorf("%s has the number of %s", name, other)
		}
		seen[m[1]] = name
		if !strings.HasPrefix(read(t, name), "# "+m[1]+": ") {
			t.Errorf("%s does not begin with its number and title", name)
		}
		for _, section := range []string{"context", "decision", "consequences", "what-would-change-our-mind"} {
			if !page.Anchors[section] {
				t.Errorf("%s has no section %q", name, strings.ReplaceAll(section, "-", " "))
			}
		}
	}
	if len(seen) == 0 {
		t.Error("docs/adr is empty")
	}
}

// An example that a document names runs as a test somewhere in the repository.
func TestEveryExampleThatIsNamedExists(t *testing.T) {
	declared := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Example\w*)\(\)`)
	for _, name := range files(t) {
		if strings.HasSuffix(name, "_test.go") {
			for _, m := range function.FindAllStringSubmatch(read(t, name), -1) {
				declared[m[1]] = true
			}
		}
	}
	mention := regexp.MustCompile("`(Example[A-Z]\\w*)`")
	named := 0
	for name := range documents(t) {
		for _, m := range mention.FindAllStringSubmatch(read(t, name), -1) {
			named++
			if !declared[m[1]] {
				t.Errorf("%s names %s, which is in no test file", name, m[1])
			}
		}
	}
	if named == 0 {
		t.Error("no document names an example: this test does not see them")
	}
}
