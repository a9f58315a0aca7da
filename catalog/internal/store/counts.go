package store

import (
	"context"

	"github.com/callboard-dev/callboard/backend/db"
)

var (
	countLocations = db.Same(`SELECT count(*) FROM locations`)
	countRelations = db.Same(`SELECT count(*) FROM relations`)
	countKinds     = db.Same(`SELECT value, count(*) FROM search WHERE key_id = (SELECT id FROM search_keys WHERE key = 'kind') AND value IS NOT NULL GROUP BY value`)
)

// CountKinds is how many entities are served, by kind in lower case.
func (s *Store) CountKinds(ctx context.Context) (map[string]int64, error) {
	out := map[string]int64{}
	rows, err := s.db.Query(ctx, countKinds)
	err = each(rows, err, func(r db.Row) error {
		var kind string
		var n int64
		err := r.Scan(&kind, &n)
		out[kind] = n
		return err
	})
	return out, err
}

// CountLocations is how many locations are registered.
func (s *Store) CountLocations(ctx context.Context) (int64, error) {
	return s.count(ctx, countLocations)
}

// CountRelations is how many relations entities declare. It takes longer the more there
// are.
func (s *Store) CountRelations(ctx context.Context) (int64, error) {
	return s.count(ctx, countRelations)
}

func (s *Store) count(ctx context.Context, q db.SQL) (n int64, err error) {
	err = s.db.QueryRow(ctx, q).Scan(&n)
	return n, err
}
