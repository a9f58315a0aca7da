package db

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
)

// sqliteReaders is how many queries of one plugin can run at once next to its writer.
const sqliteReaders = 4

// liteDB is DB on one SQLite database: one writer connection, which statements and
// transactions queue for, and up to sqliteReaders connections for queries. In WAL
// mode readers see the last committed state and neither wait nor make others wait.
//
// A database in memory has no WAL. There the writer serves the queries as well, and
// their rows are read to the end at once, so that a caller that writes while it
// reads rows behaves as it does on a file.
type liteDB struct {
	plugin  string
	observe Observer
	wait    time.Duration // longest wait for a connection

	writes  *sql.DB
	reads   *sql.DB       // nil in memory
	writing chan struct{} // holds a token while the writer is in use
	reading chan struct{} // one token for every reader in use

	mu     sync.Mutex
	writer *liteConn
	idle   []*liteConn // readers that nobody uses, the last used at the end
	closed bool
}

var _ DB = (*liteDB)(nil)

func newLiteDB(plugin string, observe Observer, wait time.Duration, writes, reads *sql.DB) *liteDB {
	return &liteDB{
		plugin: plugin, observe: observe, wait: wait, writes: writes, reads: reads,
		writing: make(chan struct{}, 1), reading: make(chan struct{}, sqliteReaders),
	}
}

func (d *liteDB) Pgx() (PgxConn, bool) { return nil, false }

func (d *liteDB) Exec(ctx context.Context, q SQL, args ...any) (int64, error) {
	w, err := d.acquireWriter(ctx)
	if err != nil {
		return 0, err
	}
	defer d.releaseWriter(w)
	return w.exec(ctx, q.SQLite, args)
}

func (d *liteDB) Query(ctx context.Context, q SQL, args ...any) (Rows, error) {
	if d.reads != nil && readsOnly(q.SQLite) {
		r, err := d.acquireReader(ctx)
		if err != nil {
			return nil, err
		}
		rows, err := r.query(ctx, q.SQLite, args)
		if err != nil {
			d.releaseReader(r)
			return nil, err
		}
		rows.release = func() { d.releaseReader(r) }
		return rows, nil
	}
	w, err := d.acquireWriter(ctx)
	if err != nil {
		return nil, err
	}
	defer d.releaseWriter(w)
	rows, err := w.query(ctx, q.SQLite, args)
	if err != nil {
		return nil, err
	}
	return rows.buffer()
}

func (d *liteDB) QueryRow(ctx context.Context, q SQL, args ...any) Row {
	rows, err := d.Query(ctx, q, args...)
	return &firstRow{rows: rows, err: err}
}

func (d *liteDB) Tx(ctx context.Context, fn func(Conn) error) error {
	w, err := d.acquireWriter(ctx)
	if err != nil {
		return err
	}
	defer d.releaseWriter(w)
	if _, err := w.exec(ctx, "BEGIN IMMEDIATE", nil); err != nil {
		return err
	}
	committed := false
	defer func() {
		if !committed { // also when fn panics, and when ctx has ended
			if _, err := w.exec(context.WithoutCancel(ctx), "ROLLBACK", nil); err != nil {
				w.broken = true
			}
		}
	}()
	if err := fn(liteTx{w}); err != nil {
		return err
	}
	// What fn did with an ended ctx is not to be kept, as on PostgreSQL.
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := w.exec(ctx, "COMMIT", nil); err != nil {
		return err
	}
	committed = true
	return nil
}

func (d *liteDB) acquireWriter(ctx context.Context) (*liteConn, error) {
	if err := d.take(ctx, d.writing, "the SQLite writer", "is a DB used inside its own transaction?"); err != nil {
		return nil, err
	}
	d.mu.Lock()
	w, closed := d.writer, d.closed
	d.mu.Unlock()
	if closed {
		<-d.writing
		return nil, errClosed
	}
	if w != nil {
		return w, nil
	}
	conn, err := d.writes.Conn(ctx)
	if err != nil {
		<-d.writing
		return nil, err
	}
	w = newLiteConn(conn, d.plugin, d.observe)
	d.mu.Lock()
	d.writer = w
	d.mu.Unlock()
	return w, nil
}

func (d *liteDB) releaseWriter(w *liteConn) {
	if w.broken {
		d.mu.Lock()
		d.writer = nil
		d.mu.Unlock()
		w.close()
	}
	<-d.writing
}

func (d *liteDB) acquireReader(ctx context.Context) (*liteConn, error) {
	if err := d.take(ctx, d.reading, "a SQLite reader", "are rows left unclosed?"); err != nil {
		return nil, err
	}
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		<-d.reading
		return nil, errClosed
	}
	if n := len(d.idle); n > 0 {
		r := d.idle[n-1]
		d.idle = d.idle[:n-1]
		d.mu.Unlock()
		return r, nil
	}
	d.mu.Unlock()
	conn, err := d.reads.Conn(ctx)
	if err != nil {
		<-d.reading
		return nil, err
	}
	return newLiteConn(conn, d.plugin, d.observe), nil
}

func (d *liteDB) releaseReader(r *liteConn) {
	d.mu.Lock()
	keep := !d.closed && !r.broken
	if keep {
		r.used = time.Now()
		d.idle = append(d.idle, r)
	}
	d.mu.Unlock()
	if !keep {
		r.close()
	}
	<-d.reading
}

// take puts a token into tokens, waiting no longer than d.wait.
func (d *liteDB) take(ctx context.Context, tokens chan struct{}, what, why string) error {
	select {
	case tokens <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(d.wait)
	defer timer.Stop()
	select {
	case tokens <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("plugin %s waited %s for %s: %s", d.plugin, d.wait, what, why)
	}
}

// closeIdle closes readers that were last used before t.
func (d *liteDB) closeIdle(t time.Time) {
	d.mu.Lock()
	n := 0
	for n < len(d.idle) && d.idle[n].used.Before(t) {
		n++
	}
	old := d.idle[:n:n]
	d.idle = d.idle[n:]
	d.mu.Unlock()
	for _, r := range old {
		r.close()
	}
}

// close waits for the statement or transaction that holds the writer, no longer than ctx allows.
func (d *liteDB) close(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	idle := d.idle
	d.idle = nil
	d.mu.Unlock()
	for _, r := range idle {
		r.close()
	}
	var err error
	select {
	case d.writing <- struct{}{}:
		if d.writer != nil {
			d.writer.close()
			d.writer = nil
		}
		<-d.writing
	case <-ctx.Done():
		err = fmt.Errorf("close the database of plugin %s: a transaction is still running: %w", d.plugin, ctx.Err())
	}
	if d.reads != nil {
		err = joinFirst(err, d.reads.Close())
	}
	return joinFirst(err, d.writes.Close())
}

func joinFirst(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// readsOnly reports whether a statement can go to a reader. When in doubt it
// cannot: a query on the writer is slower, a change on a reader fails.
func readsOnly(q string) bool {
	q = strings.TrimLeft(q, " \t\r\n(")
	for strings.HasPrefix(q, "--") {
		_, rest, _ := strings.Cut(q, "\n")
		q = strings.TrimLeft(rest, " \t\r\n(")
	}
	word := q
	if i := strings.IndexFunc(q, func(r rune) bool { return (r|0x20) < 'a' || (r|0x20) > 'z' }); i >= 0 {
		word = q[:i]
	}
	switch strings.ToUpper(word) {
	case "SELECT", "VALUES", "EXPLAIN":
		return true
	case "WITH":
		return !changes.MatchString(q)
	}
	return false
}

var changes = regexp.MustCompile(`(?i)\b(INSERT|UPDATE|DELETE|REPLACE)\b`)

// liteTx is the Conn of a transaction.
type liteTx struct{ w *liteConn }

func (t liteTx) Pgx() (PgxConn, bool) { return nil, false }

func (t liteTx) Exec(ctx context.Context, q SQL, args ...any) (int64, error) {
	return t.w.exec(ctx, q.SQLite, args)
}

func (t liteTx) Query(ctx context.Context, q SQL, args ...any) (Rows, error) {
	rows, err := t.w.query(ctx, q.SQLite, args)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (t liteTx) QueryRow(ctx context.Context, q SQL, args ...any) Row {
	rows, err := t.Query(ctx, q, args...)
	return &firstRow{rows: rows, err: err}
}
