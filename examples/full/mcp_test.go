package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/internal/wiretest"
)

// assistantRoles lets a team look at the catalog, and do nothing more.
const assistantRoles = `p, role:default/readers, catalog-entity, read, allow
g, group:default/platform, role:default/readers
`

// answered is what a tool has answered, as the client library has it.
type answered struct {
	Content []struct{ Type, Text string }
	IsError bool
	Thrown  string
	// StructuredContent is the output of the action.
	StructuredContent struct {
		Metadata struct{ Name string }
		UserInfo struct{ UserEntityRef string }
	}
}

// TestAssistantsWithTheOfficialClient has the protocol's official client library use a
// portal with roles: it finds out where to sign in, registers, has the user agree, lists
// tools and calls some. What the user may not do, it may not do either.
func TestAssistantsWithTheOfficialClient(t *testing.T) {
	folder := needs(t, "mcp-client")
	databases(t, func(t *testing.T, database string) {
		base := "http://" + strings.Replace(freeAddress(t), "127.0.0.1", "localhost", 1)
		b := portal(backend.WithConfigFiles(write(t, "app-config.yaml", fmt.Sprintf(`
app: {baseUrl: http://localhost:3000}
backend:
  baseUrl: %[1]s
  listen: %[2]q
  actions: {pluginSources: [auth, catalog]}
  auth: {externalAccess: [{type: static, options: {token: %[5]s, subject: test}}]}
auth:
  session: {secret: the-secret-of-a-test}
  providers: {guest: {dangerouslyAllowOutsideDevelopment: true, userEntityRef: 'user:default/alice'}}
  experimentalDynamicClientRegistration: {enabled: true}
  experimentalRefreshToken: {enabled: true}
  oauthServer: {consentPage: backend}
permission: {enabled: true, rbac: {policies-csv-file: %[3]q}}
mcpActions: {servers: {reader: {name: Reader, filter: {include: [{attributes: {readOnly: true}}]}}}}
catalog:
  rules: [{allow: [User, Group]}]
  locations: [{type: file, target: %[4]q}]
`, base, strings.TrimPrefix(base, "http://"), write(t, "roles.csv", assistantRoles), write(t, "staff.yaml", staff), wiretest.StaticToken)), write(t, "database.yaml", database)),
			backend.WithLogger(slog.DiscardHandler))
		if err := b.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			_ = b.Stop(ctx)
		})
		use := func(path string, calls ...[2]any) (seen struct {
			Refused, Refreshable bool
			Authorize            struct{ At, Scope, Challenge string }
			Asks, Protocol       string
			Server               struct{ Name, Version string }
			Tools                []struct{ Name string }
			Calls                map[string]answered
			Renewed              int
		}) {
			t.Helper()
			settings, err := json.Marshal(map[string]any{"portal": base, "server": base + path, "calls": calls})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "node", "testdata/mcp-client.mjs", folder, string(settings))
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err == nil {
				err = json.Unmarshal(out, &seen)
			}
			if err != nil {
				t.Fatalf("mcp-client.mjs: %v\n%s%s", err, stderr.String(), out)
			}
			return seen
		}

		settled(t, base, 4)
		entity := map[string]any{"kind": "User", "name": "alice"}
		seen := use("/api/mcp-actions/v1",
			[2]any{"auth.who-am-i", map[string]any{}},
			[2]any{"catalog.get-catalog-entity", entity},
			[2]any{"catalog.register-entity", map[string]any{"locationUrl": "https://example.com/catalog-info.yaml"}},
			[2]any{"catalog.nope", map[string]any{}})
		if !seen.Refused || seen.Authorize.At != base+"/api/auth/v1/authorize" || seen.Authorize.Scope != "openid offline_access" || seen.Authorize.Challenge != "S256" || seen.Asks != "An assistant" || !seen.Refreshable {
			t.Errorf("the sign-in: %+v", seen)
		}
		if seen.Server.Name != "backstage" || seen.Protocol < "2025-06-18" || len(seen.Tools) < 6 || seen.Renewed != len(seen.Tools) {
			t.Errorf("server %+v, protocol %s, tools %v, after a renewal %d", seen.Server, seen.Protocol, seen.Tools, seen.Renewed)
		}
		if got := seen.Calls["catalog.get-catalog-entity"]; got.IsError || got.StructuredContent.Metadata.Name != "alice" || len(got.Content) != 1 || !strings.Contains(got.Content[0].Text, `"alice"`) {
			t.Errorf("what the user may see: %+v", got)
		}
		if got := seen.Calls["auth.who-am-i"]; got.IsError || got.StructuredContent.UserInfo.UserEntityRef != "user:default/alice" {
			t.Errorf("who it is: %+v", got)
		}
		for tool, want := range map[string]string{"catalog.register-entity": "NotAllowedError", "catalog.nope": "NotFoundError"} {
			if got := seen.Calls[tool]; !got.IsError || len(got.Content) != 1 || !strings.HasPrefix(got.Content[0].Text, want) {
				t.Errorf("%s: %+v, want %s", tool, got, want)
			}
		}

		reader := use("/api/mcp-actions/v1/reader", [2]any{"catalog.get-catalog-entity", entity}, [2]any{"catalog.register-entity", map[string]any{"locationUrl": "https://example.com/"}})
		if got := reader.Calls["catalog.register-entity"]; reader.Server.Name != "Reader" || len(reader.Tools) >= len(seen.Tools) || !strings.Contains(got.Content[0].Text, "not found") {
			t.Errorf("the reader %+v: tools %v, %+v", reader.Server, reader.Tools, got)
		}
	})
}
