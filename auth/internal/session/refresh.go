package session

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/callboard-dev/callboard/auth/internal/store"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// A Request asks for the refresh of the session of a cookie.
type Request struct {
	Provider, Env string
	Cookie        string
	Scope         string // an answer for another scope is not handed over
}

// An Answer is what the identity provider said to a refresh.
type Answer struct {
	RefreshToken string // empty, or the old one, if that stays in use
	// Value is what others who want the same refresh are given. It is stored sealed.
	Value []byte
	// Expires is until when Value is good for others; zero if it does not end.
	Expires time.Time
}

// Result is a refresh.
type Result struct {
	Value   []byte
	Session string // the id
	User    string // whose session it was before the refresh
	Cookie  string // the new value of the cookie; the old one if its token stays in use
}

// Ask calls the identity provider with a refresh token. Its error has ErrEnded if the token
// was refused for good; after any other error the token may be used again, unless the
// answer has another RefreshToken, which takes its place.
type Ask func(ctx context.Context, refreshToken string) (Answer, error)

// Refresh refreshes a session. ask is called at most once for each refresh token, by all
// processes together; it is not cancelled with ctx, as others may wait for it. Errors have
// ErrEnded or ErrUnreadable (401), or ErrBusy (503), or are those of ask or the database.
func (k *Keeper) Refresh(ctx context.Context, r Request, ask Ask) (Result, error) {
	t, err := k.open(r.Provider, r.Env, r.Cookie)
	if err != nil {
		return Result{}, err
	}
	// Each round has a newer token. There are more than one if the browser has not seen
	// the newest, or has asked for two scopes at once.
	for range 10 {
		out := k.share(ctx, r, t, ask)
		if out.next == "" {
			return out.result, out.err
		}
		t.Token = out.next
	}
	return Result{}, busy("it is refreshed for too many scopes at once")
}

// outcome is that of one round: a result, an error, or a newer token to go on with.
type outcome struct {
	result Result
	err    error
	next   string
	// lost: this is the one caller who is told that the session has ended.
	lost bool
}

type flightKey struct{ provider, env, session, token, scope string }

// flight is a round that callers in this process share.
type flight struct {
	done chan struct{}
	out  outcome
}

// share runs a round once for all callers in this process who want the same.
func (k *Keeper) share(ctx context.Context, r Request, t ticket, ask Ask) outcome {
	key := flightKey{r.Provider, r.Env, t.ID, t.Token, r.Scope}
	k.mu.Lock()
	f, running := k.flights[key]
	if !running {
		f = &flight{done: make(chan struct{})}
		k.flights[key] = f
		k.running.Go(func() {
			f.out = k.round(context.WithoutCancel(ctx), r, t, ask)
			k.mu.Lock()
			delete(k.flights, key)
			k.mu.Unlock()
			close(f.done)
		})
	}
	k.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		return outcome{err: ctx.Err()}
	}
	if f.out.lost && running {
		return outcome{err: busy("its identity provider did not answer")}
	}
	return f.out
}

// round claims the refresh of a token, or waits for whoever has.
func (k *Keeper) round(ctx context.Context, r Request, t ticket, ask Ask) outcome {
	ctx, cancel := context.WithTimeout(ctx, k.Wait+k.Ask)
	defer cancel()
	c := store.Refresh{TokenHash: hashOf(t.Token), Session: t.ID, Holder: newID(), Scope: r.Scope}
	until := k.Now().Add(k.Wait)
	seen := "" // the holder whose answer was waited for
	for pause := 25 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		now := k.Now()
		c.LeaseUntil = now.Add(k.Lease)
		mine, err := k.Store.ClaimRefresh(ctx, c, r.Provider, r.Env, now)
		if err != nil {
			return outcome{err: err}
		}
		x, state, ok, err := k.Store.RefreshOf(ctx, t.ID, c.TokenHash, r.Provider, r.Env, now)
		switch {
		case err != nil:
			if mine {
				k.release(ctx, c)
			}
			return outcome{err: err}
		case !ok:
			return outcome{err: ended(nil)}
		case mine:
			return k.ask(ctx, r, t, x, c, ask)
		}
		switch state.State {
		case "":
			if x.TokenHash != c.TokenHash {
				return k.reused(ctx, t, x)
			}
			// It was released in this moment: claim it.
		case store.RefreshDone:
			return k.handOver(ctx, r, t, x, state, seen == state.Holder)
		case store.RefreshLost:
			if now.Sub(state.DoneAt) < k.Handover {
				return outcome{err: busy("its identity provider did not answer")}
			}
			return k.end(ctx, t)
		case store.RefreshRunning:
			seen = state.Holder
			if state.LeaseUntil.Before(now) {
				return k.lose(ctx, t, x, state)
			}
		}
		if now.After(until) {
			return outcome{err: busy("its identity provider takes long")}
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return outcome{err: busy("its identity provider takes long")}
		}
	}
}

// ask calls the identity provider with a token that this process has claimed, and keeps
// the claim meanwhile.
func (k *Keeper) ask(ctx context.Context, r Request, t ticket, x store.Session, c store.Refresh, ask Ask) outcome {
	asking, cancel := context.WithTimeout(ctx, k.Ask)
	defer cancel()
	stop := k.keep(ctx, c)
	defer stop()
	a, err := safely(asking, t.Token, ask)
	if errors.Is(err, ErrEnded) {
		if _, gone := k.Store.EndSession(ctx, t.ID); gone != nil {
			k.Log.WarnContext(ctx, "a session that the identity provider has ended was not deleted", "provider", r.Provider, "error", gone)
		}
		return outcome{err: err}
	}
	if err != nil {
		k.failed(ctx, t, x, c, a)
		return outcome{err: err}
	}
	if a.RefreshToken == "" {
		a.RefreshToken = t.Token
	}
	out := Result{Value: a.Value, Session: x.ID, User: x.User}
	if out.Cookie, err = k.cookie(r, t, a.RefreshToken); err != nil {
		return outcome{err: err}
	}
	ok, err := k.finish(ctx, c, a)
	switch {
	case err != nil:
		// Only this answer has the new token. To lose it would sign the user out.
		k.Log.ErrorContext(ctx, "a refresh was not stored; the session may end with the next one", "provider", r.Provider, "user", x.User, "error", err)
		return outcome{result: out}
	case !ok:
		return outcome{err: ended(nil)} // revoked while the identity provider was asked
	}
	return outcome{result: out}
}

// cookie is the one for a token: that of the request if it holds the token already, and
// was sealed with the newest secret.
func (k *Keeper) cookie(r Request, t ticket, token string) (string, error) {
	if was, err := k.open(r.Provider, r.Env, r.Cookie); err == nil && was.Token == token && k.Sealer.Newest(cookiePurpose, place(r.Provider, r.Env), r.Cookie) {
		return r.Cookie, nil
	}
	return k.seal(r.Provider, r.Env, ticket{t.ID, token})
}

// failed lets others try: with the same token, or with the new one if there is one, because
// the old one is used up then.
func (k *Keeper) failed(ctx context.Context, t ticket, x store.Session, c store.Refresh, a Answer) {
	if a.RefreshToken == "" || a.RefreshToken == t.Token {
		k.release(ctx, c)
		return
	}
	nothing := Answer{RefreshToken: a.RefreshToken, Expires: time.Unix(1, 0)}
	if _, err := k.finish(ctx, c, nothing); err != nil {
		k.Log.ErrorContext(ctx, "the new token of a refresh that failed was not stored; the session may end with the next one", "provider", x.Provider, "user", x.User, "error", err)
	}
}

// safely is ask, with an error for a panic: callers in other requests wait for it.
func safely(ctx context.Context, token string, ask Ask) (a Answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = httpx.Panicked(p)
		}
	}()
	return ask(ctx, token)
}

// stored is what a row has of an answer.
type stored struct {
	Value   []byte    `json:"v"`
	Expires time.Time `json:"e"`
}

// finish stores an answer. It tries for as long as the lease lasts.
func (k *Keeper) finish(ctx context.Context, c store.Refresh, a Answer) (ok bool, err error) {
	c.NextHash = hashOf(a.RefreshToken)
	value, err := json.Marshal(stored{a.Value, a.Expires})
	if err != nil {
		return false, err
	}
	if c.Answer, err = k.Sealer.Seal(storePurpose, []byte(c.TokenHash), value); err != nil {
		return false, err
	}
	if c.NextToken, err = k.Sealer.Seal(storePurpose, []byte(c.TokenHash), []byte(a.RefreshToken)); err != nil {
		return false, err
	}
	until := k.Now().Add(k.Lease / 2)
	for pause := 50 * time.Millisecond; ; pause *= 2 {
		c.DoneAt = k.Now()
		if ok, err = k.Store.FinishRefresh(ctx, c); err == nil || k.Now().After(until) {
			return ok, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false, err
		}
	}
}

// keep renews the claim until stop is called.
func (k *Keeper) keep(ctx context.Context, c store.Refresh) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(k.Lease / 4)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if _, err := k.Store.RenewRefresh(ctx, c.TokenHash, c.Holder, k.Now().Add(k.Lease)); err != nil && ctx.Err() == nil {
				k.Log.WarnContext(ctx, "the claim of a refresh was not renewed", "error", err)
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// release lets others use the token.
func (k *Keeper) release(ctx context.Context, c store.Refresh) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := k.Store.ReleaseRefresh(ctx, c.TokenHash, c.Holder); err != nil {
		k.Log.WarnContext(ctx, "the claim of a refresh was not released, it ends by itself", "error", err)
	}
}

// handOver gives what another round has got: its answer, or else its new token.
func (k *Keeper) handOver(ctx context.Context, r Request, t ticket, x store.Session, state store.Refresh, waited bool) outcome {
	rotated := state.NextHash != state.TokenHash
	fresh := k.Now().Sub(state.DoneAt) < k.Handover
	if !fresh && x.TokenHash != state.NextHash {
		return k.reused(ctx, t, x)
	}
	next, err := k.Sealer.Open(storePurpose, []byte(state.TokenHash), state.NextToken)
	if err != nil {
		return k.end(ctx, t) // the secret was taken out
	}
	if state.Scope == r.Scope && state.Answer != "" && (rotated && fresh || waited) {
		var s stored
		value, err := k.Sealer.Open(storePurpose, []byte(state.TokenHash), state.Answer)
		if err == nil {
			err = json.Unmarshal(value, &s)
		}
		if err == nil && (s.Expires.IsZero() || k.Now().Before(s.Expires)) {
			out := Result{Value: s.Value, Session: x.ID, User: x.User}
			out.Cookie, err = k.cookie(r, t, string(next))
			return outcome{result: out, err: err}
		}
	}
	return outcome{next: string(next)}
}

// reused ends a session whose old refresh token is used after the new one was: somebody
// else has a copy of the cookie (RFC 9700, 4.14.2).
func (k *Keeper) reused(ctx context.Context, t ticket, x store.Session) outcome {
	k.Log.WarnContext(ctx, "an old refresh token was used again, its session is ended", "provider", x.Provider, "env", x.Env, "user", x.User, "begun", x.CreatedAt)
	return k.end(ctx, t)
}

func (k *Keeper) end(ctx context.Context, t ticket) outcome {
	_, err := k.Store.EndSession(ctx, t.ID)
	return outcome{err: ended(err)}
}

// lose gives up a token that was claimed by a process that has disappeared.
func (k *Keeper) lose(ctx context.Context, t ticket, x store.Session, state store.Refresh) outcome {
	first, err := k.Store.LoseRefresh(ctx, state.TokenHash, state.Holder, k.Now())
	if err != nil {
		return outcome{err: err}
	}
	if !first {
		return outcome{err: busy("its identity provider did not answer")}
	}
	k.Log.WarnContext(ctx, "the process that refreshed a session has disappeared, its user signs in again", "provider", x.Provider, "env", x.Env, "user", x.User)
	return outcome{err: ended(nil), lost: true}
}
