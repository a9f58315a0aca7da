package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

var (
	selectUserInfo = db.Same(`SELECT user_info FROM user_info WHERE user_entity_ref = $1`)

	upsertUserInfo = db.Same(`
	INSERT INTO user_info (user_entity_ref, user_info, created_at, updated_at) VALUES ($1, $2, $3, $3)
	ON CONFLICT (user_entity_ref) DO UPDATE SET user_info = excluded.user_info, updated_at = excluded.updated_at`)
)

// UserInfo returns the document that is stored of a user; false if there is none.
func (s *Store) UserInfo(ctx context.Context, ref string) (doc []byte, ok bool, err error) {
	var text string
	err = s.db.QueryRow(ctx, selectUserInfo, ref).Scan(&text)
	if errors.Is(err, db.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the user info of %s: %w", ref, err)
	}
	return []byte(text), true, nil
}

// SetUserInfo stores the document of a user, and returns the one that was there before,
// nil if there was none.
func (s *Store) SetUserInfo(ctx context.Context, ref string, doc []byte, now time.Time) (before []byte, err error) {
	// Two statements suffice: of sign-ins at once, each sees what was there before them.
	before, _, err = s.UserInfo(ctx, ref)
	if err != nil {
		return nil, err
	}
	if _, err := s.db.Exec(ctx, upsertUserInfo, ref, string(doc), db.At(now)); err != nil {
		return nil, fmt.Errorf("store the user info of %s: %w", ref, err)
	}
	return before, nil
}
