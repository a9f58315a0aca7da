package rootserver_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/internal/rootserver"
	"github.com/callboard-dev/callboard/backend/principal"
)

// inMemory is a client of a server that never listens.
func inMemory(t *testing.T, routes map[string]httpx.HandlerFunc) *http.Client {
	t.Helper()
	cfg := rootserver.Defaults()
	cfg.BaseURL = "http://localhost:7007"
	s, err := rootserver.New(cfg, rootserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	mux := &httpx.Mux{}
	for pattern, h := range routes {
		if err := mux.Handle(pattern, h); err != nil {
			t.Fatal(err)
		}
	}
	gate, err := s.Mount(rootserver.Plugin{ID: "x", Routes: mux})
	if err != nil {
		t.Fatal(err)
	}
	gate.Open()
	return &http.Client{Transport: s.InMemory()}
}

func TestInMemoryRequestsAreLikeOthers(t *testing.T) {
	t.Parallel()
	client := inMemory(t, map[string]httpx.HandlerFunc{
		"POST /echo/{name}": func(w http.ResponseWriter, r *http.Request) error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			return httpx.JSON(w, http.StatusCreated, []string{r.PathValue("name"), r.URL.RawQuery, r.Host, r.Header.Get("X-Test"), string(body)})
		},
		"GET /nothing": func(http.ResponseWriter, *http.Request) error { return nil },
		"GET /plain": func(w http.ResponseWriter, r *http.Request) error {
			_, err := io.WriteString(w, "<html>")
			return err
		},
	})
	req, err := http.NewRequest(http.MethodPost, "http://plugin.local/api/x/echo/a%2Fb%20c?q=%31&r", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Test", "yes")
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || res.Body.Close() != nil {
		t.Fatal(err)
	}
	if got, want := string(body), `["a/b c","q=%31&r","plugin.local","yes","body"]`; got != want || res.StatusCode != http.StatusCreated || res.Status != "201 Created" {
		t.Errorf("%s %s, want %s", res.Status, got, want)
	}
	if res.Header.Get("X-Content-Type-Options") != "nosniff" || res.Header.Get("Etag") == "" || res.Header.Get("Content-Encoding") != "" {
		t.Errorf("headers %v", res.Header)
	}
	for _, tt := range []struct {
		method, path, want string
		status             int
	}{
		{"GET", "/api/x/nothing", "", 200},
		{"GET", "/api/x/none", "", 404},
		{"GET", "/api/y/none", "", 404},
		{"GET", "/api/x/plain", "<html>", 200},
		{"HEAD", "/api/x/plain", "", 200},
	} {
		req, err := http.NewRequest(tt.method, "http://plugin.local"+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || res.Body.Close() != nil || string(body) != tt.want || res.StatusCode != tt.status {
			t.Errorf("%s %s: %s %q %v", tt.method, tt.path, res.Status, body, err)
		}
	}
}

func TestInMemoryAnswersStream(t *testing.T) {
	t.Parallel()
	next, ended := make(chan struct{}), make(chan error, 1)
	client := inMemory(t, map[string]httpx.HandlerFunc{
		"GET /stream": func(w http.ResponseWriter, r *http.Request) error {
			_, _ = io.WriteString(w, "first\n")
			http.NewResponseController(w).Flush()
			<-next
			_, _ = io.WriteString(w, "second\n")
			<-r.Context().Done()
			ended <- r.Context().Err()
			return nil
		},
	})
	res, err := client.Get("http://plugin.local/api/x/stream")
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(res.Body)
	for i, want := range []string{"first\n", "second\n"} {
		if got, err := lines.ReadString('\n'); got != want {
			t.Fatalf("line %d: %q, %v", i, got, err)
		}
		if i == 0 {
			close(next)
		}
	}
	res.Body.Close() // nobody listens any more
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler ends with %v", err)
	}
}

func TestInMemoryRequestsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	started, ended := make(chan struct{}), make(chan struct{})
	client := inMemory(t, map[string]httpx.HandlerFunc{
		"GET /wait": func(_ http.ResponseWriter, r *http.Request) error {
			close(started)
			<-r.Context().Done()
			close(ended)
			return r.Context().Err()
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://plugin.local/api/x/wait", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Do(req); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-ended
}

// Whom a plugin serves itself must not become the caller of what it calls: the token
// alone says who calls.
func TestInMemoryRequestsInheritNoCaller(t *testing.T) {
	t.Parallel()
	client := inMemory(t, map[string]httpx.HandlerFunc{
		"GET /who": func(w http.ResponseWriter, r *http.Request) error {
			return httpx.JSON(w, http.StatusOK, httpx.CallerOf(r).Type())
		},
	})
	alice := principal.Credentials{Principal: principal.User{Ref: "user:default/alice"}}
	req, err := http.NewRequestWithContext(httpx.ContextWithCaller(t.Context(), alice), http.MethodGet, "http://plugin.local/api/x/who", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != `"none"` {
		t.Errorf("the callee sees %s, %v", body, err)
	}
}

func TestInMemoryHandlersThatPanic(t *testing.T) {
	t.Parallel()
	client := inMemory(t, map[string]httpx.HandlerFunc{
		"GET /early": func(http.ResponseWriter, *http.Request) error { panic("early") },
		"GET /late": func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = io.WriteString(w, "half")
			panic("late")
		},
	})
	res, err := client.Get("http://plugin.local/api/x/early")
	if err != nil || res.StatusCode != http.StatusInternalServerError {
		t.Fatalf("early: %v %v", res, err)
	}
	res.Body.Close()
	res, err = client.Get("http://plugin.local/api/x/late")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("half an answer looks whole: %q", body)
	}
}

func BenchmarkInMemory(b *testing.B) {
	cfg := rootserver.Defaults()
	cfg.BaseURL = "http://localhost:7007"
	s, err := rootserver.New(cfg, rootserver.Options{})
	if err != nil {
		b.Fatal(err)
	}
	gate, err := s.Mount(rootserver.Plugin{ID: "x", Routes: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		httpx.JSONBytes(w, http.StatusOK, []byte(`{}`))
	})})
	if err != nil {
		b.Fatal(err)
	}
	gate.Open()
	client := &http.Client{Transport: s.InMemory()}
	b.ReportAllocs()
	for b.Loop() {
		res, err := client.Get("http://plugin.local/api/x")
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
}
