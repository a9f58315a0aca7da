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
	return pgConn{conn, d.plugin}.Exec(ctx, q, args...)
}

func (d *pgDB) Query(ctx context.Context, q SQL, args ...any) (Rows, error) {
	conn, err := d.acquire(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := pgConn{conn, d.plugin}.query(ctx, q, args)
	if err != nil {
		conn.Release()
		return nil, err
	}
	rows.conn = conn
	return rows, nil
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
	tx, err := d.begin(ctx, conn)
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
	if err := fn(pgConn{tx, d.plugin}); err != nil {
		return err
	}
	patient, cancel := d.plugin.patience(ctx)
	defer cancel()
	if err := tx.Commit(patient); err != nil {
		return d.plugin.late(ctx, patient, err)
	}
	committed = true
	return nil
}

func (d *pgDB) begin(ctx context.Context, conn *pgxpool.Conn) (pgx.Tx, error) {
	patient, cancel := d.plugin.patience(ctx)
	defer cancel()
	tx, err := conn.Begin(patient)
	return tx, d.plugin.late(ctx, patient, err)
}

// acquire waits for a free connection no longer than the pool's acquire timeout, nor
// longer than a statement may take: the connections there are may all be to a server that
// is away.
func (d *pgDB) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	longest := d.plugin.set.pool.acquire
	if limit := d.plugin.statementLimit; limit > 0 {
		longest = min(longest, limit)
	}
	wait, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	conn, err := d.pool.Acquire(wait)
	if err == nil {
		return conn, nil
	}
	if ctx.Err() == nil && wait.Err() != nil {
		return nil, &UnavailableError{fmt.Errorf("plugin %s waited %s for a database connection: all %d are in use (%s.knexConfig.pool.max)", d.plugin.id, longest, d.plugin.set.pool.max, rootKey)}
	}
	return nil, mark(ctx, d.plugin.explain(ctx, err, false))
}

// pgConn is Conn on a pgx connection or transaction.
type pgConn struct {
	native PgxConn
	plugin *Plugin
}

func (c pgConn) Pgx() (PgxConn, bool) { return c.native, true }

func (c pgConn) Exec(ctx context.Context, q SQL, args ...any) (int64, error) {
	patient, cancel := c.plugin.patience(ctx)
	defer cancel()
	tag, err := c.native.Exec(patient, q.Postgres, c.plugin.pgArgs(q, args)...)
	return tag.RowsAffected(), c.plugin.late(ctx, patient, err)
}

func (c pgConn) Query(ctx context.Context, q SQL, args ...any) (Rows, error) {
	rows, err := c.query(ctx, q, args)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (c pgConn) query(ctx context.Context, q SQL, args []any) (*pgRows, error) {
	patient, cancel := c.plugin.patience(ctx)
	rows, err := c.native.Query(patient, q.Postgres, c.plugin.pgArgs(q, args)...)
	if err != nil {
		err = c.plugin.late(ctx, patient, err)
		cancel()
		return nil, err
	}
	return &pgRows{Rows: rows, ctx: ctx, patient: patient, cancel: cancel, plugin: c.plugin}, nil
}

func (c pgConn) QueryRow(ctx context.Context, q SQL, args ...any) Row {
	rows, err := c.Query(ctx, q, args...)
	return &firstRow{rows: rows, err: err}
}

// pgArgs are the arguments of a statement as pgx takes them, its mode first.
func (p *Plugin) pgArgs(q SQL, args []any) []any {
	args = fullLists(args)
	if q.ForValues && p.conn.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement && p.conn.DescriptionCacheCapacity > 0 {
		args = append([]any{pgx.QueryExecModeCacheDescribe}, args...)
	}
	return args
}

// fullLists makes nil lists empty, as they are on SQLite: pgx takes them for NULL, and
// with NULL neither IN nor NOT IN matches anything.
func fullLists(args []any) []any {
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
	ctx, patient context.Context // the caller's, and the statement's
	cancel       context.CancelFunc
	plugin       *Plugin
	conn         *pgxpool.Conn // nil in a transaction
	err          error
}

// Err tells why Next returned false.
func (r *pgRows) Err() error {
	if r.err == nil {
		r.err = r.plugin.late(r.ctx, r.patient, r.Rows.Err())
	}
	return r.err
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
	_ = r.Err() // before the statement's context ends for another reason
	r.cancel()
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
