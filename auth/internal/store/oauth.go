package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

// An OAuthClient is a program that has registered itself.
type OAuthClient struct {
	ID           string
	SecretHash   string
	Name         string
	RedirectURIs []string

	// What it has said it will use; empty if it has said nothing.
	Scope                     string // separated by spaces
	GrantTypes, ResponseTypes []string
}

var (
	insertClient = db.Same(`
	INSERT INTO oauth_clients (client_id, secret_hash, name, redirect_uris, scope, grant_types, response_types, created_at, used_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)`)

	selectClient = db.Same(`
	SELECT client_id, secret_hash, name, redirect_uris, scope, grant_types, response_types FROM oauth_clients WHERE client_id = $1`)
)

// AddClient stores a client that has registered at now.
func (s *Store) AddClient(ctx context.Context, c OAuthClient, now time.Time) error {
	uris, err1 := json.Marshal(append([]string{}, c.RedirectURIs...))
	grants, err2 := json.Marshal(append([]string{}, c.GrantTypes...))
	responses, err3 := json.Marshal(append([]string{}, c.ResponseTypes...))
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	if _, err := s.db.Exec(ctx, insertClient, c.ID, c.SecretHash, c.Name, string(uris), c.Scope, string(grants), string(responses), db.At(now)); err != nil {
		return fmt.Errorf("store client %s: %w", c.ID, err)
	}
	return nil
}

// Client returns the client with an id; false if there is none.
func (s *Store) Client(ctx context.Context, id string) (c OAuthClient, ok bool, err error) {
	var uris, grants, responses string
	err = s.db.QueryRow(ctx, selectClient, id).Scan(&c.ID, &c.SecretHash, &c.Name, &uris, &c.Scope, &grants, &responses)
	if errors.Is(err, db.ErrNoRows) {
		return OAuthClient{}, false, nil
	}
	if err == nil {
		err = errors.Join(json.Unmarshal([]byte(uris), &c.RedirectURIs), json.Unmarshal([]byte(grants), &c.GrantTypes), json.Unmarshal([]byte(responses), &c.ResponseTypes))
	}
	if err != nil {
		return OAuthClient{}, false, fmt.Errorf("read a client: %w", err)
	}
	return c, true, nil
}

// The states of an Authorization.
const (
	AuthorizationPending  = "pending"
	AuthorizationApproved = "approved"
	AuthorizationRejected = "rejected"
	AuthorizationMisused  = "misused" // its code was used twice
)

// An Authorization is a question to a user: may this client act as you?
type Authorization struct {
	ID, ClientID, ClientName   string
	RedirectURI, Scope         string
	State, Nonce               string
	Challenge, ChallengeMethod string // of PKCE; empty without
	User                       string // who has decided
	Status                     string
	ExpiresAt                  time.Time
}

const authorizationColumns = `a.id, a.client_id, a.client_name, a.redirect_uri, a.scope, a.state, a.nonce,
	a.code_challenge, a.code_challenge_method, a.user_entity_ref, a.status, a.expires_at`

func (a *Authorization) fields(expires *db.Time) []any {
	return []any{&a.ID, &a.ClientID, &a.ClientName, &a.RedirectURI, &a.Scope, &a.State, &a.Nonce,
		&a.Challenge, &a.ChallengeMethod, &a.User, &a.Status, expires}
}

var (
	insertAuthorization = db.Same(`
	INSERT INTO oauth_authorizations (id, client_id, client_name, redirect_uri, scope, state, nonce, code_challenge, code_challenge_method, user_entity_ref, status, expires_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', 'pending', $10)`)

	useClient = db.Same(`UPDATE oauth_clients SET used_at = $2 WHERE client_id = $1`)

	selectAuthorization = db.Same(`
	SELECT ` + authorizationColumns + ` FROM oauth_authorizations a WHERE a.id = $1 AND a.status = 'pending' AND a.expires_at > $2`)

	decideAuthorization = db.Same(`
	UPDATE oauth_authorizations SET status = $3, user_entity_ref = $2 WHERE id = $1 AND status = 'pending' AND expires_at > $4`)

	insertCode = db.Same(`INSERT INTO oauth_codes (code_hash, authorization_id, expires_at, used) VALUES ($1, $2, $3, false)`)
)

// AddAuthorization stores a question that a client asks at now.
func (s *Store) AddAuthorization(ctx context.Context, a Authorization, now time.Time) error {
	_, err := s.db.Exec(ctx, insertAuthorization, a.ID, a.ClientID, a.ClientName, a.RedirectURI, a.Scope, a.State, a.Nonce, a.Challenge, a.ChallengeMethod, db.At(a.ExpiresAt))
	if err == nil {
		_, err = s.db.Exec(ctx, useClient, a.ClientID, db.At(now))
	}
	if err != nil {
		return fmt.Errorf("store an authorization of %s: %w", a.ClientID, err)
	}
	return nil
}

// PendingAuthorization returns a question that nobody has answered yet and that has not
// expired at now; false if there is none.
func (s *Store) PendingAuthorization(ctx context.Context, id string, now time.Time) (a Authorization, ok bool, err error) {
	var expires db.Time
	err = s.db.QueryRow(ctx, selectAuthorization, id, db.At(now)).Scan(a.fields(&expires)...)
	if errors.Is(err, db.ErrNoRows) {
		return Authorization{}, false, nil
	}
	if err != nil {
		return Authorization{}, false, fmt.Errorf("read an authorization: %w", err)
	}
	a.ExpiresAt = expires.Time
	return a, true, nil
}

// Approve answers a pending question with yes, and stores the hash of the code for it. It
// reports true to exactly one of those who answer.
func (s *Store) Approve(ctx context.Context, id, user, codeHash string, now, codeExpires time.Time) (ok bool, err error) {
	err = db.Retry(ctx, s.db, func(c db.Conn) error {
		n, err := c.Exec(ctx, decideAuthorization, id, user, AuthorizationApproved, db.At(now))
		if ok = n > 0; err != nil || !ok {
			return err
		}
		_, err = c.Exec(ctx, insertCode, codeHash, id, db.At(codeExpires))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("approve an authorization: %w", err)
	}
	return ok, nil
}

// Reject answers a pending question with no. It reports true to exactly one of those who
// answer.
func (s *Store) Reject(ctx context.Context, id, user string, now time.Time) (bool, error) {
	ok, err := s.one(ctx, decideAuthorization, id, user, AuthorizationRejected, db.At(now))
	if err != nil {
		return false, fmt.Errorf("reject an authorization: %w", err)
	}
	return ok, nil
}

var (
	selectCode = db.Same(`
	SELECT ` + authorizationColumns + `, c.expires_at, c.used FROM oauth_codes c JOIN oauth_authorizations a ON a.id = c.authorization_id
	WHERE c.code_hash = $1`)

	useCode = db.Same(`UPDATE oauth_codes SET used = true WHERE code_hash = $1 AND used = false`)

	misuseCode = db.Same(`
	UPDATE oauth_authorizations SET status = 'misused' WHERE id IN (SELECT authorization_id FROM oauth_codes WHERE code_hash = $1)`)

	// lockCode changes nothing. It holds the row until the grant is there, so that who uses
	// the code once more waits, and then finds the grant to delete.
	lockCode = db.Same(`
	UPDATE oauth_authorizations SET status = 'approved' WHERE id IN (SELECT authorization_id FROM oauth_codes WHERE code_hash = $1) AND status = 'approved'`)

	deleteGrantOfCode = db.Same(`DELETE FROM oauth_grants WHERE code_hash = $1`)
)

// Code returns what a code stands for, until when it is valid, and whether it was used;
// ok is false if there is no such code.
func (s *Store) Code(ctx context.Context, codeHash string) (a Authorization, expires time.Time, used, ok bool, err error) {
	var until, codeUntil db.Time
	err = s.db.QueryRow(ctx, selectCode, codeHash).Scan(append(a.fields(&until), &codeUntil, &used)...)
	if errors.Is(err, db.ErrNoRows) {
		return Authorization{}, time.Time{}, false, false, nil
	}
	if err != nil {
		return Authorization{}, time.Time{}, false, false, fmt.Errorf("read a code: %w", err)
	}
	a.ExpiresAt = until.Time
	return a, codeUntil.Time, used, true, nil
}

// UseCode marks a code as used. It reports true to exactly one of those who use it.
func (s *Store) UseCode(ctx context.Context, codeHash string) (bool, error) {
	ok, err := s.one(ctx, useCode, codeHash)
	if err != nil {
		return false, fmt.Errorf("use a code: %w", err)
	}
	return ok, nil
}

// EndGrantOfCode deletes the grant that began with a code, and has AddGrant refuse one that
// is yet to begin with it.
func (s *Store) EndGrantOfCode(ctx context.Context, codeHash string) error {
	err := db.Retry(ctx, s.db, func(c db.Conn) error {
		if _, err := c.Exec(ctx, misuseCode, codeHash); err != nil {
			return err
		}
		_, err := c.Exec(ctx, deleteGrantOfCode, codeHash)
		return err
	})
	if err != nil {
		return fmt.Errorf("end the grant of a code: %w", err)
	}
	return nil
}

// A Grant lets a client act as a user until it is revoked or not used for long.
type Grant struct {
	ID, User             string
	ClientID, ClientName string
	Scope                string
	TokenHash            string
	CodeHash             string

	CreatedAt, LastUsedAt time.Time
}

const grantColumns = `id, user_entity_ref, client_id, client_name, scope, token_hash, code_hash, created_at, last_used_at`

func scanGrant(r db.Row, g *Grant) error {
	var created, used db.Time
	err := r.Scan(&g.ID, &g.User, &g.ClientID, &g.ClientName, &g.Scope, &g.TokenHash, &g.CodeHash, &created, &used)
	g.CreatedAt, g.LastUsedAt = created.Time, used.Time
	return err
}

var (
	replaceGrant = db.Same(`
	INSERT INTO oauth_grants (id, user_entity_ref, client_id, client_name, scope, token_hash, code_hash, created_at, last_used_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
	ON CONFLICT (user_entity_ref, client_id) DO UPDATE SET id = excluded.id, client_name = excluded.client_name, scope = excluded.scope,
		token_hash = excluded.token_hash, code_hash = excluded.code_hash, created_at = excluded.created_at, last_used_at = excluded.last_used_at`)

	deleteOldestGrants = db.Same(`
	DELETE FROM oauth_grants WHERE user_entity_ref = $1 AND id NOT IN (
		SELECT id FROM oauth_grants WHERE user_entity_ref = $1 ORDER BY last_used_at DESC, id LIMIT $2)`)

	selectGrant = db.Same(`SELECT ` + grantColumns + ` FROM oauth_grants WHERE id = $1`)

	rotateGrant = db.Same(`UPDATE oauth_grants SET token_hash = $3, last_used_at = $4 WHERE id = $1 AND token_hash = $2`)

	listGrants = db.Same(`
	SELECT ` + grantColumns + ` FROM oauth_grants WHERE ($1 = '' OR user_entity_ref = $1) AND id > $2 ORDER BY id LIMIT $3`)

	deleteGrant    = db.Same(`DELETE FROM oauth_grants WHERE id = $1 AND ($2 = '' OR user_entity_ref = $2)`)
	deleteGrantsOf = db.Same(`DELETE FROM oauth_grants WHERE user_entity_ref = $1`)
)

// AddGrant stores a grant that begins at CreatedAt with the code of CodeHash, in place of an
// older one of the same user and client. Of the user's grants the most used lately stay. It
// reports false, and stores nothing, if EndGrantOfCode was called for the code, or if there
// is no such code.
func (s *Store) AddGrant(ctx context.Context, g Grant, most int) (ok bool, err error) {
	err = db.Retry(ctx, s.db, func(c db.Conn) error {
		n, err := c.Exec(ctx, lockCode, g.CodeHash)
		if ok = n > 0; err != nil || !ok {
			return err
		}
		if _, err := c.Exec(ctx, replaceGrant, g.ID, g.User, g.ClientID, g.ClientName, g.Scope, g.TokenHash, g.CodeHash, db.At(g.CreatedAt)); err != nil {
			return err
		}
		_, err = c.Exec(ctx, deleteOldestGrants, g.User, most)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("store a grant of %s: %w", g.User, err)
	}
	return ok, nil
}

// Grant returns the grant with an id; false if there is none.
func (s *Store) Grant(ctx context.Context, id string) (g Grant, ok bool, err error) {
	err = scanGrant(s.db.QueryRow(ctx, selectGrant, id), &g)
	if errors.Is(err, db.ErrNoRows) {
		return Grant{}, false, nil
	}
	if err != nil {
		return Grant{}, false, fmt.Errorf("read a grant: %w", err)
	}
	return g, true, nil
}

// RotateGrant replaces the token of a grant. The row is locked by the statement itself, so
// that of those who come with the same token exactly one is told true.
func (s *Store) RotateGrant(ctx context.Context, id, oldHash, newHash string, now time.Time) (bool, error) {
	ok, err := s.one(ctx, rotateGrant, id, oldHash, newHash, db.At(now))
	if err != nil {
		return false, fmt.Errorf("rotate a grant: %w", err)
	}
	return ok, nil
}

// Grants returns up to limit grants of a user, or of everybody if user is empty, in the
// order of their ids after the id after.
func (s *Store) Grants(ctx context.Context, user, after string, limit int) ([]Grant, error) {
	rows, err := s.db.Query(ctx, listGrants, user, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list grants: %w", err)
	}
	out, err := db.Collect(rows, scanGrant)
	if err != nil {
		return nil, fmt.Errorf("list grants: %w", err)
	}
	return out, nil
}

// EndGrant deletes a grant, if it is the user's; empty for anybody's. It reports false if
// there was none.
func (s *Store) EndGrant(ctx context.Context, id, user string) (bool, error) {
	ok, err := s.one(ctx, deleteGrant, id, user)
	if err != nil {
		return false, fmt.Errorf("end a grant: %w", err)
	}
	return ok, nil
}

// EndGrantsOf deletes all grants of a user and returns how many there were.
func (s *Store) EndGrantsOf(ctx context.Context, user string) (int, error) {
	n, err := s.db.Exec(ctx, deleteGrantsOf, user)
	if err != nil {
		return 0, fmt.Errorf("end the grants of %s: %w", user, err)
	}
	return int(n), nil
}

var (
	deleteExpiredAuthorizations = db.Same(`DELETE FROM oauth_authorizations WHERE expires_at <= $1`)
	deleteExpiredGrants         = db.Same(`DELETE FROM oauth_grants WHERE last_used_at <= $1 OR created_at <= $2`)
	deleteIdleClients           = db.Same(`
	DELETE FROM oauth_clients WHERE used_at <= $1 AND NOT EXISTS (SELECT 1 FROM oauth_grants g WHERE g.client_id = oauth_clients.client_id)`)
)

// CleanOAuth deletes questions that have expired at now with their codes, grants that were
// not used since unused or began before begun, and clients without grants that nobody was
// asked for since idle.
func (s *Store) CleanOAuth(ctx context.Context, now, unused, begun, idle time.Time) error {
	for _, q := range []struct {
		sql  db.SQL
		args []any
	}{
		{deleteExpiredAuthorizations, []any{db.At(now)}},
		{deleteExpiredGrants, []any{db.At(unused), db.At(begun)}},
		{deleteIdleClients, []any{db.At(idle)}},
	} {
		if _, err := s.db.Exec(ctx, q.sql, q.args...); err != nil {
			return fmt.Errorf("clean up after the OAuth server: %w", err)
		}
	}
	return nil
}
