package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/internal/testbed"
	"github.com/callboard-dev/callboard/internal/wiretest"
)

// TestTheStockInterfaceOfRoles has the stock user interface of roles in a real browser: it
// lists roles, makes one with members, rules and a condition, shows it, renames it and
// changes all of that, and deletes it.
func TestTheStockInterfaceOfRoles(t *testing.T) {
	folder, err := testbed.Find("rbac-ui")
	if errors.Is(err, testbed.ErrMissing) {
		t.Skip(err) // it is too large for everybody: CONTRIBUTING.md
	} else if err != nil {
		t.Fatal(err)
	}
	chromium := filepath.Join(needs(t, "chromium"), "chromium")
	base := "http://" + strings.Replace(freeAddress(t), "127.0.0.1", "localhost", 1)
	app := "http://" + strings.Replace(freeAddress(t), "127.0.0.1", "localhost", 1)
	tokens := run(t, write(t, "database.yaml", sqlite(t)), write(t, "app-config.yaml", fmt.Sprintf(`
backend:
  baseUrl: %[1]s
  listen: %[2]q
  cors: {origin: %[3]q, credentials: true, methods: [GET, POST, PUT, DELETE, HEAD, PATCH]}
  auth: {externalAccess: [{type: static, options: {token: %[4]s, subject: test}}]}
catalog: {rules: [{allow: [User, Group]}], locations: [{type: file, target: %[5]q}]}
permission: {enabled: true, rbac: {pluginsWithPermission: [catalog, permission], admin: {users: [{name: 'user:default/alice'}]}}}
`, base, strings.TrimPrefix(base, "http://"), app, wiretest.StaticToken, write(t, "staff.yaml", staff+`
---
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: payments}
spec: {type: team, children: []}
`))))
	settled(t, base, 5)
	page, err := filepath.Abs("testdata/rbac/page.js")
	if err != nil {
		t.Fatal(err)
	}
	const alice = "user:default/alice"
	settings, err := json.Marshal(map[string]string{"chromium": chromium, "page": page, "app": app, "backend": base, "user": alice, "token": tokens(alice)})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "testdata/rbac/drive.mjs", folder, string(settings))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("drive.mjs: %v\n%s", err, stderr.String())
	}
	var got struct {
		Steps struct {
			List, Created, Edited bool
			Shown, Deleted        string
		}
		Requests []struct {
			Method, Path string
			Status       int
		}
		Errors []string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, e := range got.Errors {
		t.Error(e)
	}
	if !got.Steps.List || !got.Steps.Created || !got.Steps.Edited || !strings.Contains(got.Steps.Deleted, "role:default/renamed-in-browser deleted successfully") {
		t.Errorf("steps %+v", got.Steps)
	}
	for _, want := range []string{"What the test makes", "Users and groups (1 group, 1 user)", "Permission Policies (3)", "catalog.entity.read\tRead\t1 rule", "catalog.location.create\tCreate\t-"} {
		if !strings.Contains(got.Steps.Shown, want) {
			t.Errorf("the page of the role lacks %q: %q", want, got.Steps.Shown)
		}
	}
	var writes []string
	for _, r := range got.Requests {
		if r.Status >= 400 {
			t.Errorf("%s %s is answered with %d", r.Method, r.Path, r.Status)
		}
		if r.Method != "GET" {
			writes = append(writes, fmt.Sprint(r.Method, " ", strings.TrimPrefix(r.Path, "/api/permission"), " ", r.Status))
		}
	}
	if want := []string{
		"POST /roles 201", "POST /policies 201", "POST /roles/conditions 201",
		"PUT /roles/role/default/made-in-browser 200", "DELETE /policies/role/default/made-in-browser 204", "POST /policies 201", "PUT /roles/conditions/1%7D 200",
	}; len(writes) < len(want) || !slices.Equal(writes[:len(want)], want) {
		t.Errorf("writes\n got %q\nwant %q", writes, want)
	}
}
