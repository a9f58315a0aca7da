package oauthserver

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/auth/internal/store"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/scm"
)

// Issuer issues the tokens of users. extra are further claims.
type Issuer interface {
	IssueWith(ctx context.Context, sub string, ownership []string, extra map[string]any) (token string, expires time.Time, err error)
}

// Options is what a Server stands on.
type Options struct {
	Documents    ClientDocuments
	Registration Registration
	Refresh      RefreshTokens
	Settings     Settings

	Store  *store.Store
	Issuer Issuer
	// Present returns nil for a user who is in the catalog, apierr.NotFound for one who is
	// not, and another error if that cannot be told.
	Present func(ctx context.Context, ref string) error

	BaseURL     string   // of the auth plugin, as browsers see it, without a slash at the end
	AppURL      string   // of the frontend
	SignIns     []SignIn // the providers that the consent page offers
	Development bool
	Resolver    scm.Resolver     // nil means the system's
	Now         func() time.Time // nil means the system's clock
	Log         *slog.Logger     // nil means slog.Default
}

// A Server answers the routes. It is safe for concurrent use.
type Server struct {
	Options

	documents *documents
	redirects struct{ documents, registration []Pattern }
	hashing   chan struct{} // bounds the memory that scrypt takes
	cost      int           // the N of scrypt
}

// Limits of contract/auth.md section 10.
const (
	authorizationLife = time.Hour
	codeLife          = 10 * time.Minute
	clientIdle        = 30 * 24 * time.Hour
	maxBody           = 100 << 10
)

// New returns a Server. Its error is about patterns of the configuration.
func New(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	o.BaseURL, o.AppURL = strings.TrimRight(o.BaseURL, "/"), strings.TrimRight(o.AppURL, "/")
	o.Refresh.SetDefaults()
	s := &Server{Options: o, hashing: make(chan struct{}, 2), cost: 16384}
	allowed, err := compile(o.Documents.AllowedClientIDPatterns, []string{})
	if err != nil {
		return nil, err
	}
	s.documents = newDocuments(allowed, o.Development, o.Resolver, o.Now, o.Log)
	if s.redirects.documents, err = compile(o.Documents.AllowedRedirectURIPatterns, ownMachine); err != nil {
		return nil, err
	}
	s.redirects.registration, err = compile(o.Registration.AllowedRedirectURIPatterns, append([]string{"cursor://*.*/*"}, ownMachine...))
	return s, err
}

// Enabled reports whether any program may act as a user.
func (s *Server) Enabled() bool { return s.Documents.Enabled || s.Registration.Enabled }

// A Route is one of a server. Nobody needs credentials to get in: handlers check them.
type Route struct {
	Pattern string
	Handler httpx.HandlerFunc
	Limit   string // what bounds how often it is called, by name; empty if nothing does
}

// Routes are those that the configuration enables, in the order of contract/auth.md
// section 10.
func (s *Server) Routes() []Route {
	out := []Route{
		{"GET /.well-known/openid-configuration", s.metadata, ""},
		{"GET /.well-known/oauth-client/cli.json", answers(s.Log, s.cli), ""},
	}
	if !s.Enabled() {
		return out
	}
	out = append(out,
		Route{"GET /v1/authorize", answers(s.Log, s.authorize), "start"},
		Route{"GET /v1/consent/{id}", s.consentPage, ""},
		Route{"GET /v1/sessions/{id}", answers(s.Log, s.session), ""},
		Route{"POST /v1/sessions/{id}/approve", answers(s.Log, s.approve), ""},
		Route{"POST /v1/sessions/{id}/reject", answers(s.Log, s.reject), ""},
		Route{"POST /v1/token", answers(s.Log, s.token), "token"},
		Route{"POST /v1/revoke", answers(s.Log, s.revoke), "token"},
	)
	if s.Registration.Enabled {
		out = append(out, Route{"POST /v1/register", answers(s.Log, s.register), "register"})
	}
	return out
}

// Clean deletes what has expired. It is run every hour, on one replica.
func (s *Server) Clean(ctx context.Context) error {
	now := s.Now()
	return s.Store.CleanOAuth(ctx, now.Add(-authorizationLife), now.Add(-s.Refresh.TokenLifetime.Std()), now.Add(-s.Refresh.MaxRotationLifetime.Std()), now.Add(-clientIdle))
}

// client is a program that may ask users.
type client struct {
	id, name     string
	redirectURIs []string
	secretHash   string // empty for public clients
	allowed      []Pattern

	// What it has registered to be limited to; empty means no limit.
	scopes, grants []string
}

// may reports whether a client that has registered a list may use one of its kind.
func may(registered []string, name string) bool {
	return len(registered) == 0 || slices.Contains(registered, name)
}

// documented reports whether the client is known by its document.
func (c client) documented() bool { return c.secretHash == "" }

// redirect reports whether browsers may be sent to uri for the client.
func (c client) redirect(uri string) bool {
	u, err := parseRedirect(uri)
	if err != nil || !matchAny(c.allowed, u) {
		return false
	}
	return slices.ContainsFunc(c.redirectURIs, func(known string) bool { return sameRedirect(known, uri) })
}

// secret reports whether given is the secret of the client.
func (c client) secret(given string) bool {
	return c.secretHash != "" && subtle.ConstantTimeCompare([]byte(hashOf(given)), []byte(c.secretHash)) == 1
}

// find returns the client of an id.
func (s *Server) find(ctx context.Context, id string) (client, error) {
	if s.Documents.Enabled && id == s.cliID() {
		d := s.cliDocument()
		return client{id: id, name: d.ClientName, redirectURIs: d.RedirectURIs, allowed: s.redirects.documents}, nil
	}
	if strings.Contains(id, "://") {
		if !s.Documents.Enabled {
			return client{}, refuse("invalid_client", "clients are not known by documents here")
		}
		d, err := s.documents.get(ctx, id)
		if err != nil {
			if _, bad := s.documents.check(id); bad != nil {
				return client{}, refuse("invalid_client", "%s", bad)
			}
			return client{}, refuse("invalid_client", "the document of the client cannot be had, or is not valid")
		}
		return client{id: id, name: d.ClientName, redirectURIs: d.RedirectURIs, allowed: s.redirects.documents}, nil
	}
	if s.Registration.Enabled && len(id) <= 100 && printable(id) {
		c, ok, err := s.Store.Client(ctx, id)
		if err != nil {
			return client{}, err
		}
		if ok {
			return client{id: c.ID, name: c.Name, redirectURIs: c.RedirectURIs, secretHash: c.SecretHash, allowed: s.redirects.registration,
				scopes: strings.Fields(c.Scope), grants: c.GrantTypes}, nil
		}
	}
	return client{}, refuse("invalid_client", "Invalid client_id")
}

// hashOf is how the database knows secrets that are random.
func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// random returns 32 random bytes as 43 characters.
func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// one returns a parameter that may be given once at most (RFC 6749, 3.1).
func one(q url.Values, name string) (string, error) {
	v := q[name]
	if len(v) > 1 {
		return "", refuse("invalid_request", "%s is given more than once", name)
	}
	if len(v) == 0 {
		return "", nil
	}
	if len(v[0]) > 4096 || strings.ContainsRune(v[0], 0) {
		return "", refuse("invalid_request", "%s is too long, or has a NUL", name)
	}
	return v[0], nil
}

// metadata is the discovery document (contract/auth.md section 8).
func (s *Server) metadata(w http.ResponseWriter, _ *http.Request) error {
	at := func(path string) string { return s.BaseURL + path }
	scopes, claims, grants := []string{"openid"}, []string{"sub", "ent"}, []string{"authorization_code"}
	methods := []string{"client_secret_basic", "client_secret_post"}
	challenges := []string{"S256", "plain"}
	doc := map[string]any{
		"issuer":                   s.BaseURL,
		"token_endpoint":           at("/v1/token"),
		"userinfo_endpoint":        at("/v1/userinfo"),
		"jwks_uri":                 at("/.well-known/jwks.json"),
		"authorization_endpoint":   at("/v1/authorize"),
		"response_types_supported": []string{"code", "id_token"},
		"subject_types_supported":  []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512",
			"PS256", "PS384", "PS512", "EdDSA"},
	}
	if s.Enabled() {
		if !s.Settings.AllowPlainPKCE { // what is refused is not offered
			challenges = challenges[:1]
		}
		doc["revocation_endpoint"] = at("/v1/revoke")
		doc["authorization_response_iss_parameter_supported"] = true // RFC 9207
	}
	if s.Enabled() && s.Refresh.Enabled {
		scopes, grants = append(scopes, "offline_access"), append(grants, "refresh_token")
	}
	if s.Registration.Enabled {
		doc["registration_endpoint"] = at("/v1/register")
	}
	if s.Documents.Enabled {
		methods = append(methods, "none")
		doc["client_id_metadata_document_supported"] = true
	}
	doc["scopes_supported"], doc["claims_supported"], doc["grant_types_supported"] = scopes, claims, grants
	doc["token_endpoint_auth_methods_supported"], doc["code_challenge_methods_supported"] = methods, challenges
	return httpx.JSON(w, http.StatusOK, doc)
}

func (s *Server) cliID() string { return s.BaseURL + "/.well-known/oauth-client/cli.json" }

func (s *Server) cliDocument() document {
	d := document{ClientID: s.cliID(), ClientName: "Backstage CLI", RedirectURIs: []string{"http://127.0.0.1:8055/callback"},
		ResponseTypes: []string{"code"}, GrantTypes: []string{"authorization_code"}, TokenEndpointAuthMethod: "none", Scope: "openid offline_access"}
	if s.Refresh.Enabled {
		d.GrantTypes = append(d.GrantTypes, "refresh_token")
	}
	return d
}

// cli is the document of the command line tool of the frontend's makers.
func (s *Server) cli(w http.ResponseWriter, _ *http.Request) error {
	if !s.Documents.Enabled {
		return refuse("not_found", "Client ID metadata documents not enabled").with(http.StatusNotFound)
	}
	return httpx.JSON(w, http.StatusOK, s.cliDocument())
}
