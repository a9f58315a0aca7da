package session

import (
	"context"

	"github.com/callboard-dev/callboard/auth/internal/store"
)

// List returns up to limit sessions of a user, or of everybody if user is empty, in the
// order of their ids after the id after. It shows nothing that could continue a session.
func (k *Keeper) List(ctx context.Context, user, after string, limit int) ([]store.Session, error) {
	return k.Store.Sessions(ctx, user, k.Now(), after, limit)
}

// Revoke ends the session of an id, if it is of that user; empty for anybody's. It
// reports false if there is none. From the moment when it returns, no replica refreshes
// the session; tokens that users have live on until they expire.
func (k *Keeper) Revoke(ctx context.Context, id, user string) (bool, error) {
	if user == "" {
		return k.Store.EndSession(ctx, id)
	}
	return k.Store.EndSessionOf(ctx, id, user)
}

// RevokeUser ends all sessions of a user and returns how many there were.
func (k *Keeper) RevokeUser(ctx context.Context, user string) (int, error) {
	return k.Store.EndSessionsOf(ctx, user)
}
