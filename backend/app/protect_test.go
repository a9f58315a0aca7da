package app_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/callboard-dev/callboard/backend/app"
	"github.com/callboard-dev/callboard/backend/backendtest"
)

// protectedRelease is a bundle with an entry point for those who are not signed in.
func protectedRelease() fstest.MapFS {
	files := release("main.abc.js")
	files["public/index.html.tmpl"] = file(`<head></head>sign in, <%= config.getOptionalString('app.title') %>`)
	files["public/static/door.js"] = file("door")
	return files
}

// tokenOf is the user token that a client of backendtest carries.
func tokenOf(t *testing.T, c *http.Client) string {
	t.Helper()
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	}))
	defer echo.Close()
	return send(t, c, http.MethodGet, echo.URL+"/api/app/").body
}

func post(t *testing.T, address string, form url.Values, header ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return do(t, http.DefaultClient, r)
}

// TestProtectedBundle holds that only users get the frontend: by a cookie that they get for
// their token, and as long as it is valid.
func TestProtectedBundle(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "app: {title: Acme}", app.Plugin(), app.Bundle(protectedRelease()))
	token := tokenOf(t, b.As("user:default/alice"))

	for path, want := range map[string]string{"/": "sign in, Acme", "/catalog": "sign in, Acme", "/static/door.js": "door", "/robots.txt": "sign in", "/api/app": "sign in"} {
		if got := get(t, b.URL+path); got.status != 200 || !strings.Contains(got.body, want) || got.header.Get("Set-Cookie") != "" {
			t.Errorf("nobody at %s: %d, %.100s", path, got.status, got.body)
		}
	}
	for _, path := range []string{"/static/main.abc.js", "/static/main.abc.js.map", "/public/../static/main.abc.js"} {
		if got := get(t, b.URL+path); strings.Contains(got.body, "script of") || strings.Contains(got.body, "map") {
			t.Errorf("nobody gets %s: %s", path, got.body)
		}
	}
	// A token in a header is no cookie: pages are not asked for with one.
	if got := send(t, b.As("user:default/alice"), "GET", b.URL+"/static/main.abc.js"); got.status != 404 {
		t.Errorf("with a token in the header: %d", got.status)
	}

	got := post(t, b.URL+"/catalog", url.Values{"type": {"sign-in"}, "token": {token}}, "Sec-Fetch-Site", "same-origin")
	cookie := (&http.Response{Header: got.header}).Cookies()
	if got.status != 200 || !strings.Contains(got.body, "<body>main</body>") || got.header.Get("Cache-Control") != "no-store, max-age=0" ||
		len(cookie) != 1 || cookie[0].Name != "backstage-auth" || cookie[0].Path != "/" || !cookie[0].HttpOnly || cookie[0].Value == token {
		t.Fatalf("a sign-in: %d, %v, %.200s", got.status, cookie, got.body)
	}
	signedIn := "backstage-auth=" + cookie[0].Value
	for path, want := range map[string]string{"/": "<body>main</body>", "/static/main.abc.js": "script of", "/robots.txt": "User-agent", "/static/door.js": ""} {
		got := send(t, http.DefaultClient, "GET", b.URL+path, "Cookie", signedIn)
		if !strings.Contains(got.body, want) || (want == "") != (got.status == 404) {
			t.Errorf("a user at %s: %d, %.100s", path, got.status, got.body)
		}
		if c := got.header.Get("Cache-Control"); strings.Contains(c, "public") || got.status == 200 && !strings.Contains(got.header.Get("Vary"), "Cookie") {
			t.Errorf("what only users get may be kept for others: %s: %q, Vary %q", path, c, got.header.Get("Vary"))
		}
	}
	for name, bad := range map[string]string{"no token": "x", "a token for another use": "eyJhbGciOiJFUzI1NiIsInR5cCI6InZuZC5iYWNrc3RhZ2UucGx1Z2luIn0.e30.x", "a signature too short": cookie[0].Value[:len(cookie[0].Value)-5]} {
		got := send(t, http.DefaultClient, "GET", b.URL+"/static/main.abc.js", "Cookie", "backstage-auth="+bad)
		if got.status != 404 || !strings.Contains(strings.Join(got.header["Set-Cookie"], " "), "backstage-auth=; Path=/; Expires=Thu, 01 Jan 1970") {
			t.Errorf("%s: %d, %v", name, got.status, got.header["Set-Cookie"])
		}
	}
	b.Advance(3 * time.Hour)
	if got := send(t, http.DefaultClient, "GET", b.URL+"/", "Cookie", signedIn); !strings.Contains(got.body, "sign in") {
		t.Errorf("after the token has ended: %.100s", got.body)
	}
}

func TestSignInsThatAreRefused(t *testing.T) {
	t.Parallel()
	b := backendtest.Start(t, "", app.Plugin(), app.Bundle(protectedRelease()))
	token := tokenOf(t, b.As("user:default/alice"))
	service := tokenOf(t, b.AsPlugin("app"))
	limited := ""
	for _, c := range (&http.Response{Header: post(t, b.URL+"/", url.Values{"type": {"sign-in"}, "token": {token}}).header}).Cookies() {
		limited = c.Value
	}
	for _, tt := range []struct {
		name   string
		form   url.Values
		header []string
		status int
	}{
		{"no form", nil, nil, 400},
		{"another type", url.Values{"type": {"sign-out"}, "token": {token}}, nil, 400},
		{"no token", url.Values{"type": {"sign-in"}}, nil, 400},
		{"a form that is too large", url.Values{"type": {"sign-in"}, "token": {strings.Repeat("x", 200_000)}}, nil, 400},
		{"what is no token", url.Values{"type": {"sign-in"}, "token": {"x"}}, nil, 401},
		{"the token of a plugin", url.Values{"type": {"sign-in"}, "token": {service}}, nil, 401},
		{"a limited token", url.Values{"type": {"sign-in"}, "token": {limited}}, nil, 401},
		{"from another site", url.Values{"type": {"sign-in"}, "token": {token}}, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"from a neighbour", url.Values{"type": {"sign-in"}, "token": {token}}, []string{"Sec-Fetch-Site", "same-site"}, 403},
	} {
		if got := post(t, b.URL+"/", tt.form, tt.header...); got.status != tt.status || got.header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d, %s", tt.name, got.status, got.body)
		}
	}
	open := backendtest.Start(t, "app: {disablePublicEntryPoint: true}", app.Plugin(), app.Bundle(protectedRelease()))
	if got := get(t, open.URL+"/"); !strings.Contains(got.body, "<body>main</body>") {
		t.Errorf("with disablePublicEntryPoint: %s", got.body)
	}
	if got := post(t, open.URL+"/", url.Values{"type": {"sign-in"}, "token": {token}}); got.status != 404 {
		t.Errorf("a sign-in without a public entry point: %d", got.status)
	}
}
