package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/callboard-dev/callboard/backend/config"
)

const canary = "cAnArY-4711-value"

func TestSecretDoesNotShow(t *testing.T) {
	t.Parallel()
	s := config.NewSecret(canary)
	type holder struct {
		S   config.Secret
		P   *config.Secret
		M   map[string]config.Secret
		Any any
	}
	h := holder{s, &s, map[string]config.Secret{"k": s}, s}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%20s", "%-5v"} {
		fmt.Fprintf(&out, verb+"\n"+verb+"\n", s, h)
	}
	for _, v := range []any{s, h, &h, []config.Secret{s}} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "s", s, "h", h, "p", &s)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "s", s, "h", h, slog.Group("g", "s", s))
	b, _ := s.MarshalText()
	fmt.Fprintln(&out, s, string(b), fmt.Errorf("with %v and %w", s, fmt.Errorf("%s", s)))
	if got := out.String(); strings.Contains(got, canary) || strings.Contains(got, fmt.Sprintf("%x", canary)) || !strings.Contains(got, "***") {
		t.Errorf("the secret shows:\n%s", got)
	}
	if s.Reveal() != canary || s.IsZero() || !(config.Secret{}).IsZero() {
		t.Error("Reveal does not return the value")
	}
}

func TestSecretsForRedaction(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("c.yaml", []byte(`
backend:
  baseUrl: http://visible.example.com
  auth:
    keys: [{secret: key-secret}]
    externalAccess: [{type: static, options: {token: static-token, subject: visible-subject}}]
  database: {client: pg, connection: {host: visible-host, user: visible-user, password: db-password, ssl: {key: ssl-key, ca: visible-ca}}}
  cache: {store: redis, connection: 'redis://u:cache%2Fpass@h:6379'}
  https: {certificate: {key: cert-key, cert: visible-cert}}
integrations:
  github: [{host: visible.example.com, token: gh-token, apps: [{appId: 1, privateKey: pem-key, clientSecret: app-secret, webhookSecret: hook-secret}]}]
  awsS3: [{secretAccessKey: aws-secret, accessKeyId: visible-id}]
  bitbucketServer: [{appPassword: app-password}]
proxy: {endpoints: {/x: {target: 'https://user:proxy-pass@h', headers: {Authorization: Bearer abc, X-Api-Key: api-key, X-Other: visible-header}}}}
techdocs: {publisher: {googleGcs: {credentials: '{"json": "gcs"}'}, awsS3: {credentials: {accessKeyId: creds-id}}}}
custom: {pin: my-pin, number: 123456789}
`))
	if err != nil {
		t.Fatal(err)
	}
	var custom struct {
		Pin config.Secret `config:"pin"`
	}
	if err := cfg.Decode("custom", &custom); err != nil {
		t.Fatal(err)
	}
	type n struct {
		Number string `config:"number" visibility:"secret"`
	}
	got := cfg.Secrets(config.SchemaOf("custom", n{}))
	want := []string{
		"123456789", "Bearer abc", "api-key", "app-password", "app-secret", "aws-secret", "cache%2Fpass", "cache/pass", "cert-key", "creds-id",
		"db-password", "gh-token", "hook-secret", "key-secret", "my-pin", "pem-key", "proxy-pass", "redis://u:cache%2Fpass@h:6379", "ssl-key",
		"static-token", `{"json": "gcs"}`,
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("secrets are\n%q, want\n%q", got, want)
	}
}

func TestRedactor(t *testing.T) {
	t.Parallel()
	pem := "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nshort\n-----END KEY-----"
	r := config.NewRedactor("hunter2!", "hunter2!longer", "tiny", `with"quote`, "a b&c/d", pem)
	for in, want := range map[string]string{
		"nothing here":                      "nothing here",
		"x hunter2! y":                      "x *** y",
		"hunter2!longerhunter2!":            "******",
		"tiny words stay":                   "tiny words stay",
		`{"m":"with\"quote"}`:               `{"m":"***"}`,
		"?q=a+b%26c%2Fd":                    "?q=***",
		"/a%20b&c%2Fd":                      "/***",
		"line MIIEvQIBADANBgkqhkiG9w0BAQ":   "line ***",
		strings.ReplaceAll(pem, "\n", `\n`): "***",
		"":                                  "",
		"h":                                 "h",
	} {
		if got := r.Redact(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	if n := r.Add("hunter2!", "brand-new", "tiny"); n != 1 {
		t.Errorf("%d secrets are new, want 1", n)
	}
	var buf bytes.Buffer
	n, err := r.Writer(&buf).Write([]byte("a brand-new day\n"))
	if n != 16 || err != nil || buf.String() != "a *** day\n" {
		t.Errorf("wrote %d bytes, %v: %q", n, err, &buf)
	}
	var none *config.Redactor
	if none.Redact("x") != "x" {
		t.Error("a nil Redactor changes text")
	}
}

func TestRedactorIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	r := config.NewRedactor()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 50 {
				s := fmt.Sprintf("secret-%d-%d", i, j)
				r.Add(s)
				if got := r.Redact("<" + s + ">"); got != "<***>" {
					t.Errorf("got %s", got)
				}
			}
		})
	}
	wg.Wait()
}

// Not parallel: it counts allocations.
func TestRedactorDoesNotAllocateWithoutSecrets(t *testing.T) {
	r := config.NewRedactor("hunter2!", canary)
	line := strings.Repeat(`{"level":"info","msg":"request","status":200}`, 10)
	if allocs := testing.AllocsPerRun(100, func() { r.Redact(line) }); allocs != 0 {
		t.Errorf("redacting text without secrets allocates %v times", allocs)
	}
}
