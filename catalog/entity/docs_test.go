package entity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The examples of docs/entity-model.md are valid, or say exactly what they are said
// to; its tables name the kinds and fields of the rules.
func TestDocsSayWhatTheRulesDo(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "entity-model.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	m := NewModel(ModelOptions{})
	check := func(text string) string {
		var out []string
		for doc, err := range ParseDocuments("catalog-info.yaml", []byte(text), Limits{}) {
			if err == nil {
				err = doc.Err(m.Validate(doc.Entity))
			}
			if err != nil {
				out = append(out, err.Error())
			}
		}
		return strings.Join(out, "\n")
	}
	examples := 0
	for _, block := range strings.Split(page, "\n```yaml")[1:] {
		examples++
		info, rest, _ := strings.Cut(block, "\n")
		body, after, _ := strings.Cut(rest, "\n```\n")
		want := ""
		if strings.TrimSpace(info) == "invalid" {
			_, after, _ = strings.Cut(after, "```text\n")
			want, _, _ = strings.Cut(after, "\n```")
		}
		if got := check(body); got != want {
			t.Errorf("example %d:\n got %s\nwant %s", examples, got, want)
		}
	}
	if examples != 2 {
		t.Errorf("%d examples", examples)
	}
	for _, kind := range builtinKinds() {
		_, row, _ := strings.Cut(page, "\n| "+kind.kind+" | ")
		row, _, _ = strings.Cut(row, "\n")
		needs, may, _ := strings.Cut(row, "|")
		for _, member := range kind.spec.members {
			if in := map[bool]string{true: needs, false: may}[member.required]; !strings.Contains(in, "`"+member.name+"`") {
				t.Errorf("%s: the page does not say that %s is required: %v", kind.kind, member.name, member.required)
			}
		}
		for _, f := range kind.relations {
			if !strings.Contains(page, "`"+f.forward+"` | `"+f.reverse+"` |") {
				t.Errorf("%s.%s: %s and %s are not on the page", kind.kind, f.field, f.forward, f.reverse)
			}
		}
	}
}
