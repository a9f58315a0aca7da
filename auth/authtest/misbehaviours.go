package authtest

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// A Misbehaviour is one thing that an OpenID provider, or somebody who answers in its
// place, can do wrong. A client that is correct refuses the sign-in.
type Misbehaviour struct {
	// Name says what happens: "the nonce of the ID token is another".
	Name string
	// ErrorName is error.name of the refusal: AuthenticationError for answers that must not
	// be believed, ServiceUnavailableError for none.
	ErrorName string
	// AtStart says that the sign-in is refused before the browser leaves, since the issuer
	// cannot be found out about.
	AtStart bool
	// Slow says that the answer does not come. How long it takes to be refused is up to the
	// timeout of the client.
	Slow bool

	change change
}

// change is what differs from an issuer that behaves. Functions are called with the lock
// of the issuer held, except for those of serve.
type change struct {
	discovery changes[map[string]any]
	keys      changes[map[string]any]
	answer    changes[url.Values]
	token     changes[map[string]any]
	claims    changes[map[string]any]
	userinfo  changes[map[string]any]
	sign      func(o *OIDC, header, claims map[string]any) string
	serve     map[string]func(o *OIDC, behave http.HandlerFunc, w http.ResponseWriter, r *http.Request)
}

type changes[T any] func(o *OIDC, v T)

func (c changes[T]) apply(o *OIDC, v T) {
	if c != nil {
		c(o, v)
	}
}

// Misbehaviours are all that an OIDC knows, in the order of a sign-in.
func Misbehaviours() []Misbehaviour {
	var all []Misbehaviour
	for _, group := range [][]Misbehaviour{
		ofDiscovery(), ofTheAnswer(), ofTheTokenEndpoint(), ofClaims(), ofSignatures(), ofKeys(), ofUserInfo(),
	} {
		all = append(all, group...)
	}
	return all
}

// markup is a text that must not get into a page as it is.
const markup = `<script>alert("the issuer")</script>'`

var (
	untrusted   = apierr.Authentication.Name()
	unavailable = apierr.ServiceUnavailable.Name()
)

func ofDiscovery() []Misbehaviour {
	without := func(key string) changes[map[string]any] {
		return func(_ *OIDC, doc map[string]any) { delete(doc, key) }
	}
	all := []Misbehaviour{
		{Name: "the discovery document is that of another issuer", change: change{discovery: func(_ *OIDC, doc map[string]any) { doc["issuer"] = "https://other.example" }}},
		{Name: "the discovery document has no issuer", change: change{discovery: without("issuer")}},
		{Name: "the discovery document has no authorization endpoint", change: change{discovery: without("authorization_endpoint")}},
		{Name: "the discovery document has no token endpoint", change: change{discovery: without("token_endpoint")}},
		{Name: "the discovery document has no userinfo endpoint", change: change{discovery: without("userinfo_endpoint")}},
		{Name: "the discovery document has no keys", change: change{discovery: without("jwks_uri")}},
		{Name: "the authorization endpoint is a script", change: change{discovery: func(_ *OIDC, doc map[string]any) {
			doc["authorization_endpoint"] = "javascript:alert(1)"
		}}},
		{Name: "the token endpoint of an https issuer is http", change: change{discovery: insecure("token_endpoint")}},
		{Name: "the keys of an https issuer are behind http", change: change{discovery: insecure("jwks_uri")}},
		{Name: "the userinfo endpoint of an https issuer is http", change: change{discovery: insecure("userinfo_endpoint")}},
		{Name: "the discovery document is huge", change: huge(Discovery)},
		{Name: "the discovery document is no JSON", change: garbage(Discovery)},
		{Name: "the discovery document is a page", change: page(Discovery, http.StatusOK)},
		{Name: "the discovery document is not there", change: page(Discovery, http.StatusNotFound)},
		{Name: "the discovery document fails", change: page(Discovery, http.StatusInternalServerError)},
		{Name: "the discovery document does not come", Slow: true, change: slow(Discovery)},
	}
	for i := range all {
		all[i].AtStart, all[i].ErrorName = true, unavailable
	}
	return all
}

func insecure(endpoint string) changes[map[string]any] {
	return func(_ *OIDC, doc map[string]any) {
		address, _ := doc[endpoint].(string)
		doc[endpoint] = "http://" + strings.TrimPrefix(strings.TrimPrefix(address, "https://"), "http://")
	}
}

func ofTheAnswer() []Misbehaviour {
	answers := func(name string, do func(o *OIDC, q url.Values)) Misbehaviour {
		return Misbehaviour{Name: name, ErrorName: untrusted, change: change{answer: do}}
	}
	noCode := answers("the browser comes back without a code", func(_ *OIDC, q url.Values) { q.Del("code") })
	noCode.ErrorName = apierr.Input.Name()
	return []Misbehaviour{
		answers("the answer is another issuer's", func(_ *OIDC, q url.Values) { q.Set("iss", "https://other.example") }),
		answers("the answer does not say whose it is, though all do", func(_ *OIDC, q url.Values) { q.Del("iss") }),
		noCode,
		answers("the code is made up", func(_ *OIDC, q url.Values) { q.Set("code", random()) }),
		answers("the sign-in is refused, with markup", func(_ *OIDC, q url.Values) {
			q.Del("code")
			q.Set("error", "access_denied")
			q.Set("error_description", markup)
		}),
		answers("the sign-in is refused with a code of markup", func(_ *OIDC, q url.Values) {
			q.Del("code")
			q.Set("error", markup)
			q.Set("error_description", markup)
		}),
		answers("the sign-in is refused and there is a code, too", func(_ *OIDC, q url.Values) {
			q.Set("error", "server_error")
			q.Set("error_description", strings.Repeat(markup, 1000))
		}),
	}
}

func ofTheTokenEndpoint() []Misbehaviour {
	fields := func(name string, do func(fields map[string]any)) Misbehaviour {
		return Misbehaviour{Name: name, ErrorName: untrusted, change: change{token: func(_ *OIDC, f map[string]any) { do(f) }}}
	}
	instead := func(f map[string]any, with map[string]any) {
		clear(f)
		maps.Copy(f, with)
	}
	return []Misbehaviour{
		fields("there is no ID token", func(f map[string]any) { delete(f, "id_token") }),
		fields("the ID token is a number", func(f map[string]any) { f["id_token"] = 5 }),
		fields("there is no access token", func(f map[string]any) { delete(f, "access_token") }),
		fields("the access token expires before now", func(f map[string]any) { f["expires_in"] = -5 }),
		fields("the access token expires some time", func(f map[string]any) { f["expires_in"] = "soon" }),
		fields("the token endpoint answers 200 with an error", func(f map[string]any) {
			instead(f, map[string]any{"error": "invalid_grant", "error_description": markup})
		}),
		fields("the token endpoint answers 200 with an error of markup", func(f map[string]any) {
			instead(f, map[string]any{"error": markup, "error_description": markup})
		}),
		{Name: "the token endpoint answers with a list", ErrorName: untrusted, change: respond(TokenEndpoint, http.StatusOK, "application/json", `[]`)},
		{Name: "the token endpoint answers with nothing", ErrorName: untrusted, change: respond(TokenEndpoint, http.StatusOK, "application/json", ``)},
		{Name: "the token endpoint answers with a page", ErrorName: untrusted, change: page(TokenEndpoint, http.StatusOK)},
		{Name: "the token endpoint refuses with a page", ErrorName: untrusted, change: page(TokenEndpoint, http.StatusBadRequest)},
		{Name: "the token endpoint fails with a page", ErrorName: unavailable, change: page(TokenEndpoint, http.StatusInternalServerError)},
		{Name: "the token endpoint answers with garbage", ErrorName: untrusted, change: garbage(TokenEndpoint)},
		{Name: "the token endpoint answers with a huge document", ErrorName: untrusted, change: huge(TokenEndpoint)},
		{Name: "the token endpoint does not answer", ErrorName: unavailable, Slow: true, change: slow(TokenEndpoint)},
		{Name: "the token endpoint sends the client and its secret elsewhere", ErrorName: untrusted, change: serve(TokenEndpoint, func(o *OIDC, _ http.HandlerFunc, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", o.URL+Stolen)
			w.WriteHeader(http.StatusTemporaryRedirect)
		})},
	}
}

// Stolen is the address below an OIDC that takes what a client should not have sent.
const Stolen = "/stolen"

func ofClaims() []Misbehaviour {
	claims := func(name string, do func(o *OIDC, c map[string]any)) Misbehaviour {
		return Misbehaviour{Name: name, ErrorName: untrusted, change: change{claims: do}}
	}
	without := func(claim string) func(*OIDC, map[string]any) {
		return func(_ *OIDC, c map[string]any) { delete(c, claim) }
	}
	set := func(claim string, v any) func(*OIDC, map[string]any) {
		return func(_ *OIDC, c map[string]any) { c[claim] = v }
	}
	at := func(claim string, d time.Duration) func(*OIDC, map[string]any) {
		return func(o *OIDC, c map[string]any) { c[claim] = o.now().Add(d).Unix() }
	}
	return []Misbehaviour{
		claims("the nonce of the ID token is another", set("nonce", "another")),
		claims("the ID token has no nonce", without("nonce")),
		claims("the nonce of the ID token is empty", set("nonce", "")),
		claims("the ID token has expired", at("exp", -time.Minute)),
		claims("the ID token never expires", without("exp")),
		claims("the ID token expires at a text", set("exp", "tomorrow")),
		claims("the ID token was issued in the future", at("iat", 10*time.Minute)),
		claims("the ID token does not say when it was issued", without("iat")),
		claims("the ID token is not valid yet", at("nbf", 10*time.Minute)),
		claims("the ID token is another issuer's", set("iss", "https://other.example")),
		claims("the issuer of the ID token has a slash more", func(o *OIDC, c map[string]any) { c["iss"] = o.URL + "/" }),
		claims("the ID token has no issuer", without("iss")),
		claims("the ID token is for another client", func(_ *OIDC, c map[string]any) { c["aud"], c["azp"] = "other", "other" }),
		claims("the ID token is for somebody else", set("aud", "other")),
		claims("the ID token is for nobody", without("aud")),
		claims("the ID token is for an empty list", set("aud", []string{})),
		claims("the ID token was made for another client", set("azp", "other")),
		claims("the ID token is for several and does not say for whom it was made", set("aud", []string{ClientID, "other"})),
		claims("the ID token is for several and was made for another", func(_ *OIDC, c map[string]any) {
			c["aud"], c["azp"] = []string{ClientID, "other"}, "other"
		}),
		claims("the ID token has no subject", without("sub")),
		claims("the subject of the ID token is empty", set("sub", "")),
		claims("the subject of the ID token is a number", set("sub", 7)),
		claims("the ID token belongs to another access token", set("at_hash", b64([]byte("0123456789abcdef")))),
	}
}

func ofSignatures() []Misbehaviour {
	signs := func(name string, do func(o *OIDC, header, claims map[string]any) string) Misbehaviour {
		return Misbehaviour{Name: name, ErrorName: untrusted, change: change{sign: do}}
	}
	// with signs properly what has been changed.
	with := func(key string, v any) func(o *OIDC, header, claims map[string]any) string {
		return func(o *OIDC, header, claims map[string]any) string {
			header[key] = v
			return o.signer().sign(header, claims)
		}
	}
	return []Misbehaviour{
		signs("the ID token is not signed", func(_ *OIDC, header, claims map[string]any) string {
			header["alg"] = "none"
			return encode(header) + "." + encode(claims) + "."
		}),
		signs("the ID token is not signed, in capitals", func(_ *OIDC, header, claims map[string]any) string {
			header["alg"] = "NONE"
			return encode(header) + "." + encode(claims) + "."
		}),
		signs("the signature of the ID token is missing", func(_ *OIDC, header, claims map[string]any) string {
			return encode(header) + "." + encode(claims) + "."
		}),
		signs("the ID token is signed with the public key for a secret", func(o *OIDC, header, claims map[string]any) string {
			return hs256(o.signer().pem(), header, claims)
		}),
		signs("the ID token is signed with the secret of the client", func(_ *OIDC, header, claims map[string]any) string {
			return hs256([]byte(ClientSecret), header, claims)
		}),
		signs("the ID token is signed with another algorithm than agreed", func(o *OIDC, header, claims map[string]any) string {
			other := newSigner(o.t, "ES256", "key-es")
			o.keys = append([]*signer{other}, o.keys...) // it is in the key set
			header["alg"], header["kid"] = other.alg, other.id
			return other.sign(header, claims)
		}),
		signs("the ID token is signed with a key that was never published", func(o *OIDC, header, claims map[string]any) string {
			return o.stranger("").sign(header, claims)
		}),
		signs("the ID token is signed with a key that nobody knows", func(o *OIDC, header, claims map[string]any) string {
			header["kid"] = "unknown"
			return o.stranger("unknown").sign(header, claims)
		}),
		signs("the ID token brings its key along", func(o *OIDC, header, claims map[string]any) string {
			own := o.stranger("own")
			header["jwk"] = own.public()
			return own.sign(header, claims)
		}),
		signs("the ID token says where its key is", func(o *OIDC, header, claims map[string]any) string {
			header["jku"], header["kid"] = o.URL+Stolen, "own"
			return o.stranger("own").sign(header, claims)
		}),
		signs("the ID token has a header that must be understood", func(o *OIDC, header, claims map[string]any) string {
			header["crit"], header["https://acme.test/rule"] = []string{"https://acme.test/rule"}, true
			return o.signer().sign(header, claims)
		}),
		signs("the ID token is an access token", with("typ", "at+jwt")),
		signs("the ID token is a logout token", with("typ", "logout+jwt")),
		signs("the claims of the ID token were changed", func(o *OIDC, header, claims map[string]any) string {
			parts := strings.Split(o.signer().sign(header, claims), ".")
			claims["sub"], claims["email"] = "bob-1", "bob@acme.test"
			return parts[0] + "." + encode(claims) + "." + parts[2]
		}),
		signs("the signature of the ID token was changed", func(o *OIDC, header, claims map[string]any) string {
			token := o.signer().sign(header, claims)
			dot := strings.LastIndexByte(token, '.')
			return token[:dot+1] + b64(o.signer().signature([]byte("something else")))
		}),
		signs("the ID token is encrypted", func(*OIDC, map[string]any, map[string]any) string {
			return encode(map[string]any{"alg": "dir", "enc": "A256GCM"}) + "..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA"
		}),
		signs("the ID token is garbage", func(*OIDC, map[string]any, map[string]any) string { return markup }),
		signs("the ID token is huge", func(o *OIDC, header, claims map[string]any) string {
			claims["pad"] = strings.Repeat("x", 2<<20)
			return o.signer().sign(header, claims)
		}),
	}
}

// signer is the key that is in use.
func (o *OIDC) signer() *signer { return o.keys[len(o.keys)-1] }

// stranger is a key that the issuer has not published.
func (o *OIDC) stranger(id string) *signer { return &signer{"RS256", id, o.strange} }

// ofKeys are only noticed by a client that has not seen the key yet, so each of them signs
// with a new one.
func ofKeys() []Misbehaviour {
	fresh := func(o *OIDC, header, claims map[string]any) string {
		k := &signer{"RS256", "key-" + random(), o.next}
		o.keys = append(o.keys, k)
		header["kid"] = k.id
		return k.sign(header, claims)
	}
	keys := func(name string, do func(o *OIDC, set map[string]any)) Misbehaviour {
		return Misbehaviour{Name: name, ErrorName: untrusted, change: change{sign: fresh, keys: do}}
	}
	endpoint := func(m Misbehaviour) Misbehaviour {
		m.change.sign = fresh
		return m
	}
	each := func(key string, v any) func(*OIDC, map[string]any) {
		return func(_ *OIDC, set map[string]any) {
			for _, k := range set["keys"].([]any) {
				k.(map[string]any)[key] = v
			}
		}
	}
	return []Misbehaviour{
		keys("the key of the ID token was withdrawn", func(_ *OIDC, set map[string]any) { set["keys"] = set["keys"].([]any)[:1] }),
		keys("the key set is empty", func(_ *OIDC, set map[string]any) { set["keys"] = []any{} }),
		keys("the key set has no list", func(_ *OIDC, set map[string]any) { delete(set, "keys") }),
		keys("the key of the ID token is for encryption", each("use", "enc")),
		keys("the key of the ID token is for another algorithm", each("alg", "RS512")),
		{Name: "the key set has a shared secret", ErrorName: untrusted, change: change{
			sign: func(_ *OIDC, header, claims map[string]any) string {
				header["kid"] = "shared"
				return hs256([]byte("everybody knows this"), header, claims)
			},
			keys: func(_ *OIDC, set map[string]any) {
				set["keys"] = append(set["keys"].([]any), map[string]any{"kty": "oct", "kid": "shared", "alg": "HS256", "k": b64([]byte("everybody knows this"))})
			},
		}},
		endpoint(Misbehaviour{Name: "the key set is huge", ErrorName: unavailable, change: huge(Keys)}),
		endpoint(Misbehaviour{Name: "the key set is garbage", ErrorName: unavailable, change: garbage(Keys)}),
		endpoint(Misbehaviour{Name: "the key set fails with a page", ErrorName: unavailable, change: page(Keys, http.StatusInternalServerError)}),
		endpoint(Misbehaviour{Name: "the key set does not come", ErrorName: unavailable, Slow: true, change: slow(Keys)}),
	}
}

func ofUserInfo() []Misbehaviour {
	claims := func(name string, do func(c map[string]any)) Misbehaviour {
		return Misbehaviour{Name: name, ErrorName: untrusted, change: change{userinfo: func(_ *OIDC, c map[string]any) { do(c) }}}
	}
	text := claims("the e-mail address is verified by a text", func(c map[string]any) { c["email_verified"] = "true" })
	text.ErrorName = apierr.Internal.Name() // the user has no address that counts, which the resolver says
	number := claims("the e-mail address is verified by a number", func(c map[string]any) { c["email_verified"] = 1 })
	number.ErrorName = apierr.Internal.Name()
	return []Misbehaviour{
		claims("the userinfo is that of another user", func(c map[string]any) { c["sub"], c["email"] = "bob-1", "bob@acme.test" }),
		claims("the userinfo has no subject", func(c map[string]any) { delete(c, "sub") }),
		claims("the subject of the userinfo is a number", func(c map[string]any) { c["sub"] = 7 }),
		text,
		number,
		{Name: "the userinfo refuses the access token", ErrorName: untrusted, change: page(UserInfo, http.StatusUnauthorized)},
		{Name: "the userinfo fails with a page", ErrorName: unavailable, change: page(UserInfo, http.StatusInternalServerError)},
		{Name: "the userinfo is a page", ErrorName: untrusted, change: page(UserInfo, http.StatusOK)},
		{Name: "the userinfo is garbage", ErrorName: untrusted, change: garbage(UserInfo)},
		{Name: "the userinfo is huge", ErrorName: untrusted, change: huge(UserInfo)},
		{Name: "the userinfo does not come", ErrorName: unavailable, Slow: true, change: slow(UserInfo)},
		{Name: "the userinfo sends the access token elsewhere", ErrorName: untrusted, change: serve(UserInfo, func(o *OIDC, _ http.HandlerFunc, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", o.URL+Stolen)
			w.WriteHeader(http.StatusTemporaryRedirect)
		})},
	}
}

func serve(endpoint string, do func(o *OIDC, behave http.HandlerFunc, w http.ResponseWriter, r *http.Request)) change {
	return change{serve: map[string]func(*OIDC, http.HandlerFunc, http.ResponseWriter, *http.Request){endpoint: do}}
}

func respond(endpoint string, status int, kind, body string) change {
	return serve(endpoint, func(_ *OIDC, _ http.HandlerFunc, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
}

func page(endpoint string, status int) change {
	return respond(endpoint, status, "text/html", "<html><body>"+markup+"</body></html>")
}

func garbage(endpoint string) change {
	return respond(endpoint, http.StatusOK, "application/json", `{"keys": [`+markup+"\x00\xff")
}

// Huge is how long a huge answer is: far more than any client needs, and little enough for
// a test.
const Huge = 64 << 20

// huge is the right answer with a lot of padding, so that nothing but its size is wrong.
func huge(endpoint string) change {
	return serve(endpoint, func(_ *OIDC, behave http.HandlerFunc, w http.ResponseWriter, r *http.Request) {
		var pad padded
		behave(&pad, r)
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write([]byte(`{"pad":"`)); err != nil {
			return
		}
		block := []byte(strings.Repeat("x", 1<<16))
		for range Huge / len(block) {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
		_, _ = w.Write([]byte(`",` + strings.TrimPrefix(pad.String(), "{")))
	})
}

// padded keeps an answer.
type padded struct {
	strings.Builder
	header http.Header
}

func (p *padded) WriteHeader(int) {}

func (p *padded) Header() http.Header {
	if p.header == nil {
		p.header = http.Header{}
	}
	return p.header
}

// slow answers when nobody waits any more.
func slow(endpoint string) change {
	return serve(endpoint, func(o *OIDC, _ http.HandlerFunc, _ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // the connection's end is noticed once the body has been read
		select {
		case <-r.Context().Done():
		case <-o.done:
		}
	})
}
