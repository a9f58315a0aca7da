package devtools_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/devtools"
	"github.com/callboard-dev/callboard/permission"
)

const (
	admin = "user:default/admin"
)

// policy gives the administrator what names say, and nobody anything else.
func policy(names ...string) backend.Feature {
	p := permission.PolicyFunc(func(_ context.Context, q permission.Query) (permission.Decision, error) {
		for _, n := range names {
			if q.User != nil && q.User.Ref == admin && q.Permission.Name == n {
				return permission.Allow, nil
			}
		}
		return permission.Deny, nil
	})
	return backend.NewModule("permission", "test-policy", fx.Invoke(func(x *permission.Extensions) { x.SetPolicy(p) }))
}

// askAs asks the plugin as a user; an empty user is nobody.
func askAs(t *testing.T, b *backendtest.Backend, user, path string) (int, string) {
	t.Helper()
	c := http.DefaultClient
	if user != "" {
		c = b.As(user)
	}
	res, err := c.Get(b.URL + "/api/devtools" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// Each route asks for its own permission, and without it the answer is 403 Unauthorized.
func TestPermissions(t *testing.T) {
	t.Parallel()
	routes := map[string]string{"/info": "devtools.info", "/config": "devtools.config", "/external-dependencies": "devtools.external-dependencies"}
	for path, name := range routes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := backendtest.Start(t, "permission: {enabled: true}", devtools.Plugin(), permission.Plugin(), policy(name))
			for other := range routes {
				for _, user := range []string{admin, alice} {
					status, text := askAs(t, b, user, other)
					if may := user == admin && other == path; may != (status == http.StatusOK) || !may && (status != http.StatusForbidden || !strings.Contains(text, `{"name":"NotAllowedError","message":"Unauthorized"`)) {
						t.Errorf("%s of %s is %d %.200s", other, user, status, text)
					}
				}
				if status, text := askAs(t, b, "", other); status != http.StatusUnauthorized {
					t.Errorf("%s of nobody is %d %.200s", other, status, text)
				}
			}
			if status, text := askAs(t, b, "", "/health"); status != http.StatusOK || text != `{"status":"ok"}` {
				t.Errorf("health is %d %s", status, text)
			}
		})
	}
}

func TestPermissionsAreRegistered(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "", devtools.Plugin())
	_, text := askAs(t, b, alice, "/.well-known/backstage/permissions/metadata")
	var doc struct {
		Permissions []struct {
			Name       string
			Attributes struct{ Action string }
		}
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err, text)
	}
	var got []string
	for _, p := range doc.Permissions {
		got = append(got, p.Name+" "+p.Attributes.Action)
	}
	const want = "devtools.administer read, devtools.info read, devtools.config read, devtools.external-dependencies read, devtools.scheduler.read read, devtools.scheduler.trigger update"
	if strings.Join(got, ", ") != want {
		t.Errorf("%s\nwant %s", strings.Join(got, ", "), want)
	}
}
