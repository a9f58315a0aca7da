package catalog_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/catalog"
)

// TestSCMEventsAreActedUpon publishes what happened to a file, and sees the location that
// leads to it refreshed, moved and deleted; what the configuration leaves out does nothing.
func TestSCMEventsAreActedUpon(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		config string
		acts   bool
	}{
		{"scmEvents: true", true},
		{"scmEvents: {refresh: true}", true},
		{"scmEvents: {refresh: false, unregister: false, move: false}", false},
		{"scmEvents: false", false},
		{"{}", false},
	} {
		t.Run(tt.config, func(t *testing.T) {
			t.Parallel()
			var reads atomic.Int64
			host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				reads.Add(1)
				fmt.Fprintf(w, "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: x, description: %q}\nspec: {type: service, lifecycle: production, owner: team}\n",
					fmt.Sprint(r.URL.Path, " ", reads.Load()))
			}))
			t.Cleanup(host.Close)
			var events backend.Events
			module := backend.NewModule("catalog", "host", fx.Invoke(func(e backend.Events) { events = e }))
			b := backendtest.Start(t, "backend: {reading: {allow: [{host: '127.0.0.1:1-65535'}]}}\ncatalog:\n  "+strings.ReplaceAll(tt.config, "{}", "readonly: false")+"\n", catalog.Plugin(), module)
			ask := func(method, path, body string) string {
				t.Helper()
				req, err := http.NewRequestWithContext(t.Context(), method, b.URL+"/api/catalog"+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", "application/json")
				resp, err := b.As("user:default/alice").Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				answer, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				return string(answer)
			}
			await := func(path, want string) {
				t.Helper()
				for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
					got := ask("GET", path, "")
					if strings.Contains(got, want) {
						return
					}
					if time.Now().After(deadline) {
						t.Fatalf("%s: %s, want %s", path, got, want)
					}
				}
			}
			publish := func(e catalog.SCMEvent) {
				t.Helper()
				if err := events.Publish(t.Context(), catalog.TopicSCM, []catalog.SCMEvent{e}); err != nil {
					t.Fatal(err)
				}
			}
			ask("POST", "/locations", `{"type":"url","target":"`+host.URL+`/a.yaml"}`)
			await("/entities/by-name/component/default/x", "/a.yaml")
			if !tt.acts {
				publish(catalog.SCMEvent{Type: catalog.SCMLocationDeleted, URL: host.URL + "/a.yaml"})
				time.Sleep(50 * time.Millisecond) // nobody listens, and nobody says so
				await("/locations", "/a.yaml")
				return
			}
			before := reads.Load()
			publish(catalog.SCMEvent{Type: catalog.SCMLocationUpdated, URL: host.URL + "/a.yaml"})
			await("/entities/by-name/component/default/x", fmt.Sprint("/a.yaml ", before+1))
			publish(catalog.SCMEvent{Type: catalog.SCMLocationMoved, FromURL: host.URL + "/a.yaml", ToURL: host.URL + "/b.yaml"})
			await("/locations", "/b.yaml")
			await("/entities/by-name/component/default/x", "/b.yaml")
			publish(catalog.SCMEvent{Type: "location.painted", URL: host.URL}) // is logged
			publish(catalog.SCMEvent{Type: catalog.SCMRepositoryDeleted, URL: host.URL})
			await("/entities/by-query", `"totalItems":0`)
		})
	}
}
