package rbac_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/catalog/entity"
)

// get reads a whole answer, and returns how long that took.
func (w *world) get(client *http.Client, method, path, body string) time.Duration {
	w.t.Helper()
	req, err := http.NewRequest(method, w.b.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	began := time.Now()
	res, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, res.Body)
	res.Body.Close()
	took := time.Since(began)
	if err != nil || res.StatusCode != http.StatusOK || n < 100 {
		w.t.Fatalf("%s %s: %d, %d bytes, %v", method, path, res.StatusCode, n, err)
	}
	return took
}

// many is n components that one team owns.
func many(n int) []entity.Entity {
	out := organisation()
	for i := range n - len(out) {
		out = append(out, entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "Component",
			"metadata": map[string]any{"name": fmt.Sprintf("c%d", i), "namespace": "default", "description": strings.Repeat("text ", 20)},
			"spec":     map[string]any{"type": "service", "lifecycle": "production", "owner": "platform-team"}})
	}
	return out
}

const authorized = `permission: {enabled: true, rbac: {auditEvaluations: none, admin: {users: [{name: 'user:default/alice'}], superUsers: [{name: 'user:default/root'}]}}}`

// owning gives the platform team a condition on what it owns.
func (w *world) owning() {
	w.t.Helper()
	w.must("user:default/alice", 201, "POST", "/api/permission/roles", `{"name":"role:default/own","memberReferences":["group:default/platform-team"]}`)
	w.must("user:default/alice", 201, "POST", "/api/permission/roles/conditions", `{"result":"CONDITIONAL","roleEntityRef":"role:default/own","pluginId":"catalog","resourceType":"catalog-entity","permissionMapping":["read"],
		"conditions":{"rule":"IS_ENTITY_OWNER","resourceType":"catalog-entity","params":{"claims":["$ownerRefs"]}}}`)
}

// BenchmarkOwnedList reads lists of 10,000 entities, once by somebody who may see all,
// and once under a condition on the owner that nearly all of them meet. Both alternate,
// and x is how much longer the second takes.
func BenchmarkOwnedList(b *testing.B) {
	w := withCatalog(b, authorized, many(10_000)...)
	w.owning()
	all, owned := w.b.As("user:default/root"), w.b.As("user:default/pat")
	for _, path := range []string{"/api/catalog/entities?fields=metadata.name", "/api/catalog/entities/by-query?limit=100&orderField=metadata.name"} {
		b.Run(path, func(b *testing.B) {
			w.get(all, "GET", path, "")
			w.get(owned, "GET", path, "")
			var one, two time.Duration
			for b.Loop() {
				one += w.get(all, "GET", path, "")
				two += w.get(owned, "GET", path, "")
			}
			b.ReportMetric(float64(two)/float64(one), "x")
			b.ReportMetric(float64(one.Milliseconds())/float64(b.N), "ms-all")
			b.ReportMetric(float64(two.Milliseconds())/float64(b.N), "ms-owned")
		})
	}
}

// BenchmarkAuthorize sends batches of 1,000 over HTTP: basic permissions, and conditions
// on 1,000 entities.
func BenchmarkAuthorize(b *testing.B) {
	w := withCatalog(b, authorized, many(2_000)...)
	w.owning()
	pat := w.b.As("user:default/pat")
	var basic, conditional []any
	for i := range 1000 {
		basic = append(basic, map[string]any{"id": fmt.Sprint(i), "permission": map[string]any{"type": "basic", "name": fmt.Sprintf("thing.%d", i), "attributes": map[string]any{"action": "create"}}})
		conditional = append(conditional, map[string]any{"id": fmt.Sprint(i), "resourceRef": fmt.Sprintf("component:default/c%d", i),
			"permission": map[string]any{"type": "resource", "name": "catalog.entity.read", "attributes": map[string]any{"action": "read"}, "resourceType": "catalog-entity"}})
	}
	for name, items := range map[string][]any{"basic": basic, "conditional": conditional} {
		body := text(map[string]any{"items": items})
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				w.get(pat, "POST", "/api/permission/authorize", body)
			}
		})
	}
}
