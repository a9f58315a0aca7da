package backend_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
)

// TestMain_BootErrors holds what the command line prints for mistakes in files.
func TestMain_BootErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		files map[string]string
		args  []string
		code  int
	}{
		{name: "mistake-in-the-second-file", files: map[string]string{
			"app-config.yaml":            base + "catalog: {rules: [{allow: [Component]}]}\n",
			"app-config.production.yaml": "# production\ncatalog:\n  rules: [{allow: API}]\n",
		}, args: []string{"--config", "app-config.yaml", "--config", "app-config.production.yaml"}, code: 1},
		{name: "wrong-type-through-a-file", files: map[string]string{
			"app-config.yaml": base + "catalog:\n  rules: {$file: rules.txt}\n",
			"rules.txt":       "Component\n",
		}, args: []string{"--config", "app-config.yaml"}, code: 1},
		{name: "missing-included-file", files: map[string]string{
			"app-config.yaml": base + "techdocs:\n  publisher: {awsS3: {bucketName: {$file: bucket.txt}}}\n",
		}, args: []string{"--config", "app-config.yaml"}, code: 1},
		{name: "no-such-config-file", args: []string{"--config", "nowhere/app-config.yaml"}, code: 1},
		{name: "production-without-a-database", files: map[string]string{
			"app-config.yaml": "backend: {baseUrl: 'http://localhost:7007', listen: '127.0.0.1:0'}\n",
		}, args: []string{"--config", "app-config.yaml"}, code: 1},
		{name: "database-not-reachable", files: map[string]string{
			"app-config.yaml": `
backend:
  baseUrl: http://localhost:7007
  listen: 127.0.0.1:0
  database:
    client: pg
    connection: {host: 127.0.0.1, port: 1, user: callboard, password: canary-7f3a}
`,
		}, args: []string{"--config", "app-config.yaml"}, code: 1},
		{name: "check-lists-everything", files: map[string]string{
			"app-config.yaml": base + "catalog:\n  rulez: []\n  rules: [{allow: Component}]\n",
		}, args: []string{"--config", "app-config.yaml", "--check"}, code: 1},
		{name: "check-warns-of-unknown-keys", files: map[string]string{
			"app-config.yaml": base + "catalog:\n  rulez: []\n",
		}, args: []string{"--config", "app-config.yaml", "--check"}, code: 0},
		{name: "mistakes-of-core-and-plugins", files: map[string]string{
			"app-config.yaml": `
backend:
  baseUrl: http://localhost:7007
  listen: [7007]
  database: {client: mysql2}
  cors: {origin: 5}
  logger: {level: loud, overrides: [{matchers: {plugin: '/(/'}, level: silent}]}
  startup: {plugins: {catalog: {onPluginBootFailure: maybe}}}
discovery: {endpoints: [{target: 'ftp://catalog.internal', plugins: [catalog]}]}
integrations: {github: [{host: ghe.acme.example}]}
catalog: {rules: [{allow: Component}]}
`}, args: []string{"--config", "app-config.yaml"}, code: 1},
		{name: "check-reads-certificates-and-keys", files: map[string]string{
			"app-config.yaml": base + `
  https: {certificate: {cert: {$file: tls.crt}, key: {$file: tls.crt}}}
  workingDirectory: nowhere
  auth: {pluginKeyStore: {type: static, static: {keys: [{keyId: a, publicKeyFile: nowhere.pub, privateKeyFile: nowhere.key}]}}}
`, "tls.crt": "canary\n",
		}, args: []string{"--config", "app-config.yaml", "--check"}, code: 1},
		{name: "check-finds-what-constructors-would", files: map[string]string{
			"app-config.yaml": `
backend:
  baseUrl: portal.example.com
  listen: {port: http}
  server: {maxHeadersCount: -1}
  cors: {origin: "https://[", optionsSuccessStatus: 404}
  database:
    client: pg
    pluginDivisionMode: tables
    role: 7
    knexConfig: {pool: {max: 0}}
    connection: {host: db.example.com}
    plugin: {catalog: {connection: {port: 99999}}}
  rateLimit: {incomingRequestLimit: 0, window: 0s}
integrations:
  github: [{host: "ghe example"}]
  azure: [{credentials: [{clientId: a}]}]
  gitlab: [{retry: {maxRetries: 11, maxApiRequestsPerMinute: -1}}]
  googleGcs: {clientEmail: a@example.com}
`}, args: []string{"--config", "app-config.yaml", "--check"}, code: 1},
		{name: "unset-variables", files: map[string]string{
			"app-config.yaml": `
backend:
  baseUrl: http://localhost:7007
  database: {client: pg, connection: "${DATABASE_URL}"}
  auth: {externalAccess: [{type: static, options: {subject: ci, token: "${CI_TOKEN}"}}]}
  cache: {store: redis, connection: "${REDIS_URL}"}
integrations:
  github: [{host: ghe.example.com, apiBaseUrl: "${GHE_API}"}]
`}, args: []string{"--config", "app-config.yaml"}, code: 1},
		{name: "unreadable-file-and-composition", files: map[string]string{
			"app-config.yaml": "backend: {baseUrl: [\n",
		}, args: []string{"--config", "app-config.yaml"}, code: 1},
		{name: "check-warns-of-unknown-core-keys", files: map[string]string{
			"app-config.yaml": base + `
  baseURL: x
  cors: {orgin: "https://portal.example.com"}
  logger: {levle: debug}
  startup: {plugins: {catlog: {onPluginBootFailure: continue}, techdocs: {modules: {s3: {}}}}}
integrations: {githb: [], github: [{host: github.com, tokn: x}], gitlab: [{host: gitlab.com, token: "${GITLAB_TOKEN}"}]}
auth: {keyStre: {}, keyStore: {provider: memory}}
scaffolder: {whatever: 1}
`}, args: []string{"--config", "app-config.yaml", "--check"}, code: 0},
		{name: "store-without-its-module", files: map[string]string{
			"app-config.yaml": base + "  rateLimit: {store: {type: redis, connection: 'redis://127.0.0.1'}}\n  cache: {store: redis, connection: 'redis://127.0.0.1'}\n",
		}, args: []string{"--config", "app-config.yaml"}, code: 1},
		{name: "unknown-flag", args: []string{"--port", "80"}, code: 2},
		{name: "help", args: []string{"--help"}, code: 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, text := range tt.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			args := append([]string(nil), tt.args...)
			for i, a := range args {
				if strings.HasSuffix(a, ".yaml") {
					args[i] = filepath.Join(dir, a)
				}
			}
			b := backend.New()
			b.Add(catalogPlugin(), docsPlugin(), migratedPlugin())
			var out bytes.Buffer
			code := b.RunMain(args, make(chan os.Signal), &out, &out)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if strings.Contains(out.String(), "canary") {
				t.Error("the output holds a password")
			}
			golden(t, "main-"+tt.name, strings.ReplaceAll(out.String(), dir+string(filepath.Separator), ""))
		})
	}
}

// TestMain_StopsInOrder runs a backend from its start to the end of a signal.
func TestMain_StopsInOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "app-config.yaml")
	if err := os.WriteFile(file, []byte(base), 0o644); err != nil {
		t.Fatal(err)
	}
	signals := make(chan os.Signal, 2)
	var events []string
	b := backend.New()
	b.Add(backend.NewPlugin("costs", fx.Invoke(func(lc fx.Lifecycle, r backend.Router, bg *backend.Background) {
		r.Handle("GET /prices", func(w http.ResponseWriter, r *http.Request) error { return nil })
		lc.Append(fx.StartStopHook(
			func() { events = append(events, "started"); signals <- syscall.SIGTERM },
			func() { events = append(events, "stopped") },
		))
	})))
	if code := b.RunMain([]string{"--config", file}, signals, io.Discard, io.Discard); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	if got := strings.Join(events, " "); got != "started stopped" {
		t.Errorf("hooks ran as %q", got)
	}
}
