package openapicatalog_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/client"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/openapicatalog"
)

// TestModule: definitions of several files are served as one, and files outside of the
// repository are refused as those of $text are.
func TestModule(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"secret.yaml": "canary-7f3a: 1\n",
		"repo/catalog-info.yaml": api("rest", "$openapi: ./rest/openapi.yaml") + "---\n" + api("events", "$asyncapi: ./events/asyncapi.yaml") + "---\n" +
			api("escape", "$openapi: ./escape.yaml"),
		"repo/rest/openapi.yaml":    "openapi: 3.1.0\npaths:\n  /pets: {$ref: ./paths/pets.yaml}\n  /cats: {$ref: ./paths/pets.yaml}\n",
		"repo/rest/paths/pets.yaml": "get: {responses: {'200': {$ref: '../../shared/ok.yaml#/ok'}}}\n",
		"repo/shared/ok.yaml":       "ok: {description: fine}\n",
		"repo/events/asyncapi.yaml": "asyncapi: 3.0.0\nchannels: {orders: {$ref: ./channel.yaml}}\noperations: {send: {channel: {$ref: './channel.yaml'}, messages: [{$ref: '#/channels/orders/messages/new'}]}}\n",
		"repo/events/channel.yaml":  "messages: {new: {payload: {type: object}}}\n",
		"repo/escape.yaml":          "openapi: 3.1.0\nx: {$ref: ../secret.yaml}\n",
	} {
		full := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := backendtest.Start(t, "catalog: {locations: [{type: file, target: '"+filepath.Join(dir, "repo", "catalog-info.yaml")+"'}]}\n", catalog.Plugin(), openapicatalog.Module())
	c := client.At(b.URL+"/api/catalog", b.As("user:default/alice"))
	definition := func(name, want string) {
		t.Helper()
		var got string
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if e, err := c.ByRef(t.Context(), entity.Ref{Kind: "api", Name: name}); err == nil {
				got = e.SpecString("definition")
				break
			}
		}
		if got != want {
			t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
		}
	}
	definition("rest", `openapi: 3.1.0
paths:
    /pets:
        get: {responses: {'200': {description: fine}}}
    /cats:
        $ref: '#/paths/~1pets'
`)
	// The channel of an operation has to be a reference, also where that is one to a file.
	definition("events", `asyncapi: 3.0.0
channels: {orders: {messages: {new: {payload: {type: object}}}}}
operations: {send: {channel: {$ref: './channel.yaml'}, messages: [{$ref: '#/channels/orders/messages/new'}]}}
`)
	failed, err := c.Failed(t.Context(), "")
	if err != nil || len(failed) != 1 || failed[0].Ref != "api:default/escape" || !strings.Contains(failed[0].Errors[0].Message, "leads out of") || strings.Contains(failed[0].Errors[0].Message, "canary") {
		t.Errorf("%+v, %v", failed, err)
	}
}

func api(name, definition string) string {
	return "apiVersion: backstage.io/v1alpha1\nkind: API\nmetadata: {name: " + name + "}\nspec:\n  type: openapi\n  lifecycle: production\n  owner: team\n  definition: {" + definition + "}\n"
}
