package store

import (
	"context"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

// An Unprocessed is an entity that is not served.
type Unprocessed struct {
	UID, Ref        string
	Unprocessed     []byte // JSON
	UnprocessedHash []byte
	ResultHash      []byte
	Cache           []byte // JSON or nil
	Errors          []byte // JSON array or nil
	NextUpdateAt    time.Time
	LastDiscoveryAt time.Time
	LocationKey     *string
}

const unprocessedColumns = `s.uid, s.ref, s.unprocessed, s.unprocessed_hash, s.result_hash, s.cache, s.errors, q.next_update_at, s.last_discovery_at, s.location_key`

const fromUnprocessed = ` FROM refresh_state s JOIN refresh_queue q ON q.id = s.id LEFT JOIN final_entities f ON f.id = s.id WHERE f.id IS NULL AND `

var (
	selectFailed  = db.Same(`SELECT ` + unprocessedColumns + fromUnprocessed + `s.errors IS NOT NULL ORDER BY s.ref`)
	selectPending = db.Same(`SELECT ` + unprocessedColumns + fromUnprocessed + `s.errors IS NULL ORDER BY s.ref`)
)

// Failed lists the entities that have never been served because processing them fails.
func (s *Store) Failed(ctx context.Context) ([]Unprocessed, error) {
	return s.unprocessed(ctx, selectFailed)
}

// Pending lists the entities whose processing has not ended once.
func (s *Store) Pending(ctx context.Context) ([]Unprocessed, error) {
	return s.unprocessed(ctx, selectPending)
}

func (s *Store) unprocessed(ctx context.Context, q db.SQL) (out []Unprocessed, err error) {
	rows, err := s.db.Query(ctx, q)
	err = each(rows, err, func(r db.Row) error {
		var u Unprocessed
		var next, seen db.Time
		err := r.Scan(&u.UID, &u.Ref, &u.Unprocessed, &u.UnprocessedHash, &u.ResultHash, &u.Cache, &u.Errors, &next, &seen, &u.LocationKey)
		u.NextUpdateAt, u.LastDiscoveryAt = next.Time, seen.Time
		out = append(out, u)
		return err
	})
	return out, err
}
