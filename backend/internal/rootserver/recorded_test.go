package rootserver_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/internal/rootserver"
	"github.com/callboard-dev/callboard/backend/internal/tokens"
)

// recordedConfig is the part of the configuration that the recordings were made with.
const recordedConfig = `
backend:
  baseUrl: http://127.0.0.1:7107
  listen: { host: 127.0.0.1, port: 0 }
  csp:
    connect-src: ["'self'", 'http:', 'https:']
  cors:
    origin: http://127.0.0.1:3000
    methods: [GET, HEAD, PATCH, POST, PUT, DELETE]
    credentials: true
  auth:
    externalAccess:
      - type: static
        options: { token: ref-static-token-0123456789, subject: test }
      - type: static
        options: { token: ref-limited-token-0123456789, subject: limited }
        accessRestrictions:
          - plugin: catalog
            permission: catalog.entity.read
          - plugin: search
`

func decode[T any](t testing.TB, yaml, path string, into T) T {
	t.Helper()
	cfg, err := config.Parse("app-config.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Decode(path, &into); err != nil {
		t.Fatal(err)
	}
	return into
}

// recordedServer is a server with the plugins of the recordings, of which only what
// the recorded exchanges touch exists.
func recordedServer(t *testing.T) *rootserver.Server {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := rootserver.New(decode(t, recordedConfig, "backend", rootserver.Defaults()), rootserver.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	checker := tokens.NewChecker(tokens.Options{Config: decode(t, recordedConfig, "backend.auth", tokens.Config{}), Log: log})
	for _, id := range []string{"catalog", "scaffolder", "search", "techdocs", "permission", "kubernetes", "notifications", "user-settings",
		"proxy", "events", "signals", "devtools", "mcp-actions"} {
		barrier := checker.Barrier(id)
		if id == "signals" {
			if err := barrier.Allow("/", httpx.AllowUnauthenticated); err != nil {
				t.Fatal(err)
			}
		}
		mux := &httpx.Mux{Guard: barrier.Guard, Errors: httpx.ErrorWriter{Log: log}}
		if id == "catalog" {
			addCatalog(t, mux)
		}
		keys := tokens.NewMemoryKeys(time.Hour, nil)
		gate, err := s.Mount(rootserver.Plugin{ID: id, Before: tokens.ServeKeys(keys, mux.Errors), Routes: mux, Errors: mux.Errors})
		if err != nil {
			t.Fatal(err)
		}
		gate.Open()
	}
	s.SetReady()
	return s
}

func addCatalog(t *testing.T, mux *httpx.Mux) {
	for pattern, h := range map[string]httpx.HandlerFunc{
		"GET /entities/by-query": func(w http.ResponseWriter, r *http.Request) error {
			a := httpx.NewArrayWriter(w, 200).Within(`{"items":`, `,"totalItems":42,"pageInfo":{}}`)
			return a.Close()
		},
		"POST /refresh": func(w http.ResponseWriter, r *http.Request) error {
			if s, ok := httpx.CallerOf(r).Service(); ok {
				if rule, _ := s.Restrictions.For("catalog"); !rule.Permits("catalog.entity.refresh", "update") {
					return apierr.NotAllowed.New("Unauthorized")
				}
			}
			return httpx.Empty(w, 200)
		},
	} {
		if err := mux.Handle(pattern, h); err != nil {
			t.Fatal(err)
		}
	}
}

// Every recorded exchange about health, CORS, unknown paths, and credentials that does
// not need the content of a plugin. Messages are replaced by a marker in the file.
func TestRecordedExchanges(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/health.json")
	if err != nil {
		t.Fatal(err)
	}
	var exchanges []struct {
		Name, Method, Path string
		Headers            map[string]string
		RequestBody        json.RawMessage
		Status             int
		ResponseHeaders    map[string]string
		Body               any
		IgnoreBody         bool
	}
	if err := json.Unmarshal(raw, &exchanges); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(recordedServer(t))
	t.Cleanup(srv.Close)
	for _, x := range exchanges {
		t.Run(x.Name, func(t *testing.T) {
			req, err := http.NewRequest(x.Method, srv.URL+x.Path, bytes.NewReader(x.RequestBody))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept-Encoding", "identity")
			for k, v := range x.Headers {
				req.Header.Set(k, strings.Replace(v, "{{jwt}}", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", 1))
			}
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != x.Status {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, x.Status, body)
			}
			compareHeaders(t, resp.Header, x.ResponseHeaders)
			if x.IgnoreBody {
				return
			}
			var got any = ""
			if len(body) > 0 {
				if err := json.Unmarshal(body, &got); err != nil {
					t.Fatalf("%v: %s", err, body)
				}
			}
			if e, ok := errorOf(got); ok {
				e["message"] = "§text"
			}
			if !reflect.DeepEqual(got, x.Body) {
				t.Errorf("body %s\nwant %v", body, x.Body)
			}
		})
	}
}

// comparedHeaders are those that the replay of the recordings compares.
var comparedHeaders = []string{"content-type", "etag", "link", "cache-control", "location", "www-authenticate", "content-disposition", "vary",
	"access-control-allow-origin", "access-control-allow-credentials", "allow", "content-security-policy", "retry-after", "content-encoding", "content-language"}

func compareHeaders(t *testing.T, got http.Header, want map[string]string) {
	t.Helper()
	for _, name := range comparedHeaders {
		g, w := strings.Join(got.Values(name), "|"), want[name]
		if name == "etag" { // of bodies whose messages are ours to word
			g, w = g[:min(len(g), 2)], w[:min(len(w), 2)]
		}
		if g != w {
			t.Errorf("header %s: %q, want %q", name, g, w)
		}
	}
}

func errorOf(body any) (map[string]any, bool) {
	m, _ := body.(map[string]any)
	e, ok := m["error"].(map[string]any)
	return e, ok
}
