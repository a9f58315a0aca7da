package oauthserver_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/auth/internal/oauthserver"
	"github.com/callboard-dev/callboard/auth/internal/store"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/principal"
)

const (
	baseURL  = "https://portal.acme.com/api/auth"
	cli      = baseURL + "/.well-known/oauth-client/cli.json"
	callback = "http://127.0.0.1:8055/callback"
	alice    = "user:default/alice"
)

// world is an OAuth server with a catalog and a clock.
type world struct {
	*testing.T
	*httptest.Server
	store *store.Store
	now   atomic.Int64
	users sync.Map // ref: nil if present, or the error of the catalog

	onIssue atomic.Pointer[func()] // called once, by the next IssueWith
	client  http.Client
}

// open starts a server with a configuration.
func open(t *testing.T, yaml string, more ...func(*oauthserver.Options)) *world {
	t.Helper()
	w := &world{T: t, store: store.New(dbtest.SQLite(t, store.Migrations()))}
	w.now.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	w.users.Store(alice, nil)
	o := oauthserver.Options{Store: w.store, Issuer: w, Present: w.present, BaseURL: baseURL, AppURL: "https://portal.acme.com", Now: w.time,
		Log: slog.New(slog.DiscardHandler), SignIns: []oauthserver.SignIn{{Provider: "oidc", Env: "production", Popup: true}}}
	cfg, err := config.Parse("app-config.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	for path, into := range map[string]any{"auth.clientIdMetadataDocuments": &o.Documents, "auth.experimentalDynamicClientRegistration": &o.Registration,
		"auth.experimentalRefreshToken": &o.Refresh, "auth.oauthServer": &o.Settings} {
		if err := cfg.Decode(path, into); err != nil {
			t.Fatal(err)
		}
	}
	for _, change := range more {
		change(&o)
	}
	s, err := oauthserver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.HashCheaply()
	mux := &httpx.Mux{}
	for _, r := range s.Routes() {
		if err := mux.Handle(r.Pattern, r.Handler, httpx.AllowUnauthenticated); err != nil {
			t.Fatal(err)
		}
	}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		// The router has looked at the token before the handler is called.
		creds := principal.Nobody()
		switch token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); {
		case strings.HasPrefix(token, "user:"):
			creds = principal.Credentials{Principal: principal.User{Ref: token}}
		case strings.HasPrefix(token, "plugin:"):
			creds = principal.Credentials{Principal: principal.Service{Subject: token}}
		case strings.HasPrefix(token, "behalf:"):
			creds = principal.Credentials{Principal: principal.User{Ref: alice, Actor: &principal.Service{Subject: "plugin:x"}}}
		}
		mux.ServeHTTP(rw, httpx.WithCaller(r, creds))
	}))
	t.Cleanup(w.Close)
	w.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return w
}

func (w *world) time() time.Time         { return time.Unix(0, w.now.Load()).UTC() }
func (w *world) advance(d time.Duration) { w.now.Add(int64(d)) }

// IssueWith implements oauthserver.Issuer with tokens that can be read.
func (w *world) IssueWith(_ context.Context, sub string, ent []string, extra map[string]any) (string, time.Time, error) {
	if f := w.onIssue.Swap(nil); f != nil {
		(*f)()
	}
	text, err := json.Marshal(map[string]any{"sub": sub, "ent": ent, "extra": extra})
	return string(text), w.time().Add(42 * time.Minute), err
}

func (w *world) present(_ context.Context, ref string) error {
	v, ok := w.users.Load(ref)
	if !ok {
		return apierr.NotFound.New("no user %s", ref)
	}
	err, _ := v.(error)
	return err
}

// answer is a response.
type answer struct {
	status int
	body   string
	json   map[string]any
	header http.Header
}

func (w *world) do(method, path, as, contentType, body string) answer {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, w.URL+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	if as != "" {
		req.Header.Set("Authorization", as)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := w.client.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.Fatal(err)
	}
	a := answer{status: res.StatusCode, body: string(text), header: res.Header}
	_ = json.Unmarshal(text, &a.json)
	return a
}

func (w *world) get(path string) answer { w.Helper(); return w.do("GET", path, "", "", "") }

func (w *world) post(path, as string, form url.Values) answer {
	w.Helper()
	return w.do("POST", path, as, "application/x-www-form-urlencoded", form.Encode())
}

const verifier = "a-verifier-of-the-least-length-that-is-allowed"

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// request are the parameters of a good request, with some changed; an empty one is left out.
func request(changed ...string) url.Values {
	q := url.Values{"client_id": {cli}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid offline_access"}, "state": {"st&te"},
		"nonce": {"n-1"}, "code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"}}
	for i := 0; i < len(changed); i += 2 {
		q.Set(changed[i], changed[i+1])
		if changed[i+1] == "" {
			q.Del(changed[i])
		}
	}
	return q
}

// ask begins an authorization and returns its id.
func (w *world) ask(q url.Values) string {
	w.Helper()
	a := w.get("/v1/authorize?" + q.Encode())
	id, ok := strings.CutPrefix(a.header.Get("Location"), "https://portal.acme.com/oauth2/authorize/")
	if a.status != 302 || !ok {
		w.Fatalf("%d %s %v", a.status, a.body, a.header)
	}
	return id
}

// agree has alice agree, and returns the code.
func (w *world) agree(q url.Values) string {
	w.Helper()
	a := w.do("POST", "/v1/sessions/"+w.ask(q)+"/approve", "Bearer "+alice, "", "")
	to, _ := a.json["redirectUrl"].(string)
	u, err := url.Parse(to)
	if err != nil || a.status != 200 || u.Query().Get("code") == "" {
		w.Fatalf("%d %s", a.status, a.body)
	}
	return u.Query().Get("code")
}

// exchange are the parameters that go with request.
func exchange(code string, changed ...string) url.Values {
	q := url.Values{"grant_type": {"authorization_code"}, "client_id": {cli}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
	for i := 0; i < len(changed); i += 2 {
		q.Set(changed[i], changed[i+1])
		if changed[i+1] == "" {
			q.Del(changed[i])
		}
	}
	return q
}

func (a answer) refused(status int, code string) bool {
	return a.status == status && a.json["error"] == code && a.header.Get("Cache-Control") == "no-store"
}

const everything = `
auth:
  clientIdMetadataDocuments: {enabled: true}
  experimentalDynamicClientRegistration: {enabled: true}
  experimentalRefreshToken: {enabled: true}
`

// TestAProgramActsForAUserWhoAgrees is the whole story, as a command line tool sees it.
func TestAProgramActsForAUserWhoAgrees(t *testing.T) {
	t.Parallel()
	w := open(t, everything)
	id := w.ask(request())
	want := map[string]any{"id": id, "clientId": cli, "clientName": "Backstage CLI", "scope": "openid offline_access", "redirectUri": callback}
	if a := w.get("/v1/sessions/" + id); a.status != 200 || fmt.Sprint(a.json) != fmt.Sprint(want) {
		t.Errorf("%d %s", a.status, a.body)
	}
	a := w.do("POST", "/v1/sessions/"+id+"/approve", "Bearer "+alice, "", "")
	to, err := url.Parse(fmt.Sprint(a.json["redirectUrl"]))
	if err != nil || !strings.HasPrefix(to.String(), callback+"?") || to.Query().Get("state") != "st&te" || to.Query().Get("iss") != baseURL || len(to.Query().Get("code")) != 43 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	code := to.Query().Get("code")
	for _, path := range []string{"", "/approve", "/reject"} { // it is decided
		method := "POST"
		if path == "" {
			method = "GET"
		}
		if a := w.do(method, "/v1/sessions/"+id+path, "Bearer "+alice, "", ""); !a.refused(404, "invalid_request") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	a = w.post("/v1/token", "", exchange(code))
	if a.status != 200 || a.json["token_type"] != "Bearer" || a.json["expires_in"] != 2520.0 || a.json["scope"] != "openid offline_access" ||
		a.json["access_token"] != `{"ent":null,"extra":{"client_id":"`+cli+`","nonce":"n-1"},"sub":"user:default/alice"}` || a.json["id_token"] != a.json["access_token"] || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	first := fmt.Sprint(a.json["refresh_token"])
	a = w.post("/v1/token", "", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first}})
	second := fmt.Sprint(a.json["refresh_token"])
	if a.status != 200 || second == first || a.json["access_token"] != `{"ent":null,"extra":{"client_id":"`+cli+`"},"sub":"user:default/alice"}` {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := w.post("/v1/revoke", "", url.Values{"token": {second}, "client_id": {cli}}); a.status != 200 || a.body != "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := w.post("/v1/token", "", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {second}}); !a.refused(400, "invalid_grant") {
		t.Errorf("after the revocation: %d %s", a.status, a.body)
	}
}

// TestWhoMayDecide holds that only a user decides, with a token in the header.
func TestWhoMayDecide(t *testing.T) {
	t.Parallel()
	w := open(t, everything)
	id := w.ask(request())
	for _, as := range []string{"", "Bearer plugin:catalog", "Bearer behalf:alice"} {
		for _, what := range []string{"approve", "reject"} {
			if a := w.do("POST", "/v1/sessions/"+id+"/"+what, as, "", ""); !a.refused(403, "access_denied") {
				t.Errorf("%q %s: %d %s", as, what, a.status, a.body)
			}
		}
	}
	a := w.do("POST", "/v1/sessions/"+id+"/reject", "Bearer "+alice, "", "")
	if to := fmt.Sprint(a.json["redirectUrl"]); a.status != 200 || !strings.HasPrefix(to, callback+"?error=access_denied&") || !strings.Contains(to, "state=st%26te") || strings.Contains(to, "code=") {
		t.Errorf("%d %s", a.status, a.body)
	}
	id = w.ask(request())
	w.advance(time.Hour)
	if a := w.do("POST", "/v1/sessions/"+id+"/approve", "Bearer "+alice, "", ""); !a.refused(404, "invalid_request") {
		t.Errorf("after an hour: %d %s", a.status, a.body)
	}
	id = w.ask(request())
	var agreed atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if w.do("POST", "/v1/sessions/"+id+"/approve", "Bearer "+alice, "", "").status == 200 {
				agreed.Add(1)
			}
		})
	}
	wg.Wait()
	if agreed.Load() != 1 {
		t.Errorf("%d of 20 answers at once were accepted", agreed.Load())
	}
}

// TestAuthorizeErrors holds which errors the user sees, and which the client.
func TestAuthorizeErrors(t *testing.T) {
	t.Parallel()
	w := open(t, everything+"  oauthServer: {}\n")
	for _, tt := range []struct {
		name    string
		q       url.Values
		code    string // of the error
		shown   bool   // to the user
		problem string // in the description
	}{
		{"no client", request("client_id", ""), "invalid_request", true, "client_id is missing"},
		{"no redirect URI", request("redirect_uri", ""), "invalid_request", true, "redirect_uri is missing"},
		{"an unknown client", request("client_id", "nobody"), "invalid_client", true, "Invalid client_id"},
		{"a document that is not accepted", request("client_id", "https://evil.example/client.json"), "invalid_client", true, "not one that this backend accepts"},
		{"a redirect URI of somebody else", request("redirect_uri", "https://evil.example/cb"), "invalid_request", true, "Invalid redirect_uri"},
		{"two clients", url.Values{"client_id": {cli, "x"}, "redirect_uri": {callback}}, "invalid_request", true, "more than once"},
		{"no response type", request("response_type", ""), "invalid_request", false, "response_type is missing"},
		{"the implicit grant", request("response_type", "token"), "unsupported_response_type", false, "code"},
		{"another response mode", request("response_mode", "fragment"), "invalid_request", false, "query"},
		{"no PKCE", request("code_challenge", "", "code_challenge_method", ""), "invalid_request", false, "PKCE is required"},
		{"a method without a challenge", request("code_challenge", ""), "invalid_request", false, "code_challenge is missing"},
		{"a challenge that is not hashed", request("code_challenge_method", "plain"), "invalid_request", false, "must be S256"},
		{"which is what no method means", request("code_challenge_method", ""), "invalid_request", false, "must be S256"},
		{"another method", request("code_challenge_method", "S512"), "invalid_request", false, "Invalid code_challenge_method"},
		{"a short challenge", request("code_challenge", "short"), "invalid_request", false, "43 to 128"},
		{"two states", func() url.Values { q := request(); q.Add("state", "x"); return q }(), "invalid_request", false, "more than once"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := w.get("/v1/authorize?" + tt.q.Encode())
			if tt.shown {
				if !a.refused(400, tt.code) || !strings.Contains(fmt.Sprint(a.json["error_description"]), tt.problem) || a.header.Get("Location") != "" {
					t.Errorf("%d %s", a.status, a.body)
				}
				return
			}
			to, err := url.Parse(a.header.Get("Location"))
			if err != nil || a.status != 302 || a.body != "" || !strings.HasPrefix(to.String(), callback+"?") {
				t.Fatalf("%d %s %v", a.status, a.body, a.header)
			}
			if q := to.Query(); q.Get("error") != tt.code || !strings.Contains(q.Get("error_description"), tt.problem) || q.Get("iss") != baseURL || (q.Get("state") != "st&te") != (len(tt.q["state"]) > 1) {
				t.Error(to)
			}
		})
	}
}

// TestRFC7636_CodesNeedTheirVerifier holds what else a code needs, too.
func TestRFC7636_CodesNeedTheirVerifier(t *testing.T) {
	t.Parallel()
	w := open(t, everything)
	w.register(t)
	for _, tt := range []struct {
		name    string
		changed []string
		wait    time.Duration
		problem string
	}{
		{"no verifier", []string{"code_verifier", ""}, 0, "Invalid code verifier"},
		{"another verifier", []string{"code_verifier", strings.Repeat("x", 43)}, 0, "Invalid code verifier"},
		{"the challenge itself", []string{"code_verifier", challenge(verifier)}, 0, "Invalid code verifier"},
		{"a short verifier", []string{"code_verifier", "short"}, 0, "Invalid code verifier"},
		{"another redirect URI", []string{"redirect_uri", "http://127.0.0.1:8056/callback"}, 0, "Redirect URI mismatch"},
		{"no redirect URI", []string{"redirect_uri", ""}, 0, "Redirect URI mismatch"},
		{"another client", []string{"client_id", "somebody"}, 0, "not for this client"},
		{"too late", nil, 10 * time.Minute, "expired"},
	} {
		code := w.agree(request())
		w.advance(tt.wait)
		a := w.post("/v1/token", "", exchange(code, tt.changed...))
		if !a.refused(400, "invalid_grant") || !strings.Contains(fmt.Sprint(a.json["error_description"]), tt.problem) {
			t.Errorf("%s: %d %s", tt.name, a.status, a.body)
		}
	}
	// The client of a document has no secret: its verifier ties the code to it, and so it may
	// leave its id out (contract/auth.md 4.1).
	if a := w.post("/v1/token", "", exchange(w.agree(request()), "client_id", "")); a.status != 200 {
		t.Errorf("without its client: %d %s", a.status, a.body)
	}
	body, _ := json.Marshal(map[string]string{"grant_type": "authorization_code", "client_id": cli, "code": w.agree(request()), "redirect_uri": callback, "code_verifier": verifier})
	if a := w.do("POST", "/v1/token", "", "application/json", string(body)); a.status != 200 {
		t.Errorf("as JSON: %d %s", a.status, a.body)
	}
	plain := open(t, everything+"  oauthServer: {dangerouslyAllowPlainPkce: true}\n")
	if a := plain.post("/v1/token", "", exchange(plain.agree(request("code_challenge", verifier, "code_challenge_method", "plain")))); a.status != 200 {
		t.Errorf("plain, where it is allowed: %d %s", a.status, a.body)
	}
}

// register makes a client that the rest of a test can use.
func (w *world) register(t *testing.T) (id, secret string) {
	t.Helper()
	a := w.do("POST", "/v1/register", "", "application/json", `{"client_name":"x","redirect_uris":["http://localhost/cb"]}`)
	if a.status != 201 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return fmt.Sprint(a.json["client_id"]), fmt.Sprint(a.json["client_secret"])
}

// TestRFC6749_ACodeUsedTwiceBeginsNothing holds section 4.1.2 for a second use that comes
// while the first one's tokens are being made: there is no grant yet that it could end.
func TestRFC6749_ACodeUsedTwiceBeginsNothing(t *testing.T) {
	t.Parallel()
	w := open(t, everything)
	code := w.agree(request())
	second := func() {
		if a := w.post("/v1/token", "", exchange(code)); !a.refused(400, "invalid_grant") || a.json["error_description"] != "Authorization code already used" {
			t.Errorf("the second use: %d %s", a.status, a.body)
		}
	}
	w.onIssue.Store(&second)
	if a := w.post("/v1/token", "", exchange(code)); !a.refused(400, "invalid_grant") {
		t.Errorf("the first use: %d %s", a.status, a.body)
	}
	if all, err := w.store.Grants(t.Context(), alice, "", 10); len(all) != 0 || err != nil {
		t.Errorf("the grant goes on: %v %v", all, err)
	}
}

// TestRFC9700_ACodeIsUsedOnce holds that of those who use a code at once one succeeds at
// most, and that a second use ends what the first has begun.
func TestRFC9700_ACodeIsUsedOnce(t *testing.T) {
	t.Parallel()
	w := open(t, everything)
	code := w.agree(request())
	var mu sync.Mutex
	var wg sync.WaitGroup
	statuses := map[int]int{}
	for range 20 {
		wg.Go(func() {
			a := w.post("/v1/token", "", exchange(code))
			mu.Lock()
			defer mu.Unlock()
			statuses[a.status]++
		})
	}
	wg.Wait()
	if statuses[200] > 1 || statuses[200]+statuses[400] != 20 {
		t.Fatalf("%v", statuses)
	}
	if all, err := w.store.Grants(t.Context(), alice, "", 10); len(all) != 0 || err != nil {
		t.Errorf("what the code had begun goes on: %v %v", all, err)
	}
	code = w.agree(request())
	refresh := fmt.Sprint(w.post("/v1/token", "", exchange(code)).json["refresh_token"])
	if a := w.post("/v1/token", "", exchange(code)); !a.refused(400, "invalid_grant") || a.json["error_description"] != "Authorization code already used" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := w.post("/v1/token", "", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}); !a.refused(400, "invalid_grant") {
		t.Errorf("what the code had begun goes on: %d %s", a.status, a.body)
	}
	// A verifier for a code that was asked for without a challenge: somebody took it out.
	id, secret := w.register(t)
	code = w.agree(request("client_id", id, "redirect_uri", "http://localhost/cb", "code_challenge", "", "code_challenge_method", ""))
	if a := w.post("/v1/token", "", exchange(code, "client_id", id, "client_secret", secret, "redirect_uri", "http://localhost/cb")); !a.refused(400, "invalid_grant") {
		t.Errorf("PKCE downgrade: %d %s", a.status, a.body)
	}
}

// TestClientAuthentication holds how clients with a secret show it.
func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	w := open(t, everything)
	id, secret := w.register(t)
	const cb = "http://localhost/cb"
	basic := func(id, secret string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
	}
	for _, tt := range []struct {
		name, as string
		body     []string
		status   int
		code     string
	}{
		{"in the body", "", []string{"client_id", id, "client_secret", secret}, 200, ""},
		{"in the header", basic(id, secret), nil, 200, ""},
		{"not at all", "", nil, 401, "invalid_client"},
		{"only the id", "", []string{"client_id", id}, 401, "invalid_client"},
		{"a wrong secret", "", []string{"client_id", id, "client_secret", "x"}, 401, "invalid_client"},
		{"a wrong secret in the header", basic(id, "x"), nil, 401, "invalid_client"},
		{"an unknown client", basic("x", secret), nil, 401, "invalid_client"},
		{"two ids", basic(id, secret), []string{"client_id", cli}, 401, "invalid_client"},
		{"both", basic(id, secret), []string{"client_id", id, "client_secret", secret}, 400, "invalid_request"},
	} {
		// PKCE takes the place of no secret: the one who began the flow need not be the client.
		for pkce, changed := range map[string][2][]string{
			"without PKCE": {{"code_challenge", "", "code_challenge_method", ""}, {"code_verifier", ""}},
			"with PKCE":    {},
		} {
			code := w.agree(request(append([]string{"client_id", id, "redirect_uri", cb}, changed[0]...)...))
			a := w.post("/v1/token", tt.as, exchange(code, slices.Concat([]string{"client_id", "", "redirect_uri", cb}, changed[1], tt.body)...))
			if a.status != tt.status || tt.code != "" && !a.refused(tt.status, tt.code) {
				t.Errorf("%s, %s: %d %s", tt.name, pkce, a.status, a.body)
			}
			if (a.header.Get("WWW-Authenticate") != "") != (a.status == 401 && tt.as != "") {
				t.Errorf("%s, %s: WWW-Authenticate %q", tt.name, pkce, a.header.Get("WWW-Authenticate"))
			}
		}
	}
	for name, tt := range map[string]struct {
		as     string
		form   url.Values
		status int
	}{
		"with the secret":    {basic(id, secret), url.Values{"token": {"x"}}, 200},
		"by a document":      {"", url.Values{"token": {"x"}, "client_id": {cli}}, 200},
		"by the id alone":    {"", url.Values{"token": {"x"}, "client_id": {id}}, 401},
		"by nobody":          {"", url.Values{"token": {"x"}}, 401},
		"by a wrong secret":  {basic(id, "x"), url.Values{"token": {"x"}}, 401},
		"without a token":    {basic(id, secret), url.Values{}, 200},
		"somebody's own one": {basic(id, secret), url.Values{"token": {strings.Repeat("a", 43) + "." + strings.Repeat("b", 43)}}, 200},
	} {
		if a := w.post("/v1/revoke", tt.as, tt.form); a.status != tt.status {
			t.Errorf("revoke %s: %d %s", name, a.status, a.body)
		}
	}
}

// grant has alice agree, and returns the refresh token.
func (w *world) grant(q url.Values, changed ...string) string {
	w.Helper()
	a := w.post("/v1/token", "", exchange(w.agree(q), changed...))
	if a.status != 200 || a.json["refresh_token"] == nil {
		w.Fatalf("%d %s", a.status, a.body)
	}
	return fmt.Sprint(a.json["refresh_token"])
}

func (w *world) renew(token string, changed ...string) answer {
	w.Helper()
	q := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	for i := 0; i < len(changed); i += 2 {
		q.Set(changed[i], changed[i+1])
	}
	return w.post("/v1/token", "", q)
}

// TestRefreshTokens holds contract/auth.md 10.8.
func TestRefreshTokens(t *testing.T) {
	t.Parallel()
	w := open(t, everything)
	t.Run("an old token that comes back ends the grant", func(t *testing.T) {
		first := w.grant(request())
		second := fmt.Sprint(w.renew(first).json["refresh_token"])
		if a := w.renew(first); !a.refused(400, "invalid_grant") {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := w.renew(second); !a.refused(400, "invalid_grant") {
			t.Errorf("the thief, or the one who was robbed, goes on: %d %s", a.status, a.body)
		}
	})
	t.Run("of those who come at once one is given a token", func(t *testing.T) {
		token := w.grant(request())
		var good atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if w.renew(token).status == 200 {
					good.Add(1)
				}
			})
		}
		wg.Wait()
		if good.Load() != 1 {
			t.Error(good.Load())
		}
	})
	t.Run("a token is for its client", func(t *testing.T) {
		token := w.grant(request())
		if a := w.renew(token, "client_id", "somebody"); !a.refused(400, "invalid_grant") {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := w.renew(token, "client_id", cli); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("garbage is refused", func(t *testing.T) {
		for _, token := range []string{"", "x", ".", strings.Repeat("a", 43) + "." + strings.Repeat("b", 43), strings.Repeat("a", 4000), "a\x00b"} {
			if a := w.renew(token); a.status != 400 {
				t.Errorf("%q: %d %s", token, a.status, a.body)
			}
		}
	})
	t.Run("a catalog that is away keeps the grant, and answers 503", func(t *testing.T) {
		token := w.grant(request())
		w.users.Store(alice, apierr.ServiceUnavailable.New("away"))
		if a := w.renew(token); !a.refused(503, "temporarily_unavailable") {
			t.Errorf("%d %s", a.status, a.body)
		}
		w.users.Store(alice, nil)
		if a := w.renew(token); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("it ends unused, and after the longest time", func(t *testing.T) {
		token := w.grant(request())
		for range 13 {
			w.advance(28 * 24 * time.Hour)
			a := w.renew(token)
			if a.status != 200 {
				t.Fatalf("%d %s", a.status, a.body)
			}
			token = fmt.Sprint(a.json["refresh_token"])
		}
		w.advance(2 * 24 * time.Hour)
		if a := w.renew(token); !a.refused(400, "invalid_grant") {
			t.Errorf("after 366 days: %d %s", a.status, a.body)
		}
		token = w.grant(request())
		w.advance(30 * 24 * time.Hour)
		if a := w.renew(token); !a.refused(400, "invalid_grant") {
			t.Errorf("after 30 days: %d %s", a.status, a.body)
		}
	})
	t.Run("without offline_access there is none", func(t *testing.T) {
		if a := w.post("/v1/token", "", exchange(w.agree(request("scope", "openid email")))); a.json["refresh_token"] != nil || a.json["scope"] != "openid" {
			t.Error(a.body)
		}
	})
	t.Run("nor where they are off", func(t *testing.T) {
		w := open(t, "auth: {clientIdMetadataDocuments: {enabled: true}}")
		if a := w.post("/v1/token", "", exchange(w.agree(request()))); a.json["refresh_token"] != nil || a.json["scope"] != "openid" {
			t.Error(a.body)
		}
		if a := w.renew("x"); !a.refused(400, "unsupported_grant_type") {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("a user has one grant per client, and as many as configured", func(t *testing.T) {
		w := open(t, everything+"  oauthServer: {}\n", func(o *oauthserver.Options) { o.Refresh.MaxTokensPerUser = 2 })
		one := w.grant(request())
		w.advance(time.Minute)
		two := w.grant(request())
		if a := w.renew(one); a.status != 400 {
			t.Errorf("the grant before is alive: %d", a.status)
		}
		for range 2 {
			w.advance(time.Minute)
			id, secret := w.register(t)
			w.grant(request("client_id", id, "redirect_uri", "http://localhost/cb"), "client_id", id, "client_secret", secret, "redirect_uri", "http://localhost/cb")
		}
		if a := w.renew(two); a.status != 400 {
			t.Errorf("the third grant back is alive: %d", a.status)
		}
		if all, err := w.store.Grants(t.Context(), alice, "", 10); len(all) != 2 || err != nil {
			t.Error(all, err)
		}
	})
}

// TestRefreshTokensEndWithTheUser holds that nobody acts for a user who is gone.
func TestRefreshTokensEndWithTheUser(t *testing.T) {
	t.Parallel()
	w := open(t, everything)
	token := w.grant(request())
	w.users.Delete(alice)
	if a := w.renew(token); !a.refused(400, "invalid_grant") {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.users.Store(alice, nil)
	if a := w.renew(token); !a.refused(400, "invalid_grant") {
		t.Errorf("with the next user of that name: %d %s", a.status, a.body)
	}
	w = open(t, everything, func(o *oauthserver.Options) { o.Refresh.SkipPresenceCheck = true })
	token = w.grant(request())
	w.users.Delete(alice)
	if a := w.renew(token); a.status != 200 {
		t.Errorf("where nobody looks: %d %s", a.status, a.body)
	}
}

// TestRFC7591_WhatAClientRegistersHolds registers clients with limits of their own.
func TestRFC7591_WhatAClientRegistersHolds(t *testing.T) {
	t.Parallel()
	w := open(t, everything)
	const cb = "http://localhost/cb"
	for _, tt := range []struct {
		name, registered, asked string
		code                    string // of the error at authorize
		scope                   string // of the tokens
	}{
		{"nothing", ``, "openid offline_access", "", "openid offline_access"},
		{"all scopes", `,"scope":"openid offline_access"`, "openid offline_access", "", "openid offline_access"},
		{"one scope, and asks for it", `,"scope":"openid"`, "openid", "", "openid"},
		{"one scope, and asks for none", `,"scope":"openid"`, "", "", "openid"},
		{"one scope, and asks for another", `,"scope":"openid"`, "openid offline_access", "invalid_scope", ""},
		{"both grants", `,"response_types":["code"],"grant_types":["authorization_code","refresh_token"]`, "openid offline_access", "", "openid offline_access"},
		{"codes only", `,"grant_types":["authorization_code"]`, "openid offline_access", "", "openid"},
		{"refresh tokens only", `,"grant_types":["refresh_token"]`, "openid", "unauthorized_client", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := w.do("POST", "/v1/register", "", "application/json", `{"redirect_uris":["`+cb+`"]`+tt.registered+`}`)
			id, secret := fmt.Sprint(a.json["client_id"]), fmt.Sprint(a.json["client_secret"])
			var want map[string]any
			if err := json.Unmarshal([]byte(`{"redirect_uris":["`+cb+`"],"client_id":"`+id+`","client_secret":"`+secret+`"`+tt.registered+`}`), &want); err != nil {
				t.Fatal(err)
			}
			if a.status != 201 || fmt.Sprint(a.json) != fmt.Sprint(want) {
				t.Errorf("%d %s, want %v", a.status, a.body, want)
			}
			q := request("client_id", id, "redirect_uri", cb, "scope", tt.asked)
			if tt.code != "" {
				if to, err := url.Parse(w.get("/v1/authorize?" + q.Encode()).header.Get("Location")); err != nil || to.Host != "localhost" || to.Query().Get("error") != tt.code {
					t.Errorf("%v, %v", to, err)
				}
				return
			}
			got := w.post("/v1/token", "", exchange(w.agree(q), "client_id", id, "client_secret", secret, "redirect_uri", cb))
			if got.json["scope"] != tt.scope || (got.json["refresh_token"] != nil) != strings.Contains(tt.scope, "offline_access") {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	for _, scope := range []string{`a\u0000b`, `a\"b`, `ä`, strings.Repeat("x", 1001)} {
		if a := w.do("POST", "/v1/register", "", "application/json", `{"redirect_uris":["`+cb+`"],"scope":"`+scope+`"}`); !a.refused(400, "invalid_client_metadata") {
			t.Errorf("%.20s: %d %s", scope, a.status, a.body)
		}
	}
}

// TestBodies holds the forms of bodies.
func TestBodies(t *testing.T) {
	t.Parallel()
	w := open(t, everything)
	for _, tt := range []struct {
		path, media, body string
		status            int
		code              string
	}{
		{"/v1/token", "", "", 415, "invalid_request"},
		{"/v1/token", "text/plain", "grant_type=x", 415, "invalid_request"},
		{"/v1/token", "application/json", "{", 400, "invalid_request"},
		{"/v1/token", "application/json", `{"grant_type": 1}`, 400, "invalid_request"},
		{"/v1/token", "application/x-www-form-urlencoded", "%zz", 400, "invalid_request"},
		{"/v1/token", "application/x-www-form-urlencoded", "grant_type=a&grant_type=b", 400, "invalid_request"},
		{"/v1/token", "application/x-www-form-urlencoded", "grant_type=password", 400, "unsupported_grant_type"},
		{"/v1/token", "application/x-www-form-urlencoded", "grant_type=authorization_code", 400, "invalid_request"},
		{"/v1/token", "application/x-www-form-urlencoded", "grant_type=authorization_code&code=x", 400, "invalid_grant"},
		{"/v1/token", "application/x-www-form-urlencoded", "code=" + strings.Repeat("x", 110<<10), 413, "invalid_request"},
		{"/v1/register", "application/json", "{", 400, "invalid_request"},
		{"/v1/register", "application/json", "{}", 400, "invalid_request"},
		{"/v1/register", "application/json", `{"redirect_uris":["http://localhost/"],"grant_types":["password"]}`, 400, "invalid_request"},
		{"/v1/register", "application/json", `{"redirect_uris":["http://localhost/"],"response_types":["token"]}`, 400, "invalid_request"},
		{"/v1/register", "application/json", `{"client_name":"` + strings.Repeat("x", 110<<10) + `"}`, 400, "invalid_request"},
	} {
		if a := w.do("POST", tt.path, "", tt.media, tt.body); !a.refused(tt.status, tt.code) {
			t.Errorf("%s %s %.60s: %d %s", tt.path, tt.media, tt.body, a.status, a.body)
		}
	}
	a := w.do("POST", "/v1/register", "", "application/json", `{"client_name":"x","redirect_uris":["https://evil.example/cb"]}`)
	if a.status != 400 || a.body != `{"error":"invalid_request","error_description":"Invalid redirect_uri 'https://evil.example/cb'"}` {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestMetadata holds the discovery document in all its forms.
func TestMetadata(t *testing.T) {
	t.Parallel()
	const cimd, dcr, refresh = "clientIdMetadataDocuments: {enabled: true}", "experimentalDynamicClientRegistration: {enabled: true}", "experimentalRefreshToken: {enabled: true}"
	for _, tt := range []struct {
		name, yaml                                   string
		register, revoke, document, none, offline, s bool
	}{
		{"off", "{}", false, false, false, false, false, false},
		{"documents", "{" + cimd + "}", false, true, true, true, false, true},
		{"registration", "{" + dcr + "}", true, true, false, false, false, true},
		{"documents and refresh tokens", "{" + cimd + "," + refresh + "}", false, true, true, true, true, true},
		{"registration and refresh tokens", "{" + dcr + "," + refresh + "}", true, true, false, false, true, true},
		{"documents and registration", "{" + cimd + "," + dcr + "}", true, true, true, true, false, true},
		{"all", "{" + cimd + "," + dcr + "," + refresh + "}", true, true, true, true, true, true},
		{"refresh tokens alone", "{" + refresh + "}", false, false, false, false, false, false},
		{"all, with plain challenges", "{" + cimd + "," + dcr + "," + refresh + ", oauthServer: {dangerouslyAllowPlainPkce: true}}", true, true, true, true, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := open(t, "auth: "+tt.yaml)
			doc := w.get("/.well-known/openid-configuration").json
			list := func(key string) []string {
				var out []string
				for _, v := range doc[key].([]any) {
					out = append(out, v.(string))
				}
				return out
			}
			got := []bool{doc["registration_endpoint"] == baseURL+"/v1/register", doc["revocation_endpoint"] == baseURL+"/v1/revoke",
				doc["client_id_metadata_document_supported"] == true, slices.Contains(list("token_endpoint_auth_methods_supported"), "none"),
				slices.Contains(list("scopes_supported"), "offline_access") && slices.Contains(list("grant_types_supported"), "refresh_token"),
				!slices.Contains(list("code_challenge_methods_supported"), "plain")}
			if want := []bool{tt.register, tt.revoke, tt.document, tt.none, tt.offline, tt.s}; !slices.Equal(got, want) {
				t.Errorf("got %v, want %v: %v", got, want, doc)
			}
			if doc["issuer"] != baseURL || doc["token_endpoint"] != baseURL+"/v1/token" || doc["jwks_uri"] != baseURL+"/.well-known/jwks.json" || doc["userinfo_endpoint"] != baseURL+"/v1/userinfo" || doc["authorization_endpoint"] != baseURL+"/v1/authorize" {
				t.Error(doc)
			}
			// What is offered is there, and what is not is not.
			if a := w.get("/v1/authorize"); (a.status == 404) != !(tt.revoke) {
				t.Errorf("authorize: %d", a.status)
			}
			if a := w.do("POST", "/v1/register", "", "application/json", "{}"); (a.status == 404) != !tt.register {
				t.Errorf("register: %d", a.status)
			}
			if a := w.get("/.well-known/oauth-client/cli.json"); tt.document && (a.status != 200 || a.json["client_id"] != cli || a.json["token_endpoint_auth_method"] != "none" || a.json["scope"] != "openid offline_access") ||
				!tt.document && !a.refused(404, "not_found") {
				t.Errorf("cli: %d %s", a.status, a.body)
			}
		})
	}
}

// TestCleanup holds what is deleted, and when.
func TestCleanup(t *testing.T) {
	t.Parallel()
	var s *oauthserver.Server
	w := open(t, everything, func(o *oauthserver.Options) {
		var err error
		if s, err = oauthserver.New(*o); err != nil {
			t.Fatal(err)
		}
	})
	clean := func() {
		t.Helper()
		if err := s.Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	id, secret := w.register(t)
	late := w.ask(request())
	w.advance(59 * time.Minute)
	code := w.agree(request())
	kept := w.grant(request("client_id", id, "redirect_uri", "http://localhost/cb"), "client_id", id, "client_secret", secret, "redirect_uri", "http://localhost/cb")
	w.advance(5 * time.Minute)
	clean()
	if a := w.post("/v1/token", "", exchange(code)); a.status != 200 {
		t.Errorf("a code was deleted too early: %d %s", a.status, a.body)
	}
	if a := w.get("/v1/sessions/" + late); a.status != 404 {
		t.Errorf("%d %s", a.status, a.body)
	}
	idle, _ := w.register(t)
	w.advance(29 * 24 * time.Hour)
	kept = fmt.Sprint(w.renew(kept).json["refresh_token"])
	w.advance(2 * 24 * time.Hour)
	clean()
	if _, ok, err := w.store.Client(t.Context(), idle); ok || err != nil {
		t.Error("a client that nobody uses is kept", err)
	}
	if a := w.renew(kept); a.status != 200 {
		t.Errorf("a grant that is in use was deleted: %d %s", a.status, a.body)
	}
	w.advance(31 * 24 * time.Hour)
	clean()
	if all, err := w.store.Grants(t.Context(), "", "", 10); len(all) != 0 || err != nil {
		t.Error(all, err)
	}
}
