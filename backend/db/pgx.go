package db

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// pgDB is DB on a pgx pool.
type pgDB struct {
	pool   *pgxpool.Pool
	plugin *Plugin
}

var _ DB = (*pgDB)(nil)

func (d *pgDB) Pgx() (PgxConn, bool) { return d.pool, true }

func (d *pgDB) Exec(ctx context.Context, q SQL, args ...any) (int64, error) {
	conn, err := d.acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	return pgConn{conn}.Exec(ctx, q, args...)
}

func (d *pgDB) Query(ctx context.Context, q SQL, args ...any) (Rows, error) {
	conn, err := d.acquire(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, q.Postgres, pgArgs(args)...)
	if err != nil {
		conn.Release()
		return nil, err
	}
	return &pgRows{Rows: rows, conn: conn}, nil
}

func (d *pgDB) QueryRow(ctx context.Context, q SQL, args ...any) Row {
	rows, err := d.Query(ctx, q, args...)
	return &firstRow{rows: rows, err: err}
}

func (d *pgDB) Tx(ctx context.Context, fn func(Conn) error) (err error) {
	conn, err := d.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	committed := false
	defer func() {
		if !committed {
			// Also when fn panics. A cancelled ctx has closed the connection already;
			// otherwise the roll-back must run although ctx may just have ended.
			rollback, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = tx.Rollback(rollback)
		}
	}()
	if err := fn(pgConn{tx}); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	committed = true
	return nil
}

// acquire waits for a free connection no longer than the pool's acquire timeout.
func (d *pgDB) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	longest := d.plugin.set.pool.acquire
	wait, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	conn, err := d.pool.Acquire(wait)
	if err == nil {
		return conn, nil
	}
	if ctx.Err() == nil && wait.Err() != nil {
		return nil, fmt.Errorf("plugin %s waited %s for a database connection: all %d are in use (%s.knexConfig.pool.max)", d.plugin.id, longest, d.plugin.set.pool.max, rootKey)
	}
	return nil, d.plugin.explain(ctx, err, false)
}

// pgConn is Conn on a pgx connection or transaction.
type pgConn struct{ native PgxConn }

func (c pgConn) Pgx() (PgxConn, bool) { return c.native, true }

func (c pgConn) Exec(ctx context.Context, q SQL, args ...any) (int64, error) {
	tag, err := c.native.Exec(ctx, q.Postgres, pgArgs(args)...)
	return tag.RowsAffected(), err
}

func (c pgConn) Query(ctx context.Context, q SQL, args ...any) (Rows, error) {
	return c.native.Query(ctx, q.Postgres, pgArgs(args)...)
}

func (c pgConn) QueryRow(ctx context.Context, q SQL, args ...any) Row {
	return c.native.QueryRow(ctx, q.Postgres, pgArgs(args)...)
}

// pgArgs makes nil lists empty, as they are on SQLite: pgx takes them for NULL, and
// with NULL neither IN nor NOT IN matches anything.
func pgArgs(args []any) []any {
	var out []any
	for i, a := range args {
		var empty any
		switch v := a.(type) {
		case []string:
			if v == nil {
				empty = []string{}
			}
		case []int64:
			if v == nil {
				empty = []int64{}
			}
		case []int:
			if v == nil {
				empty = []int{}
			}
		}
		if empty != nil {
			if out == nil {
				out = slices.Clone(args)
			}
			out[i] = empty
		}
	}
	if out == nil {
		return args
	}
	return out
}

// pgRows gives its connection back to the pool when it is closed.
type pgRows struct {
	pgx.Rows
	conn *pgxpool.Conn
}

func (r *pgRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.release()
	return false
}

func (r *pgRows) Scan(dest ...any) error {
	err := r.Rows.Scan(dest...)
	if err != nil {
		r.release() // pgx closes rows whose Scan failed
	}
	return err
}

func (r *pgRows) Close() {
	r.Rows.Close()
	r.release()
}

func (r *pgRows) release() {
	if r.conn != nil {
		r.conn.Release()
		r.conn = nil
	}
}

// firstRow is Row on Rows.
type firstRow struct {
	rows Rows
	err  error
}

func (r *firstRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}
