package devtools_test

import (
	"encoding/json"
	"fmt"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/devtools"
)

// The configuration as administrators see it: secrets are known by their names here, and
// wherever else they stand.
func ExampleView() {
	cfg, err := config.Parse("app-config.yaml", []byte(`
pagerduty:
  url: https://events.example.com
  token: t-0123456789
  webhook: https://hooks.example.com/t-0123456789
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := json.Marshal(devtools.View(cfg)["pagerduty"])
	fmt.Println(string(text), err)
	// Output: {"token":"\u003csecret\u003e","url":"https://events.example.com","webhook":"\u003csecret\u003e"} <nil>
}
