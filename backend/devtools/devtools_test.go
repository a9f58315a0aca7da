package devtools_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/app"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/devtools"
)

const alice = "user:default/alice"

// get asks the plugin as a user; an empty user is nobody.
func get(t *testing.T, b *backendtest.Backend, user, path string) (int, string) {
	t.Helper()
	c := http.DefaultClient
	if user != "" {
		c = b.As(user)
	}
	res, err := c.Get(b.URL + "/api/devtools" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func TestInfo(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "backstage.json"), []byte(`{"version":"1.55.0"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	b := backendtest.Start(t, "", devtools.Plugin())
	ask := func() map[string]any {
		_, text := get(t, b, alice, "/info")
		var doc map[string]any
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err, text)
		}
		return doc
	}
	before := ask()
	for key, pattern := range map[string]string{
		"operatingSystem":     `^\S+: .+ - \w+/\w+$`,
		"resourceUtilization": `^Memory: \d+(/\d+)?MB`,
		"nodeJsVersion":       `^go1\.\d+`,
		"backstageVersion":    `^N/A$`,
	} {
		if s, _ := before[key].(string); !regexp.MustCompile(pattern).MatchString(s) {
			t.Errorf("%s is %q, want %s", key, s, pattern)
		}
	}
	// The binaries of tests know the module that they are of, and no other.
	if deps := fmt.Sprint(before["dependencies"]); !strings.Contains(deps, "map[name:github.com/callboard-dev/callboard versions:") {
		t.Errorf("dependencies: %.300v", deps)
	}
	t.Chdir(dir)
	if got := ask()["backstageVersion"]; got != "1.55.0" {
		t.Errorf("with backstage.json the version is %v", got)
	}
}

// section is one of a plugin whose secrets cannot be told by their names.
type section struct {
	Plain  string            `config:"plain"`
	Opaque config.Secret     `config:"opaque"`
	List   []config.Secret   `config:"list"`
	ByName map[string]inside `config:"byName"`
}

type inside struct {
	Hidden config.Secret `config:"hidden"`
	Shown  string        `config:"shown"`
}

func TestConfig(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, `
app: {title: Portal}
costs:
  plain: shown
  opaque: canary-1
  list: [canary-2, canary-3]
  byName: {a: {hidden: canary-4, shown: also shown}}
  later: 'x-canary-4-y'
unknown:
  clientSecret: canary-5
  number: 7
  flag: true
  nothing: null
  address: 'https://user:canary-6@example.com/'
  signed: 'https://example.com/?X-Amz-Signature=canary-7'
  headers: {Authorization: Bearer canary-8}
`, devtools.Plugin(), backend.NewPlugin("costs", backend.Section("costs", section{}), fx.Invoke(func(section) {})))
	status, text := get(t, b, alice, "/config")
	if status != http.StatusOK || strings.Contains(text, "canary") {
		t.Fatalf("%d %s", status, text)
	}
	var doc struct{ Config map[string]json.RawMessage }
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"app":     `{"title":"Portal"}`,
		"costs":   `{"byName":{"a":{"hidden":"<secret>","shown":"also shown"}},"later":"<secret>","list":["<secret>","<secret>"],"opaque":"<secret>","plain":"shown"}`,
		"unknown": `{"address":"<secret>","clientSecret":"<secret>","flag":true,"headers":{"Authorization":"<secret>"},"number":7,"signed":"<secret>"}`,
	} {
		if got := string(doc.Config[key]); got != want {
			t.Errorf("%s is\n%s\nwant\n%s", key, got, want)
		}
	}
}

// What the frontend's packages declare as secrets counts, too.
func TestConfigOfTheFrontend(t *testing.T) {
	t.Parallel()
	bundle := fstest.MapFS{
		"index.html": {Data: []byte("<html><head></head></html>")}, "static/a.js": {Data: []byte("a")},
		".config-schema.json": {Data: []byte(`{"backstageConfigSchemaVersion":1,"schemas":[{"path":"a","value":{"type":"object","properties":{"acme":{"type":"object","properties":{
			"opaque":{"type":"string","visibility":"secret"},"deep":{"type":"object","deepVisibility":"secret"}}}}}}]}`)},
	}
	b := backendtest.Start(t, "acme: {opaque: canary-1, deep: {a: [canary-2]}, plain: shown, other: 'x canary-1'}", devtools.Plugin(), app.Plugin(), app.Bundle(bundle))
	_, text := get(t, b, alice, "/config")
	if !strings.Contains(text, `"acme":{"deep":"<secret>","opaque":"<secret>","other":"<secret>","plain":"shown"}`) {
		t.Errorf("%s", text)
	}
}

// TestSEC19_ViewShowsNoSecret makes trees at random, in which secrets are hidden in every
// way in which a configuration can have one.
func TestSEC19_ViewShowsNoSecret(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 19))
		n := 0
		canary := func() string {
			n++
			return fmt.Sprintf("canary-%d-%d", seed, n)
		}
		typed := map[string]any{"opaque": canary(), "list": []any{canary(), canary()}, "byName": map[string]any{"x.y": map[string]any{"hidden": canary()}}}
		var tree func(depth int) any
		tree = func(depth int) any {
			out := map[string]any{}
			for range 1 + r.IntN(4) {
				key := fmt.Sprintf("k%d", r.IntN(100))
				switch r.IntN(9) {
				case 0:
					out["some"+[]string{"Token", "Password", "Secret"}[r.IntN(3)]] = canary()
				case 1:
					out[key] = "https://user:" + canary() + "@host.example/path"
				case 2:
					out["headers"] = map[string]any{"Authorization": "Bearer " + canary()}
				case 3: // what is a secret elsewhere, in the middle of a text
					out[key] = "see " + typed["opaque"].(string) + " there"
				case 4:
					out["secret"] = []any{canary(), canary()}
				case 5:
					out[key] = []any{tree(min(depth+1, 4)), r.IntN(9), true}
				case 6:
					out["credentials"] = map[string]any{"token": canary()}
				default:
					if depth < 4 {
						out[key] = tree(depth + 1)
					}
				}
			}
			return out
		}
		text, err := json.Marshal(map[string]any{"costs": typed, "other": tree(0)})
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Parse("app-config.yaml", text)
		if err != nil {
			t.Fatal(err)
		}
		var s section
		if err := cfg.Decode("costs", &s); err != nil {
			t.Fatal(err)
		}
		view, err := json.Marshal(devtools.View(cfg))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(view), "canary") {
			t.Fatalf("seed %d: of\n%s\nis shown\n%s", seed, text, view)
		}
	}
}

func TestExternalDependencies(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a redirect to a host that nobody named is followed")
	}))
	t.Cleanup(elsewhere.Close)
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.Method != http.MethodGet {
			t.Errorf("%s with %v", r.Method, r.Header)
		}
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/away":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		case "/down":
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(files.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + closed.Addr().String()
	closed.Close()
	b := backendtest.Start(t, strings.NewReplacer("FILES", files.URL, "NOBODY", nobody).Replace(`
devTools:
  externalDependencies:
    endpoints:
      - {name: ok, type: fetch, target: 'FILES/ok?token=abcdefgh'}
      - {name: moved, type: fetch, target: 'FILES/moved'}
      - {name: away, type: fetch, target: 'FILES/away'}
      - {name: down, type: fetch, target: 'FILES/down'}
      - {name: nobody, type: fetch, target: 'NOBODY/?signature=abcdefgh'}
      - {name: unknown, type: ping, target: host.invalid}
`), devtools.Plugin())
	_, text := get(t, b, alice, "/external-dependencies")
	var list []struct{ Name, Type, Target, Status, Error string }
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) != 6 {
		t.Fatal(err, text)
	}
	for i, want := range []struct{ name, status, err string }{
		{"ok", "Healthy", ""},
		{"moved", "Healthy", ""},
		{"away", "Unhealthy", "not allowed by backend.reading.allow"},
		{"down", "Unhealthy", "503 Service Unavailable"},
		{"nobody", "Unhealthy", "could not read"},
		{"unknown", "Unhealthy", "look up host.invalid"},
	} {
		if got := list[i]; got.Name != want.name || got.Status != want.status || !strings.Contains(got.Error, want.err) || (want.err == "") != (got.Error == "") {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if strings.Contains(text, "abcdefgh") {
		t.Errorf("credentials of addresses are shown: %s", text)
	}
}

// A ping is an echo request of this process, or the word on what keeps it from sending one.
func TestPing(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "devTools: {externalDependencies: {endpoints: [{name: self, type: ping, target: 127.0.0.1}]}}", devtools.Plugin())
	_, text := get(t, b, alice, "/external-dependencies")
	if !strings.Contains(text, `"status":"Healthy"`) && !strings.Contains(text, "net.ipv4.ping_group_range") {
		t.Error(text)
	}
}

// What an endpoint names reaches no shell, no option of a program and no other protocol.
func TestTargetsAreChecked(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ kind, target, want string }{
		{"ping", "-f", "devTools.externalDependencies.endpoints[0].target: is neither the name nor the address of a host"},
		{"ping", "example.com; rm -rf /", "is neither"},
		{"ping", "$(reboot)", "is neither"},
		{"ping", "http://example.com", "is neither"},
		{"ping", "example.com\n-c 1", "is neither"},
		{"fetch", "file:///etc/passwd", "is no URL with http or https"},
		{"fetch", "example.com", "is no URL with http or https"},
		{"fetch", "https://user:password@example.com", "has credentials"},
		{"tcp", "example.com", "type"},
	} {
		yaml := fmt.Sprintf("devTools: {externalDependencies: {endpoints: [{name: x, type: %s, target: %q}]}}", tt.kind, tt.target)
		if _, err := backendtest.Boot(t, yaml, devtools.Plugin()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %q: %v, want %s", tt.kind, tt.target, err, tt.want)
		}
	}
	for _, target := range []string{"example.com", "a-b_c.example.com.", "10.0.0.1", "::1", "fe80::1"} {
		e := devtools.Endpoint{Name: "x", Type: "ping", Target: target}
		if err := e.Validate(); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
}
