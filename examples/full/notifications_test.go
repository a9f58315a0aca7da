package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/callboard-dev/callboard/internal/wiretest"
)

// TestStockNotificationClients drives the stock clients of notifications and signals: those
// that browsers have, and those of plugins elsewhere.
func TestStockNotificationClients(t *testing.T) {
	dirs := map[string]string{}
	for env, tool := range map[string]string{"NOTIFICATIONS": "notifications-client", "NOTIFICATIONS_NODE": "notifications-node", "SIGNALS": "signals-client", "SIGNALS_NODE": "signals-node", "ERRORS": "catalog-clients"} {
		dirs[env] = needs(t, tool)
	}
	dirs["ERRORS"] = filepath.Join(dirs["ERRORS"], "node_modules", "@backstage", "errors")
	databases(t, func(t *testing.T, database string) {
		p := launch(t, write(t, "app-config.yaml", fmt.Sprintf(`
backend:
  baseUrl: http://localhost:7007
  listen: 127.0.0.1:0
  auth: {externalAccess: [{type: static, options: {token: %s, subject: test}}]}
auth: {providers: {guest: {dangerouslyAllowOutsideDevelopment: true}}}
`, wiretest.StaticToken)), write(t, "database.yaml", database))
		p.ready(t)
		// Node has WebSockets by default from version 22 on.
		cmd := exec.CommandContext(t.Context(), "node", "--experimental-websocket", "testdata/notification-clients.cjs")
		cmd.Env = append(os.Environ(), "BASE="+p.url, "TOKEN="+wiretest.StaticToken)
		for env, dir := range dirs {
			cmd.Env = append(cmd.Env, env+"="+dir)
		}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("node: %v\n%s%s", err, stderr.Bytes(), out)
		}
		cases := 0
		for d := json.NewDecoder(bytes.NewReader(out)); ; cases++ {
			var result struct{ Name, Error string }
			if err := d.Decode(&result); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%v in %s", err, out)
			}
			t.Run(result.Name, func(t *testing.T) {
				if result.Error != "" {
					t.Error(result.Error)
				}
			})
		}
		if cases != 6 {
			t.Errorf("%d cases, want 6", cases)
		}
	})
}
