package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

// The states of a Refresh.
const (
	RefreshRunning = "running" // its holder asks the identity provider
	RefreshDone    = "done"    // there is an answer
	RefreshLost    = "lost"    // its holder has disappeared, nobody knows whether the token was used
)

// A Refresh is the use of one refresh token. Whoever inserts it, of all replicas, is the
// one that asks the identity provider.
type Refresh struct {
	TokenHash string
	Session   string
	Holder    string
	Scope     string
	State     string // empty if there is no such refresh

	LeaseUntil, DoneAt time.Time

	Answer    string // sealed; empty once it has grown old
	NextToken string // sealed
	NextHash  string
}

// claimRefresh inserts only for the token that the session uses now. A token that stays in
// use after it has been used is claimed again.
var claimRefresh = db.SQL{
	Postgres: `
	INSERT INTO session_refreshes (token_hash, session_id, holder, scope, state, lease_until)
	SELECT s.token_hash, s.id, $3::text, $4::text, 'running', $5::timestamptz FROM user_sessions s
	WHERE s.token_hash = $1 AND s.id = $2 AND s.provider = $6 AND s.env = $7 AND s.expires_at > $8
	ON CONFLICT (token_hash) DO UPDATE SET holder = excluded.holder, scope = excluded.scope, state = excluded.state,
		lease_until = excluded.lease_until, done_at = NULL, answer = NULL, next_token = NULL, next_hash = NULL
	WHERE session_refreshes.state = 'done' AND session_refreshes.next_hash = session_refreshes.token_hash`,
	SQLite: `
	INSERT INTO session_refreshes (token_hash, session_id, holder, scope, state, lease_until)
	SELECT s.token_hash, s.id, $3, $4, 'running', $5 FROM user_sessions s
	WHERE s.token_hash = $1 AND s.id = $2 AND s.provider = $6 AND s.env = $7 AND s.expires_at > $8
	ON CONFLICT (token_hash) DO UPDATE SET holder = excluded.holder, scope = excluded.scope, state = excluded.state,
		lease_until = excluded.lease_until, done_at = NULL, answer = NULL, next_token = NULL, next_hash = NULL
	WHERE session_refreshes.state = 'done' AND session_refreshes.next_hash = session_refreshes.token_hash`,
}

// ClaimRefresh begins the refresh of a session that has not expired at now, and whose
// token has that hash. It reports false if there is no such session, or if somebody else
// has claimed the token before.
func (s *Store) ClaimRefresh(ctx context.Context, r Refresh, provider, env string, now time.Time) (bool, error) {
	ok, err := s.one(ctx, claimRefresh, r.TokenHash, r.Session, r.Holder, r.Scope, db.At(r.LeaseUntil), provider, env, db.At(now))
	if db.IsForeignKeyViolation(err) {
		return false, nil // the session has ended in this moment
	}
	if err != nil {
		return false, fmt.Errorf("claim a refresh: %w", err)
	}
	return ok, nil
}

var selectRefresh = db.Same(`
	SELECT ` + sessionColumns + `, coalesce(r.holder, ''), coalesce(r.scope, ''), coalesce(r.state, ''), r.lease_until, r.done_at,
		coalesce(r.answer, ''), coalesce(r.next_token, ''), coalesce(r.next_hash, '')
	FROM user_sessions s LEFT JOIN session_refreshes r ON r.token_hash = $2 AND r.session_id = s.id
	WHERE s.id = $1 AND s.provider = $3 AND s.env = $4 AND s.expires_at > $5`)

// RefreshOf returns a session that has not expired at now, and the refresh of the token
// with that hash. It reports false if there is no such session.
func (s *Store) RefreshOf(ctx context.Context, id, tokenHash, provider, env string, now time.Time) (x Session, r Refresh, ok bool, err error) {
	dest, done := x.fields()
	var lease, doneAt db.Time
	dest = append(dest, &r.Holder, &r.Scope, &r.State, &lease, &doneAt, &r.Answer, &r.NextToken, &r.NextHash)
	err = s.db.QueryRow(ctx, selectRefresh, id, tokenHash, provider, env, db.At(now)).Scan(dest...)
	if errors.Is(err, db.ErrNoRows) {
		return Session{}, Refresh{}, false, nil
	}
	if err != nil {
		return Session{}, Refresh{}, false, fmt.Errorf("read a session: %w", err)
	}
	done()
	r.TokenHash, r.Session, r.LeaseUntil, r.DoneAt = tokenHash, id, lease.Time, doneAt.Time
	return x, r, true, nil
}

var renewRefresh = db.Same(`UPDATE session_refreshes SET lease_until = $3 WHERE token_hash = $1 AND holder = $2 AND state = 'running'`)

// RenewRefresh keeps a refresh that is running for its holder until then. It reports false
// if it is not the holder's any longer.
func (s *Store) RenewRefresh(ctx context.Context, tokenHash, holder string, until time.Time) (bool, error) {
	ok, err := s.one(ctx, renewRefresh, tokenHash, holder, db.At(until))
	if err != nil {
		return false, fmt.Errorf("keep a refresh: %w", err)
	}
	return ok, nil
}

var (
	// A refresh that was given up as lost is found again by an answer that comes late.
	finishRefresh = db.Same(`
	UPDATE session_refreshes SET state = 'done', done_at = $3, answer = $4, next_token = $5, next_hash = $6
	WHERE token_hash = $1 AND holder = $2`)

	// A session that is used lives on for as long as it would have at its start.
	moveSession = db.SQL{
		Postgres: `UPDATE user_sessions SET token_hash = $3, expires_at = $4::timestamptz + (expires_at - refreshed_at), refreshed_at = $4
			WHERE id = $1 AND token_hash = $2`,
		SQLite: `UPDATE user_sessions SET token_hash = $3, expires_at = $4 + (expires_at - refreshed_at), refreshed_at = $4
			WHERE id = $1 AND token_hash = $2`,
	}
)

// FinishRefresh stores the answer to a refresh, of which Answer, NextToken, NextHash and
// DoneAt are set, and makes the new token the session's. It reports false if the session
// has ended meanwhile.
func (s *Store) FinishRefresh(ctx context.Context, r Refresh) (ok bool, err error) {
	err = db.Retry(ctx, s.db, func(c db.Conn) error {
		ok = false
		// The session first, which is what a revocation locks, too.
		n, err := c.Exec(ctx, moveSession, r.Session, r.TokenHash, r.NextHash, db.At(r.DoneAt))
		if err != nil || n == 0 {
			return err
		}
		n, err = c.Exec(ctx, finishRefresh, r.TokenHash, r.Holder, db.At(r.DoneAt), r.Answer, r.NextToken, r.NextHash)
		ok = n > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("store a refresh: %w", err)
	}
	return ok, nil
}

var deleteRefresh = db.Same(`DELETE FROM session_refreshes WHERE token_hash = $1 AND holder = $2 AND state <> 'done'`)

// ReleaseRefresh takes a claim back, so that the token can be used by others.
func (s *Store) ReleaseRefresh(ctx context.Context, tokenHash, holder string) error {
	if _, err := s.db.Exec(ctx, deleteRefresh, tokenHash, holder); err != nil {
		return fmt.Errorf("release a refresh: %w", err)
	}
	return nil
}

var loseRefresh = db.Same(`
	UPDATE session_refreshes SET state = 'lost', done_at = $3
	WHERE token_hash = $1 AND holder = $2 AND state = 'running' AND lease_until <= $3`)

// LoseRefresh gives up a refresh whose lease has ended at now. It reports true to exactly
// one of those who call it.
func (s *Store) LoseRefresh(ctx context.Context, tokenHash, holder string, now time.Time) (bool, error) {
	ok, err := s.one(ctx, loseRefresh, tokenHash, holder, db.At(now))
	if err != nil {
		return false, fmt.Errorf("give up a refresh: %w", err)
	}
	return ok, nil
}

var (
	// The newest refresh of a session stays: if its answer did not reach the browser, the
	// browser comes back with the old token.
	deleteUsedRefreshes = db.Same(`
	DELETE FROM session_refreshes WHERE state = 'done' AND done_at < $1 AND NOT EXISTS (
		SELECT 1 FROM user_sessions s WHERE s.id = session_refreshes.session_id AND s.token_hash = session_refreshes.next_hash)`)

	clearAnswers = db.Same(`UPDATE session_refreshes SET answer = NULL WHERE done_at < $1 AND answer IS NOT NULL`)
)
