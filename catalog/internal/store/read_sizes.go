package store

import (
	"context"

	"github.com/callboard-dev/callboard/backend/db"
)

// Sizes say how much there is.
type Sizes struct {
	Entities  map[string]int64 // by kind, in lower case
	Locations int64            // registered
	Relations int64
}

var (
	countKinds = db.Same(`SELECT value, count(*) FROM search
		WHERE key_id = (SELECT id FROM search_keys WHERE key = 'kind') AND value IS NOT NULL GROUP BY value`)
	countRest = db.Same(`SELECT (SELECT count(*) FROM locations), (SELECT count(*) FROM relations)`)
)

// Sizes counts.
func (s *Store) Sizes(ctx context.Context) (Sizes, error) {
	out := Sizes{Entities: map[string]int64{}}
	rows, err := s.db.Query(ctx, countKinds)
	err = each(rows, err, func(r db.Row) error {
		var kind string
		var n int64
		err := r.Scan(&kind, &n)
		out.Entities[kind] = n
		return err
	})
	if err != nil {
		return Sizes{}, err
	}
	err = s.db.QueryRow(ctx, countRest).Scan(&out.Locations, &out.Relations)
	return out, err
}
