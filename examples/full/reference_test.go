package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
)

var update = flag.Bool("update", false, "rewrite the reference pages")

// permissions says which permission each route asks for, by plugin and pattern. A route
// that is not here fails TestRoutes: whoever adds one decides.
var permissions = map[string]string{
	"app GET /.backstage/auth/v1/cookie":                   "-",
	"app DELETE /.backstage/auth/v1/cookie":                "-",
	"app GET /.backstage/scheduler/v1/tasks":               "-",
	"app POST /.backstage/scheduler/v1/tasks/{id}/trigger": "-",
	"app POST /.backstage/scheduler/v1/tasks/{id}/cancel":  "-",
	"app /{path...}":                                                      "-", // pages and files are for everybody, unless the bundle has a public entry point
	"auth GET /.well-known/jwks.json":                                     "-",
	"auth GET /.well-known/openid-configuration":                          "-",
	"auth GET /.well-known/oauth-client/cli.json":                         "-",
	"auth GET /.backstage/auth/v1/cookie":                                 "-",
	"auth DELETE /.backstage/auth/v1/cookie":                              "-",
	"catalog GET /.backstage/auth/v1/cookie":                              "-",
	"catalog DELETE /.backstage/auth/v1/cookie":                           "-",
	"events GET /.backstage/auth/v1/cookie":                               "-",
	"events DELETE /.backstage/auth/v1/cookie":                            "-",
	"permission GET /.backstage/auth/v1/cookie":                           "-",
	"permission DELETE /.backstage/auth/v1/cookie":                        "-",
	"proxy GET /.backstage/auth/v1/cookie":                                "-",
	"proxy DELETE /.backstage/auth/v1/cookie":                             "-",
	"proxy /{rest...}":                                                    "-", // the endpoint says who may call
	"signals GET /.backstage/auth/v1/cookie":                              "-",
	"signals DELETE /.backstage/auth/v1/cookie":                           "-",
	"signals GET /health":                                                 "-",
	"signals /{$}":                                                        "-",
	"signals GET /{$}":                                                    "-",
	"signals /{path}/{rest...}":                                           "-",
	"notifications GET /.backstage/auth/v1/cookie":                        "-",
	"notifications DELETE /.backstage/auth/v1/cookie":                     "-",
	"notifications GET /.backstage/actions/v1/actions":                    "-",
	"notifications POST /.backstage/actions/v1/actions/{id}/invoke":       "-",
	"notifications POST /.backstage/actions/v2/actions/{id}/invoke":       "-",
	"notifications GET /.backstage/scheduler/v1/tasks":                    "-",
	"notifications POST /.backstage/scheduler/v1/tasks/{id}/trigger":      "-",
	"notifications POST /.backstage/scheduler/v1/tasks/{id}/cancel":       "-",
	"notifications GET /.well-known/backstage/permissions/metadata":       "-",
	"notifications GET /openapi.json":                                     "-",
	"notifications GET /notifications":                                    "-",
	"notifications GET /{$}":                                              "-",
	"notifications GET /notifications/{id}":                               "-",
	"notifications GET /{id}":                                             "-",
	"notifications POST /notifications/update":                            "-",
	"notifications POST /update":                                          "-",
	"notifications POST /notifications":                                   "-",
	"notifications POST /{$}":                                             "-",
	"notifications GET /status":                                           "-",
	"notifications GET /topics":                                           "-",
	"notifications GET /settings":                                         "-",
	"notifications POST /settings":                                        "-",
	"auth GET /v1/userinfo":                                               "-",
	"auth GET /v1/authorize":                                              "-",
	"auth GET /v1/consent/{id}":                                           "-",
	"auth GET /v1/sessions/{id}":                                          "-",
	"auth POST /v1/sessions/{id}/approve":                                 "-",
	"auth POST /v1/sessions/{id}/reject":                                  "-",
	"auth POST /v1/token":                                                 "-",
	"auth POST /v1/revoke":                                                "-",
	"auth POST /v1/register":                                              "-",
	"auth GET /callboard/v1/sessions":                                     "-", // users see their own, auth.session.administrators those of others
	"auth DELETE /callboard/v1/sessions":                                  "-",
	"auth DELETE /callboard/v1/sessions/{id}":                             "-",
	"auth GET /{provider}/start":                                          "-",
	"auth GET /{provider}/handler/frame":                                  "-",
	"auth POST /{provider}/handler/frame":                                 "-",
	"auth GET /{provider}/refresh":                                        "-",
	"auth POST /{provider}/refresh":                                       "-",
	"auth POST /{provider}/logout":                                        "-",
	"auth GET /.well-known/backstage/permissions/metadata":                "-",
	"auth /{provider}/{rest...}":                                          "-",
	"auth /{provider}":                                                    "-",
	"auth GET /.backstage/actions/v1/actions":                             "-",
	"auth POST /.backstage/actions/v1/actions/{id}/invoke":                "-", // what the action does asks
	"auth POST /.backstage/actions/v2/actions/{id}/invoke":                "-",
	"catalog GET /.backstage/actions/v1/actions":                          "-",
	"catalog POST /.backstage/actions/v1/actions/{id}/invoke":             "-", // what the action does asks
	"catalog POST /.backstage/actions/v2/actions/{id}/invoke":             "-",
	"catalog GET /.backstage/scheduler/v1/tasks":                          "-",
	"catalog POST /.backstage/scheduler/v1/tasks/{id}/trigger":            "-",
	"catalog POST /.backstage/scheduler/v1/tasks/{id}/cancel":             "-",
	"events GET /.backstage/scheduler/v1/tasks":                           "-",
	"events POST /.backstage/scheduler/v1/tasks/{id}/trigger":             "-",
	"events POST /.backstage/scheduler/v1/tasks/{id}/cancel":              "-",
	"events GET /openapi.json":                                            "-",
	"events POST /bus/v1/events":                                          "-",
	"events PUT /bus/v1/subscriptions/{id}":                               "-",
	"events GET /bus/v1/subscriptions/{id}/events":                        "-",
	"events DELETE /bus/v1/subscriptions/{id}/lease":                      "-",
	"events PUT /bus/v1/subscriptions/{id}/lease":                         "-",
	"events /http/{rest...}":                                              "-",
	"events POST /http/{topic}":                                           "-",
	"catalog GET /entities":                                               "catalog.entity.read",
	"catalog GET /entities/by-query":                                      "catalog.entity.read",
	"catalog POST /entities/by-query":                                     "catalog.entity.read",
	"catalog GET /entities/by-uid/{uid}":                                  "catalog.entity.read",
	"catalog DELETE /entities/by-uid/{uid}":                               "catalog.entity.delete",
	"catalog GET /entities/by-name/{kind}/{namespace}/{name}":             "catalog.entity.read",
	"catalog GET /entities/by-name/{kind}/{namespace}/{name}/ancestry":    "catalog.entity.read",
	"catalog POST /entities/by-refs":                                      "catalog.entity.read",
	"catalog GET /entity-facets":                                          "catalog.entity.read",
	"catalog POST /entity-facets":                                         "catalog.entity.read",
	"catalog POST /refresh":                                               "catalog.entity.refresh",
	"catalog POST /locations":                                             "catalog.location.create",
	"catalog GET /locations":                                              "catalog.location.read",
	"catalog POST /locations/by-query":                                    "catalog.location.read",
	"catalog GET /locations/{id}":                                         "catalog.location.read",
	"catalog PUT /locations/{id}":                                         "catalog.location.create",
	"catalog DELETE /locations/{id}":                                      "catalog.location.delete",
	"catalog GET /locations/by-entity/{kind}/{namespace}/{name}":          "catalog.location.read",
	"catalog POST /analyze-location":                                      "catalog.location.analyze",
	"catalog POST /validate-entity":                                       "catalog.entity.validate",
	"catalog GET /entities/unprocessed/failed":                            "catalog.entities.unprocessed.read",
	"catalog GET /entities/unprocessed/pending":                           "catalog.entities.unprocessed.read",
	"catalog DELETE /entities/unprocessed/delete/{entity_id}":             "catalog.entities.unprocessed.delete",
	"catalog GET /.well-known/backstage/permissions/metadata":             "-",
	"catalog POST /.well-known/backstage/permissions/apply-conditions":    "-",
	"catalog GET /openapi.json":                                           "-",
	"catalog GET /incremental/health":                                     "catalog.ingestion.read",
	"catalog POST /incremental/cleanup":                                   "catalog.ingestion.manage",
	"catalog GET /incremental/providers":                                  "catalog.ingestion.read",
	"catalog GET /incremental/providers/{provider}":                       "catalog.ingestion.read",
	"catalog DELETE /incremental/providers/{provider}":                    "catalog.ingestion.manage",
	"catalog POST /incremental/providers/{provider}/trigger":              "catalog.ingestion.manage",
	"catalog POST /incremental/providers/{provider}/start":                "catalog.ingestion.manage",
	"catalog POST /incremental/providers/{provider}/cancel":               "catalog.ingestion.manage",
	"catalog GET /incremental/providers/{provider}/marks":                 "catalog.ingestion.read",
	"catalog DELETE /incremental/providers/{provider}/marks":              "catalog.ingestion.manage",
	"catalog GET /callboard/v1/trash":                                     "catalog.entity.delete",
	"catalog POST /callboard/v1/trash/restore":                            "catalog.entity.delete",
	"catalog GET /callboard/v1/held-removals":                             "catalog.ingestion.read",
	"catalog POST /callboard/v1/held-removals/release":                    "catalog.ingestion.manage",
	"permission GET /health":                                              "-",
	"permission POST /authorize":                                          "-",
	"permission GET /.well-known/backstage/permissions/metadata":          "-",
	"permission POST /.well-known/backstage/permissions/apply-conditions": "-",
	"permission GET /{$}":                                                 "policy.entity.read",
	"permission GET /policies":                                            "policy.entity.read",
	"permission GET /policies/{kind}/{namespace}/{name}":                  "policy.entity.read",
	"permission POST /policies":                                           "policy.entity.create",
	"permission PUT /policies/{kind}/{namespace}/{name}":                  "policy.entity.update",
	"permission DELETE /policies/{kind}/{namespace}/{name}":               "policy.entity.delete",
	"permission GET /roles":                                               "policy.entity.read",
	"permission GET /roles/{kind}/{namespace}/{name}":                     "policy.entity.read",
	"permission POST /roles":                                              "policy.entity.create",
	"permission PUT /roles/{kind}/{namespace}/{name}":                     "policy.entity.update",
	"permission DELETE /roles/{kind}/{namespace}/{name}":                  "policy.entity.delete",
	"permission GET /roles/conditions":                                    "policy.entity.read",
	"permission POST /roles/conditions":                                   "policy.entity.create",
	"permission GET /roles/conditions/{id}":                               "policy.entity.read",
	"permission PUT /roles/conditions/{id}":                               "policy.entity.update",
	"permission DELETE /roles/conditions/{id}":                            "policy.entity.delete",
	"permission GET /plugins/policies":                                    "policy.entity.read",
	"permission GET /plugins/condition-rules":                             "policy.entity.read",
	"permission GET /plugins/id":                                          "policy.entity.read",
	"permission POST /plugins/id":                                         "policy.entity.create",
	"permission DELETE /plugins/id":                                       "policy.entity.delete",
	"permission POST /refresh/{provider}":                                 "policy.entity.create",
	"devtools GET /.backstage/auth/v1/cookie":                             "-",
	"devtools DELETE /.backstage/auth/v1/cookie":                          "-",
	"devtools POST /.well-known/backstage/permissions/apply-conditions":   "-",
	"devtools GET /.well-known/backstage/permissions/metadata":            "-",
	"devtools GET /health":                                                "-",
	"devtools GET /info":                                                  "devtools.info",
	"devtools GET /config":                                                "devtools.config",
	"devtools GET /external-dependencies":                                 "devtools.external-dependencies",
	"/ GET /.well-known/oauth-protected-resource/api/mcp-actions/v1":      "-",
	"/ GET /.well-known/oauth-authorization-server":                       "-",
	"/ GET /.well-known/oauth-authorization-server/api/auth":              "-",
	"mcp-actions GET /.backstage/auth/v1/cookie":                          "-",
	"mcp-actions DELETE /.backstage/auth/v1/cookie":                       "-",
	"mcp-actions POST /v1":                                                "-", // what the actions do asks
	"mcp-actions GET /v1":                                                 "-",
	"mcp-actions DELETE /v1":                                              "-",
	"user-settings GET /.backstage/auth/v1/cookie":                        "-",
	"user-settings DELETE /.backstage/auth/v1/cookie":                     "-",
	"user-settings GET /buckets/{bucket}/keys/{key...}":                   "-", // users have their own settings
	"user-settings PUT /buckets/{bucket}/keys/{key...}":                   "-",
	"user-settings DELETE /buckets/{bucket}/keys/{key...}":                "-",
	"user-settings POST /multiget":                                        "-",
}

// running is the portal of this package, started with little configuration.
func running(t *testing.T) *backend.Backend {
	t.Helper()
	cfg, err := backendtest.Config(t, "auth: {providers: {guest: {}}, clientIdMetadataDocuments: {enabled: true}, experimentalDynamicClientRegistration: {enabled: true}}\npermission: {enabled: true}\n")
	if err != nil {
		t.Fatal(err)
	}
	b := portal(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop(context.Background()) })
	return b
}

// TestRoutes holds docs/reference/routes.md: who may call what.
func TestRoutes(t *testing.T) {
	var page strings.Builder
	page.WriteString("# Routes\n\nEvery route of a backend with all plugins and modules of this repository, below `/api/<plugin>`;\n" +
		"those of `/` are at the root of the host.\n" +
		"Made from the running backend: `go test ./examples/full -run Routes -update`.\n\n" +
		"| plugin | route | who may call it | permission | request body at most |\n| --- | --- | --- | --- | --- |\n")
	seen := map[string]bool{}
	for _, r := range running(t).Routes() {
		key := r.Plugin + " " + r.Pattern
		seen[key] = true
		permission, ok := permissions[key]
		if !ok {
			t.Errorf("route %q has no row in permissions: say which permission it asks for", key)
		}
		l, ok := narrower[key]
		if !ok || l.caller == "" {
			l.caller = r.Caller
		}
		if l.body == 0 {
			l.body = r.MaxBody
		}
		fmt.Fprintf(&page, "| %s | `%s` | %s | %s | %s |\n", r.Plugin, r.Pattern, l.caller, permission, size(l.body))
	}
	for key := range permissions {
		if !seen[key] {
			t.Errorf("no route %q: take its row out of permissions", key)
		}
	}
	for key := range narrower {
		if !seen[key] {
			t.Errorf("no route %q: take its row out of narrower", key)
		}
	}
	golden(t, "routes.md", page.String())
}

// TestConfigurationReference holds docs/reference/configuration.md: every key that is read.
func TestConfigurationReference(t *testing.T) {
	var page strings.Builder
	page.WriteString("# Configuration reference\n\nEvery key that the core services and the plugins and modules of this repository read.\n" +
		"Made from their structs: `go test ./examples/full -run Configuration -update`.\n\n" +
		"| key | type | default | meaning |\n| --- | --- | --- | --- |\n")
	undocumented := 0
	for _, k := range portal().Reference() {
		doc := k.Doc
		if len(k.OneOf) > 0 {
			doc += " (" + strings.Join(k.OneOf, ", ") + ")"
		}
		if k.Required {
			doc += " (required)"
		}
		if k.Deprecated != "" {
			doc += " (deprecated: " + k.Deprecated + ")"
		}
		if k.Doc == "" {
			undocumented++
			t.Logf("no doc: %s", k.Path)
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", cell(k.Path), k.Type, code(k.Default), cell(strings.TrimSpace(doc)))
	}
	if undocumented > 0 {
		t.Errorf("%d keys have no doc tag", undocumented)
	}
	golden(t, "configuration.md", page.String())
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + cell(s) + "`"
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("..", "..", "docs", "reference", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what the code says; run this test with -update and read the difference", file)
	}
}
