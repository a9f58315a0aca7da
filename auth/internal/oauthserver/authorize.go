package oauthserver

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/auth/internal/store"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// authorize begins a question to the user. Until it is known that the browser may be sent
// back to the client, errors are shown to the user; then the client is told.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	id, err1 := one(q, "client_id")
	redirect, err2 := one(q, "redirect_uri")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	for name, value := range map[string]string{"client_id": id, "redirect_uri": redirect} {
		if value == "" {
			return refuse("invalid_request", "%s is missing", name)
		}
	}
	c, err := s.find(r.Context(), id)
	if err != nil {
		return err
	}
	if !c.redirect(redirect) {
		return refuse("invalid_request", "Invalid redirect_uri")
	}
	a, err := s.question(q, c, redirect)
	var f *failure
	if errors.As(err, &f) {
		state, _ := one(q, "state")
		return s.sendBack(w, redirect, url.Values{"error": {f.code}, "error_description": {f.description}}, state)
	}
	if err != nil {
		return err
	}
	if err := s.Store.AddAuthorization(r.Context(), a, s.Now()); err != nil {
		return err
	}
	page := s.AppURL + "/oauth2/authorize/"
	if s.Settings.ConsentPage == "backend" || s.AppURL == "" {
		page = s.BaseURL + "/v1/consent/"
	}
	return found(w, page+a.ID)
}

// The forms of RFC 7636, 4.1 and 4.2.
var pkceText = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// question checks the rest of the parameters.
func (s *Server) question(q url.Values, c client, redirect string) (store.Authorization, error) {
	a := store.Authorization{ID: random(), ClientID: c.id, ClientName: display(c.name), RedirectURI: redirect, ExpiresAt: s.Now().Add(authorizationLife)}
	var responseType, mode string
	for name, into := range map[string]*string{"response_type": &responseType, "response_mode": &mode, "scope": &a.Scope, "state": &a.State, "nonce": &a.Nonce,
		"code_challenge": &a.Challenge, "code_challenge_method": &a.ChallengeMethod} {
		v, err := one(q, name)
		if err != nil {
			return a, err
		}
		*into = v
	}
	for _, name := range strings.Fields(a.Scope) {
		if !may(c.scopes, name) {
			return a, refuse("invalid_scope", "The client has not registered the scope '%s'", strings.ToValidUTF8(name[:min(len(name), 100)], ""))
		}
	}
	a.Scope = s.scope(a.Scope, c)
	switch {
	case !may(c.grants, "authorization_code"):
		return a, refuse("unauthorized_client", "The client has not registered the grant type 'authorization_code'")
	case responseType == "":
		return a, refuse("invalid_request", "response_type is missing")
	case responseType != "code":
		return a, refuse("unsupported_response_type", "Only 'code' response type is supported")
	case mode != "" && mode != "query":
		return a, refuse("invalid_request", "Only 'query' response mode is supported")
	case a.Challenge == "" && a.ChallengeMethod != "":
		return a, refuse("invalid_request", "code_challenge is missing")
	case a.Challenge == "" && c.documented():
		return a, refuse("invalid_request", "PKCE is required: code_challenge is missing")
	case a.Challenge == "":
		return a, nil
	}
	if a.ChallengeMethod == "" {
		a.ChallengeMethod = "plain" // RFC 7636, 4.3
	}
	switch {
	case a.ChallengeMethod != "S256" && a.ChallengeMethod != "plain":
		return a, refuse("invalid_request", "Invalid code_challenge_method")
	case a.ChallengeMethod == "plain" && !s.Settings.AllowPlainPKCE:
		return a, refuse("invalid_request", "code_challenge_method must be S256")
	case !pkceText.MatchString(a.Challenge):
		return a, refuse("invalid_request", "code_challenge is not 43 to 128 letters, digits and -._~")
	}
	return a, nil
}

// scope keeps those that there are, and that are of use to the client.
func (s *Server) scope(asked string, c client) string {
	out := []string{"openid"}
	if s.Refresh.Enabled && may(c.grants, "refresh_token") && slices.Contains(strings.Fields(asked), "offline_access") {
		out = append(out, "offline_access")
	}
	return strings.Join(out, " ")
}

// display is the name of a client as it is shown: what could pass for something else on
// the page, such as line breaks and marks of direction, is left out.
func display(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0xfeff || r == 0xfffd {
			return -1
		}
		return r
	}, name)
	if runes := []rune(name); len(runes) > 100 {
		name = string(runes[:100])
	}
	return strings.TrimSpace(name)
}

// sendBack sends the browser to the client.
func (s *Server) sendBack(w http.ResponseWriter, redirect string, answer url.Values, state string) error {
	to, err := s.backTo(redirect, answer, state)
	if err != nil {
		return err
	}
	return found(w, to)
}

// backTo is the redirect URI with an answer, and with who gives it (RFC 9207).
func (s *Server) backTo(redirect string, answer url.Values, state string) (string, error) {
	u, err := url.Parse(redirect)
	if err != nil {
		return "", err
	}
	if state != "" {
		answer.Set("state", state)
	}
	answer.Set("iss", s.BaseURL)
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += answer.Encode()
	return u.String(), nil
}

// found answers without a body, which would repeat what is in the URL. 302 makes GET of
// any method (RFC 9700, 4.12).
func found(w http.ResponseWriter, to string) error {
	w.Header().Set("Location", to)
	w.Header().Set("Referrer-Policy", "no-referrer")
	return httpx.Empty(w, http.StatusFound)
}

// pending returns the question of a path.
func (s *Server) pending(r *http.Request) (store.Authorization, error) {
	id := r.PathValue("id")
	if len(id) > 100 || !printable(id) {
		return store.Authorization{}, unknownQuestion()
	}
	a, ok, err := s.Store.PendingAuthorization(r.Context(), id, s.Now())
	if err == nil && !ok {
		err = unknownQuestion()
	}
	return a, err
}

func unknownQuestion() error {
	return refuse("invalid_request", "Authorization session not found, expired, or already decided").with(http.StatusNotFound)
}

// session shows a question that nobody has answered.
func (s *Server) session(w http.ResponseWriter, r *http.Request) error {
	a, err := s.pending(r)
	if err != nil {
		return err
	}
	return httpx.JSON(w, http.StatusOK, map[string]string{
		"id": a.ID, "clientId": a.ClientID, "clientName": a.ClientName, "scope": a.Scope, "redirectUri": a.RedirectURI})
}

// user is who decides: somebody with a token in the header. A cookie would come along with
// requests that another site makes.
func (s *Server) user(r *http.Request) (string, error) {
	caller := httpx.CallerOf(r)
	u, ok := caller.User()
	if !ok || u.Actor != nil {
		return "", refuse("access_denied", "Only a user can decide").with(http.StatusForbidden)
	}
	if ofProgram(caller.Token()) {
		// Else a program that was let in for an hour could let itself in for a year.
		return "", refuse("access_denied", "A program cannot decide in the place of its user").with(http.StatusForbidden)
	}
	return u.Ref, nil
}

// ofProgram reports whether a token, which has been verified, was issued to a program.
func ofProgram(token string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	var claims map[string]any
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(raw, &claims) != nil {
		return false
	}
	_, ok := claims[clientClaim]
	return ok
}

// approve answers a question with yes.
func (s *Server) approve(w http.ResponseWriter, r *http.Request) error {
	user, err := s.user(r)
	if err != nil {
		return err
	}
	a, err := s.pending(r)
	if err != nil {
		return err
	}
	now, code := s.Now(), random()
	ok, err := s.Store.Approve(r.Context(), a.ID, user, hashOf(code), now, now.Add(codeLife))
	if err == nil && !ok {
		err = unknownQuestion()
	}
	if err != nil {
		return err
	}
	s.Log.InfoContext(r.Context(), "a program may act as a user", "user", user, "client", a.ClientID, "scope", a.Scope)
	return s.decided(w, a, url.Values{"code": {code}})
}

// reject answers a question with no.
func (s *Server) reject(w http.ResponseWriter, r *http.Request) error {
	user, err := s.user(r)
	if err != nil {
		return err
	}
	a, err := s.pending(r)
	if err != nil {
		return err
	}
	ok, err := s.Store.Reject(r.Context(), a.ID, user, s.Now())
	if err == nil && !ok {
		err = unknownQuestion()
	}
	if err != nil {
		return err
	}
	return s.decided(w, a, url.Values{"error": {"access_denied"}, "error_description": {"User denied the request"}})
}

func (s *Server) decided(w http.ResponseWriter, a store.Authorization, answer url.Values) error {
	to, err := s.backTo(a.RedirectURI, answer, a.State)
	if err != nil {
		return apierr.Internal.Wrap(err, "redirect URI")
	}
	return httpx.JSON(w, http.StatusOK, map[string]string{"redirectUrl": to})
}
