package oauthserver_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/callboard-dev/callboard/auth/internal/oauthserver"
)

// TestSEC29_RedirectURIsCannotPassForOthers tries to get a URI of somebody else past the
// patterns and past what a client has registered.
func TestSEC29_RedirectURIsCannotPassForOthers(t *testing.T) {
	t.Parallel()
	w := open(t, `
auth:
  clientIdMetadataDocuments: {enabled: true}
  experimentalDynamicClientRegistration:
    enabled: true
    allowedRedirectUriPatterns: ['https://*.acme.com/oauth/*', 'https://tool.example', 'http://localhost:*/*', 'http://127.0.0.1:*/*', 'http://[::1]:*/*', 'cursor://anysphere.cursor-mcp/*', 'https://ports.example:*/cb', 'http://intra.acme.com/*']
`)
	for uri, ok := range map[string]bool{
		"https://a.acme.com/oauth/cb":              true,
		"https://a.acme.com:443/oauth/cb":          true,
		"https://A.Acme.com/oauth/x/y?z=1":         true,
		"https://tool.example":                     true,
		"https://tool.example/":                    true,
		"http://localhost:1234/x":                  true,
		"http://localhost":                         true,
		"http://127.0.0.1:1/":                      true,
		"http://[::1]:9/cb":                        true,
		"cursor://anysphere.cursor-mcp/oauth/back": true,
		"https://ports.example:8443/cb":            true,
		"https://ports.example/cb":                 true,

		"":                                                     false,
		"https://acme.com/oauth/cb":                            false,
		"https://a.b.acme.com/oauth/cb":                        false, // a star is one label
		"https://a.acme.com.evil.example/oauth":                false,
		"https://evil.example/.acme.com/oauth/x":               false, // a host's star does not reach the path
		"https://evil.example?.acme.com/oauth/x":               false,
		"https://evil.example#.acme.com/oauth/x":               false,
		"https://evil.example\\.acme.com/oauth/x":              false,
		"https://evil.example\\@a.acme.com/oauth/x":            false,
		"https://a.acme.com\\@evil.example/oauth/x":            false,
		"https://a.acme.com@evil.example/oauth/cb":             false,
		"https://user:pass@a.acme.com/oauth/cb":                false,
		"https://@a.acme.com/oauth/cb":                         false,
		"https://a.acme.com:8443/oauth/cb":                     false,
		"https://a.acme.com:/oauth/cb":                         false,
		"https://a.acme.com./oauth/cb":                         false,
		"https://a..acme.com/oauth/cb":                         false,
		"https://%61.acme.com/oauth/cb":                        false,
		"https://a.acme.com%2eevil.example/oauth/x":            false,
		"https://а.acme.com/oauth/cb":                          false, // Cyrillic
		"https://a.acme。com/oauth/cb":                          false, // a full stop that some take for a dot
		"https://a-x\uff0eevil.acme.com/oauth/cb":              false,
		"https://a-x\uff61evil.acme.com/oauth/cb":              false,
		"https://a-x%E3%80%82evil.acme.com/oauth/cb":           false,
		"https://a.acme.com/oauth":                             false,
		"https://a.acme.com/oauth/../steal":                    false,
		"https://a.acme.com/oauth/%2e%2e/steal":                false,
		"https://a.acme.com/oauth/%2E./steal":                  false,
		"https://a.acme.com/oauth/..\\steal":                   false,
		"https://a.acme.com/oauth/cb#fragment":                 false,
		"https://a.acme.com/oauth/cb\r\nLocation: x":           false,
		"https://a.acme.com/oauth/cb\t":                        false,
		" https://a.acme.com/oauth/cb":                         false,
		"http://a.acme.com/oauth/cb":                           false,
		"//a.acme.com/oauth/cb":                                false,
		"/oauth/cb":                                            false,
		"https:a.acme.com/oauth/cb":                            false,
		"https:///a.acme.com/oauth/cb":                         false,
		"javascript://a.acme.com/oauth/%0aalert(1)":            false,
		"data://a.acme.com/oauth/x":                            false,
		"http://localhost.evil.example/":                       false,
		"http://localhost@evil.example/":                       false,
		"http://127.0.0.1.evil.example/":                       false,
		"http://127.1/":                                        false,
		"http://2130706433/":                                   false,
		"http://intra.acme.com/cb":                             false, // plain http leads to the own machine only
		"cursor://anysphere.cursor-mcp.evil/x":                 false,
		"cursor:anysphere.cursor-mcp/x":                        false,
		"https://a.acme.com/oauth/" + strings.Repeat("x", 3e3): false,
	} {
		body, _ := json.Marshal(map[string]any{"client_name": "x", "redirect_uris": []string{uri}})
		a := w.do("POST", "/v1/register", "", "application/json", string(body))
		if ok != (a.status == 201) || !ok && !a.refused(400, "invalid_request") {
			t.Errorf("%q: %d %s", uri, a.status, a.body)
		}
	}

	// A client gets only what it has registered; on the user's own machine, any port.
	body := `{"redirect_uris":["http://127.0.0.1/cb","https://a.acme.com/oauth/cb"]}`
	id := fmt.Sprint(w.do("POST", "/v1/register", "", "application/json", body).json["client_id"])
	for uri, ok := range map[string]bool{
		"http://127.0.0.1/cb":            true,
		"http://127.0.0.1:49152/cb":      true,
		"https://a.acme.com/oauth/cb":    true,
		"http://localhost/cb":            false,
		"http://127.0.0.1/cb/":           false,
		"http://127.0.0.1/cb?x":          false,
		"http://127.0.0.1:49152/cb?x=1":  false,
		"http://[::1]/cb":                false,
		"https://127.0.0.1/cb":           false,
		"https://b.acme.com/oauth/cb":    false,
		"https://a.acme.com:443/oauth/":  false,
		"https://A.acme.com/oauth/cb":    false, // registered ones are compared as text
		"https://a.acme.com/oauth/cb?x":  false,
		"https://a.acme.com/oauth/cb%20": false,
	} {
		a := w.get("/v1/authorize?" + request("client_id", id, "redirect_uri", uri).Encode())
		if ok != (a.status == 302) || !ok && (!a.refused(400, "invalid_request") || a.header.Get("Location") != "") {
			t.Errorf("registered, %q: %d %s %v", uri, a.status, a.body, a.header["Location"])
		}
	}
}

// TestPatterns holds which patterns are refused.
func TestPatterns(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"https://acme.com": true, "https://*.acme.com/x/*": true, "http://[::1]:*/*": true, "cursor://*.*/*": true, "https://acme.com:8443/": true,
		"": false, "acme.com": false, "*://acme.com": false, "https://": false, "https:///x": false, "https://a@acme.com": false, "https://acme.com?x": false,
		"https://acme.com#x": false, "https://acme.com:x": false, "https://acme.com:": false, "https://acme.com/../x": false, "https://acme.com\\x": false, "https://аcme.com": false,
	} {
		if _, err := oauthserver.ParsePattern(text); ok != (err == nil) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// names is a resolver that counts.
type names struct {
	asked atomic.Int64
	ip    func(host string, n int64) string
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	ip := n.ip(host, n.asked.Add(1))
	if ip == "" {
		return nil, errors.New("no such host")
	}
	return []netip.Addr{netip.MustParseAddr(ip)}, nil
}

// site serves documents of clients.
type site struct {
	*httptest.Server
	hits    atomic.Int64
	handler atomic.Pointer[http.HandlerFunc]
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hits.Add(1)
		(*s.handler.Load())(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) serve(h http.HandlerFunc) { s.handler.Store(&h) }

// port is where it listens on 127.0.0.1.
func (s *site) port() string {
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return port
}

// TestSEC30_DocumentsLeadNowhereElse has documents of clients lead into the network of the
// backend.
func TestSEC30_DocumentsLeadNowhereElse(t *testing.T) {
	t.Parallel()
	inside := newSite(t)
	inside.serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) })
	resolver := &names{ip: func(host string, _ int64) string {
		switch {
		case strings.HasPrefix(host, "metadata."):
			return "169.254.169.254"
		case strings.HasPrefix(host, "mapped."):
			return "::ffff:127.0.0.1"
		case strings.HasPrefix(host, "nat64."):
			return "64:ff9b::7f00:1"
		case strings.HasPrefix(host, "private."):
			return "10.0.0.1"
		case strings.HasPrefix(host, "shared."):
			return "100.64.0.1"
		case strings.HasPrefix(host, "ipv6."):
			return "fd00::1"
		}
		return "127.0.0.1"
	}}
	w := open(t, "auth: {clientIdMetadataDocuments: {enabled: true, allowedClientIdPatterns: ['https://*.example:*/*', 'https://*:*/*']}}",
		func(o *oauthserver.Options) { o.Resolver = resolver })
	for _, host := range []string{"loopback.example", "metadata.example", "mapped.example", "nat64.example", "private.example", "shared.example", "ipv6.example", "localhost"} {
		before := resolver.asked.Load()
		a := w.get("/v1/authorize?" + request("client_id", "https://"+host+":"+inside.port()+"/client.json").Encode())
		if !a.refused(400, "invalid_client") || strings.Contains(a.body, "private") || strings.Contains(a.body, "127.0.0.1") {
			t.Errorf("%s: %d %s", host, a.status, a.body)
		}
		// One lookup, whose answer is checked and dialled: a second one could say otherwise.
		if n := resolver.asked.Load() - before; n != 1 {
			t.Errorf("%s was looked up %d times", host, n)
		}
	}
	if inside.hits.Load() != 0 {
		t.Errorf("%d requests came in", inside.hits.Load())
	}
	for _, id := range []string{
		"http://tool.example/client.json", "https://tool.example", "https://tool.example/", "https://tool.example/a?b", "https://tool.example/a?",
		"https://tool.example/a#b", "https://u@tool.example/a", "https://tool.example/../a", "https://tool.example/%2e%2e/a", "https://127.0.0.1@tool.example/a",
		"file:///etc/passwd", "https://tool.example\\a/b", "gopher://tool.example/a", "https://other.test/a.json", "http://localhost:" + inside.port() + "/a.json",
	} {
		before := resolver.asked.Load()
		if a := w.get("/v1/authorize?" + request("client_id", id).Encode()); !a.refused(400, "invalid_client") {
			t.Errorf("%s: %d %s", id, a.status, a.body)
		}
		if resolver.asked.Load() != before {
			t.Errorf("%s was looked up", id)
		}
	}
}

// TestSEC30_DocumentsAreChecked has an accepted host answer what it must not. The host may
// be the backend's own, as the pattern names it in full.
func TestSEC30_DocumentsAreChecked(t *testing.T) {
	t.Parallel()
	outside, inside, accepted := newSite(t), newSite(t), newSite(t)
	inside.serve(func(http.ResponseWriter, *http.Request) {})
	n := 0
	w := open(t, "auth: {clientIdMetadataDocuments: {enabled: true, allowedClientIdPatterns: ['http://localhost:"+outside.port()+"/*', 'http://localhost:"+accepted.port()+"/*']}}",
		func(o *oauthserver.Options) {
			o.Development = true
			o.Resolver = &names{ip: func(string, int64) string { return "127.0.0.1" }}
		})
	good := func(id string) map[string]any {
		return map[string]any{"client_id": id, "client_name": "A <b>tool</b>\u202e\n", "redirect_uris": []string{callback}, "token_endpoint_auth_method": "none"}
	}
	for _, tt := range []struct {
		name  string
		ok    bool
		serve func(w http.ResponseWriter, r *http.Request, doc map[string]any)
	}{
		{"a good document", true, nil},
		{"with a suffix in its media type", true, func(w http.ResponseWriter, _ *http.Request, doc map[string]any) {
			w.Header().Set("Content-Type", "application/cimd+json")
			_ = json.NewEncoder(w).Encode(doc)
		}},
		{"a redirect", false, func(w http.ResponseWriter, r *http.Request, _ map[string]any) {
			http.Redirect(w, r, inside.URL, http.StatusFound)
		}},
		// The address may be connected to, and the document there is good: only that it was
		// redirected to speaks against it.
		{"a redirect to another accepted host", false, func(w http.ResponseWriter, r *http.Request, doc map[string]any) {
			accepted.serve(func(w http.ResponseWriter, r *http.Request) { change("client_name", "x")(w, r, doc) })
			http.Redirect(w, r, "http://localhost:"+accepted.port()+"/client.json", http.StatusFound)
		}},
		{"a page", false, func(w http.ResponseWriter, _ *http.Request, doc map[string]any) {
			w.Header().Set("Content-Type", "text/html")
			_ = json.NewEncoder(w).Encode(doc)
		}},
		{"an error", false, func(w http.ResponseWriter, _ *http.Request, doc map[string]any) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(500)
			_ = json.NewEncoder(w).Encode(doc)
		}},
		{"more than 64 KiB", false, func(w http.ResponseWriter, _ *http.Request, doc map[string]any) {
			w.Header().Set("Content-Type", "application/json")
			doc["x"] = strings.Repeat("x", 64<<10)
			_ = json.NewEncoder(w).Encode(doc)
		}},
		{"of another client", false, change("client_id", "http://localhost:"+outside.port()+"/other.json")},
		{"with a secret", false, change("client_secret", "x")},
		{"with a secret's expiry", false, change("client_secret_expires_at", 0)},
		{"that authenticates", false, change("token_endpoint_auth_method", "client_secret_basic")},
		{"without redirect URIs", false, change("redirect_uris", []string{})},
		{"with a redirect URI that is none", false, change("redirect_uris", []string{callback, "javascript://x/%0aalert(1)"})},
		{"with redirect URIs of another kind", false, change("redirect_uris", []int{1})},
		{"for another grant", false, change("response_types", []string{"token"})},
		{"whose redirect URI no pattern accepts", false, change("redirect_uris", []string{"https://elsewhere.example/cb"})},
	} {
		n++
		id := fmt.Sprintf("http://localhost:%s/%d.json", outside.port(), n)
		serve := tt.serve
		if serve == nil {
			serve = change("client_name", good(id)["client_name"])
		}
		outside.serve(func(w http.ResponseWriter, r *http.Request) { serve(w, r, good(id)) })
		a := w.get("/v1/authorize?" + request("client_id", id).Encode())
		if tt.ok != (a.status == 302) || !tt.ok && a.status != 400 {
			t.Errorf("%s: %d %s", tt.name, a.status, a.body)
		}
		if a.status == 302 {
			loc := a.header.Get("Location")
			shown := w.get("/v1/sessions/" + loc[strings.LastIndex(loc, "/")+1:])
			if shown.json["clientName"] != "A <b>tool</b>" || shown.json["clientId"] != id {
				t.Errorf("%s: %s", tt.name, shown.body)
			}
		}
	}
	if inside.hits.Load() != 0 || accepted.hits.Load() != 0 {
		t.Error("a redirect was followed")
	}
	// Who asks often does not make the backend ask often.
	before := outside.hits.Load()
	for range 20 {
		w.get("/v1/authorize?" + request("client_id", "http://localhost:"+outside.port()+"/1.json").Encode())
	}
	if outside.hits.Load() != before {
		t.Errorf("a document was fetched %d times more", outside.hits.Load()-before)
	}
}

// change serves a document with one member changed.
func change(member string, value any) func(http.ResponseWriter, *http.Request, map[string]any) {
	return func(w http.ResponseWriter, _ *http.Request, doc map[string]any) {
		doc[member] = value
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(doc)
	}
}

// TestTheConsentPageIsClosed holds that nothing that a client calls itself becomes code,
// and that the page runs its own script only.
func TestTheConsentPageIsClosed(t *testing.T) {
	t.Parallel()
	w := open(t, everything+"  oauthServer: {consentPage: backend}\n")
	name, _ := json.Marshal(map[string]any{"client_name": `</script><script>alert(1)</script>" onload="x`, "redirect_uris": []string{"http://localhost/cb"}})
	id := fmt.Sprint(w.do("POST", "/v1/register", "", "application/json", string(name)).json["client_id"])
	a := w.get("/v1/authorize?" + request("client_id", id, "redirect_uri", "http://localhost/cb").Encode())
	page, ok := strings.CutPrefix(a.header.Get("Location"), baseURL)
	if !ok || !strings.HasPrefix(page, "/v1/consent/") {
		t.Fatalf("%d %v", a.status, a.header)
	}
	a = w.get(page)
	if a.status != 200 || strings.Contains(a.body, "<script>alert") || strings.Contains(a.body, `" onload=`) || !strings.Contains(a.body, "&lt;/script&gt;") {
		t.Errorf("%d %s", a.status, a.body)
	}
	policy := a.header.Get("Content-Security-Policy")
	for _, tag := range []string{"script", "style"} {
		parts := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllStringSubmatch(a.body, -1)
		if len(parts) != 1 {
			t.Fatalf("%d elements %s", len(parts), tag)
		}
		sum := sha256.Sum256([]byte(parts[0][1]))
		if !strings.Contains(policy, tag+"-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"';") {
			t.Errorf("the policy does not have the %s: %s", tag, policy)
		}
	}
	for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "connect-src 'self'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("no %s in %s", part, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(a.body, "<form") {
		t.Error(policy)
	}
	for name, want := range map[string]string{"X-Frame-Options": "DENY", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		"X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "same-origin-allow-popups"} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if a := w.get("/v1/consent/nope"); a.status != 404 || !strings.Contains(a.body, "has expired, or was answered") || a.header.Get("Content-Security-Policy") == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestAnswersKeepTheQueryOfARedirectURI holds RFC 6749, 3.1.2.
func TestAnswersKeepTheQueryOfARedirectURI(t *testing.T) {
	t.Parallel()
	w := open(t, everything)
	const cb = "http://localhost/cb?a=1&b=%20"
	id := fmt.Sprint(w.do("POST", "/v1/register", "", "application/json", `{"redirect_uris":["`+cb+`"]}`).json["client_id"])
	a := w.do("POST", "/v1/sessions/"+w.ask(request("client_id", id, "redirect_uri", cb))+"/approve", "Bearer "+alice, "", "")
	to, err := url.Parse(fmt.Sprint(a.json["redirectUrl"]))
	if err != nil || !strings.HasPrefix(to.String(), cb+"&code=") {
		t.Errorf("%d %s", a.status, a.body)
	}
}
