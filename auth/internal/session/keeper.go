package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/auth/internal/store"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/seal"
)

// ErrEnded is in the errors about sessions that will never be refreshed again: unknown,
// expired, revoked, or refused by the identity provider. The cookies are removed then. An
// ask of Refresh returns it to say that the identity provider has refused the token for
// good (invalid_grant).
var ErrEnded = errors.New("the session has ended")

// ErrUnreadable is in the errors about cookies that cannot be opened: of another
// environment of the provider, sealed with a secret that this process does not have, or
// made up. Somewhere else the session may go on, so that the cookies stay.
var ErrUnreadable = errors.New("the session cookie cannot be opened")

// ErrBusy is in the errors of refreshes that nobody has an answer to at the moment. They
// are 503, with RetryAfter; the cookies stay.
var ErrBusy = errors.New("the session is being refreshed")

// RetryAfter is when those who got ErrBusy come back.
const RetryAfter = 2 * time.Second

// Options of a Keeper. The zero values of the durations are their defaults.
type Options struct {
	Store  *store.Store
	Sealer seal.Sealer
	Log    *slog.Logger     // nil means slog.Default
	Now    func() time.Time // nil means the system's clock

	// Lease is for how long a refresh belongs to the process that asks the identity
	// provider without a sign of life; 20 s. The clocks of replicas may differ by half of it.
	Lease time.Duration
	// Handover is for how long an answer is handed to those who come with the old refresh
	// token; 60 s.
	Handover time.Duration
	// Ask bounds one call of the identity provider, Wait for how long others wait; 30 s
	// and 25 s.
	Ask, Wait time.Duration
}

// A Keeper has the sessions of users. It is safe for concurrent use, and any number of
// processes may have one on the same database.
type Keeper struct {
	Options

	mu      sync.Mutex
	flights map[flightKey]*flight
	running sync.WaitGroup // rounds of flights
}

// Drain waits until no identity provider is being asked any more, or ctx is done. It is for
// the end of a process, after its last request: the token that is being used would be lost.
func (k *Keeper) Drain(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		k.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// New returns a Keeper.
func New(o Options) *Keeper {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, d := range []struct {
		at  *time.Duration
		def time.Duration
	}{{&o.Lease, 20 * time.Second}, {&o.Handover, time.Minute}, {&o.Ask, 30 * time.Second}, {&o.Wait, 25 * time.Second}} {
		if *d.at == 0 {
			*d.at = d.def
		}
	}
	return &Keeper{Options: o, flights: map[flightKey]*flight{}}
}

// Info is a session that begins.
type Info struct {
	Provider, Env string
	User          string // the full reference; empty if nobody was looked up
	RefreshToken  string
	Client        string // the User-Agent, for the list of sessions; cut to 200 bytes
	// Life is for how long the session goes on without being refreshed.
	Life time.Duration
}

// Start stores a new session and returns the value of its cookie. The session has an id of
// its own: nothing that the request brought is kept.
func (k *Keeper) Start(ctx context.Context, i Info) (cookie string, err error) {
	if i.RefreshToken == "" {
		return "", errors.New("a session needs a refresh token")
	}
	now := k.Now()
	x := store.Session{ID: newID(), User: i.User, Provider: i.Provider, Env: i.Env, Client: printable(i.Client, 200),
		TokenHash: hashOf(i.RefreshToken), CreatedAt: now, ExpiresAt: now.Add(i.Life)}
	if cookie, err = k.seal(i.Provider, i.Env, ticket{x.ID, i.RefreshToken}); err != nil {
		return "", err
	}
	return cookie, k.Store.AddSession(ctx, x)
}

// End ends the session of a cookie and returns its refresh token, which the caller may
// revoke at the identity provider. The error has ErrEnded if there is no such session, or
// ErrUnreadable.
func (k *Keeper) End(ctx context.Context, provider, env, cookie string) (refreshToken string, err error) {
	t, err := k.open(provider, env, cookie)
	if err != nil {
		return "", err
	}
	had, err := k.Store.EndSession(ctx, t.ID)
	if err != nil {
		return "", err
	}
	if !had {
		return "", ended(nil)
	}
	return t.Token, nil
}

// Assign says whose session the one of a cookie is from now on, for refreshes that find
// another user than the sign-in did.
func (k *Keeper) Assign(ctx context.Context, provider, env, cookie, user string) error {
	t, err := k.open(provider, env, cookie)
	if err != nil {
		return err
	}
	if ok, err := k.Store.AssignSession(ctx, t.ID, user); err != nil || !ok {
		return ended(err)
	}
	return nil
}

// Clean deletes what has expired. It is run every few minutes, on one replica.
func (k *Keeper) Clean(ctx context.Context) error {
	now := k.Now()
	n, err := k.Store.CleanSessions(ctx, now, now.Add(-k.Handover))
	if n > 0 {
		k.Log.InfoContext(ctx, "sessions have expired", "sessions", n)
	}
	return err
}

// ticket is what a cookie holds.
type ticket struct {
	ID    string `json:"s"`
	Token string `json:"t"`
}

const (
	cookiePurpose = "refresh-token cookie"
	storePurpose  = "stored refresh"
)

func (k *Keeper) seal(provider, env string, t ticket) (string, error) {
	plain, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	return k.Sealer.Seal(cookiePurpose, place(provider, env), plain)
}

// open reads a cookie. The error has ErrUnreadable.
func (k *Keeper) open(provider, env, cookie string) (t ticket, err error) {
	plain, err := k.Sealer.Open(cookiePurpose, place(provider, env), cookie)
	if err == nil {
		err = json.Unmarshal(plain, &t)
	}
	if err != nil {
		return ticket{}, apierr.Authentication.Wrap(ErrUnreadable, "The session cookie cannot be opened: it is of another environment, or was made with another secret (auth.session.secret, or backend.secretKeys); sign in again")
	}
	return t, nil
}

func place(provider, env string) []byte { return []byte(provider + "\x00" + env) }

// ended is the 401 for a session that is not there; err, if it is not nil, is logged only.
func ended(err error) error {
	if err != nil {
		return errors.Join(apierr.Authentication.Wrap(ErrEnded, "The session has ended, sign in again"), err)
	}
	return apierr.Authentication.Wrap(ErrEnded, "The session has ended, sign in again")
}

func busy(why string) error {
	return apierr.ServiceUnavailable.Wrap(ErrBusy, "The session cannot be refreshed at the moment: %s", why)
}

// hashOf is how the database knows a refresh token. Those have more entropy than anybody
// can guess through, so that a plain digest does.
func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// newID returns 256 random bits.
func newID() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// printable keeps what a log, a terminal and a text column can hold of s.
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), most)]
}
