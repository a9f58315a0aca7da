package auth

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/auth/internal/flow"
	"github.com/callboard-dev/callboard/backend/apierr"
)

// flowLife is how long users have to sign in at the identity provider.
const flowLife = 10 * time.Minute

// flowSecret is what the browser keeps sealed while its user is at the identity provider.
type flowSecret struct {
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
}

// Purposes of what is sealed and signed: nothing of one can be used as another.
const (
	flowPurpose  = "auth flow"
	statePurpose = "auth state"
)

// start sends the browser to the identity provider (contract/auth.md section 2.1).
func (a *api) start(w http.ResponseWriter, r *http.Request) error {
	env, err := a.environment(r, "")
	if err != nil {
		return err
	}
	q := r.URL.Query()
	state := flow.State{Nonce: random(16, base64.StdEncoding), Env: env.name, Flow: q.Get("flow"), RedirectURL: q.Get("redirectUrl")}
	if state.Flow != "" && state.Flow != "popup" && state.Flow != "redirect" {
		return apierr.Input.New("The query parameter 'flow' is popup or redirect")
	}
	if origin := q.Get("origin"); origin != "" {
		if state.Origin, err = a.origins.Check("The query parameter 'origin'", origin); err != nil {
			return err
		}
	}
	if state.RedirectURL != "" {
		if err := a.checkRedirect(state.RedirectURL); err != nil {
			return err
		}
	}
	scope := env.scope(r, flow.SplitScopes(q.Get("scope")))
	if env.scopes.Persist {
		state.Scope = scope
	}
	secret := flowSecret{Nonce: random(16, base64.StdEncoding), Verifier: random(32, base64.RawURLEncoding)}
	sealed, err := a.sealFlow(env, state.Nonce, secret)
	if err != nil {
		return err
	}
	encoded, err := state.Encode(a.signState)
	if err != nil {
		return err
	}
	address, err := env.client.Start(r.Context(), Flow{
		RedirectURL: env.callback,
		Scope:       scope,
		State:       encoded,
		Nonce:       secret.Nonce,
		Verifier:    secret.Verifier,
	})
	if err != nil {
		// A sign-in that cannot begin is one that has failed.
		at := a.watch.begin(r, env.provider, env.name, state.Mode())
		at.end(err)
		return err
	}
	page := state.Origin
	if page == "" {
		page = a.origins.App()
	}
	env.cookies.Set(w, r, flow.Nonce, state.Nonce, flowLife, page, a.now())
	env.cookies.Set(w, r, flow.Sealed, sealed, flowLife, page, a.now())
	h := w.Header()
	h.Set("Location", address)
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusFound)
	return nil
}

// checkRedirect refuses addresses of pages that may not sign users in: with an open
// redirect at its end, a sign-in would be the best bait there is.
func (a *api) checkRedirect(address string) error {
	origin, err := flow.Origin(address)
	if err != nil {
		return apierr.NotAllowed.New("The query parameter 'redirectUrl' is not the address of a web page: %s", err)
	}
	if !a.origins.Allowed(origin) {
		return apierr.NotAllowed.New("The origin '%s' of the query parameter 'redirectUrl' is not allowed", origin)
	}
	return nil
}

// scope is what to ask for: the union of what the page wants, what was granted before, and
// what is needed anyway (contract/auth.md section 2.5).
func (e *environment) scope(r *http.Request, requested []string) string {
	var granted []string
	if e.scopes.Persist {
		before, _ := e.cookies.Get(r, flow.GrantedScope)
		granted = flow.SplitScopes(before)
	}
	union := flow.Union(requested, granted, e.scopes.Required, e.additional)
	if e.scopes.Transform != nil {
		union = flow.Union(e.scopes.Transform(union, slices.Clone(requested)))
	}
	return strings.Join(union, " ")
}

func (a *api) signState(text string) ([]byte, error) { return a.sealer.MAC(statePurpose, []byte(text)) }

func (a *api) checkState(text string, signature []byte) bool {
	return a.sealer.CheckMAC(statePurpose, []byte(text), signature)
}

// sealFlow seals a secret for the browser that starts a flow. It opens only together with
// the nonce of the same flow.
func (a *api) sealFlow(e *environment, nonce string, s flowSecret) (string, error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	return a.sealer.Seal(flowPurpose, e.bound(nonce), plain)
}

func (a *api) openFlow(e *environment, nonce, sealed string) (s flowSecret, err error) {
	plain, err := a.sealer.Open(flowPurpose, e.bound(nonce), sealed)
	if err == nil {
		err = json.Unmarshal(plain, &s)
	}
	if err != nil {
		return s, apierr.NotAllowed.New("The cookie %s was not made for this sign-in; do all replicas have the same auth.session.secret, or backend.secretKeys?", e.cookies.Name(flow.Sealed))
	}
	return s, nil
}

// bound is what a sealed secret belongs to.
func (e *environment) bound(nonce string) []byte {
	return []byte(strings.Join([]string{e.provider, e.name, nonce}, "\x00"))
}

// random returns n random bytes as text.
func random(n int, as *base64.Encoding) string {
	b := make([]byte, n)
	rand.Read(b) // never fails, see crypto/rand
	return as.EncodeToString(b)
}
