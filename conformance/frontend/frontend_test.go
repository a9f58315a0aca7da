package frontend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/internal/testbed"
)

// runEnv asks for this test, which builds the frontend if it is not there.
const runEnv = "CALLBOARD_TEST_FRONTEND"

// notYet are the plugins that the pages ask and that are not part of this repository yet, by a
// path that answers 404 without a body as long as that is so. A plugin that has come is to be
// taken out.
var notYet = map[string]string{}

const (
	token = "a-static-token-for-conformance" // of a service that notifies
	user  = "user:default/guest"
)

// visit is what the browser saw, as testdata/drive.mjs prints it.
type visit struct {
	Steps    []struct{ Name, Error string }
	Requests []struct {
		Step, Method, Path, Type, Failure string
		Status                            int
	}
	Console []struct{ Step, Type, Text, URL string }
	Errors  []struct{ Step, Text string }
	Sockets []struct{ Step, Path string }
}

// TestStockFrontend goes through the pages of a stock frontend: every step shows what it should,
// no request is answered with 404 or 500, and the console has no error.
func TestStockFrontend(t *testing.T) {
	if os.Getenv(runEnv) != "1" {
		t.Skipf("a test of its own: %s=1 go test ./conformance/frontend -v -timeout 30m", runEnv)
	}
	dist := build(t)
	t.Run("at the root", func(t *testing.T) {
		origin := start(t, dist, "")
		for id, path := range notYet {
			if status, body := get(t, origin+path); status != http.StatusNotFound || body != "" {
				t.Errorf("%s is here by now: %s is %d; take it out of notYet", id, path, status)
			}
		}
		judge(t, drive(t, origin, "", []string{
			"sign-in", "catalog", "catalog-filters", "entity", "graph", "api-definition", "star", "notifications", "settings", "nowhere",
		}))
	})
	t.Run("below a path", func(t *testing.T) {
		judge(t, drive(t, start(t, dist, "/portal"), "/portal", []string{"sign-in", "entity", "nowhere"}))
	})
}

// judge holds that what the browser saw is without a fault.
func judge(t *testing.T, v visit) {
	t.Helper()
	for _, s := range v.Steps {
		t.Run(s.Name, func(t *testing.T) {
			if s.Error != "" {
				t.Error(s.Error)
			}
			for _, r := range v.Requests {
				if r.Step != s.Name || later(r.Path) {
					continue
				}
				// A page that goes on to the next one ends what it has not read yet.
				if ended := r.Status == 0 && r.Failure == "net::ERR_ABORTED"; r.Status == 0 && !ended || r.Status >= 400 {
					t.Errorf("%s %s: %d %s", r.Method, r.Path, r.Status, r.Failure)
				}
			}
			for _, m := range v.Console {
				if m.Step == s.Name && m.Type == "error" && !later(m.URL) {
					t.Errorf("the console says %s (%s)", m.Text, m.URL)
				}
			}
			for _, e := range v.Errors {
				if e.Step == s.Name {
					t.Errorf("not caught: %s", e.Text)
				}
			}
		})
	}
	var apis []string
	for _, r := range v.Requests {
		path, _, _ := strings.Cut(r.Path, "?")
		if line := fmt.Sprintf("%s %s %d", r.Method, path, r.Status); strings.HasPrefix(path, "/api/") && !slices.Contains(apis, line) {
			apis = append(apis, line)
		}
	}
	slices.Sort(apis)
	t.Logf("%d requests, to the API:\n%s", len(v.Requests), strings.Join(apis, "\n"))
}

// later reports whether a path belongs to a plugin that is not here yet.
func later(path string) bool {
	rest, ok := strings.CutPrefix(path, "/api/")
	id, _, _ := strings.Cut(rest, "/")
	id, _, _ = strings.Cut(id, "?")
	return ok && notYet[id] != ""
}

// build returns the folder of the built frontend.
func build(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./build.sh")
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		text := log.String()
		t.Fatalf("build.sh: %v\n%s", err, text[max(0, len(text)-4000):])
	}
	return strings.TrimSpace(string(out))
}

// start runs examples/full with the frontend and the sample organisation, and waits until it is ready.
// The frontend is at a path of its address, "" for its root.
func start(t *testing.T, dist, path string) (origin string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "portal")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../examples/full").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	origin = fmt.Sprintf("http://localhost:%d", port)
	abs := func(name string) string {
		p, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	file := filepath.Join(t.TempDir(), "app-config.yaml")
	text := fmt.Sprintf(`
app: {title: Stock frontend, baseUrl: %[7]q, packages: all, bundleDir: %[3]q}
organization: {name: Acme}
backend:
  baseUrl: %[1]q
  listen: 127.0.0.1:%[2]d
  database: {client: better-sqlite3, connection: {directory: %[4]q}}
  auth: {externalAccess: [{type: static, options: {token: %[9]s, subject: conformance}}]}
auth: {providers: {guest: {userEntityRef: %[8]q, dangerouslyAllowOutsideDevelopment: true}}}
permission: {enabled: true}
catalog:
  rules: [{allow: [Component, System, API, Resource, Location, Domain, User, Group, Template]}]
  locations: [{type: file, target: %[5]q}, {type: file, target: %[6]q}]
`, origin, port, dist, t.TempDir(), abs("../../examples/quickstart/org/all.yaml"), abs("testdata/guest.yaml"), origin+path, user, token)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.ArtifactDir(), "portal.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "--config", file)
	cmd.Env = append(os.Environ(), "NODE_ENV=production", "CALLBOARD_EXAMPLE_POLICY=allow-all")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		log.Close()
	})
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		res, err := http.Get(origin + "/.backstage/health/v1/readiness")
		if err != nil {
			continue
		}
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			settle(t, origin)
			return origin
		}
	}
	t.Fatalf("the portal is not ready: see %s", log.Name())
	return ""
}

// settle waits until the catalog has what the steps look at.
func settle(t *testing.T, origin string) {
	t.Helper()
	_, body := get(t, origin+"/api/auth/guest/refresh")
	var session struct {
		BackstageIdentity struct{ Token string }
	}
	if err := json.Unmarshal([]byte(body), &session); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, origin+"/api/catalog/entities/by-name/component/default/checkout-api", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+session.BackstageIdentity.Token)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		// Its relations are there when the others are.
		if err == nil && strings.Count(string(body), `"targetRef":"`) >= 6 {
			return
		}
	}
	t.Fatal("the catalog does not have component:default/checkout-api with its relations")
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// drive lets Chromium go through the pages. Its pictures are artifacts of the test.
func drive(t *testing.T, origin, path string, steps []string) visit {
	t.Helper()
	find := func(tool string) string {
		dir, err := testbed.Find(tool)
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	settings, err := json.Marshal(map[string]any{
		"chromium": filepath.Join(find("chromium"), "chromium"), "origin": origin, "base": origin + path, "steps": steps, "user": user, "token": token, "shots": t.ArtifactDir(),
		"api": "invoicing-rest", "operation": "/customers/{customerId}/invoices",
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "testdata/drive.mjs", find("sign-in"), string(settings))
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("drive.mjs: %v\n%s", err, log.String())
	}
	var v visit
	if err := json.Unmarshal(out, &v); err != nil {
		t.Fatalf("%v: %.1000s", err, out)
	}
	t.Logf("pictures are in %s", t.ArtifactDir())
	return v
}
