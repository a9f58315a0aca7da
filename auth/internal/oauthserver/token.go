package oauthserver

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/crypto/scrypt"

	"github.com/callboard-dev/callboard/auth/internal/store"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// form reads the parameters of a body, which is urlencoded or a JSON object of strings.
func form(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, refuse("invalid_request", "the body is too large").with(http.StatusRequestEntityTooLarge)
		}
		return nil, refuse("invalid_request", "the body cannot be read")
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch media {
	case "application/x-www-form-urlencoded":
		q, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, refuse("invalid_request", "the body is not urlencoded")
		}
		return q, nil
	case "application/json":
		var members map[string]any
		if json.Unmarshal(body, &members) != nil {
			return nil, refuse("invalid_request", "the body is not a JSON object")
		}
		q := url.Values{}
		for name, v := range members {
			if text, ok := v.(string); ok {
				q.Set(name, text)
			}
		}
		return q, nil
	}
	return nil, refuse("invalid_request", "the body must be application/x-www-form-urlencoded").with(http.StatusUnsupportedMediaType)
}

// credentials are what a client shows; secret is empty if it shows an id only.
type credentials struct {
	id, secret string
	basic      bool
}

// claimed reads them from the header or the body, but not from both (RFC 6749, 2.3).
func claimed(r *http.Request, q url.Values) (c credentials, err error) {
	if c.id, err = one(q, "client_id"); err != nil {
		return c, err
	}
	if c.secret, err = one(q, "client_secret"); err != nil {
		return c, err
	}
	user, password, ok := r.BasicAuth()
	if !ok {
		return c, nil
	}
	if c.secret != "" {
		return c, refuse("invalid_request", "the client authenticates twice")
	}
	id, err1 := url.QueryUnescape(user)
	secret, err2 := url.QueryUnescape(password)
	if err1 != nil || err2 != nil || c.id != "" && c.id != id {
		return c, invalidClient(true)
	}
	return credentials{id, secret, true}, nil
}

func invalidClient(basic bool) error {
	f := refuse("invalid_client", "Invalid client credentials").with(http.StatusUnauthorized)
	f.basic = basic
	return f
}

// public reports whether the client of an id is known by a document, and so has no secret.
// The ids of those that have registered, which all got one, are not URLs.
func public(id string) bool { return strings.Contains(id, "://") }

// check makes sure that what a client shows is right, as far as it shows anything. It
// reports whether the client has proved who it is.
func (s *Server) check(ctx context.Context, c credentials) (proved bool, err error) {
	if c.secret == "" {
		return false, nil
	}
	known, ok, err := s.Store.Client(ctx, c.id[:min(len(c.id), 100)])
	if err != nil {
		return false, err
	}
	if !ok || !s.Registration.Enabled || !(client{secretHash: known.SecretHash}).secret(c.secret) {
		return false, invalidClient(c.basic)
	}
	return true, nil
}

// token gives a client the tokens of a user.
func (s *Server) token(w http.ResponseWriter, r *http.Request) error {
	q, err := form(w, r)
	if err != nil {
		return err
	}
	grant, err := one(q, "grant_type")
	if err != nil {
		return err
	}
	c, err := claimed(r, q)
	if err != nil {
		return err
	}
	proved, err := s.check(r.Context(), c)
	if err != nil {
		return err
	}
	var t *tokens
	switch {
	case grant == "":
		return refuse("invalid_request", "grant_type is missing")
	case grant == "authorization_code":
		t, err = s.exchange(r.Context(), q, c, proved)
	case grant == "refresh_token" && s.Refresh.Enabled:
		t, err = s.renew(r.Context(), q, c, proved)
	default:
		return refuse("unsupported_grant_type", "Grant type not supported")
	}
	if err != nil {
		return err
	}
	return httpx.JSON(w, http.StatusOK, t)
}

// tokens is the answer of RFC 6749, 5.1.
type tokens struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	IDToken      string `json:"id_token"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope"`
}

// clientClaim is in the tokens of programs, and says of which one (RFC 9068, 2.2).
const clientClaim = "client_id"

func (s *Server) issue(ctx context.Context, user, client, nonce, scope string) (*tokens, error) {
	extra := map[string]any{clientClaim: client}
	if nonce != "" {
		extra["nonce"] = nonce
	}
	token, expires, err := s.Issuer.IssueWith(ctx, user, nil, extra)
	if err != nil {
		return nil, err
	}
	return &tokens{AccessToken: token, TokenType: "Bearer", IDToken: token, Scope: scope,
		ExpiresIn: int(math.Round(expires.Sub(s.Now()).Seconds()))}, nil
}

// exchange gives tokens for a code.
func (s *Server) exchange(ctx context.Context, q url.Values, c credentials, proved bool) (*tokens, error) {
	code, err1 := one(q, "code")
	redirect, err2 := one(q, "redirect_uri")
	verifier, err3 := one(q, "code_verifier")
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	if code == "" {
		return nil, refuse("invalid_request", "code is missing")
	}
	hash := hashOf(code)
	a, expires, used, ok, err := s.Store.Code(ctx, hash)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, refuse("invalid_grant", "Invalid authorization code")
	case used:
		return nil, s.usedTwice(ctx, a, hash)
	case !s.Now().Before(expires):
		return nil, refuse("invalid_grant", "Authorization code expired")
	case c.id != "" && c.id != a.ClientID:
		return nil, refuse("invalid_grant", "The code is not for this client")
	case !public(a.ClientID) && !proved:
		return nil, invalidClient(c.basic) // RFC 6749, 4.1.3
	case redirect != a.RedirectURI:
		return nil, refuse("invalid_grant", "Redirect URI mismatch")
	case !provesPKCE(a, verifier):
		return nil, refuse("invalid_grant", "Invalid code verifier")
	}
	first, err := s.Store.UseCode(ctx, hash)
	if err != nil {
		return nil, err
	}
	if !first {
		return nil, s.usedTwice(ctx, a, hash)
	}
	t, err := s.issue(ctx, a.User, a.ClientID, a.Nonce, a.Scope)
	if err != nil || !s.Refresh.Enabled || !slices.Contains(strings.Fields(a.Scope), "offline_access") {
		return t, err
	}
	g := store.Grant{ID: random(), User: a.User, ClientID: a.ClientID, ClientName: a.ClientName, Scope: a.Scope, CodeHash: hash, CreatedAt: s.Now()}
	if t.RefreshToken, g.TokenHash, err = s.newRefreshToken(ctx, g.ID); err != nil {
		return nil, err
	}
	alone, err := s.Store.AddGrant(ctx, g, s.Refresh.MaxTokensPerUser)
	if err != nil {
		return nil, err
	}
	if !alone { // somebody has used the code since, and was told so
		return nil, refuse("invalid_grant", "Authorization code already used")
	}
	return t, nil
}

// usedTwice ends what a code has begun: one of the two who used it has stolen it (RFC 6749,
// 4.1.2).
func (s *Server) usedTwice(ctx context.Context, a store.Authorization, hash string) error {
	s.Log.WarnContext(ctx, "an authorization code was used twice; what it has begun is ended", "client", a.ClientID, "user", a.User)
	if err := s.Store.EndGrantOfCode(ctx, hash); err != nil {
		return err
	}
	return refuse("invalid_grant", "Authorization code already used")
}

// provesPKCE reports whether the verifier is the one of the challenge. A verifier without
// a challenge says that somebody has taken the challenge out (RFC 9700, 4.8.2).
func provesPKCE(a store.Authorization, verifier string) bool {
	if a.Challenge == "" {
		return verifier == ""
	}
	if !pkceText.MatchString(verifier) {
		return false
	}
	got := verifier
	if a.ChallengeMethod == "S256" {
		sum := sha256.Sum256([]byte(verifier))
		got = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return subtle.ConstantTimeCompare([]byte(got), []byte(a.Challenge)) == 1
}

// renew gives new tokens for a refresh token.
func (s *Server) renew(ctx context.Context, q url.Values, c credentials, proved bool) (*tokens, error) {
	token, err := one(q, "refresh_token")
	if err != nil {
		return nil, err
	}
	g, current, err := s.grantOf(ctx, token)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	if g == nil || !now.Before(g.LastUsedAt.Add(s.Refresh.TokenLifetime.Std())) || !now.Before(g.CreatedAt.Add(s.Refresh.MaxRotationLifetime.Std())) {
		return nil, refuse("invalid_grant", "Invalid refresh token")
	}
	if c.id != "" && c.id != g.ClientID {
		return nil, refuse("invalid_grant", "The refresh token is not for this client")
	}
	if !current {
		return nil, s.stolen(ctx, g)
	}
	if !s.Refresh.SkipPresenceCheck {
		if err := s.Present(ctx, g.User); errors.Is(err, apierr.NotFound) {
			if _, err := s.Store.EndGrant(ctx, g.ID, ""); err != nil {
				return nil, err
			}
			s.Log.InfoContext(ctx, "the user of a program is gone, its access ends", "user", g.User, "client", g.ClientID)
			return nil, refuse("invalid_grant", "The user does not exist any longer")
		} else if err != nil {
			return nil, apierr.ServiceUnavailable.Wrap(err, "the user cannot be looked up")
		}
	}
	t, err := s.issue(ctx, g.User, g.ClientID, "", g.Scope)
	if err != nil {
		return nil, err
	}
	next, hash, err := s.newRefreshToken(ctx, g.ID)
	if err != nil {
		return nil, err
	}
	first, err := s.Store.RotateGrant(ctx, g.ID, g.TokenHash, hash, now)
	if err != nil {
		return nil, err
	}
	if !first {
		return nil, s.stolen(ctx, g) // somebody else has used the token in this moment
	}
	t.RefreshToken = next
	return t, nil
}

// stolen ends a grant whose old token is used again (RFC 9700, 4.14.2).
func (s *Server) stolen(ctx context.Context, g *store.Grant) error {
	s.Log.WarnContext(ctx, "an old refresh token was used again, the program's access ends", "user", g.User, "client", g.ClientID)
	if _, err := s.Store.EndGrant(ctx, g.ID, ""); err != nil {
		return err
	}
	return refuse("invalid_grant", "Invalid refresh token")
}

// grantOf returns the grant of a refresh token, nil if there is none, and whether it is
// the token that is in use. Nobody can guess the id of a grant: who has it has had a token.
func (s *Server) grantOf(ctx context.Context, token string) (g *store.Grant, current bool, err error) {
	id, secret, ok := strings.Cut(token, ".")
	if !ok || len(id) != 43 || len(secret) != 43 || !printable(token) {
		return nil, false, nil
	}
	found, ok, err := s.Store.Grant(ctx, id)
	if err != nil || !ok {
		return nil, false, err
	}
	saltText, want, _ := strings.Cut(found.TokenHash, ".")
	salt, err := base64.StdEncoding.DecodeString(saltText)
	if err != nil {
		return nil, false, err
	}
	got, err := s.scrypt(ctx, secret, salt)
	if err != nil {
		return nil, false, err
	}
	return &found, subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1, nil
}

// newRefreshToken returns a token of a grant, and what is stored of it.
func (s *Server) newRefreshToken(ctx context.Context, grant string) (token, hash string, err error) {
	secret, salt := random(), make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	sum, err := s.scrypt(ctx, secret, salt)
	return grant + "." + secret, base64.StdEncoding.EncodeToString(salt) + "." + sum, err
}

// scrypt takes 16 MiB and some tens of milliseconds, so that only a few run at once.
func (s *Server) scrypt(ctx context.Context, secret string, salt []byte) (string, error) {
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	sum, err := scrypt.Key([]byte(secret), salt, s.cost, 8, 1, 64)
	return base64.StdEncoding.EncodeToString(sum), err
}

// revoke ends the grant of a refresh token (RFC 7009). Clients that are known by their
// document have no secret, and say who they are. Whether there was a grant is not told.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) error {
	q, err := form(w, r)
	if err != nil {
		return err
	}
	c, err := claimed(r, q)
	if err != nil {
		return err
	}
	proved, err := s.check(r.Context(), c)
	if err != nil {
		return err
	}
	if !proved && !(s.Documents.Enabled && public(c.id)) {
		return invalidClient(c.basic)
	}
	token, err := one(q, "token")
	if err != nil {
		return err
	}
	g, current, err := s.grantOf(r.Context(), token)
	if err != nil {
		return err
	}
	if g != nil && current && g.ClientID == c.id {
		if _, err := s.Store.EndGrant(r.Context(), g.ID, ""); err != nil {
			return err
		}
	}
	return httpx.Empty(w, http.StatusOK)
}

// register makes a client known (RFC 7591).
func (s *Server) register(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		ClientName    string   `json:"client_name"`
		RedirectURIs  []string `json:"redirect_uris"`
		ResponseTypes []string `json:"response_types"`
		GrantTypes    []string `json:"grant_types"`
		Scope         string   `json:"scope"`
	}
	if err := httpx.DecodeJSON(r, &in, httpx.MaxBytes(maxBody)); err != nil {
		return err
	}
	if len(in.RedirectURIs) == 0 || len(in.RedirectURIs) > 20 {
		return refuse("invalid_request", "redirect_uris must have between 1 and 20 entries")
	}
	for _, uri := range in.RedirectURIs {
		u, err := parseRedirect(uri)
		if err != nil || !matchAny(s.redirects.registration, u) {
			return refuse("invalid_request", "Invalid redirect_uri '%s'", strings.ToValidUTF8(uri[:min(len(uri), 200)], ""))
		}
	}
	for _, t := range in.ResponseTypes {
		if t != "code" {
			return refuse("invalid_request", "Only the response type 'code' is supported")
		}
	}
	for _, t := range in.GrantTypes {
		if t != "authorization_code" && t != "refresh_token" {
			return refuse("invalid_request", "Only the grant types 'authorization_code' and 'refresh_token' are supported")
		}
	}
	if len(in.Scope) > 1000 || !scopeText.MatchString(in.Scope) {
		return refuse("invalid_client_metadata", "scope is not names separated by spaces, 1000 characters at most")
	}
	secret := random()
	c := store.OAuthClient{ID: random(), SecretHash: hashOf(secret), Name: display(in.ClientName), RedirectURIs: in.RedirectURIs,
		Scope: in.Scope, GrantTypes: distinct(in.GrantTypes), ResponseTypes: distinct(in.ResponseTypes)}
	if err := s.Store.AddClient(r.Context(), c, s.Now()); err != nil {
		return err
	}
	return httpx.JSON(w, http.StatusCreated, registered{ClientID: c.ID, RedirectURIs: c.RedirectURIs, ClientSecret: secret,
		ClientName: c.Name, Scope: c.Scope, GrantTypes: c.GrantTypes, ResponseTypes: c.ResponseTypes})
}

// registered is the answer to a registration. The first three members are always there;
// the rest says what was stored of what the client has sent (RFC 7591, 3.2.1).
type registered struct {
	ClientID      string   `json:"client_id"`
	RedirectURIs  []string `json:"redirect_uris"`
	ClientSecret  string   `json:"client_secret"`
	ClientName    string   `json:"client_name,omitempty"`
	Scope         string   `json:"scope,omitempty"`
	GrantTypes    []string `json:"grant_types,omitempty"`
	ResponseTypes []string `json:"response_types,omitempty"`
}

// scopeText is the form of RFC 6749, 3.3, and empty.
var scopeText = regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e ]*$`)

// distinct returns the strings of list in order, each once.
func distinct(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}
