package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
)

// narrower is what the handlers of routes allow, where that is less than the host does, or in
// the case of the proxy more: who may call, and how large a body may be. TestNarrowerRoutes asks them.
var narrower = func() map[string]limits {
	out := map[string]limits{
		"events POST /bus/v1/events":                           {caller: onlyServices, body: 5<<20 + 64<<10},
		"events PUT /bus/v1/subscriptions/{id}":                {caller: onlyServices},
		"events GET /bus/v1/subscriptions/{id}/events":         {caller: onlyServices},
		"events PUT /bus/v1/subscriptions/{id}/lease":          {caller: onlyServices},
		"events DELETE /bus/v1/subscriptions/{id}/lease":       {caller: onlyServices},
		"events POST /http/{topic}":                            {body: 5 << 20},
		"auth POST /v1/sessions/{id}/approve":                  {caller: onlyUsers},
		"auth POST /v1/sessions/{id}/reject":                   {caller: onlyUsers},
		"auth POST /v1/token":                                  {body: 100 << 10},
		"auth POST /v1/revoke":                                 {body: 100 << 10},
		"auth POST /v1/register":                               {body: 100 << 10},
		"proxy /{rest...}":                                     {caller: "as the endpoint says", body: unbound},
		"mcp-actions POST /v1":                                 {body: 1 << 20},
		"user-settings GET /buckets/{bucket}/keys/{key...}":    {caller: onlyUsers},
		"user-settings PUT /buckets/{bucket}/keys/{key...}":    {caller: onlyUsers, body: 101 << 10},
		"user-settings DELETE /buckets/{bucket}/keys/{key...}": {caller: onlyUsers},
		"user-settings POST /multiget":                         {caller: onlyUsers, body: 1 << 20},
	}
	for _, pattern := range []string{
		"POST /entities/by-query", "POST /entities/by-refs", "POST /entity-facets", "POST /refresh", "POST /locations", "POST /locations/by-query",
		"PUT /locations/{id}", "POST /analyze-location",
		"POST /callboard/v1/held-removals/release", "POST /callboard/v1/trash/restore",
	} {
		out["catalog "+pattern] = limits{body: 2 << 20}
	}
	out["catalog POST /.well-known/backstage/permissions/apply-conditions"] = limits{body: 5 << 20}
	out["devtools POST /.well-known/backstage/permissions/apply-conditions"] = limits{body: 5 << 20}
	out["permission POST /.well-known/backstage/permissions/apply-conditions"] = limits{body: 5 << 20}
	for _, pattern := range []string{
		"POST /authorize", "POST /policies", "PUT /policies/{kind}/{namespace}/{name}", "DELETE /policies/{kind}/{namespace}/{name}",
		"POST /roles", "PUT /roles/{kind}/{namespace}/{name}", "POST /roles/conditions", "PUT /roles/conditions/{id}", "POST /plugins/id", "DELETE /plugins/id",
	} {
		out["permission "+pattern] = limits{caller: onlyUsers, body: 1 << 20}
	}
	for _, pattern := range []string{"DELETE /roles/{kind}/{namespace}/{name}", "DELETE /roles/conditions/{id}", "POST /refresh/{provider}"} {
		out["permission "+pattern] = limits{caller: onlyUsers}
	}
	for _, pattern := range []string{"GET /notifications", "GET /{$}", "GET /notifications/{id}", "GET /{id}", "GET /status", "GET /topics", "GET /settings"} {
		out["notifications "+pattern] = limits{caller: onlyUsers}
	}
	for _, pattern := range []string{"POST /notifications/update", "POST /update", "POST /settings"} {
		out["notifications "+pattern] = limits{caller: onlyUsers, body: 1 << 20}
	}
	for _, pattern := range []string{"POST /notifications", "POST /{$}"} {
		out["notifications "+pattern] = limits{caller: onlyServices, body: 1 << 20}
	}
	return out
}()

type limits struct {
	caller string
	body   int64
}

// unbound bodies are passed on as they come. That they are holds TestBodiesOfAnySizePass in
// backend/proxy.
const unbound = -1

const (
	onlyServices = "service"
	onlyUsers    = "user"
)

// size writes a limit in MiB.
func size(bytes int64) string {
	if bytes == unbound {
		return "any"
	}
	if bytes%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%.2f MiB", float64(bytes)/(1<<20))
}

// TestNarrowerRoutes holds that what routes.md says of these routes is so.
func TestNarrowerRoutes(t *testing.T) {
	const token = "a-token-of-this-test"
	cfg, err := backendtest.Config(t, `
auth: {providers: {guest: {}}, clientIdMetadataDocuments: {enabled: true}, experimentalDynamicClientRegistration: {enabled: true}}
events: {http: {topics: [x]}}
permission: {enabled: true, rbac: {admin: {superUsers: [{name: 'user:default/root'}]}}}
backend: {auth: {externalAccess: [{type: static, options: {subject: test, token: `+token+`}}]}}
`)
	if err != nil {
		t.Fatal(err)
	}
	b := portal(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler), backend.Development())
	var users backend.UserTokens
	b.Add(backend.NewModule("auth", "tokens-of-test", fx.Invoke(func(u backend.UserTokens) { users = u })))
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Stop(t.Context()) }()
	ask := func(method, path, token string, body []byte) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, "http://"+b.Addr().String()+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	user, _, err := users.Issue(t.Context(), "user:default/root", []string{"user:default/root"})
	if err != nil {
		t.Fatal(err)
	}
	placeholder := regexp.MustCompile(`\{[a-z_.]+\}`)
	for key, l := range narrower {
		plugin, pattern, _ := strings.Cut(key, " ")
		method, path, _ := strings.Cut(pattern, " ")
		path = strings.NewReplacer("{kind}", "role", "{id}", "1", "{$}", "").Replace(path)
		path = "/api/" + plugin + placeholder.ReplaceAllString(path, "x")
		if l.caller == onlyServices {
			if code, text := ask(method, path, user, []byte("{}")); code != http.StatusForbidden {
				t.Errorf("%s: a user is answered %d %s", key, code, text)
			}
		}
		who := token
		if l.caller == onlyUsers {
			who = user
			if code, text := ask(method, path, token, []byte("{}")); code != http.StatusForbidden {
				t.Errorf("%s: a service is answered %d %s", key, code, text)
			}
		}
		if l.body == 0 || l.body == unbound {
			continue
		}
		for _, over := range []bool{false, true} {
			n := l.body - 1000
			if over {
				n = l.body + 1
			}
			doc := []byte(`{"x":"` + strings.Repeat("a", int(n)-8) + `"}`)
			code, text := ask(method, path, who, doc)
			if refused := code == http.StatusRequestEntityTooLarge || code == http.StatusBadRequest && strings.Contains(text, "larger"); refused != over {
				t.Errorf("%s: %d bytes are answered %d %.200s", key, len(doc), code, text)
			}
		}
	}
}
