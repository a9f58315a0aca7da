package inject

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/config"
)

// nasty is text that could end the element or the string that it is in.
const nasty = `</script><!-- "'\ ]]> /*__INJECTED_END__*/` + "\u2028\n"

func sources() []config.VisibleSource {
	return []config.VisibleSource{{Context: "app", DeprecatedKeys: []config.DeprecatedKey{}, Data: map[string]any{"app": map[string]any{"title": nasty}}}}
}

func TestPage(t *testing.T) {
	t.Parallel()
	page, err := Page([]byte("<head>\n</head><body></body>"), sources())
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?s)^<head>\n<script type="backstage.io/config">\n(.*)\n</script>\n</head><body></body>$`).FindSubmatch(page)
	if m == nil || strings.Contains(string(m[1]), "<") {
		t.Fatalf("the page is %s", page)
	}
	var got []config.VisibleSource
	if err := json.Unmarshal(m[1], &got); err != nil || got[0].Data["app"].(map[string]any)["title"] != nasty {
		t.Errorf("%v: %v", err, got)
	}
	if !strings.HasPrefix(string(m[1]), "[\n  {\n    \"context\": \"app\",\n    \"deprecatedKeys\": [],") {
		t.Errorf("not as the contract prints it: %s", m[1])
	}
	if _, err := Page([]byte("<body>"), nil); err == nil || !strings.Contains(err.Error(), "no </head>") {
		t.Errorf("a page without a head: %v", err)
	}
}

func TestScript(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		`a("__APP_INJECTED_RUNTIME_CONFIG__")`,
		`a(/*__APP_INJECTED_CONFIG_MARKER__*/"[{\"context\":\"old\"}]"/*__INJECTED_END__*/)`,
	} {
		if !Marked([]byte(in)) {
			t.Errorf("%s is not marked", in)
		}
		got, err := Script([]byte(in), sources())
		if err != nil {
			t.Fatal(err)
		}
		text, ok := strings.CutPrefix(string(got), `a(/*__APP_INJECTED_CONFIG_MARKER__*/"`)
		text, ok2 := strings.CutSuffix(text, `"/*__INJECTED_END__*/)`)
		if !ok || !ok2 {
			t.Fatalf("%s became %s", in, got)
		}
		// What the engine makes of the string.
		text = regexp.MustCompile(`\\(.)`).ReplaceAllString(text, "$1")
		var back []config.VisibleSource
		if err := json.Unmarshal([]byte(text), &back); err != nil || back[0].Data["app"].(map[string]any)["title"] != nasty {
			t.Errorf("%v: %s", err, text)
		}
	}
	if Marked([]byte("x")) {
		t.Error("an ordinary script is marked")
	}
}
