package backend_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/backendtest"
)

// Paths at the root of the host are answered to everybody, as they are written.
func TestWellKnown(t *testing.T) {
	t.Parallel()
	say := func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, "Contact: mailto:security@acme.example")
		return err
	}
	serve := func(id string, paths ...string) backend.Feature {
		return backend.NewPlugin(id, fx.Invoke(func(w backend.WellKnown) {
			for _, p := range paths {
				w.Handle(p, say)
			}
		}))
	}
	b := backendtest.Start(t, "", serve("a", "/.well-known/security.txt"), backend.NewPlugin("b", fx.Invoke(func(w backend.WellKnown) {
		w.Handle("/.well-known/gone", func(http.ResponseWriter, *http.Request) error { return apierr.NotFound.New("it is gone") })
	})))
	for _, tt := range []struct{ method, path, want string }{
		{"GET", "/.well-known/security.txt", "200 Contact:"},
		{"HEAD", "/.well-known/security.txt", "200 "},
		{"POST", "/.well-known/security.txt", "404 "},
		{"GET", "/.well-known/Security.txt", "404 "},
		{"GET", "/.well-known/security.txt/", "404 "},
		{"GET", "/.well-known/x/../security.txt", "404 "},
		{"GET", "/.well-known/gone", `404 {"error":{"name":"NotFoundError","message":"it is gone"`},
		{"GET", "/api/.well-known/security.txt", "404 "},
	} {
		if status, body := request(t, http.DefaultClient, tt.method, b.URL+tt.path); !strings.HasPrefix(status+" "+body, tt.want) {
			t.Errorf("%s %s: %s %s, want %s", tt.method, tt.path, status, body, tt.want)
		}
	}
	for want, paths := range map[string][]string{
		`path "/security.txt" is not below /.well-known/`:    {"/security.txt"},
		`path "/.well-known/" is not below /.well-known/`:    {"/.well-known/"},
		`path "/.well-known/security.txt" is served already`: {"/.well-known/security.txt", "/.well-known/security.txt"},
	} {
		if _, err := backendtest.Boot(t, "", serve("a", paths...)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", paths, err, want)
		}
	}
}

func request(t *testing.T, c *http.Client, method, url string) (status, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	status, _, _ = strings.Cut(res.Status, " ")
	return status, string(text)
}
