package store

import (
	"context"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

// A Trashed is an entity that was served and deleted.
type Trashed struct {
	Ref, UID    string
	Entity      []byte // JSON, as it was served
	Unprocessed []byte // JSON, as its source gave it
	Registered  bool   // it was the entity of a registered location
	DeletedAt   time.Time
}

const (
	trashColumns = `ref, uid, entity, unprocessed, registered, deleted_at`

	// What was never served is not missed by anybody.
	trashed = `INSERT INTO trash (` + trashColumns + `)
		SELECT s.ref, s.uid, f.entity, s.unprocessed, EXISTS (SELECT 1 FROM locations l WHERE l.entity_ref = s.ref), $2
		FROM refresh_state s JOIN final_entities f ON f.id = s.id `
	onTrashed = ` ON CONFLICT (ref) DO UPDATE SET uid = excluded.uid, entity = excluded.entity, unprocessed = excluded.unprocessed,
		registered = excluded.registered, deleted_at = excluded.deleted_at`
)

var (
	insertTrash = db.SQL{
		Postgres: trashed + `WHERE s.id = ANY($1) ORDER BY s.ref` + onTrashed,
		SQLite:   trashed + `WHERE s.id IN (SELECT value FROM json_each($1))` + onTrashed,
	}
	selectTrash = db.Same(`SELECT ` + trashColumns + ` FROM trash t WHERE ref > $1
		AND NOT EXISTS (SELECT 1 FROM refresh_state s WHERE s.ref = t.ref) ORDER BY ref LIMIT $2`)
	selectTrashed = db.Same(`SELECT ` + trashColumns + ` FROM trash WHERE ref = $1`)
	deleteTrashed = db.Same(`DELETE FROM trash WHERE ref = $1`)
	pruneTrash    = db.Same(`DELETE FROM trash WHERE deleted_at < $1`)
)

func (t *Trashed) scan(r db.Row) error {
	var at db.Time
	err := r.Scan(&t.Ref, &t.UID, &t.Entity, &t.Unprocessed, &t.Registered, &at)
	t.DeletedAt = at.Time
	return err
}

// Trash lists up to n deleted entities with references after the given one, by
// reference; those that exist again are left out.
func (s *Store) Trash(ctx context.Context, after string, n int) (out []Trashed, err error) {
	rows, err := s.db.Query(ctx, selectTrash, after, n)
	err = each(rows, err, func(r db.Row) error {
		var t Trashed
		err := t.scan(r)
		out = append(out, t)
		return err
	})
	return out, err
}

// Trashed returns db.ErrNoRows if no entity with the reference was deleted.
func (s *Store) Trashed(ctx context.Context, ref string) (t Trashed, err error) {
	err = t.scan(s.db.QueryRow(ctx, selectTrashed, ref))
	return t, err
}

// Trashed is Store.Trashed within the transaction.
func (tx *Tx) Trashed(ctx context.Context, ref string) (t Trashed, err error) {
	err = t.scan(tx.c.QueryRow(ctx, selectTrashed, ref))
	return t, err
}

// DropTrashed forgets a deleted entity.
func (tx *Tx) DropTrashed(ctx context.Context, ref string) error {
	_, err := tx.c.Exec(ctx, deleteTrashed, ref)
	return err
}

// PruneTrash forgets what was deleted before t.
func (s *Store) PruneTrash(ctx context.Context, t time.Time) error {
	_, err := s.db.Exec(ctx, pruneTrash, db.At(t))
	return err
}
