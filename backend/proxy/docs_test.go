package proxy_test

import (
	"os"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/proxy"
)

// TestDocumentedConfiguration: a backend starts with each configuration of docs/proxy.md, and the
// options that the page calls refused are.
func TestDocumentedConfiguration(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/proxy.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```yaml\n")[1:]
	if len(blocks) < 4 {
		t.Fatalf("%d blocks", len(blocks))
	}
	for _, block := range blocks {
		yaml, _, _ := strings.Cut(block, "```")
		backendtest.Start(t, yaml, proxy.Plugin())
	}
	_, table, _ := strings.Cut(string(page), "## Options of upstream")
	refused := 0
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		names, what, _ := strings.Cut(strings.Trim(line, "|\n "), " | ")
		for name := range strings.SplitSeq(names, ", ") {
			name = strings.Trim(name, "` ")
			if strings.HasPrefix(what, "accepted") {
				if name != "reviveConsumedRequestBodies" { // it stands beside endpoints
					backendtest.Start(t, "proxy: {endpoints: {/x: {target: 'http://h', "+name+": x}}}", proxy.Plugin())
				}
				continue
			}
			refused++
			if _, err := backendtest.Boot(t, "proxy: {endpoints: {/x: {target: 'http://h', "+name+": x}}}", proxy.Plugin()); err == nil || !strings.Contains(err.Error(), name+": is not supported") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if refused < 10 {
		t.Errorf("the page lists %d options that are refused", refused)
	}
}
