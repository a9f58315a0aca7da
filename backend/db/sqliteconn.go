package db

import (
	"container/list"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// errClosed is what a DB answers after its Manager was closed.
var errClosed = errors.New("the database is closed")

// maxPrepared is how many statements a SQLite connection keeps prepared.
const maxPrepared = 200

// liteConn is one SQLite connection with its prepared statements. One goroutine
// uses it at a time.
type liteConn struct {
	conn    *sql.Conn
	plugin  string
	observe Observer
	used    time.Time
	broken  bool // not to be used again

	prepared map[string]*list.Element // of *liteStmt
	recent   *list.List               // the most recently used first
}

// liteStmt is a prepared statement. It is busy while its rows are being read: SQLite
// has one cursor for each prepared statement.
type liteStmt struct {
	text string
	stmt *sql.Stmt
	busy bool
}

func newLiteConn(conn *sql.Conn, plugin string, observe Observer) *liteConn {
	return &liteConn{conn: conn, plugin: plugin, observe: observe, prepared: map[string]*list.Element{}, recent: list.New()}
}

func (c *liteConn) exec(ctx context.Context, text string, args []any) (n int64, err error) {
	done := c.observe.start(ctx, c.plugin, text)
	defer func() { done(err) }()
	s, err := c.prepare(ctx, text)
	if err != nil {
		return 0, err
	}
	defer c.release(s)
	in, err := liteArgs(args)
	if err != nil {
		return 0, err
	}
	res, err := s.stmt.ExecContext(ctx, in...)
	if err != nil {
		return 0, c.failed(ctx, err)
	}
	return res.RowsAffected()
}

func (c *liteConn) query(ctx context.Context, text string, args []any) (_ *liteRows, err error) {
	done := c.observe.start(ctx, c.plugin, text)
	defer func() { done(err) }()
	s, err := c.prepare(ctx, text)
	if err != nil {
		return nil, err
	}
	in, err := liteArgs(args)
	if err != nil {
		c.release(s)
		return nil, err
	}
	rows, err := s.stmt.QueryContext(ctx, in...)
	if err != nil {
		c.release(s)
		return nil, c.failed(ctx, err)
	}
	cols, err := rows.Columns()
	if err != nil {
		rows.Close()
		c.release(s)
		return nil, err
	}
	return newLiteRows(rows, len(cols), func() { c.release(s) }), nil
}

// failed says that ctx has ended where the driver says "interrupted".
func (c *liteConn) failed(ctx context.Context, err error) error {
	if ctxErr := ctx.Err(); ctxErr != nil && !errors.Is(err, ctxErr) {
		return fmt.Errorf("%w: %w", ctxErr, err)
	}
	return err
}

// prepare returns the statement for text, from the cache when it is there and free.
func (c *liteConn) prepare(ctx context.Context, text string) (*liteStmt, error) {
	if el, ok := c.prepared[text]; ok {
		if s := el.Value.(*liteStmt); !s.busy {
			s.busy = true
			c.recent.MoveToFront(el)
			return s, nil
		}
	}
	stmt, err := c.conn.PrepareContext(ctx, text)
	if err != nil {
		if errors.Is(err, sql.ErrConnDone) {
			c.broken = true
		}
		return nil, c.failed(ctx, err)
	}
	s := &liteStmt{text: text, stmt: stmt, busy: true}
	if _, ok := c.prepared[text]; !ok {
		c.prepared[text] = c.recent.PushFront(s)
		c.evict()
	}
	return s, nil
}

func (c *liteConn) evict() {
	for el := c.recent.Back(); el != nil && c.recent.Len() > maxPrepared; {
		before := el.Prev()
		if s := el.Value.(*liteStmt); !s.busy {
			c.recent.Remove(el)
			delete(c.prepared, s.text)
			s.stmt.Close()
		}
		el = before
	}
}

func (c *liteConn) release(s *liteStmt) {
	s.busy = false
	if el, ok := c.prepared[s.text]; !ok || el.Value.(*liteStmt) != s {
		s.stmt.Close() // a second cursor of a busy statement
	}
}

func (c *liteConn) close() {
	for el := c.recent.Front(); el != nil; el = el.Next() {
		el.Value.(*liteStmt).stmt.Close()
	}
	c.conn.Close()
}
