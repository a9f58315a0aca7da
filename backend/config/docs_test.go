package config_test

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

var docPair = regexp.MustCompile("(?s)```yaml\n(.*?)```\n```json\n(.*?)```")

// TestDocumentedExamples runs every pair of blocks of docs/configuration.md.
func TestDocumentedExamples(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	pairs := docPair.FindAllStringSubmatch(string(doc), -1)
	if len(pairs) != strings.Count(string(doc), "```yaml") || len(pairs) < 5 {
		t.Fatalf("%d pairs of blocks", len(pairs))
	}
	for _, pair := range pairs {
		files := map[string]string{"token.txt": "s3cret\n", "teams.yaml": "{core: {size: 5}}"}
		env := []string{"HOST=example.com", "EMPTY="}
		var names []string
		for i, text := range strings.Split(pair[1], "---\n") {
			name := string(rune('a'+i)) + ".yaml"
			files[name] = text
			names = append(names, name)
			for line := range strings.Lines(text) {
				if variable, ok := strings.CutPrefix(strings.TrimSpace(line), "# APP_CONFIG_"); ok {
					env = append(env, "APP_CONFIG_"+variable)
				}
			}
		}
		cfg := load(t, write(t, files), names, env...)
		var got, want any
		if err := json.Unmarshal([]byte(pair[2]), &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(asJSON(t, cfg.Value(""))), &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s\nbecomes %v, documented is %v", pair[1], got, want)
		}
	}
}
