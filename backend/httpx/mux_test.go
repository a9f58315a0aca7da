package httpx_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/principal"
)

// echo answers with the route's name and the named path values.
func echo(name string, values ...string) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		answer := name
		for _, v := range values {
			answer += fmt.Sprintf(" %s=%q", v, r.PathValue(v))
		}
		_, err := io.WriteString(w, answer)
		return err
	}
}

func newMux(t testing.TB, routes map[string]httpx.HandlerFunc) *httpx.Mux {
	t.Helper()
	m := &httpx.Mux{Errors: httpx.ErrorWriter{Log: slog.New(slog.DiscardHandler)}}
	for pattern, h := range routes {
		if err := m.Handle(pattern, h); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestMatching(t *testing.T) {
	t.Parallel()
	m := newMux(t, map[string]httpx.HandlerFunc{
		"GET /entities": echo("list"),
		"GET /entities/by-name/{kind}/{namespace}/{name}":          echo("name", "kind", "namespace", "name"),
		"GET /entities/by-name/{kind}/{namespace}/{name}/ancestry": echo("ancestry", "name"),
		"GET /entities/by-uid/{uid}":                               echo("uid", "uid"),
		"DELETE /entities/by-uid/{uid}":                            echo("delete", "uid"),
		"POST /entities/by-refs":                                   echo("refs"),
		"GET /entities/{other}":                                    echo("other", "other"),
		"/any":                                                     echo("any"),
		"GET /any":                                                 echo("get any"),
		"GET /static/{path...}":                                    echo("static", "path"),
		"GET /static/index":                                        echo("index"),
		"GET /sub/":                                                echo("sub"),
		"GET /exact/{$}":                                           echo("exact"),
		"GET /x/{a}/z":                                             echo("wild z", "a"),
		"GET /x/y/{b}":                                             echo("y wild", "b"),
	})
	for _, tt := range []struct{ method, path, want string }{ // want "" is 404 without a body
		{"GET", "/entities", "list"},
		{"GET", "/entities/", "list"},
		{"GET", "/entities//", ""},
		{"GET", "//entities", ""},
		{"GET", "/Entities", "list"},
		{"HEAD", "/entities", "list"},
		{"POST", "/entities", ""},
		{"OPTIONS", "/entities", ""},
		{"GET", "/entities/by-name/component/default/a", `name kind="component" namespace="default" name="a"`},
		{"GET", "/entities/by-name/component/default/a/", `name kind="component" namespace="default" name="a"`},
		{"GET", "/entities/by-name/component/default/a%2Fb%20c", `name kind="component" namespace="default" name="a/b c"`},
		{"GET", "/entities/by-name/component/default/100%25", `name kind="component" namespace="default" name="100%"`},
		{"GET", "/entities/by-name/component/default/%252F", `name kind="component" namespace="default" name="%2F"`},
		{"GET", "/entities/by-name/component/default/..", `name kind="component" namespace="default" name=".."`},
		{"GET", "/entities/by-name/component//a", ""},
		{"GET", "/entities/by-name/component/default/a/ancestry", `ancestry name="a"`},
		{"GET", "/entities/by-uid/1", `uid uid="1"`},
		{"DELETE", "/entities/by-uid/1", `delete uid="1"`},
		{"PUT", "/entities/by-uid/1", ""},
		{"POST", "/entities/by-refs", "refs"},
		{"GET", "/entities/by-refs", `other other="by-refs"`},
		{"GET", "/entities/../entities", ""},
		{"PATCH", "/any", "any"},
		{"GET", "/any", "get any"},
		{"HEAD", "/any", "get any"},
		{"GET", "/static/a//../b%2Fc", `static path="a//../b/c"`},
		{"GET", "/static/", `static path=""`},
		{"GET", "/static", `static path=""`},
		{"GET", "/static/index", "index"},
		{"GET", "/static/index/x", `static path="index/x"`},
		{"GET", "/sub/a/b", "sub"},
		{"GET", "/sub", "sub"},
		{"GET", "/exact", "exact"},
		{"GET", "/exact/more", ""},
		{"GET", "/x/y/z", `y wild b="z"`},
		{"GET", "/x/q/z", `wild z a="q"`},
		{"GET", "/x/y", ""},
		{"GET", "/", ""},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			m.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
			status := 200
			if tt.want == "" {
				status = 404
			}
			if w.Code != status || w.Body.String() != tt.want {
				t.Errorf("got %d %q, want %d %q", w.Code, w.Body, status, tt.want)
			}
			if status == 404 && w.Header().Get("Content-Type") != "" {
				t.Error("an empty 404 has a content type")
			}
		})
	}
}

func TestHandleRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ first, second, want string }{
		{"GET /a/{x}", "GET /a/{y}", `route "GET /a/{y}" matches the same requests as route "GET /a/{x}"`},
		{"GET /a", "GET /a", `matches the same requests`},
		{"GET /a/", "GET /a/{rest...}", `matches the same requests`},
		{"GET /a", "GET a", "must begin with a slash"},
		{"GET /a", "get /b", "must be in upper case"},
		{"GET /a", "GET /b//c", "empty segment"},
		{"GET /a", "GET /{x...}/c", "must be at the end"},
		{"GET /a", "GET /{$}/c", "must be at the end"},
		{"GET /a", "GET /{x}/{x}", "used twice"},
		{"GET /a", "GET /pre{x}", "must be a literal or one {name}"},
		{"GET /a", "GET /{}", "is not a name"},
		{"GET /a", "GET /a%2Fb", "must be a literal"},
	} {
		m := newMux(t, map[string]httpx.HandlerFunc{tt.first: echo("")})
		if err := m.Handle(tt.second, echo("")); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q after %q: got %v, want %q", tt.second, tt.first, err, tt.want)
		}
	}
	if err := new(httpx.Mux).Handle("GET /a", nil); err == nil {
		t.Error("a route without a handler is accepted")
	}
}

// Routes that differ only by case would shadow each other: which one a guard has
// checked and which one answers must never be in doubt.
func TestSEC74_RoutesThatDifferByCaseAreRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ first, second string }{
		{"GET /entities", "GET /Entities"},
		{"GET /entities", "POST /ENTITIES"},
		{"GET /a/{x}/Tail", "GET /a/{x}/tail"},
		{"GET /Admin/{rest...}", "GET /admin/public"},
	} {
		m := newMux(t, map[string]httpx.HandlerFunc{tt.first: echo("")})
		if err := m.Handle(tt.second, echo("")); err == nil || !strings.Contains(err.Error(), "differs only by case") {
			t.Errorf("%q after %q: got %v", tt.second, tt.first, err)
		}
	}
}

func TestGuardSeesEveryRequest(t *testing.T) {
	t.Parallel()
	m := newMux(t, nil)
	for pattern, access := range map[string]httpx.Access{"GET /open": httpx.AllowUnauthenticated, "GET /cookie": httpx.AllowUserCookie, "GET /closed": 0} {
		h := func(w http.ResponseWriter, r *http.Request) error {
			return httpx.Text(w, 200, httpx.CallerOf(r).String())
		}
		if err := m.Handle(pattern, h, access); err != nil {
			t.Fatal(err)
		}
	}
	m.Guard = func(r *http.Request, access httpx.Access) (*http.Request, error) {
		if access == 0 {
			return nil, apierr.Authentication.New("Missing credentials")
		}
		return httpx.WithCaller(r, principal.Credentials{Principal: principal.Service{Subject: fmt.Sprint(access)}}), nil
	}
	for path, want := range map[string]string{
		"/open": "1", "/cookie": "2",
		"/closed":     `{"error":{"name":"AuthenticationError","message":"Missing credentials"},"request":{"method":"GET","url":"/closed"},"response":{"statusCode":401}}`,
		"/none?a=%2F": `{"error":{"name":"AuthenticationError","message":"Missing credentials"},"request":{"method":"GET","url":"/none?a=%2F"},"response":{"statusCode":401}}`,
	} {
		w := httptest.NewRecorder()
		m.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Body.String() != want {
			t.Errorf("%s: got %s, want %s", path, w.Body, want)
		}
	}
}

func TestPanicsAndInternalErrorsAreLoggedUnderTheirID(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]httpx.HandlerFunc{
		"panic": func(http.ResponseWriter, *http.Request) error { panic("secret canary") },
		"error": func(http.ResponseWriter, *http.Request) error { return errors.New("secret canary") },
	} {
		var log bytes.Buffer
		m := newMux(t, map[string]httpx.HandlerFunc{"GET /x": h})
		m.Errors.Log = slog.New(slog.NewTextHandler(&log, nil))
		w := httptest.NewRecorder()
		m.ServeHTTP(w, httptest.NewRequest("GET", "/x?y=1", nil))
		_, id, _ := strings.Cut(w.Body.String(), "logId=")
		id, _, _ = strings.Cut(id, `"`)
		if w.Code != 500 || len(id) != 20 || strings.Contains(w.Body.String(), "canary") {
			t.Errorf("%s: got %d %s", name, w.Code, w.Body)
		}
		for _, want := range []string{"Request failed with status 500", "logId=" + id, "secret canary", "/x?y=1"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("%s: the log %q does not contain %q", name, log.String(), want)
			}
		}
	}
}

func TestAnErrorAfterTheAnswerHasBegunCutsTheConnection(t *testing.T) {
	t.Parallel()
	m := newMux(t, map[string]httpx.HandlerFunc{"GET /": func(w http.ResponseWriter, r *http.Request) error {
		io.WriteString(w, strings.Repeat("x", 10_000))
		return errors.New("the database is gone")
	}})
	srv := httptest.NewServer(m)
	defer srv.Close()
	resp, err := http.Get(srv.URL)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
	}
	if err == nil {
		t.Error("half an answer ends like a whole one")
	}
}

func TestUserOfAndServiceOf(t *testing.T) {
	t.Parallel()
	user := principal.Credentials{Principal: principal.User{Ref: "user:default/a"}}
	service := principal.Credentials{Principal: principal.Service{Subject: "plugin:x"}}
	for _, tt := range []struct {
		c         principal.Credentials
		user, svc string
	}{
		{user, "", "This endpoint does not allow 'user' credentials"},
		{service, "This endpoint does not allow 'service' credentials", ""},
		{principal.Nobody(), "Missing credentials", "Missing credentials"},
	} {
		r := httpx.WithCaller(httptest.NewRequest("GET", "/", nil), tt.c)
		_, uerr := httpx.UserOf(r)
		_, serr := httpx.ServiceOf(r)
		if text(uerr) != tt.user || text(serr) != tt.svc {
			t.Errorf("%s: got %q and %q", tt.c, text(uerr), text(serr))
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func BenchmarkMatch(b *testing.B) {
	m := newMux(b, map[string]httpx.HandlerFunc{
		"GET /entities": echo(""), "GET /entities/by-query": echo(""), "POST /entities/by-refs": echo(""),
		"GET /entities/by-uid/{uid}": echo(""), "GET /entities/by-name/{kind}/{namespace}/{name}": echo(""),
		"GET /locations/{id}": echo(""), "POST /locations": echo(""),
	})
	r := httptest.NewRequest("GET", "/entities/by-name/component/default/checkout-api", nil)
	b.ReportAllocs()
	for b.Loop() {
		if m.Pattern(r) == "" {
			b.Fatal("no route")
		}
	}
}

func TestMatchingAllocatesNothing(t *testing.T) {
	m := newMux(t, map[string]httpx.HandlerFunc{"GET /entities/by-name/{kind}/{namespace}/{name}": echo("")})
	r := httptest.NewRequest("GET", "/entities/by-name/component/default/a%2Fb", nil)
	if n := testing.AllocsPerRun(100, func() { m.Pattern(r) }); n != 0 {
		t.Errorf("matching allocates %v times", n)
	}
}

func FuzzMux(f *testing.F) {
	for _, s := range []string{"/", "/a", "/a/", "//", "/a/%2F", "/a/../b", "/static/%2e%2e/x"} {
		f.Add(s)
	}
	m := newMux(f, map[string]httpx.HandlerFunc{"GET /a/{x}": echo("", "x"), "GET /static/{p...}": echo("", "p"), "GET /a": echo("")})
	f.Fuzz(func(t *testing.T, path string) {
		r, err := http.NewRequest("GET", "http://h"+path, nil)
		if err != nil || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?#") {
			return
		}
		w := httptest.NewRecorder()
		m.ServeHTTP(w, r)
		if w.Code != 200 && (w.Code != 404 || w.Body.Len() != 0) {
			t.Errorf("%q: %d %s", path, w.Code, w.Body)
		}
	})
}
