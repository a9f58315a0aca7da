package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/devtools"
	"github.com/callboard-dev/callboard/internal/testbed/logtest"
)

// canary is a part of every secret of these tests.
const canary = "canary-4c1d9e7b"

// contractSecrets are those of contract/backend.md section 4 that belong to plugins which
// are not part of this backend yet, or are texts in sections of other types.
var contractSecrets = []string{
	"backend.cache.connection",
	"proxy.endpoints.<name>.headers.Authorization",
	"proxy.endpoints.<name>.headers.X-Api-Key",
	"techdocs.publisher.awsS3.credentials.secretAccessKey",
	"techdocs.publisher.googleGcs.credentials",
	"auth.session.secret",
	"backend.secretKeys",
	"auth.providers.oidc.development.clientSecret",
}

// secretKeys is every key of this backend that is a secret.
func secretKeys() (secrets, others []config.Key) {
	for _, k := range portal().Reference() {
		if k.Type == "secret" || k.Type == "list of secret" {
			secrets = append(secrets, k)
		} else {
			others = append(others, k)
		}
	}
	for _, path := range contractSecrets {
		secrets = append(secrets, config.Key{Path: path})
	}
	return secrets, others
}

// set puts a value into a tree at the path of a key of the reference, in which lists have
// one element and maps one name. Where the tree has a text on the way it stays.
func set(tree map[string]any, path string, value any) {
	steps := strings.Split(path, ".")
	at := tree
	for i, step := range steps {
		name, isList := strings.CutSuffix(step, "[]")
		if name == "<name>" {
			name = "x"
		}
		if i == len(steps)-1 && !isList {
			if _, ok := at[name]; !ok {
				at[name] = value
			}
			return
		}
		if at[name] == nil && isList {
			at[name] = []any{map[string]any{}}
		} else if at[name] == nil {
			at[name] = map[string]any{}
		}
		next := at[name]
		if list, ok := next.([]any); ok {
			next = list[0]
		}
		inner, ok := next.(map[string]any)
		if !ok {
			return
		}
		at = inner
	}
}

// TestSEC19_EverySecretKey holds that no secret shows in what --check says, in the error of
// a start, or in the log at its most talkative, for every key that is a secret: with
// nothing but the secrets, and with a mistake in every other key.
func TestSEC19_EverySecretKey(t *testing.T) {
	secrets, others := secretKeys()
	if len(secrets) < 50 {
		t.Fatalf("only %d keys are secrets", len(secrets))
	}
	for _, mistakes := range []bool{false, true} {
		t.Run(fmt.Sprintf("mistakes: %v", mistakes), func(t *testing.T) {
			tree := map[string]any{}
			for i, k := range secrets {
				set(tree, k.Path, fmt.Sprintf("%s-%d", canary, i))
			}
			if mistakes {
				for _, k := range others {
					set(tree, k.Path, "a mistake")
				}
			}
			text, err := json.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			for i, k := range secrets {
				if found := strings.Count(string(text), fmt.Sprintf(`"%s-%d"`, canary, i)); found != 1 && k.Path != "backend.cache.connection.url" && k.Path != "backend.cache.connection" {
					t.Errorf("%s is %d times in the configuration", k.Path, found)
				}
			}
			shows(t, string(text), func(b *backend.Backend, _ *logtest.Buffer) string {
				said := fmt.Sprint(b.Check(), b.Warnings())
				err := b.Start(t.Context())
				if err == nil {
					t.Error("started with secrets that cannot be right")
					_ = b.Stop(context.Background())
				}
				return said + fmt.Sprint(err)
			})
		})
	}
}

// TestSEC19_ConfigurationViewOfEverySecretKey holds that no secret shows in the
// configuration that devtools shows, for every key that is a secret of any feature.
func TestSEC19_ConfigurationViewOfEverySecretKey(t *testing.T) {
	tree := map[string]any{}
	secrets, _ := secretKeys()
	for i, k := range secrets {
		set(tree, k.Path, fmt.Sprintf("%s-%d", canary, i))
	}
	set(tree, "app.title", "the title")
	text, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("app-config.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	// It decodes every section; that many values are wrong does not matter here.
	_ = portal(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler)).Check()
	view, err := json.Marshal(devtools.View(cfg))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(view), canary) || strings.Count(string(view), "secret\\u003e") < len(secrets)-5 || !strings.Contains(string(view), "the title") {
		t.Errorf("%d secrets are shown as %s", len(secrets), view)
	}
}

// TestSEC19_SecretsInUse holds the same for a backend that runs, and whose locations have
// credentials in their addresses.
func TestSEC19_SecretsInUse(t *testing.T) {
	const text = `
backend:
  baseUrl: http://localhost:7007
  listen: 127.0.0.1:0
  database: {client: better-sqlite3, connection: ':memory:'}
  reading: {allow: [{host: '127.0.0.1:1'}]}
  auth: {externalAccess: [{type: static, options: {subject: ci, token: ` + canary + `-static}}]}
integrations:
  github: [{host: '127.0.0.1:1', apiBaseUrl: 'http://127.0.0.1:1/api', token: ` + canary + `-github}]
  gitlab: [{host: 'localhost:1', baseUrl: 'http://localhost:1', token: ` + canary + `-gitlab}]
  gitea: [{host: 'gitea.localhost:1', baseUrl: 'http://gitea.localhost:1', username: u, password: ` + canary + `-gitea}]
catalog:
  locations:
    - {type: url, target: 'http://127.0.0.1:1/a.yaml?private_token=` + canary + `-query'}
    - {type: url, target: 'http://127.0.0.1:1/o/r/blob/main/a.yaml'}
    - {type: url, target: 'http://localhost:1/o/r/-/blob/main/a.yaml'}
    - {type: url, target: 'http://user:` + canary + `-userinfo@127.0.0.1:1/a.yaml'}
`
	shows(t, text, func(b *backend.Backend, log *logtest.Buffer) string {
		if err := b.Start(t.Context()); err != nil {
			return err.Error()
		}
		body := fmt.Sprintf(`{"type":"url","target":"http://localhost:1/o/r/-/blob/main/b.yaml?x=1&X-Amz-Signature=%s-registered"}`, canary)
		req, err := http.NewRequest("POST", "http://"+b.Addr().String()+"/api/catalog/locations?token="+canary+"-of-the-request", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+canary+"-static")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode == http.StatusUnauthorized {
			t.Error("the token is not accepted")
		}
		for end := time.Now().Add(time.Minute); strings.Count(log.String(), "processing an entity failed") < 4; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not all four locations have failed:\n%s", log)
			}
		}
		_ = b.Stop(context.Background())
		return ""
	})
}

// shows fails if the canary is in what use returns, or in the log.
func shows(t *testing.T, configuration string, use func(b *backend.Backend, log *logtest.Buffer) string) {
	t.Helper()
	t.Setenv("LOG_LEVEL", "debug")
	log := &logtest.Buffer{}
	said := use(portal(
		backend.WithConfigFiles(write(t, "app-config.yaml", configuration)),
		backend.WithLogger(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	), log)
	for name, text := range map[string]string{"output": said, "log": log.String()} {
		for line := range strings.Lines(text) {
			if strings.Contains(line, canary) {
				t.Errorf("the %s holds a secret: %s", name, line)
			}
		}
	}
}
