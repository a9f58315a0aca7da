// Package oauth is the client side of OAuth 2.0's authorization code flow (RFC 6749) with
// PKCE (RFC 7636). Sign-in providers are made of it:
//
//	client := &oauth.Client{
//		Credentials:  oauth.Credentials{ID: c.ClientID, Secret: c.ClientSecret},
//		AuthorizeURL: "https://github.com/login/oauth/authorize",
//		TokenURL:     "https://github.com/login/oauth/access_token",
//		HTTP:         http.DefaultClient,
//		Profile:      profile,
//	}
//
// A Client is an auth.Provider and an auth.Refresher. A provider that differs in more than
// these fields embeds it and has the method in question itself.
//
// Texts of the identity provider never get into errors, except for the error code, which
// has no more than 40 letters, digits and underscores.
package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
)

// Credentials are those of the client at the identity provider.
type Credentials struct {
	ID     string
	Secret config.Secret
}

// A Client is the client of one application at an identity provider. Its fields are not
// changed while it is in use; its methods are safe for concurrent use.
type Client struct {
	Credentials
	AuthorizeURL string
	TokenURL     string
	// Params are added to the address that the browser is sent to.
	Params map[string]string
	// Basic sends the credentials of the client in the header Authorization instead of in
	// the body (client_secret_basic instead of client_secret_post).
	Basic bool
	// Challenge is the method of PKCE: "S256", "plain", or "" for none.
	Challenge string
	// SendNonce adds the nonce of the flow, for identity providers that issue ID tokens.
	SendNonce bool
	// HTTP is used for all requests; HTTPClient makes one.
	HTTP *http.Client
	// Ended are error codes beside invalid_grant that say that a session has ended.
	Ended []string
	// Profile finds out whose token it is. It is called at sign-in, with the nonce that an
	// ID token must have, and at refresh, with none.
	Profile func(ctx context.Context, t Token, nonce string) (auth.Profile, error)
}

var (
	_ auth.Provider  = (*Client)(nil)
	_ auth.Refresher = (*Client)(nil)
)

// A Token is the answer of a token endpoint.
type Token struct {
	auth.Session
	TokenType string
	// Fields is the whole answer.
	Fields map[string]any
}

// Bounds of what identity providers answer.
const (
	maxAnswer     = 1 << 20
	maxExpiration = 10 * 365 * 24 * time.Hour
)

// Start implements auth.Provider.
func (c *Client) Start(_ context.Context, f auth.Flow) (string, error) {
	u, err := url.Parse(c.AuthorizeURL)
	if err != nil {
		return "", fmt.Errorf("authorization endpoint: %w", err)
	}
	q := [][2]string{{"client_id", c.ID}, {"response_type", "code"}, {"redirect_uri", f.RedirectURL}}
	if f.Scope != "" {
		q = append(q, [2]string{"scope", f.Scope})
	}
	q = append(q, [2]string{"state", f.State})
	if c.SendNonce {
		q = append(q, [2]string{"nonce", f.Nonce})
	}
	switch c.Challenge {
	case "S256":
		sum := sha256.Sum256([]byte(f.Verifier))
		q = append(q, [2]string{"code_challenge", base64.RawURLEncoding.EncodeToString(sum[:])}, [2]string{"code_challenge_method", "S256"})
	case "plain":
		q = append(q, [2]string{"code_challenge", f.Verifier}, [2]string{"code_challenge_method", "plain"})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Params)) {
		q = append(q, [2]string{name, c.Params[name]})
	}
	var query strings.Builder
	query.WriteString(u.RawQuery)
	for _, p := range q {
		if query.Len() > 0 {
			query.WriteByte('&')
		}
		// Some identity providers take a plus in a scope for a plus.
		query.WriteString(p[0] + "=" + strings.ReplaceAll(url.QueryEscape(p[1]), "+", "%20"))
	}
	u.RawQuery = query.String()
	return u.String(), nil
}

// Callback implements auth.Provider.
func (c *Client) Callback(ctx context.Context, f auth.Flow, answer url.Values) (auth.Profile, auth.Session, error) {
	t, err := c.Exchange(ctx, f, answer)
	if err != nil {
		return auth.Profile{}, auth.Session{}, err
	}
	p, err := c.Profile(ctx, t, f.Nonce)
	return p, t.Session, err
}

// Refresh implements auth.Refresher.
func (c *Client) Refresh(ctx context.Context, s auth.Session, scope string) (auth.Profile, auth.Session, error) {
	t, err := c.Renew(ctx, s.RefreshToken, scope)
	if err != nil {
		return auth.Profile{}, auth.Session{}, err
	}
	p, err := c.Profile(ctx, t, "")
	return p, t.Session, err
}

// Exchange gets a token for the code in the answer of the browser.
func (c *Client) Exchange(ctx context.Context, f auth.Flow, answer url.Values) (Token, error) {
	code := answer.Get("code")
	if code == "" {
		return Token{}, apierr.Input.New("the identity provider sent the browser back without a code")
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {f.RedirectURL}}
	if c.Challenge != "" {
		form.Set("code_verifier", f.Verifier)
	}
	return c.Token(ctx, form)
}

// Renew gets a token for a refresh token. The scope is left out if it is empty.
func (c *Client) Renew(ctx context.Context, refreshToken, scope string) (Token, error) {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}}
	if scope != "" {
		form.Set("scope", scope)
	}
	return c.Token(ctx, form)
}

// Token asks the token endpoint. That the grant is not, or no longer, valid is an
// apierr.Authentication with auth.ErrSessionEnded among its causes.
func (c *Client) Token(ctx context.Context, form url.Values) (Token, error) {
	status, fields, err := c.post(ctx, c.TokenURL, form)
	if err != nil {
		return Token{}, err
	}
	if code, _ := fields["error"].(string); status/100 != 2 || code != "" {
		if slices.Contains(c.Ended, code) {
			code = "invalid_grant"
		}
		return Token{}, refused("token endpoint", status, code)
	}
	t := Token{Fields: fields}
	t.AccessToken, _ = fields["access_token"].(string)
	t.IDToken, _ = fields["id_token"].(string)
	t.RefreshToken, _ = fields["refresh_token"].(string)
	t.Scope, _ = fields["scope"].(string)
	t.TokenType, _ = fields["token_type"].(string)
	if t.AccessToken == "" {
		return Token{}, apierr.Authentication.New("the token endpoint of the identity provider answered without an access_token")
	}
	if t.ExpiresIn, err = expiresIn(fields["expires_in"]); err != nil {
		return Token{}, err
	}
	return t, nil
}

// Revoke asks a revocation endpoint (RFC 7009) to end a refresh token.
func (c *Client) Revoke(ctx context.Context, endpoint, refreshToken string) error {
	status, fields, err := c.post(ctx, endpoint, url.Values{"token": {refreshToken}, "token_type_hint": {"refresh_token"}})
	if err != nil {
		return err
	}
	if status/100 != 2 {
		code, _ := fields["error"].(string)
		return refused("revocation endpoint", status, code)
	}
	return nil
}

// post sends a form with the client's credentials.
func (c *Client) post(ctx context.Context, endpoint string, form url.Values) (int, map[string]any, error) {
	if !c.Basic {
		form.Set("client_id", c.ID)
		form.Set("client_secret", c.Secret.Reveal())
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, fmt.Errorf("identity provider: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if c.Basic {
		// RFC 6749, 2.3.1: both are encoded like form values first.
		r.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret.Reveal()))
	}
	body, resp, err := c.do(r)
	if err != nil {
		return 0, nil, err
	}
	fields := map[string]any{}
	if len(body) > 0 {
		if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "application/x-www-form-urlencoded" {
			q, err := url.ParseQuery(string(body))
			if err != nil {
				return 0, nil, apierr.Authentication.New("the identity provider's answer cannot be read")
			}
			for k := range q {
				fields[k] = q.Get(k)
			}
		} else if err := json.Unmarshal(body, &fields); err != nil && resp.StatusCode/100 == 2 {
			return 0, nil, apierr.Authentication.New("the identity provider's answer is not JSON")
		}
	}
	return resp.StatusCode, fields, nil
}

// Get reads a JSON document with an access token. A 401 is an apierr.Authentication.
func (c *Client) Get(ctx context.Context, endpoint, accessToken string, out any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		return fmt.Errorf("identity provider: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+accessToken)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "callboard")
	body, resp, err := c.do(r)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		// The address is for the log, as in do.
		cause := fmt.Errorf("%s%s answers %d", r.URL.Host, r.URL.Path, resp.StatusCode)
		if unavailable(resp.StatusCode) {
			return apierr.ServiceUnavailable.Wrap(cause, "the identity provider is not available (%d)", resp.StatusCode)
		}
		return apierr.Authentication.Wrap(cause, "the identity provider refused (%d)", resp.StatusCode)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return apierr.Authentication.Wrap(fmt.Errorf("%s%s: %w", r.URL.Host, r.URL.Path, err), "the identity provider's answer cannot be read")
	}
	return nil
}

// do sends a request and reads the answer. Why the identity provider did not answer is
// for the log: it may name hosts inside of the network.
func (c *Client) do(r *http.Request) ([]byte, *http.Response, error) {
	resp, err := c.HTTP.Do(r)
	if err != nil {
		return nil, nil, apierr.ServiceUnavailable.Wrap(err, "the identity provider does not answer")
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, nil, apierr.ServiceUnavailable.Wrap(err, "the identity provider's answer broke off")
	}
	if len(body) > maxAnswer {
		return nil, nil, apierr.Authentication.New("the identity provider's answer is longer than %d bytes", maxAnswer)
	}
	return body, resp, nil
}

var errorCode = regexp.MustCompile(`^[A-Za-z0-9_]{1,40}$`)

// refused is the error for a request that the identity provider has answered with a refusal.
func refused(what string, status int, code string) error {
	if !errorCode.MatchString(code) {
		code = strconv.Itoa(status)
	}
	switch {
	case code == "invalid_grant":
		return apierr.Authentication.Wrap(auth.ErrSessionEnded, "the %s of the identity provider refused: invalid_grant", what)
	case unavailable(status):
		return apierr.ServiceUnavailable.New("the %s of the identity provider is not available: %s", what, code)
	}
	return apierr.Authentication.New("the %s of the identity provider refused: %s", what, code)
}

// unavailable reports whether a status says that another time may do.
func unavailable(status int) bool { return status >= 500 || status == http.StatusTooManyRequests }

// expiresIn reads expires_in, a number of seconds that some write as text.
func expiresIn(v any) (time.Duration, error) {
	var seconds float64
	switch v := v.(type) {
	case nil:
		return 0, nil
	case float64:
		seconds = v
	case string:
		n, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return 0, apierr.Authentication.New("expires_in of the identity provider is not a number")
		}
		seconds = n
	default:
		return 0, apierr.Authentication.New("expires_in of the identity provider is not a number")
	}
	if !(seconds >= 0) {
		return 0, apierr.Authentication.Wrap(errors.New("negative"), "expires_in of the identity provider is negative")
	}
	return time.Duration(min(seconds, maxExpiration.Seconds())) * time.Second, nil
}
