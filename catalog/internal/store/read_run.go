package store

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/callboard-dev/callboard/backend/db"
)

// query runs a statement that was put together at run time. The caller closes the rows.
func (s *Store) query(ctx context.Context, q *statement) (db.Rows, error) {
	return s.db.Query(ctx, q.sql(), s.planned(q.args)...)
}

// queryRow is query for one row.
func (s *Store) queryRow(ctx context.Context, q *statement) db.Row {
	return s.db.QueryRow(ctx, q.sql(), s.planned(q.args)...)
}

// planned are args for a statement that PostgreSQL plans for their values each time. A
// prepared one gets a plan for any values from its sixth run on: which does not know
// whether the key is that of kind or of a rare annotation, and reads all of an ordered
// list for its first page. Planning takes less than a millisecond (maxJoined sees to it).
//
// Other modes than pgx's own default are the operator's, for a pooler; none of them
// keeps plans.
func (s *Store) planned(args []any) []any {
	native, _ := s.db.Pgx()
	pool, ok := native.(*pgxpool.Pool)
	if !ok {
		return args // SQLite
	}
	cfg := pool.Config().ConnConfig
	if cfg.DefaultQueryExecMode != pgx.QueryExecModeCacheStatement || cfg.DescriptionCacheCapacity == 0 {
		return args
	}
	return append([]any{pgx.QueryExecModeCacheDescribe}, args...)
}
