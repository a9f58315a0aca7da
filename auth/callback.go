package auth

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/callboard-dev/callboard/auth/internal/flow"
	"github.com/callboard-dev/callboard/auth/internal/session"
	"github.com/callboard-dev/callboard/backend/apierr"
)

// maxForm bounds the body of a callback.
const maxForm = 100 << 10

// callback takes the browser back from the identity provider (contract/auth.md section
// 2.2). From the moment that the page is known which waits for it, everything that can go
// wrong is told to that page.
func (a *api) callback(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	answer, err := form(w, r)
	if err != nil {
		return err
	}
	state, invalid := flow.State{}, error(nil)
	if encoded := answer.Get("state"); encoded != "" {
		state, invalid = flow.DecodeState(encoded, a.checkState)
	}
	env, err := a.environment(r, state.Env)
	if invalid != nil && r.URL.Query().Get("env") == "" {
		if err == nil || errors.Is(err, apierr.Input) {
			err = invalid
			a.watch.begin(r, r.PathValue("provider"), "", flow.State{}.Mode()).end(err)
		}
		return err
	}
	if err != nil {
		return err
	}
	if invalid == nil && state.Nonce == "" {
		invalid = apierr.NotAllowed.New("Auth response is missing the state")
	}
	page, answered, err := a.origins.App(), (*sessionJSON)(nil), invalid
	if invalid != nil {
		state = flow.State{} // nothing that it says is used
		a.watch.begin(r, env.provider, env.name, state.Mode()).end(invalid)
	} else if page, err = a.waiting(state); err == nil {
		answered, err = a.finish(w, r, env, state, answer, page)
	}
	env.cookies.Remove(w, r, flow.Nonce, page, a.now())
	env.cookies.Remove(w, r, flow.Sealed, page, a.now())
	if state.Flow == "redirect" && a.checkRedirect(state.RedirectURL) == nil {
		return a.redirect(w, r, state.RedirectURL, err)
	}
	if err != nil {
		return flow.Popup(w, page, flow.Failure(a.errorObject(r.Context(), err)))
	}
	return flow.Popup(w, page, flow.Response(answered))
}

// form returns the parameters that the identity provider has sent the browser with. The
// query comes first: it is what other parameters of the path were made for.
func form(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	out := r.URL.Query()
	if r.Method != http.MethodPost {
		return out, nil
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	sent, err := body(r)
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, err
		}
		return nil, apierr.Input.New("The form of the identity provider cannot be read")
	}
	for name, values := range sent {
		if _, ok := out[name]; !ok {
			out[name] = values
		}
	}
	return out, nil
}

// body reads a form, or a JSON object, of which the members that are texts count (contract/
// auth.md section 1).
func body(r *http.Request) (url.Values, error) {
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" {
		err := r.ParseForm()
		return r.PostForm, err
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	out := url.Values{}
	for name, value := range members {
		if s, isText := value.(string); isText {
			out.Set(name, s)
		}
	}
	return out, nil
}

// waiting returns the origin of the page that waits for the result of a flow. A state that
// was valid at its start may have outlived a change of the configuration.
func (a *api) waiting(state flow.State) (string, error) {
	if state.Origin == "" {
		return a.origins.App(), nil
	}
	origin, err := a.origins.Check("The origin of the state", state.Origin)
	if err != nil {
		return a.origins.App(), err
	}
	return origin, nil
}

// finish is the sign-in itself. It sets the cookies of the new session once nothing can go
// wrong any more, so that a sign-in that has failed leaves none.
func (a *api) finish(w http.ResponseWriter, r *http.Request, env *environment, state flow.State, answer url.Values, page string) (*sessionJSON, error) {
	at := a.watch.begin(r, env.provider, env.name, state.Mode())
	answered, err := a.signIn(at, w, r, env, state, answer, page)
	at.end(err)
	return answered, err
}

func (a *api) signIn(at *attempt, w http.ResponseWriter, r *http.Request, env *environment, state flow.State, answer url.Values, page string) (*sessionJSON, error) {
	if state.Flow == "redirect" {
		if state.RedirectURL == "" {
			return nil, apierr.Input.New("No redirectUrl provided in the request")
		}
		if err := a.checkRedirect(state.RedirectURL); err != nil {
			return nil, err
		}
	}
	f, err := a.flowOf(r, env, state)
	if err != nil {
		return nil, err
	}
	if err := refusal(answer); err != nil {
		return nil, err
	}
	ctx := at.ctx
	who, tokens, err := env.client.Callback(ctx, f, answer)
	if err != nil {
		return nil, err
	}
	who = clean(who, env.provider)
	at.subject = who.Subject
	identity, err := a.identify(at, env.chain, who)
	if err != nil {
		return nil, err
	}
	scope := state.Scope
	if !env.scopes.Persist {
		scope = granted(tokens.Scope, f.Scope)
	} else if scope == "" {
		return nil, apierr.Authentication.New("No scope found in the state")
	}
	if err := a.keep(ctx, w, r, env, identity, who.Subject, tokens, scope, page); err != nil {
		return nil, err
	}
	return newSession(who, tokens, scope, identity, a.now()), nil
}

// flowOf returns the flow that the browser has started here: the state is the one of its
// cookie, and the sealed secret the one that belongs to it.
func (a *api) flowOf(r *http.Request, env *environment, state flow.State) (Flow, error) {
	nonce, ok := env.cookies.Get(r, flow.Nonce)
	if !ok {
		return Flow{}, apierr.NotAllowed.New("Auth response is missing cookie nonce: the browser did not send %s (%s)", env.cookies.Name(flow.Nonce), env.cookies.Attributes(state.Origin))
	}
	if subtle.ConstantTimeCompare([]byte(nonce), []byte(state.Nonce)) != 1 {
		return Flow{}, apierr.NotAllowed.New("Invalid nonce")
	}
	sealed, ok := env.cookies.Get(r, flow.Sealed)
	if !ok {
		return Flow{}, apierr.NotAllowed.New("Auth response is missing the cookie %s", env.cookies.Name(flow.Sealed))
	}
	secret, err := a.openFlow(env, nonce, sealed)
	if err != nil {
		return Flow{}, err
	}
	return Flow{RedirectURL: env.callback, Scope: state.Scope, Nonce: secret.Nonce, Verifier: secret.Verifier}, nil
}

var errorCode = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// maxDescription is how much of a description by the identity provider is passed on.
const maxDescription = 200

// refusal is the error that the identity provider has sent instead of a code.
func refusal(answer url.Values) error {
	if !answer.Has("error") {
		return nil
	}
	code := answer.Get("error")
	if !errorCode.MatchString(code) {
		return apierr.Authentication.New("The identity provider has refused the sign-in")
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(answer.Get("error_description"), ""))
	if runes := []rune(text); len(runes) > maxDescription {
		text = string(runes[:maxDescription]) + "…"
	}
	if text != "" {
		text = ": " + text
	}
	return apierr.Authentication.New("The identity provider has refused the sign-in: %s%s", code, text)
}

// granted is the scope to report: what the token says, or else what was asked for.
func granted(said, asked string) string {
	if said == "" {
		said = asked
	}
	return strings.Join(flow.SplitScopes(said), " ")
}

// keep begins the session in the browser. What the browser had of an earlier one is ended
// first, whoever's it was: nothing of it lives on in the new one.
func (a *api) keep(ctx context.Context, w http.ResponseWriter, r *http.Request, env *environment, identity *identity, subject string, tokens Session, scope, page string) error {
	if old, ok := env.cookies.Get(r, flow.RefreshToken); ok {
		if _, err := a.sessions.End(ctx, env.provider, env.name, old); err != nil {
			a.log.DebugContext(ctx, "an earlier session of the browser was not ended", "provider", env.provider, "error", err)
		}
	}
	_, refreshes := env.client.(Refresher)
	if tokens.RefreshToken == "" || !refreshes {
		for _, c := range []flow.Cookie{flow.RefreshToken, flow.GrantedScope} {
			if _, ok := env.cookies.Get(r, c); ok {
				env.cookies.Remove(w, r, c, page, a.now())
			}
		}
		if env.scopes.Persist {
			env.cookies.Set(w, r, flow.GrantedScope, scope, env.life, page, a.now())
		}
		return nil
	}
	info := session.Info{Provider: env.provider, Env: env.name, RefreshToken: bind(subject, tokens.RefreshToken), Client: r.UserAgent(), Life: env.life}
	if identity != nil {
		info.User = identity.UserEntityRef
	}
	cookie, err := a.sessions.Start(ctx, info)
	if err != nil {
		return err
	}
	if env.scopes.Persist {
		env.cookies.Set(w, r, flow.GrantedScope, scope, env.life, page, a.now())
	}
	env.cookies.Set(w, r, flow.RefreshToken, cookie, env.life, page, a.now())
	return nil
}

// redirect sends the browser back to the page, which reads an error from its address.
func (a *api) redirect(w http.ResponseWriter, r *http.Request, address string, failure error) error {
	u, err := url.Parse(address)
	if err != nil {
		return apierr.NotAllowed.New("The redirectUrl cannot be read")
	}
	if failure != nil {
		var object struct{ Message string }
		_ = json.Unmarshal(a.errorObject(r.Context(), failure), &object)
		q := u.Query()
		q.Set("error", object.Message)
		u.RawQuery = q.Encode()
	}
	w.Header().Set("Location", u.String())
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusFound)
	return nil
}

// errorObject is what the page gets to see of an error. What it does not is in the log.
func (a *api) errorObject(ctx context.Context, err error) json.RawMessage {
	out := apierr.Render(err, a.dev)
	if out.LogID != "" {
		a.log.ErrorContext(ctx, "a sign-in failed", "error", err, "logId", out.LogID)
	}
	return out.Object
}
