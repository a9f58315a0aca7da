package backend_test

import (
	"net/http"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
)

// TestEveryPluginGivesTheCookie holds that pages can ask any plugin for the cookie of their
// user, also one without a route that accepts it (contract/auth.md section 7.4).
func TestEveryPluginGivesTheCookie(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "", backend.NewPlugin("plain", fx.Invoke(func(r backend.Router) {
		r.Handle("GET /", func(http.ResponseWriter, *http.Request) error { return nil })
	})))
	const path = "/api/plain/.backstage/auth/v1/cookie"
	for _, tt := range []struct {
		method string
		client *http.Client
		status int
	}{
		{http.MethodGet, b.As("user:default/alice"), 200},
		{http.MethodDelete, b.As("user:default/alice"), 204},
		{http.MethodGet, http.DefaultClient, 401},
	} {
		r, err := http.NewRequestWithContext(t.Context(), tt.method, b.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := tt.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tt.status || (len(res.Cookies()) > 0) != (tt.status < 300) {
			t.Errorf("%s: %s, cookies %v", tt.method, res.Status, res.Cookies())
		}
	}
}
