package events_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/events"
	"github.com/callboard-dev/callboard/backend/events/azuredevopsevents"
	"github.com/callboard-dev/callboard/backend/events/bitbucketcloudevents"
	"github.com/callboard-dev/callboard/backend/events/bitbucketserverevents"
	"github.com/callboard-dev/callboard/backend/events/gerritevents"
	"github.com/callboard-dev/callboard/backend/events/githubevents"
	"github.com/callboard-dev/callboard/backend/events/gitlabevents"
)

func sign(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

const forges = `
events:
  modules:
    github: {webhookSecret: hub-secret}
    gitlab: {webhookSecret: lab-secret}
    bitbucketCloud: {webhookSecret: cloud-secret}
    bitbucketServer: {webhookSecret: server-secret}
  http: {topics: [github, azureDevOps, gerrit]}
`

// apps is two GitHub Apps with secrets of their own.
func apps(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	app := func(id int) string {
		return fmt.Sprintf("{appId: %d, clientId: a, clientSecret: b, privateKey: %q, webhookSecret: app-%d}", id, text, id)
	}
	return "integrations: {github: [{host: github.com, apps: [" + app(7) + ", " + app(8) + "]}]}\n"
}

func modules() []backend.Feature {
	return []backend.Feature{
		events.Plugin(), githubevents.Module(), gitlabevents.Module(), bitbucketcloudevents.Module(),
		bitbucketserverevents.Module(), azuredevopsevents.Module(), gerritevents.Module(),
	}
}

// Requests without a valid proof of origin do not become events, and a topic whose
// proof cannot be checked does not exist.
func TestSEC85_WebhooksMustBeSigned(t *testing.T) {
	t.Parallel()
	const signature, invalid = "X-Hub-Signature-256", `{"message":"invalid signature"}`
	b := backendtest.Start(t, forges+apps(t), modules()...)
	push, install := `{"ref":"main"}`, `{"installation":{"id":12345}}`
	for _, tt := range []struct {
		name, topic string
		header      map[string]string
		body        string
		status      int
	}{
		{"signed", "github", map[string]string{signature: sign("hub-secret", push)}, push, 202},
		{"unsigned", "github", nil, push, 403},
		{"empty signature", "github", map[string]string{signature: ""}, push, 403},
		{"signature without its kind", "github", map[string]string{signature: strings.TrimPrefix(sign("hub-secret", push), "sha256=")}, push, 403},
		{"signature of nothing", "github", map[string]string{signature: "sha256="}, push, 403},
		{"signature that is no number", "github", map[string]string{signature: "sha256=zz"}, push, 403},
		{"beginning of a signature", "github", map[string]string{signature: sign("hub-secret", push)[:20]}, push, 403},
		{"signature with another secret", "github", map[string]string{signature: sign("guess", push)}, push, 403},
		{"signature with no secret", "github", map[string]string{signature: sign("", push)}, push, 403},
		{"signature of another body", "github", map[string]string{signature: sign("hub-secret", push)}, push + " ", 403},
		{"signed with SHA-1", "github", map[string]string{"X-Hub-Signature": "sha1=0000000000000000000000000000000000000000"}, push, 403},
		{"signed by an app", "github", map[string]string{signature: sign("app-7", install), "X-GitHub-Hook-Installation-Target-Type": "integration", "X-GitHub-Hook-Installation-Target-ID": "7"}, install, 202},
		{"signed by one of the apps", "github", map[string]string{signature: sign("app-8", install)}, install, 202},
		{"signed by another app", "github", map[string]string{signature: sign("app-8", install), "X-GitHub-Hook-Installation-Target-Type": "integration", "X-GitHub-Hook-Installation-Target-ID": "7"}, install, 403},
		{"signed by an app without an installation", "github", map[string]string{signature: sign("app-7", push)}, push, 403},
		{"gitlab's token", "gitlab", map[string]string{"X-Gitlab-Token": "lab-secret"}, push, 202},
		{"no token", "gitlab", nil, push, 403},
		{"beginning of the token", "gitlab", map[string]string{"X-Gitlab-Token": "lab-secre"}, push, 403},
		{"bitbucket cloud", "bitbucketCloud", map[string]string{"X-Hub-Signature": sign("cloud-secret", push)}, push, 202},
		{"bitbucket cloud, unsigned", "bitbucketCloud", nil, push, 403},
		{"bitbucket server", "bitbucketServer", map[string]string{"X-Hub-Signature": sign("server-secret", push)}, push, 202},
		{"bitbucket server, secret of the cloud", "bitbucketServer", map[string]string{"X-Hub-Signature": sign("cloud-secret", push)}, push, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := map[string]string{"Content-Type": "application/json"}
			for k, v := range tt.header {
				header[k] = v
			}
			status, body := post(t, b.URL+"/api/events/http/"+tt.topic, header, tt.body)
			if status != tt.status || status == 403 && body != invalid {
				t.Errorf("%d %s, want %d", status, body, tt.status)
			}
		})
	}
}

func TestSEC85_TopicsWithoutASecretAreNotOpen(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, ``, modules()...)
	for _, topic := range []string{"github", "gitlab", "bitbucketCloud", "bitbucketServer", "azureDevOps", "gerrit"} {
		if status, body := post(t, b.URL+"/api/events/http/"+topic, map[string]string{"Content-Type": "application/json"}, `{}`); status != 404 || body != "" {
			t.Errorf("%s: %d %q, want 404 and nothing", topic, status, body)
		}
	}
	for _, topic := range []string{"github", "gitlab", "bitbucketCloud", "bitbucketServer"} {
		_, err := backendtest.Boot(t, `events: {http: {topics: [`+topic+`]}}`, modules()...)
		want := "set events.modules." + topic + ".webhookSecret"
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is listed in events.http.topics: %v, want %q", topic, err, want)
		}
	}
}

func TestRouters(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		topic  string
		header map[string]string
		body   string
		want   string
	}{
		{"github", map[string]string{"X-GitHub-Event": "push"}, `{}`, "github.push"},
		{"gitlab", nil, `{"event_name":"group_create"}`, "gitlab.group_create"},
		{"gitlab", nil, `{"object_kind":"push"}`, "gitlab.push"},
		{"bitbucketCloud", map[string]string{"X-Event-Key": "repo:push"}, `{}`, "bitbucketCloud.repo:push"},
		{"bitbucketServer", map[string]string{"X-Event-Key": "repo:refs_changed"}, `{}`, "bitbucketServer.repo:refs_changed"},
		{"azureDevOps", nil, `{"eventType":"git.push"}`, "azureDevOps.git.push"},
		{"gerrit", nil, `{"type":"change-merged"}`, "gerrit.change-merged"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			t.Parallel()
			out := make(chan backend.Event, 1)
			b := backendtest.Start(t, forges, append(modules(), received(out, tt.want))...)
			header := map[string]string{
				"Content-Type": "application/json", "X-Gitlab-Token": "lab-secret", "X-Hub-Signature-256": sign("hub-secret", tt.body),
				"X-Hub-Signature": sign(map[string]string{"bitbucketCloud": "cloud-secret", "bitbucketServer": "server-secret"}[tt.topic], tt.body),
			}
			for k, v := range tt.header {
				header[k] = v
			}
			if status, body := post(t, b.URL+"/api/events/http/"+tt.topic, header, tt.body); status != 202 {
				t.Fatal(status, body)
			}
			e := <-out
			if e.Topic != tt.want || string(e.Payload) != tt.body {
				t.Errorf("got %s on %s, want %s", e.Payload, e.Topic, tt.want)
			}
			for name := range e.Metadata {
				if name == "x-gitlab-token" {
					t.Error("the token is in the metadata")
				}
			}
		})
	}
}
