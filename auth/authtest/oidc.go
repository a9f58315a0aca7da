package authtest

import (
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// A User is somebody with an account at an OIDC.
type User struct {
	// Subject is the claim sub.
	Subject string
	// Claims are all others: name, email, email_verified. They are in the ID token and in
	// the answer of the userinfo endpoint.
	Claims map[string]any
}

// Alice is a user with everything that a well kept account has.
func Alice() User {
	return User{Subject: "alice-1", Claims: map[string]any{
		"name": "Alice Adams", "preferred_username": "alice", "email": "alice@acme.test", "email_verified": true,
	}}
}

// Options are those of StartOIDC.
type Options struct {
	// Users are those with an account; Alice alone if there are none. The first one is
	// signed in until As says otherwise.
	Users []User
	// TLS serves https, with the certificate of net/http/httptest.
	TLS bool
	// Now is the clock of all tokens; time.Now if it is nil.
	Now func() time.Time

	// The rest is for OAuth servers with an API of their own.

	// Plain issues no ID tokens, and does not ask for the scope openid.
	Plain bool
	// Token changes what the token endpoint answers.
	Token func(fields map[string]any)
	// Refuse answers for the token endpoint where it refuses with an error code; nil answers
	// as RFC 6749 has it.
	Refuse func(w http.ResponseWriter, code string)
	// API are further endpoints, by pattern of http.ServeMux, that take an access token. They
	// are told whose it is, and its scope.
	API map[string]func(w http.ResponseWriter, r *http.Request, u User, scope string)
}

// The client that is registered at an OIDC. The secret has characters that only survive
// in a header if they are encoded.
const (
	ClientID     = "callboard"
	ClientSecret = "s3cret of /a+client%"
)

// OIDC is an OpenID provider: discovery, authorization code flow with PKCE, refresh tokens
// that rotate, of which a reused one ends its whole family, userinfo, revocation and
// end_session. Whoever opens its authorization endpoint is signed in as the user of As at
// once. It is safe for concurrent use.
type OIDC struct {
	// URL is the issuer, without a slash at the end.
	URL string

	t      testing.TB
	opts   Options
	server *httptest.Server
	now    func() time.Time
	done   chan struct{}

	mu       sync.Mutex
	users    []User
	current  string // subject
	keys     []*signer
	own      []*signer     // keys without those of misbehaviours
	next     crypto.Signer // of keys that come later
	strange  crypto.Signer // never published
	wrong    change
	codes    map[string]*grant
	access   map[string]*family
	refresh  map[string]*family
	requests map[string]int
	written  map[string]int64
}

// grant is what a code stands for.
type grant struct {
	*family
	redirectURI string
	challenge   string
	method      string
	used        bool
}

// family is one sign-in, with all the tokens that came of it.
type family struct {
	subject string
	scope   string
	nonce   string
	ended   bool
	// latest is the only refresh token that is not used up.
	latest string
}

// StartOIDC starts an OpenID provider that stops when the test ends.
func StartOIDC(t testing.TB, opts Options) *OIDC {
	t.Helper()
	o := &OIDC{
		t: t, opts: opts, now: opts.Now, users: opts.Users, done: make(chan struct{}),
		codes: map[string]*grant{}, access: map[string]*family{}, refresh: map[string]*family{},
		requests: map[string]int{}, written: map[string]int64{},
	}
	if o.now == nil {
		o.now = time.Now
	}
	if len(o.users) == 0 {
		o.users = []User{Alice()}
	}
	o.current = o.users[0].Subject
	all, err := keys()
	if err != nil {
		t.Fatal(err)
	}
	o.own, o.next, o.strange = []*signer{{"RS256", "key-1", all[0]}}, all[1], all[2]
	o.keys = slices.Clone(o.own)
	mux := http.NewServeMux()
	for endpoint, serve := range map[string]http.HandlerFunc{
		Discovery: o.discovery, Authorization: o.authorize, TokenEndpoint: o.token,
		UserInfo: o.userinfo, Keys: o.jwks, Revocation: o.revoke, EndSession: o.endSession, Stolen: o.stolen,
	} {
		mux.HandleFunc(endpoint, o.endpoint(endpoint, serve))
	}
	for pattern, serve := range opts.API {
		mux.HandleFunc(pattern, o.endpoint(pattern, o.api(serve)))
	}
	o.server = httptest.NewUnstartedServer(mux)
	if opts.TLS {
		o.server.StartTLS()
	} else {
		o.server.Start()
	}
	o.URL = o.server.URL
	t.Cleanup(func() {
		close(o.done) // slow answers end
		o.server.CloseClientConnections()
		o.server.Close()
	})
	return o
}

// The endpoints of an OIDC, below its URL.
const (
	Discovery     = "/.well-known/openid-configuration"
	Authorization = "/authorize"
	TokenEndpoint = "/token"
	UserInfo      = "/userinfo"
	Keys          = "/jwks"
	Revocation    = "/revoke"
	EndSession    = "/end_session"
)

// As decides who is signed in at the authorization endpoint from now on.
func (o *OIDC) As(subject string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.user(subject) == nil {
		o.t.Errorf("authtest: nobody has the subject %q", subject)
	}
	o.current = subject
}

// Misbehave makes the issuer misbehave from now on, in this way alone. The zero
// Misbehaviour makes it behave again. Tokens that are out already stay valid.
func (o *OIDC) Misbehave(m Misbehaviour) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wrong, o.keys = m.change, slices.Clone(o.own)
}

// RotateKeys signs with a new key from now on. The old one stays in the key set.
func (o *OIDC) RotateKeys() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.own = append(o.own, &signer{"RS256", fmt.Sprintf("key-%d", len(o.own)+1), o.next})
	o.keys = slices.Clone(o.own)
}

// Requests is how often an endpoint has been asked.
func (o *OIDC) Requests(endpoint string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.requests[endpoint]
}

// Written is how many bytes an endpoint has got rid of. A huge answer that its reader
// gives up on is written in part.
func (o *OIDC) Written(endpoint string) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written[endpoint]
}

// Client returns an HTTP client that trusts the certificate of the issuer, and follows no
// redirects.
func (o *OIDC) Client() *http.Client {
	c := *o.server.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// SignIn plays the browser: it opens an address of the authorization endpoint, and returns
// where it is sent.
func (o *OIDC) SignIn(address string) (*url.URL, error) {
	resp, err := o.Client().Get(address)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		return nil, fmt.Errorf("the authorization endpoint answered %s, and no redirect", resp.Status)
	}
	return to, nil
}

// EndSessions ends all sessions, as an administrator would.
func (o *OIDC) EndSessions() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.refresh {
		f.ended = true
	}
}

func (o *OIDC) user(subject string) *User {
	for i := range o.users {
		if o.users[i].Subject == subject {
			return &o.users[i]
		}
	}
	return nil
}

// claimsOf are the claims of a user without those about the token.
func (o *OIDC) claimsOf(subject string) map[string]any {
	claims := map[string]any{}
	if u := o.user(subject); u != nil {
		maps.Copy(claims, u.Claims)
	}
	claims["sub"] = subject
	return claims
}

// counter counts what is written.
type counter struct {
	http.ResponseWriter
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.n += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController find the connection.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (o *OIDC) endpoint(name string, serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.requests[name]++
		instead := o.wrong.serve[name]
		o.mu.Unlock()
		c := &counter{ResponseWriter: w}
		if instead != nil {
			instead(o, serve, c, r)
		} else {
			serve(c, r)
		}
		o.mu.Lock()
		o.written[name] += c.n
		o.mu.Unlock()
	}
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // whoever has gone needs no answer
}

func refuse(w http.ResponseWriter, status int, code string) {
	answer(w, status, map[string]any{"error": code, "error_description": code + " by the test's issuer"})
}

func random() string {
	b := make([]byte, 24)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}
