package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// attempt is what a browser saw of one sign-in, as testdata/signin/drive.mjs prints it.
type attempt struct {
	Before, Session, Reloaded, After *struct {
		User  string
		Owns  []string
		Token string
		Email string
	}
	Error   *struct{ Name, Message string }
	Address string
	Cookies []struct {
		Name, SameSite, Domain, Path string
		HTTPOnly                     bool
	}
	Visible string // what scripts see of the cookies
	Console []struct{ Type, Text, URL string }
	Errors  []string
	Frames  []struct {
		Status int
		CSP    string
	}
}

// browse lets Chromium sign in users, with the auth packages of the stock frontend.
func browse(t *testing.T, settings map[string]any) map[string]attempt {
	t.Helper()
	folder := needs(t, "sign-in")
	page, err := filepath.Abs("testdata/signin/page.js")
	if err != nil {
		t.Fatal(err)
	}
	settings["chromium"], settings["page"] = filepath.Join(needs(t, "chromium"), "chromium"), page
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "testdata/signin/drive.mjs", folder, string(text))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("drive.mjs: %v\n%s", err, stderr.String())
	}
	var all map[string]attempt
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return all
}

// TestTheStockFrontendSignsIn has the stock frontend's packages in a real browser: a popup,
// a reload that keeps the session, and a sign-out that ends it.
func TestTheStockFrontendSignsIn(t *testing.T) {
	for _, provider := range providers {
		t.Run(provider.name, func(t *testing.T) {
			app := "http://" + strings.Replace(freeAddress(t), "127.0.0.1", "localhost", 1)
			p, _ := acme(t, app, sqlite(t), provider.start, provider.prompt)
			all := browse(t, map[string]any{
				"app": app, "backend": p.url, "consent": provider.name == "panva",
				"users": [][]string{{"alice", "alice-pw"}, {"bob", "bob-pw"}},
			})
			a := all["alice"]
			if a.Before != nil || a.After != nil {
				t.Errorf("signed in before: %+v, after the sign-out: %+v", a.Before, a.After)
			}
			for name, s := range map[string]any{"the popup": a.Session, "the reload": a.Reloaded} {
				text, err := json.Marshal(s)
				if err != nil || !strings.Contains(string(text), `"User":"user:default/alice","Owns":["user:default/alice","group:default/platform"]`) || !strings.Contains(string(text), `"Email":"Alice@acme.test"`) {
					t.Errorf("%s: %s, error %+v", name, text, a.Error)
				}
			}
			for _, c := range a.Cookies {
				if !c.HTTPOnly || c.SameSite != "Lax" || c.Domain != "localhost" || c.Path != "/api/auth/oidc" || c.Name != "oidc-refresh-token" && c.Name != "oidc-granted-scope" {
					t.Errorf("the browser has the cookie %+v", c)
				}
			}
			if len(a.Cookies) != 2 || a.Visible != "" {
				t.Errorf("the browser has %d cookies; scripts see %q", len(a.Cookies), a.Visible)
			}
			b := all["bob"]
			if b.Error == nil || !strings.Contains(b.Error.Message, "does not say that it is verified") || b.Session != nil || b.Reloaded != nil || len(b.Cookies) != 0 {
				t.Errorf("somebody whose address was not verified: %+v %+v %+v", b.Error, b.Session, b.Cookies)
			}
			for name, a := range all {
				passesItsPolicy(t, name, a)
			}
		})
	}
}

// TestTheStockFrontendSignsInWithoutPopups has the whole page go to the identity provider
// and come back, which enableExperimentalRedirectFlow asks for.
func TestTheStockFrontendSignsInWithoutPopups(t *testing.T) {
	app := "http://" + strings.Replace(freeAddress(t), "127.0.0.1", "localhost", 1)
	p, _ := acme(t, app, sqlite(t), providers[0].start, providers[0].prompt)
	all := browse(t, map[string]any{
		"app": app, "backend": p.url, "redirect": true, "users": [][]string{{"alice", "alice-pw"}, {"bob", "bob-pw"}},
	})
	a, b := all["alice"], all["bob"]
	if a.Reloaded == nil || a.Reloaded.User != "user:default/alice" || a.After != nil || a.Address != app+"/" {
		t.Errorf("alice comes back to %s as %+v, and is %+v after the sign-out", a.Address, a.Reloaded, a.After)
	}
	if b.Reloaded != nil || !strings.HasPrefix(b.Address, app+"/?error=") || !strings.Contains(b.Address, "verified") {
		t.Errorf("bob comes back to %s as %+v", b.Address, b.Reloaded)
	}
}

// passesItsPolicy holds that the page of the popup ran its script, and that the browser
// kept nothing of it from running.
func passesItsPolicy(t *testing.T, name string, a attempt) {
	t.Helper()
	if len(a.Frames) != 1 || a.Frames[0].Status != 200 || !strings.Contains(a.Frames[0].CSP, "script-src 'sha256-") || !strings.Contains(a.Frames[0].CSP, "default-src 'none'") {
		t.Errorf("%s: the popup is %+v", name, a.Frames)
	}
	for _, m := range a.Console {
		if strings.Contains(m.Text, "Content Security Policy") || strings.Contains(m.URL, "/handler/frame") {
			t.Errorf("%s: the console says %s: %s (%s)", name, m.Type, m.Text, m.URL)
		}
	}
	for _, e := range a.Errors {
		t.Errorf("%s: %s", name, e)
	}
}
