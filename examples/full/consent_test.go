package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheConsentPageInABrowser has a program ask a user, on the page that the backend
// serves itself: the user signs in with the popup of an OpenID provider, and agrees.
func TestTheConsentPageInABrowser(t *testing.T) {
	folder, browser := needs(t, "sign-in"), needs(t, "chromium")
	program := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") }))
	defer program.Close()
	p, _ := acme(t, "http://localhost:3000", sqlite(t)+`
auth:
  clientIdMetadataDocuments: {enabled: true}
  experimentalRefreshToken: {enabled: true}
  oauthServer: {consentPage: backend}
`, providers[0].start, providers[0].prompt)
	const challenge, verifier = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
	callback := program.URL + "/callback"
	client := p.url + "/api/auth/.well-known/oauth-client/cli.json"
	authorize := p.url + "/api/auth/v1/authorize?" + url.Values{
		"client_id": {client}, "redirect_uri": {callback}, "response_type": {"code"}, "state": {"s"},
		"scope": {"openid offline_access"}, "code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}.Encode()
	settings, err := json.Marshal(map[string]any{"chromium": filepath.Join(browser, "chromium"), "authorize": authorize, "callback": callback, "user": []string{"alice", "alice-pw"}})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "testdata/signin/consent.mjs", folder, string(settings))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("consent.mjs: %v\n%s", err, stderr.String())
	}
	var seen struct {
		Client, User, Known, Agreed, Refused string
		Before                               bool
		Console, Errors                      []string
	}
	if err := json.Unmarshal(out, &seen); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if seen.Client != "Backstage CLI" || seen.Before || seen.User != "user:default/alice" || seen.Known != "user:default/alice" || len(seen.Errors) > 0 {
		t.Errorf("%+v", seen)
	}
	for _, line := range seen.Console {
		// A page that asks whether there is a session is answered 401 before the first one.
		if strings.Contains(line, p.url) && !strings.Contains(line, "401 (Unauthorized)") {
			t.Errorf("the console says %s", line)
		}
	}
	if !strings.HasPrefix(seen.Refused, callback+"?error=access_denied") {
		t.Errorf("after a no the browser is at %s", seen.Refused)
	}
	back, err := url.Parse(seen.Agreed)
	if err != nil || back.Query().Get("state") != "s" {
		t.Fatal(seen.Agreed, err)
	}
	res, err := http.PostForm(p.url+"/api/auth/v1/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {client}, "code": {back.Query().Get("code")}, "redirect_uri": {callback}, "code_verifier": {verifier}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&tokens); err != nil || res.StatusCode != 200 || tokens.Refresh == "" {
		t.Fatal(res.Status, err)
	}
	req, err := http.NewRequest(http.MethodGet, p.url+"/api/catalog/entities/by-name/user/default/alice", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+tokens.Access)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("the catalog answers the program with %s", answer.Status)
	}
}
