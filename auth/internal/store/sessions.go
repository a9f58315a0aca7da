package store

import (
	"context"
	"fmt"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

// A Session is one sign-in of a user with one browser.
type Session struct {
	ID        string
	User      string // the full reference; empty if nobody was looked up in the catalog
	Provider  string
	Env       string
	Client    string // the browser, as it names itself
	TokenHash string // of the refresh token that is in use

	CreatedAt, RefreshedAt, ExpiresAt time.Time
}

var insertSession = db.Same(`
	INSERT INTO user_sessions (id, user_entity_ref, provider, env, client, token_hash, created_at, refreshed_at, expires_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)`)

// AddSession stores a session that has begun at CreatedAt.
func (s *Store) AddSession(ctx context.Context, x Session) error {
	if _, err := s.db.Exec(ctx, insertSession, x.ID, x.User, x.Provider, x.Env, x.Client, x.TokenHash, db.At(x.CreatedAt), db.At(x.ExpiresAt)); err != nil {
		return fmt.Errorf("store the session of %q: %w", x.User, err)
	}
	return nil
}

const sessionColumns = `s.id, s.user_entity_ref, s.provider, s.env, s.client, s.token_hash, s.created_at, s.refreshed_at, s.expires_at`

// fields are where sessionColumns are scanned to; done copies the times.
func (x *Session) fields() (dest []any, done func()) {
	var created, refreshed, expires db.Time
	return []any{&x.ID, &x.User, &x.Provider, &x.Env, &x.Client, &x.TokenHash, &created, &refreshed, &expires},
		func() { x.CreatedAt, x.RefreshedAt, x.ExpiresAt = created.Time, refreshed.Time, expires.Time }
}

var listSessions = db.Same(`
	SELECT ` + sessionColumns + ` FROM user_sessions s
	WHERE ($1 = '' OR s.user_entity_ref = $1) AND s.expires_at > $2 AND s.id > $3 ORDER BY s.id LIMIT $4`)

// Sessions returns up to limit sessions of a user, or of everybody if user is empty, that
// have not expired at now, in the order of their ids after the id after.
func (s *Store) Sessions(ctx context.Context, user string, now time.Time, after string, limit int) ([]Session, error) {
	rows, err := s.db.Query(ctx, listSessions, user, db.At(now), after, limit)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	out, err := db.Collect(rows, func(r db.Row, x *Session) error {
		dest, done := x.fields()
		err := r.Scan(dest...)
		done()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return out, nil
}

var deleteSession = db.Same(`DELETE FROM user_sessions WHERE id = $1`)

// EndSession deletes a session. It reports false if there was none.
func (s *Store) EndSession(ctx context.Context, id string) (bool, error) {
	ok, err := s.one(ctx, deleteSession, id)
	if err != nil {
		return false, fmt.Errorf("end a session: %w", err)
	}
	return ok, nil
}

var deleteSessionOf = db.Same(`DELETE FROM user_sessions WHERE id = $1 AND user_entity_ref = $2`)

// EndSessionOf deletes a session if it is the user's. It reports false if there was none.
func (s *Store) EndSessionOf(ctx context.Context, id, user string) (bool, error) {
	ok, err := s.one(ctx, deleteSessionOf, id, user)
	if err != nil {
		return false, fmt.Errorf("end a session of %s: %w", user, err)
	}
	return ok, nil
}

var deleteSessionsOf = db.Same(`DELETE FROM user_sessions WHERE user_entity_ref = $1`)

// EndSessionsOf deletes all sessions of a user and returns how many there were.
func (s *Store) EndSessionsOf(ctx context.Context, user string) (int, error) {
	n, err := s.db.Exec(ctx, deleteSessionsOf, user)
	if err != nil {
		return 0, fmt.Errorf("end the sessions of %s: %w", user, err)
	}
	return int(n), nil
}

var assignSession = db.Same(`UPDATE user_sessions SET user_entity_ref = $2 WHERE id = $1`)

// AssignSession says whose session it is from now on. It reports false if it has ended.
func (s *Store) AssignSession(ctx context.Context, id, user string) (bool, error) {
	ok, err := s.one(ctx, assignSession, id, user)
	if err != nil {
		return false, fmt.Errorf("assign a session to %s: %w", user, err)
	}
	return ok, nil
}

var deleteExpiredSessions = db.Same(`
	DELETE FROM user_sessions WHERE expires_at <= $1
		OR id IN (SELECT session_id FROM session_refreshes WHERE state = 'lost' AND done_at < $2)`)

// CleanSessions deletes the sessions that have expired at now, those whose token was lost
// before the time before, and what refreshes before that time have left: their answers,
// and once the token that they brought has been used, all of them.
func (s *Store) CleanSessions(ctx context.Context, now, before time.Time) (ended int, err error) {
	n, err := s.db.Exec(ctx, deleteExpiredSessions, db.At(now), db.At(before))
	if err != nil {
		return 0, fmt.Errorf("delete expired sessions: %w", err)
	}
	if _, err := s.db.Exec(ctx, deleteUsedRefreshes, db.At(before)); err != nil {
		return int(n), fmt.Errorf("delete refreshes: %w", err)
	}
	if _, err := s.db.Exec(ctx, clearAnswers, db.At(before)); err != nil {
		return int(n), fmt.Errorf("delete the answers of refreshes: %w", err)
	}
	return int(n), nil
}
