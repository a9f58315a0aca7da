package session_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/bits"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/auth/internal/session"
	"github.com/callboard-dev/callboard/auth/internal/store"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
)

// clock goes on only when it is told to.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

// issuer is an identity provider. Its refresh tokens are for one use, unless it keeps
// them: it ends the session of one that is used again.
type issuer struct {
	mu      sync.Mutex
	keeps   bool
	down    error
	half    error // fails with it after it has given out a new token
	current string
	revoked bool
	calls   []string
}

func (i *issuer) ask(_ context.Context, token string) (session.Answer, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.calls = append(i.calls, token)
	if i.down != nil {
		return session.Answer{}, i.down
	}
	if token != i.current || i.revoked {
		i.revoked = true
		return session.Answer{}, apierr.Authentication.Wrap(session.ErrEnded, "invalid_grant")
	}
	if !i.keeps {
		i.current = fmt.Sprint("token-", len(i.calls))
	}
	return session.Answer{RefreshToken: i.current, Value: []byte("answer " + fmt.Sprint(len(i.calls)))}, i.half
}

func (i *issuer) called() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.calls)
}

// world is one session of alice, at an issuer, in a keeper.
type world struct {
	*testing.T
	*clock
	issuer *issuer
	keeper *session.Keeper
	store  *store.Store
	cookie string
}

func newWorld(t *testing.T, d db.DB) *world {
	t.Helper()
	w := &world{T: t, clock: newClock(), issuer: &issuer{current: "token-0"}, store: store.New(d)}
	w.keeper = w.replica()
	w.cookie = w.begin("user:default/alice")
	return w
}

// replica is the keeper of another process.
func (w *world) replica() *session.Keeper {
	return session.New(session.Options{Store: w.store, Sealer: sealer(w, "secret"), Now: w.now})
}

func (w *world) begin(user string) string {
	w.Helper()
	cookie, err := w.keeper.Start(w.Context(), session.Info{Provider: "oidc", Env: "production", User: user, RefreshToken: w.issuer.current, Client: "Mozilla/5.0\x1b[0m", Life: 24 * time.Hour})
	if err != nil {
		w.Fatal(err)
	}
	return cookie
}

func (w *world) refresh(k *session.Keeper, cookie string) (session.Result, error) {
	return k.Refresh(w.Context(), session.Request{Provider: "oidc", Env: "production", Cookie: cookie, Scope: "openid"}, w.issuer.ask)
}

// must refreshes and returns the new cookie.
func (w *world) must(cookie, want string) string {
	w.Helper()
	r, err := w.refresh(w.keeper, cookie)
	if err != nil || string(r.Value) != want {
		w.Fatalf("got %q, %v, want %q", r.Value, err, want)
	}
	return r.Cookie
}

func (w *world) mustEnd(cookie string) {
	w.Helper()
	if r, err := w.refresh(w.keeper, cookie); !errors.Is(err, session.ErrEnded) || apierr.StatusOf(err) != 401 {
		w.Fatalf("got %q, %v, want that the session has ended", r.Value, err)
	}
}

// TestSessions holds the rules of one session, each on both databases.
func TestSessions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		run  func(w *world)
	}{
		{"each refresh uses the token of the one before", func(w *world) {
			c := w.must(w.cookie, "answer 1")
			c = w.must(c, "answer 2")
			w.must(c, "answer 3")
			if got := strings.Join(w.issuer.calls, " "); got != "token-0 token-1 token-2" {
				w.Error(got)
			}
		}},
		{"a token that came with an error is used from then on", func(w *world) {
			w.issuer.half = errors.New("userinfo is away")
			if _, err := w.refresh(w.keeper, w.cookie); !errors.Is(err, w.issuer.half) {
				w.Fatal(err)
			}
			w.issuer.half = nil
			c := w.must(w.cookie, "answer 2")
			w.must(c, "answer 3")
			if got := strings.Join(w.issuer.calls, " "); got != "token-0 token-1 token-2" {
				w.Error(got)
			}
		}},
		{"within a minute the old cookie gets the same answer and the new cookie", func(w *world) {
			w.must(w.cookie, "answer 1")
			w.advance(59 * time.Second)
			c := w.must(w.cookie, "answer 1")
			w.must(c, "answer 2")
		}},
		{"a browser that has not seen the answer goes on later with the token that came", func(w *world) {
			w.must(w.cookie, "answer 1")
			w.advance(5 * time.Hour)
			if err := w.keeper.Clean(w.Context()); err != nil {
				w.Fatal(err)
			}
			w.must(w.cookie, "answer 2")
			if w.issuer.revoked || w.issuer.calls[1] != "token-1" {
				w.Error(w.issuer.calls)
			}
		}},
		{"an old token that is used after the new one ends the session, and is not shown to the issuer", func(w *world) {
			c := w.must(w.must(w.cookie, "answer 1"), "answer 2")
			w.advance(2 * time.Minute)
			w.mustEnd(w.cookie)
			w.mustEnd(c)
			if w.issuer.revoked || w.issuer.called() != 2 {
				w.Error(w.issuer.calls)
			}
		}},
		{"also after a cleanup", func(w *world) {
			w.must(w.must(w.cookie, "answer 1"), "answer 2")
			w.advance(2 * time.Minute)
			if err := w.keeper.Clean(w.Context()); err != nil {
				w.Fatal(err)
			}
			w.mustEnd(w.cookie)
			if w.issuer.revoked {
				w.Error(w.issuer.calls)
			}
		}},
		{"an answer is not handed over when it has expired", func(w *world) {
			ask := func(ctx context.Context, token string) (session.Answer, error) {
				a, err := w.issuer.ask(ctx, token)
				a.Expires = w.now().Add(10 * time.Second)
				return a, err
			}
			r := session.Request{Provider: "oidc", Env: "production", Cookie: w.cookie}
			for i, want := range []string{"answer 1", "answer 1", "answer 2"} {
				got, err := w.keeper.Refresh(w.Context(), r, ask)
				if err != nil || string(got.Value) != want {
					w.Errorf("%d: %q, %v", i, got.Value, err)
				}
				w.advance(9 * time.Second)
			}
		}},
		{"another scope has an answer of its own, with the token that came", func(w *world) {
			w.must(w.cookie, "answer 1")
			r, err := w.keeper.Refresh(w.Context(), session.Request{Provider: "oidc", Env: "production", Cookie: w.cookie, Scope: "openid mail"}, w.issuer.ask)
			if err != nil || string(r.Value) != "answer 2" || w.issuer.revoked {
				w.Errorf("%q, %v, %v", r.Value, err, w.issuer.calls)
			}
		}},
		{"a token that stays in use is asked with each time", func(w *world) {
			w.issuer.keeps = true
			if c := w.must(w.cookie, "answer 1"); c != w.cookie {
				w.Error("a new cookie for the old token")
			}
			w.must(w.cookie, "answer 2")
			w.advance(time.Hour)
			w.must(w.cookie, "answer 3")
		}},
		{"a refusal ends the session", func(w *world) {
			w.issuer.revoked = true
			w.mustEnd(w.cookie)
			w.issuer.revoked = false
			w.mustEnd(w.cookie)
			if w.issuer.called() != 1 {
				w.Error(w.issuer.calls)
			}
		}},
		{"an issuer that is down does not end it", func(w *world) {
			w.issuer.down = apierr.ServiceUnavailable.New("the issuer is away")
			if _, err := w.refresh(w.keeper, w.cookie); apierr.StatusOf(err) != http.StatusServiceUnavailable || errors.Is(err, session.ErrEnded) {
				w.Error(err)
			}
			w.issuer.down = nil
			w.must(w.cookie, "answer 2")
		}},
		{"nor does a panic", func(w *world) {
			r := session.Request{Provider: "oidc", Env: "production", Cookie: w.cookie}
			if _, err := w.keeper.Refresh(w.Context(), r, func(context.Context, string) (session.Answer, error) { panic("bug") }); err == nil || errors.Is(err, session.ErrEnded) {
				w.Error(err)
			}
			w.must(w.cookie, "answer 1")
		}},
		{"a cookie of an older secret is sealed again with the newest", func(w *world) {
			w.issuer.keeps = true
			both := session.New(session.Options{Store: w.store, Sealer: sealer(w, "new", "secret"), Now: w.now})
			r, err := w.refresh(both, w.cookie)
			if err != nil || r.Cookie == w.cookie {
				w.Fatal(r.Cookie, err)
			}
			fresh := session.New(session.Options{Store: w.store, Sealer: sealer(w, "new"), Now: w.now})
			if _, err := w.refresh(fresh, r.Cookie); err != nil {
				w.Error("the older secret is still needed:", err)
			}
			if _, err := w.refresh(fresh, w.cookie); !errors.Is(err, session.ErrUnreadable) || errors.Is(err, session.ErrEnded) {
				w.Error(err)
			}
		}},
		{"it lives on with each refresh", func(w *world) {
			c := w.cookie
			for range 3 {
				w.advance(23 * time.Hour)
				r, err := w.refresh(w.keeper, c)
				if err != nil {
					w.Fatal(err)
				}
				c = r.Cookie
			}
			w.advance(24*time.Hour + time.Second)
			w.mustEnd(c)
		}},
		{"it ends with its life", func(w *world) {
			w.advance(24*time.Hour + time.Second)
			w.mustEnd(w.cookie)
			if w.issuer.called() != 0 {
				w.Error(w.issuer.calls)
			}
		}},
		{"it ends with a sign-out, which returns the token", func(w *world) {
			c := w.must(w.cookie, "answer 1")
			token, err := w.keeper.End(w.Context(), "oidc", "production", c)
			if err != nil || token != "token-1" {
				w.Errorf("%q, %v", token, err)
			}
			w.mustEnd(c)
			if _, err := w.keeper.End(w.Context(), "oidc", "production", c); !errors.Is(err, session.ErrEnded) {
				w.Error(err)
			}
		}},
		{"it ends at once when it is revoked, on every replica, also within the minute", func(w *world) {
			other := w.replica()
			c := w.must(w.cookie, "answer 1")
			if n, err := w.keeper.RevokeUser(w.Context(), "user:default/alice"); n != 1 || err != nil {
				w.Fatal(n, err)
			}
			for _, cookie := range []string{c, w.cookie} {
				if _, err := w.refresh(other, cookie); !errors.Is(err, session.ErrEnded) {
					w.Error(err)
				}
			}
			if w.issuer.called() != 1 {
				w.Error(w.issuer.calls)
			}
		}},
		{"a revocation during a refresh wins", func(w *world) {
			r := session.Request{Provider: "oidc", Env: "production", Cookie: w.cookie}
			_, err := w.keeper.Refresh(w.Context(), r, func(ctx context.Context, token string) (session.Answer, error) {
				if n, err := w.keeper.RevokeUser(ctx, "user:default/alice"); n != 1 || err != nil {
					w.Error(n, err)
				}
				return w.issuer.ask(ctx, token)
			})
			if !errors.Is(err, session.ErrEnded) {
				w.Error(err)
			}
		}},
		{"cookies mean nothing elsewhere", func(w *world) {
			for _, r := range []session.Request{
				{Provider: "github", Env: "production", Cookie: w.cookie},
				{Provider: "oidc", Env: "staging", Cookie: w.cookie},
				{Provider: "oidc", Env: "production", Cookie: w.cookie[1:]},
				{Provider: "oidc", Env: "production", Cookie: "token-0"},
			} {
				if _, err := w.keeper.Refresh(w.Context(), r, w.issuer.ask); !errors.Is(err, session.ErrUnreadable) || errors.Is(err, session.ErrEnded) || apierr.StatusOf(err) != 401 || w.issuer.called() != 0 {
					w.Errorf("%+v: %v", r, err)
				}
			}
		}},
		{"it belongs to whom it is assigned", func(w *world) {
			if err := w.keeper.Assign(w.Context(), "oidc", "production", w.cookie, "user:default/alicia"); err != nil {
				w.Fatal(err)
			}
			for user, want := range map[string]int{"user:default/alice": 0, "user:default/alicia": 1} {
				if list, err := w.keeper.List(w.Context(), user, "", 10); len(list) != want || err != nil {
					w.Error(user, list, err)
				}
			}
		}},
		{"sessions are listed and ended one by one", func(w *world) {
			second, bob := w.begin("user:default/alice"), w.begin("user:default/bob")
			list, err := w.keeper.List(w.Context(), "user:default/alice", "", 10)
			if err != nil || len(list) != 2 || list[0].Client != "Mozilla/5.0[0m" || list[0].Provider != "oidc" || !list[0].ExpiresAt.Equal(w.now().Add(24*time.Hour)) {
				w.Fatal(list, err)
			}
			if all, _ := w.keeper.List(w.Context(), "", "", 10); len(all) != 3 {
				w.Error(all)
			}
			if page, _ := w.keeper.List(w.Context(), "", list[0].ID, 1); len(page) != 1 || page[0].ID <= list[0].ID {
				w.Error(page)
			}
			if ok, err := w.keeper.Revoke(w.Context(), list[0].ID, "user:default/bob"); ok || err != nil {
				w.Error("bob ended a session of alice", err)
			}
			if ok, err := w.keeper.Revoke(w.Context(), list[0].ID, "user:default/alice"); !ok || err != nil {
				w.Error(ok, err)
			}
			w.issuer.keeps = true
			alive := 0
			for _, c := range []string{w.cookie, second, bob} {
				if _, err := w.refresh(w.keeper, c); err == nil {
					alive++
				}
			}
			if alive != 2 {
				w.Error(alive, "sessions are alive")
			}
		}},
		{"what is stored has no token in the clear", func(w *world) {
			w.must(w.cookie, "answer 1")
			_, r, ok, err := w.store.RefreshOf(w.Context(), w.only().ID, hash("token-0"), "oidc", "production", w.now())
			if err != nil || !ok || r.State != store.RefreshDone || r.NextHash != hash("token-1") {
				w.Fatalf("%+v %v %v", r, ok, err)
			}
			if text := fmt.Sprint(r, w.only()); strings.Contains(text, "token-") || strings.Contains(text, "answer 1") {
				w.Error(text)
			}
			w.advance(2 * time.Minute)
			if err := w.keeper.Clean(w.Context()); err != nil {
				w.Fatal(err)
			}
			if _, r, _, _ := w.store.RefreshOf(w.Context(), w.only().ID, hash("token-0"), "oidc", "production", w.now()); r.Answer != "" || r.NextToken == "" {
				w.Errorf("after the cleanup: %+v", r)
			}
		}},
		{"a cleanup deletes what has expired", func(w *world) {
			w.advance(23 * time.Hour)
			w.begin("user:default/bob")
			w.advance(2 * time.Hour)
			if err := w.keeper.Clean(w.Context()); err != nil {
				w.Fatal(err)
			}
			if x := w.only(); x.User != "user:default/bob" {
				w.Error(x)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) { tt.run(newWorld(t, d)) })
		})
	}
}

// only is the one session that there is.
func (w *world) only() store.Session {
	w.Helper()
	all, err := w.store.Sessions(w.Context(), "", time.Time{}.Add(time.Hour), "", 10)
	if err != nil || len(all) != 1 {
		w.Fatal(all, err)
	}
	return all[0]
}

// TestTheTokenOfAProcessThatDisappearedIsNotUsedAgain plays the other replicas: the claim
// is there, and nobody renews it.
func TestTheTokenOfAProcessThatDisappearedIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		w := newWorld(t, d)
		claim := store.Refresh{TokenHash: hash("token-0"), Session: w.only().ID, Holder: "gone", Scope: "openid", LeaseUntil: w.now().Add(20 * time.Second)}
		if ok, err := w.store.ClaimRefresh(w.Context(), claim, "oidc", "production", w.now()); !ok || err != nil {
			t.Fatal(ok, err)
		}
		w.advance(21 * time.Second)
		var statuses []int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 3 {
			k := w.replica()
			for range 20 {
				wg.Go(func() {
					_, err := w.refresh(k, w.cookie)
					mu.Lock()
					defer mu.Unlock()
					statuses = append(statuses, apierr.StatusOf(err))
				})
			}
		}
		wg.Wait()
		slices.Sort(statuses)
		if statuses[0] != 401 || statuses[1] != 503 || statuses[59] != 503 || w.issuer.called() != 0 {
			t.Errorf("%v, %d calls", statuses, w.issuer.called())
		}
		w.advance(59 * time.Second)
		if _, err := w.refresh(w.keeper, w.cookie); !errors.Is(err, session.ErrBusy) {
			t.Error(err)
		}
		// The process was only slow: its answer makes the session whole.
		claim.NextHash, claim.DoneAt = hash("token-1"), w.now()
		claim.NextToken, _ = sealer(t, "secret").Seal("stored refresh", []byte(claim.TokenHash), []byte("token-1"))
		if ok, err := w.store.FinishRefresh(w.Context(), claim); !ok || err != nil {
			t.Fatal(ok, err)
		}
		w.issuer.current = "token-1"
		w.must(w.cookie, "answer 1")
	})
}

// TestALostSessionIsDeleted holds what is left of one a minute later.
func TestALostSessionIsDeleted(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		w := newWorld(t, d)
		claim := store.Refresh{TokenHash: hash("token-0"), Session: w.only().ID, Holder: "gone", Scope: "openid", LeaseUntil: w.now()}
		if ok, err := w.store.ClaimRefresh(w.Context(), claim, "oidc", "production", w.now()); !ok || err != nil {
			t.Fatal(ok, err)
		}
		w.advance(time.Second)
		w.mustEnd(w.cookie)
		w.advance(61 * time.Second)
		if err := w.keeper.Clean(w.Context()); err != nil {
			t.Fatal(err)
		}
		w.mustEnd(w.cookie)
		if all, err := w.keeper.List(t.Context(), "", "", 10); len(all) != 0 || err != nil {
			t.Error(all, err)
		}
	})
}

// TestOneProcessAsksOnce holds that callers in a process share one call, and that none of
// them can cancel it for the others.
func TestOneProcessAsksOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, dbtest.SQLite(t, store.Migrations()))
	asked, answer := make(chan struct{}), make(chan struct{})
	ask := func(ctx context.Context, token string) (session.Answer, error) {
		close(asked)
		<-answer
		if ctx.Err() != nil {
			t.Error("cancelled")
		}
		return w.issuer.ask(ctx, token)
	}
	r := session.Request{Provider: "oidc", Env: "production", Cookie: w.cookie, Scope: "openid"}
	impatient, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := w.keeper.Refresh(impatient, r, ask); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	<-asked
	cancel()
	var got atomic.Int64
	for range 50 {
		wg.Go(func() {
			if r, err := w.keeper.Refresh(t.Context(), r, ask); err == nil && string(r.Value) == "answer 1" {
				got.Add(1)
			}
		})
	}
	close(answer)
	wg.Wait()
	if got.Load() != 50 || w.issuer.called() != 1 {
		t.Errorf("%d answers, calls %v", got.Load(), w.issuer.calls)
	}
}

// TestIDsAreRandomAndUnique holds that an id of a session cannot be guessed from others.
func TestIDsAreRandomAndUnique(t *testing.T) {
	t.Parallel()
	w := newWorld(t, dbtest.SQLite(t, store.Migrations()))
	for range 500 {
		w.begin("user:default/alice")
	}
	all, err := w.keeper.List(t.Context(), "", "", 1000)
	if err != nil || len(all) != 501 {
		t.Fatal(len(all), err)
	}
	seen, ones := map[string]bool{}, 0
	for _, x := range all {
		raw, err := base64.RawURLEncoding.DecodeString(x.ID)
		if err != nil || len(raw) != 32 || seen[string(raw)] {
			t.Fatalf("%q, %v", x.ID, err)
		}
		seen[string(raw)] = true
		for _, b := range raw {
			ones += bits.OnesCount8(b)
		}
	}
	// Of 128256 random bits half are ones, give or take ten standard deviations.
	if half := len(all) * 128; ones < half-1800 || ones > half+1800 {
		t.Errorf("%d of %d bits are ones", ones, 2*half)
	}
}
