package backend_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/internal/testbed/logtest"
)

// TestReload holds that a new version of the configuration is taken over whole or not at
// all: one that would not have booted changes nothing, and least of all who gets in.
func TestReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	portal := func(level, rules string, more ...string) {
		t.Helper()
		write("app-config.yaml", base+strings.Join(more, "")+fmt.Sprintf(`
  logger: {level: %s}
  auth: {externalAccess: [{type: static, options: {subject: ci, token: {$file: token.txt}}}]}
catalog: {rules: %s}
`, level, rules))
	}
	write("token.txt", "first-token\n")
	portal("info", "[{allow: [Component]}]")

	log := &logtest.Buffer{}
	signals := make(chan os.Signal, 1)
	b := backend.New()
	b.Add(catalogPlugin(), backend.NewPlugin("costs", fx.Invoke(func(r backend.Router) { r.Handle("GET /ok", hello) })))
	ended := make(chan int, 1)
	go func() {
		ended <- b.RunMainTo(log, []string{"--config", filepath.Join(dir, "app-config.yaml")}, signals)
	}()
	waitFor := func(text string, times int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); strings.Count(log.String(), text) < times; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the log does not say %q %d times:\n%s", text, times, log)
			}
		}
	}
	admits := func(token string, want bool) {
		t.Helper()
		req, err := http.NewRequest("GET", "http://"+b.Addr().String()+"/api/costs/ok", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if (res.StatusCode == 200) != want {
			t.Errorf("token %q is answered %d", token, res.StatusCode)
		}
	}
	waitFor("Listening on", 1)
	admits("first-token", true)

	const refused, reloaded = "is not valid, the one before it stays in force", "configuration reloaded"
	for i, token := range []string{"short", "with space"} {
		write("token.txt", token+"\n")
		waitFor(refused, i+1)
		waitFor("must have at least 8 characters and no spaces", i+1)
		admits("first-token", true)
		admits(token, false)
	}
	portal("loud", "[{allow: [Component]}]") // the good part of a bad version is not taken over either
	waitFor(refused, 3)
	write("token.txt", "second-token\n")
	waitFor(refused, 4)
	waitFor("backend.logger.level: unknown log level", 2)
	admits("first-token", true)
	admits("second-token", false)
	portal("info", "Component")
	waitFor("catalog.rules: expected a list", 1)
	admits("second-token", false)
	for text, want := range map[string]string{
		"  workingDirectory: /nowhere\n":                    "backend.workingDirectory: ",
		"  https: {certificate: {cert: none, key: none}}\n": "backend.https.certificate: ",
	} {
		portal("info", "[]", text)
		waitFor(want, 1)
	}
	admits("second-token", false)
	if strings.Contains(log.String(), reloaded) {
		t.Errorf("a refused version counts as reloaded:\n%s", log)
	}
	portal("info", "[{allow: [API]}]")
	waitFor(reloaded, 1)
	admits("second-token", true)
	admits("first-token", false)

	signals <- syscall.SIGTERM
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d:\n%s", code, log)
	}
}
