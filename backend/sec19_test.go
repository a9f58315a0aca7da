package backend_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

// canary is in the value of every key that the contract calls secret.
const canary = "canary-4c1d9e7b"

// secretConfig sets every secret key of contract/backend.md section 4, once right and,
// where broken is set, beside a mistake, so that errors about its neighbours are shown.
func secretConfig(broken bool) string {
	port, window := "5432", "1m"
	if broken {
		port, window = "not-a-port", "one minuts"
	}
	return `
backend:
  baseUrl: http://localhost:7007
  listen: 127.0.0.1:0
  rateLimit: {window: '` + window + `'}
  https: {certificate: {cert: x, key: ` + canary + `-key}}
  database:
    client: pg
    connection: {host: 127.0.0.1, port: ` + port + `, user: callboard, password: ` + canary + `-pg}
    plugin: {costs: {connection: "postgres://callboard:` + canary + `-url@127.0.0.1:1/costs"}}
  cache: {store: redis, connection: "redis://:` + canary + `-redis@127.0.0.1:1"}
  auth:
    keys: [{secret: ` + canary + `-legacy}]
    externalAccess:
      - {type: static, options: {token: ` + canary + `-static, subject: x}}
      - {type: legacy, options: {secret: ` + canary + `-shared, subject: x}}
integrations:
  github:
    - host: github.com
      token: ` + canary + `-github
      apps: [{appId: 1, clientId: c, clientSecret: ` + canary + `-app, privateKey: ` + canary + `-private, webhookSecret: ` + canary + `-webhook}]
  gitlab: [{host: gitlab.com, token: ` + canary + `-gitlab}]
  bitbucketServer: [{host: bitbucket.acme.example, apiBaseUrl: 'https://bitbucket.acme.example/rest/api/1.0', username: u, password: ` + canary + `-bitbucket}]
  awsS3: [{accessKeyId: a, secretAccessKey: ` + canary + `-aws}]
proxy:
  endpoints:
    /x: {target: http://localhost:1, headers: {Authorization: 'Bearer ` + canary + `-proxy', X-Api-Key: ` + canary + `-api}}
events: {modules: {github: {webhookSecret: ` + canary + `-events}}}
techdocs: {publisher: {awsS3: {bucketName: docs, secretAccessKey: ` + canary + `-docs, credentials: {secretAccessKey: ` + canary + `-docs2}}}}
auth: {session: {secret: ` + canary + `-session}, providers: {oidc: {development: {clientId: c, clientSecret: ` + canary + `-oidc}}}}
`
}

// TestSEC19_NoSecretInBootErrorsAndCheck holds that neither --check nor a failed start
// prints a secret, with a mistake beside each of them and without.
func TestSEC19_NoSecretInBootErrorsAndCheck(t *testing.T) {
	t.Parallel()
	for _, broken := range []bool{false, true} {
		for _, args := range [][]string{{"--check"}, nil} {
			file := filepath.Join(t.TempDir(), "app-config.yaml")
			if err := os.WriteFile(file, []byte(secretConfig(broken)), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, log bytes.Buffer
			b := backend.New(backend.WithLogger(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
			b.Add(catalogPlugin(), docsPlugin(), docsModule(), migratedPlugin())
			if code := b.RunMain(append([]string{"--config", file}, args...), make(chan os.Signal), &out, &out); code == 0 && broken {
				t.Error("a broken configuration is accepted")
			}
			for name, text := range map[string]string{"output": out.String(), "log": log.String()} {
				if strings.Contains(text, canary) {
					t.Errorf("broken=%v %v: the %s holds a secret:\n%s", broken, args, name, text)
				}
			}
		}
	}
}

// TestSEC19_NoSecretInLogs holds that a plugin that logs a secret of the configuration,
// in whatever way, logs three stars: plain, quoted, in an error, and after a rotation.
func TestSEC19_NoSecretInLogs(t *testing.T) {
	t.Parallel()
	for _, production := range []bool{true, false} {
		dir := t.TempDir()
		file, secret := filepath.Join(dir, "app-config.yaml"), filepath.Join(dir, "secret.txt")
		for name, text := range map[string]string{
			file:   base + "techdocs: {publisher: {awsS3: {bucketName: docs, secretAccessKey: {$file: secret.txt}}}}\n",
			secret: `with "quotes" ` + canary + "\n",
		} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var out bytes.Buffer
		signals := make(chan os.Signal, 1)
		opts := []backend.Option{}
		if !production {
			opts = append(opts, backend.Development())
		}
		b := backend.New(opts...)
		b.Add(docsPlugin(), backend.NewModule("techdocs", "leaky", backend.Section("techdocs.publisher.awsS3", docsConfig{}),
			fx.Invoke(func(c docsConfig, log *slog.Logger, lc fx.Lifecycle, w *config.Watcher) {
				lc.Append(fx.StartHook(func(ctx context.Context) error {
					log.Info("the key is "+c.Key.Reveal(), "key", c.Key.Reveal(), "config", c)
					if err := os.WriteFile(secret, []byte("rotated-"+canary+"\n"), 0o600); err != nil {
						return err
					}
					if _, err := w.Reload(ctx); err != nil {
						return err
					}
					log.Error("rotated", "key", c.Key.Reveal(), "rotated", strings.Contains(c.Key.Reveal(), "rotated"))
					signals <- syscall.SIGTERM
					return nil
				}))
			})))
		if code := b.RunMainTo(&out, []string{"--config", file}, signals); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, out.String())
		}
		if strings.Contains(out.String(), canary) {
			t.Errorf("production=%v: the log holds a secret:\n%s", production, out.String())
		}
		for _, want := range []string{"***", "rotated"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("production=%v: the log has no %q:\n%s", production, want, out.String())
			}
		}
	}
}
