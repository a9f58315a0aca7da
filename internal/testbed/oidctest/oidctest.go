// Package oidctest starts OpenID providers that others have written, on ports of their own,
// and signs people in at them the way a browser does. They differ where clients break:
//
//   - Zitadel leaves email_verified out if it is false, and has e-mail addresses in the
//     userinfo alone.
//   - Panva's says email_verified: false, sends the parameter iss (RFC 9207), and issues
//     refresh tokens only with prompt=consent.
package oidctest

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/internal/testbed"
)

// A User is somebody with an account. The password is the name with -pw behind it.
type User struct {
	Name     string // the subject, too
	Display  string
	Email    string
	Verified bool
}

// A Server is a running OpenID provider with one client.
type Server struct {
	Issuer       string
	ClientID     string
	ClientSecret string

	redirect string
}

// Zitadel starts github.com/zitadel/oidc with those users, and a client that may be sent
// back to redirect.
func Zitadel(t testing.TB, redirect string, users ...User) *Server {
	t.Helper()
	dir := need(t, "zitadel-op")
	store := map[string]any{}
	for _, u := range users {
		store[u.Name] = map[string]any{
			"ID": u.Name, "Username": u.Name, "Password": u.Name + "-pw", "FirstName": u.Display, "LastName": "Test",
			"Email": u.Email, "EmailVerified": u.Verified, "PreferredLanguage": "en",
		}
	}
	file := filepath.Join(t.TempDir(), "users.json")
	text, err := json.Marshal(store)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	issuer := start(t, exec.Command(filepath.Join(dir, "zitadel-op"), file, redirect))
	return &Server{Issuer: issuer, ClientID: "web", ClientSecret: "secret", redirect: redirect}
}

//go:embed panva.mjs
var panva []byte

// Panva starts npm's oidc-provider with those users, and a client that may be sent back to
// redirect.
func Panva(t testing.TB, redirect string, users ...User) *Server {
	t.Helper()
	dir := need(t, "oidc-provider")
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, err)
	}
	accounts := map[string]any{}
	for _, u := range users {
		claims := map[string]any{"sub": u.Name, "name": u.Display}
		if u.Email != "" {
			claims["email"], claims["email_verified"] = u.Email, u.Verified
		}
		accounts[u.Name] = claims
	}
	config, err := json.Marshal(map[string]any{"users": accounts, "redirect": redirect})
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "panva.mjs")
	if err := os.WriteFile(script, panva, 0o600); err != nil {
		t.Fatal(err)
	}
	issuer := start(t, exec.Command(node, script, dir, string(config)))
	return &Server{Issuer: issuer, ClientID: "web", ClientSecret: "secret", redirect: redirect}
}

// need returns the folder of a tool. Where it is missing the test is skipped, or fails if
// it must not be.
func need(t testing.TB, tool string) string {
	t.Helper()
	dir, err := testbed.Find(tool)
	if err != nil {
		missing(t, err)
	}
	return dir
}

func missing(t testing.TB, err error) {
	t.Helper()
	if os.Getenv(testbed.RequireEnv) == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// start starts a server and returns the first line that it prints. The server ends with
// its standard input, and so with this process, however that ends.
func start(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, lines)
	}()
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		<-done
		_ = cmd.Wait() // killed
		if t.Failed() {
			t.Logf("%s: %s", filepath.Base(cmd.Path), stderr.String())
		}
	})
	if err != nil {
		t.Fatalf("%s did not start: %v", filepath.Base(cmd.Path), err)
	}
	return strings.TrimSpace(line)
}

// SignIn returns what a user does in the browser: open an address, fill in the forms, and
// be sent back.
func (s *Server) SignIn(name string) func(address string) (*url.URL, error) {
	return func(address string) (*url.URL, error) {
		jar, err := cookiejar.New(nil)
		if err != nil {
			return nil, err
		}
		c := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		resp, err := c.Get(address)
		for range 20 {
			if err != nil {
				return nil, err
			}
			body, readErr := io.ReadAll(resp.Body)
			resp.Body.Close()
			if readErr != nil {
				return nil, readErr
			}
			if to, err := resp.Location(); err == nil {
				if strings.HasPrefix(to.String(), s.redirect) {
					return to, nil
				}
				resp, err = c.Get(to.String())
				if err != nil {
					return nil, err
				}
				continue
			}
			action, form, ok := formOf(string(body), name)
			if !ok {
				return nil, fmt.Errorf("%s answered %s: %.300s", resp.Request.URL, resp.Status, body)
			}
			to, parseErr := resp.Request.URL.Parse(action)
			if parseErr != nil {
				return nil, parseErr
			}
			resp, err = c.PostForm(to.String(), form)
		}
		return nil, errors.New("the identity provider sends the browser in circles")
	}
}

var (
	formTag  = regexp.MustCompile(`(?s)<form([^>]*)>(.*?)</form>`)
	inputTag = regexp.MustCompile(`<input([^>]*)>`)
	attrs    = regexp.MustCompile(`([a-zA-Z-]+)\s*=\s*"([^"]*)"`)
)

// formOf returns where the form of a page goes, filled in by a user.
func formOf(page, user string) (action string, form url.Values, ok bool) {
	m := formTag.FindStringSubmatch(page)
	if m == nil {
		return "", nil, false
	}
	form = url.Values{}
	for _, input := range inputTag.FindAllStringSubmatch(m[2], -1) {
		a := attributes(input[1])
		switch name := a["name"]; name {
		case "":
		case "username", "login":
			form.Set(name, user)
		case "password":
			form.Set(name, user+"-pw")
		default:
			form.Set(name, a["value"])
		}
	}
	return attributes(m[1])["action"], form, true
}

func attributes(tag string) map[string]string {
	out := map[string]string{}
	for _, a := range attrs.FindAllStringSubmatch(tag, -1) {
		out[strings.ToLower(a[1])] = html.UnescapeString(a[2])
	}
	return out
}
