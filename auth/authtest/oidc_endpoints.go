package authtest

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Lifetimes of what an OIDC issues.
const lifetime = time.Hour

func (o *OIDC) discovery(w http.ResponseWriter, _ *http.Request) {
	doc := map[string]any{
		"issuer":                 o.URL,
		"authorization_endpoint": o.URL + Authorization,
		"token_endpoint":         o.URL + TokenEndpoint,
		"userinfo_endpoint":      o.URL + UserInfo,
		"jwks_uri":               o.URL + Keys,
		"revocation_endpoint":    o.URL + Revocation,
		"end_session_endpoint":   o.URL + EndSession,

		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token"},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{"RS256", "ES256"},
		"scopes_supported":                               []string{"openid", "profile", "email", "offline_access"},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic", "client_secret_post"},
		"code_challenge_methods_supported":               []string{"S256"},
		"authorization_response_iss_parameter_supported": true,
	}
	o.mu.Lock()
	o.wrong.discovery.apply(o, doc)
	o.mu.Unlock()
	answer(w, http.StatusOK, doc)
}

func (o *OIDC) jwks(w http.ResponseWriter, _ *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var keys []any
	for _, k := range o.keys {
		keys = append(keys, k.public())
	}
	set := map[string]any{"keys": keys}
	o.wrong.keys.apply(o, set)
	answer(w, http.StatusOK, set)
}

// authorize sends the browser back, signed in. Where the address of the client is not to
// be trusted it answers itself, as RFC 6749 4.1.2.1 has it.
func (o *OIDC) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	if q.Get("client_id") != ClientID || err != nil || back.Host == "" {
		refuse(w, http.StatusBadRequest, "invalid_request")
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	result := url.Values{"state": {q.Get("state")}, "iss": {o.URL}}
	switch {
	case q.Get("response_type") != "code":
		result.Set("error", "unsupported_response_type")
	case q.Get("code_challenge") == "" || q.Get("code_challenge_method") != "S256":
		result.Set("error", "invalid_request")
	case !o.opts.Plain && !strings.Contains(" "+q.Get("scope")+" ", " openid "):
		result.Set("error", "invalid_scope")
	default:
		code := random()
		o.codes[code] = &grant{
			family:      &family{subject: o.current, scope: q.Get("scope"), nonce: q.Get("nonce")},
			redirectURI: q.Get("redirect_uri"), challenge: q.Get("code_challenge"), method: q.Get("code_challenge_method"),
		}
		result.Set("code", code)
	}
	o.wrong.answer.apply(o, result)
	query := back.Query()
	maps.Copy(query, result)
	back.RawQuery = query.Encode()
	w.Header().Set("Location", back.String())
	w.WriteHeader(http.StatusFound)
}

// authenticated reports whether a request has the credentials of the client, in the header
// or in the body.
func authenticated(r *http.Request) bool {
	id, secret := r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	if user, password, ok := r.BasicAuth(); ok {
		// RFC 6749, 2.3.1: they were encoded like form values.
		id, _ = url.QueryUnescape(user)
		secret, _ = url.QueryUnescape(password)
	}
	return id == ClientID && subtle.ConstantTimeCompare([]byte(secret), []byte(ClientSecret)) == 1
}

func (o *OIDC) token(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || !authenticated(r) {
		refuse(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var f *family
	withNonce := false
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		g := o.codes[r.PostFormValue("code")]
		if g == nil || !g.redeem(r) {
			o.refuse(w, "invalid_grant")
			return
		}
		f, withNonce = g.family, true
	case "refresh_token":
		old := r.PostFormValue("refresh_token")
		f = o.refresh[old]
		if f == nil || f.ended {
			o.refuse(w, "invalid_grant")
			return
		}
		if f.latest != old { // stolen, or sent twice: nobody can tell
			f.ended = true
			o.refuse(w, "invalid_grant")
			return
		}
	default:
		refuse(w, http.StatusBadRequest, "unsupported_grant_type")
		return
	}
	scope := f.scope
	if asked := r.PostFormValue("scope"); asked != "" {
		scope = asked
	}
	access, refresh := random(), random()
	f.latest = refresh
	o.access[access], o.refresh[refresh] = f, f
	fields := map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": int(lifetime.Seconds()), "scope": scope,
		"refresh_token": refresh,
	}
	if !o.opts.Plain {
		fields["id_token"] = o.idToken(f, access, withNonce)
	}
	if o.opts.Token != nil {
		o.opts.Token(fields)
	}
	o.wrong.token.apply(o, fields)
	answer(w, http.StatusOK, fields)
}

// redeem reports whether a request may have the tokens of g. A second request for the same
// code ends what the first one got.
func (g *grant) redeem(r *http.Request) bool {
	if g.used {
		g.ended = true
		return false
	}
	g.used = true
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	return base64.RawURLEncoding.EncodeToString(sum[:]) == g.challenge && r.PostFormValue("redirect_uri") == g.redirectURI
}

func (o *OIDC) idToken(f *family, access string, withNonce bool) string {
	now := o.now()
	claims := o.claimsOf(f.subject)
	claims["iss"], claims["aud"] = o.URL, ClientID
	claims["iat"], claims["exp"] = now.Unix(), now.Add(lifetime).Unix()
	sum := sha256.Sum256([]byte(access))
	claims["at_hash"] = base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
	if withNonce && f.nonce != "" {
		claims["nonce"] = f.nonce
	}
	o.wrong.claims.apply(o, claims)
	k := o.keys[len(o.keys)-1]
	header := map[string]any{"alg": k.alg, "kid": k.id, "typ": "JWT"}
	if o.wrong.sign != nil {
		return o.wrong.sign(o, header, claims)
	}
	return k.sign(header, claims)
}

// refuse is a refusal of the token endpoint.
func (o *OIDC) refuse(w http.ResponseWriter, code string) {
	if o.opts.Refuse != nil {
		o.opts.Refuse(w, code)
		return
	}
	refuse(w, http.StatusBadRequest, code)
}

// bearer returns the sign-in that a request has an access token of, nil if it has been
// answered that there is none.
func (o *OIDC) bearer(w http.ResponseWriter, r *http.Request) *family {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	f := o.access[token]
	if f == nil || f.ended {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		refuse(w, http.StatusUnauthorized, "invalid_token")
		return nil
	}
	return f
}

func (o *OIDC) userinfo(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.bearer(w, r)
	if f == nil {
		return
	}
	claims := o.claimsOf(f.subject)
	o.wrong.userinfo.apply(o, claims)
	answer(w, http.StatusOK, claims)
}

// api serves an endpoint of Options.API.
func (o *OIDC) api(serve func(http.ResponseWriter, *http.Request, User, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		f := o.bearer(w, r)
		var u User
		if f != nil {
			u = *o.user(f.subject)
		}
		o.mu.Unlock()
		if f != nil {
			serve(w, r, u, f.scope)
		}
	}
}

// revoke ends a session (RFC 7009). Tokens that are not known are no error.
func (o *OIDC) revoke(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || !authenticated(r) {
		refuse(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, of := range []map[string]*family{o.refresh, o.access} {
		if f := of[r.PostFormValue("token")]; f != nil {
			f.ended = true
		}
	}
	w.WriteHeader(http.StatusOK)
}

// endSession sends the browser where the client says.
func (o *OIDC) endSession(w http.ResponseWriter, r *http.Request) {
	if to := r.FormValue("post_logout_redirect_uri"); to != "" {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	}
}

// stolen takes whatever it gets. Tests look at how often it was asked.
func (o *OIDC) stolen(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{})
}
