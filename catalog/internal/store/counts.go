package store

import (
	"context"

	"github.com/callboard-dev/callboard/backend/db"
)

// Counts say how much there is.
type Counts struct {
	Locations, Relations int64
	Kinds                map[string]int64 // entities that are served, by kind in lower case
}

var (
	selectCounts = db.Same(`SELECT (SELECT count(*) FROM locations), (SELECT count(*) FROM relations)`)
	countKinds   = db.Same(`SELECT value, count(*) FROM search WHERE key_id = (SELECT id FROM search_keys WHERE key = 'kind') AND value IS NOT NULL GROUP BY value`)
)

// Counts counts, which takes longer the more there is.
func (s *Store) Counts(ctx context.Context) (c Counts, err error) {
	c.Kinds = map[string]int64{}
	if err := s.db.QueryRow(ctx, selectCounts).Scan(&c.Locations, &c.Relations); err != nil {
		return c, err
	}
	rows, err := s.db.Query(ctx, countKinds)
	err = each(rows, err, func(r db.Row) error {
		var kind string
		var n int64
		err := r.Scan(&kind, &n)
		c.Kinds[kind] = n
		return err
	})
	return c, err
}
