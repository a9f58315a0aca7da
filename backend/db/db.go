package db

import (
	"context"
	"database/sql"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// SQL is one statement in the two dialects. Placeholders are $1, $2, … in both,
// in any order and as often as needed.
type SQL struct {
	Postgres, SQLite string

	// ForValues has PostgreSQL plan the statement each time, for the values that it is
	// given. Others are prepared, and from the sixth run on a connection they may keep one
	// plan for any values: that suits what looks up a row, but not a list whose filters
	// select few rows or most of them. Planning costs less than a millisecond. It is for the
	// query mode that pgx has by default; another one is the operator's choice, for a
	// pooler, and none of those keeps plans.
	ForValues bool
}

// Same is a statement that both databases read alike.
func Same(q string) SQL { return SQL{Postgres: q, SQLite: q} }

// For returns the text for dialect d.
func (q SQL) For(d Dialect) string {
	if d == Postgres {
		return q.Postgres
	}
	return q.SQLite
}

// List is [Same] for a statement with list parameters, which are written IN ($1...)
// or NOT IN ($1...). The argument is a slice of strings, integers or floats; an
// empty one matches nothing. The text has one form for every length of the list,
// so that it is prepared once.
//
//	var selectByRefs = db.List(`SELECT entity_id FROM refresh_state WHERE entity_ref IN ($1...)`)
//	rows, err := conn.Query(ctx, selectByRefs, []string{"component:default/a", "component:default/b"})
func List(q string) SQL {
	pg := notInList.ReplaceAllString(q, "<> ALL($1)")
	pg = inList.ReplaceAllString(pg, "= ANY($1)")
	lite := notInList.ReplaceAllString(q, "NOT IN (SELECT value FROM json_each($1))")
	lite = inList.ReplaceAllString(lite, "IN (SELECT value FROM json_each($1))")
	return SQL{Postgres: pg, SQLite: lite}
}

var (
	notInList = regexp.MustCompile(`(?i)\bNOT\s+IN\s*\(\s*(\$[0-9]+)\.\.\.\s*\)`)
	inList    = regexp.MustCompile(`(?i)\bIN\s*\(\s*(\$[0-9]+)\.\.\.\s*\)`)
)

// IsText says whether a text column can hold s, and be compared with it: PostgreSQL
// refuses NUL characters and what is not UTF-8.
func IsText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// Dialect tells the two databases apart, for stores that build statements at run time.
type Dialect int

const (
	Postgres Dialect = iota + 1
	SQLite
)

func (d Dialect) String() string {
	if d == Postgres {
		return "postgres"
	}
	return "sqlite"
}

// DialectOf returns the dialect that c speaks.
func DialectOf(c Conn) Dialect {
	if _, ok := c.Pgx(); ok {
		return Postgres
	}
	return SQLite
}

// Conn is the part of pgx that SQLite can do as well. On PostgreSQL it is pgx.
//
// A DB is safe for concurrent use; the Conn of a transaction belongs to the
// function it was given to, which closes Rows before its next statement.
type Conn interface {
	// Exec runs a statement and returns how many rows it inserted, changed or deleted.
	Exec(ctx context.Context, q SQL, args ...any) (affected int64, err error)

	// Query runs a statement that returns rows. The caller closes them; reading
	// them to the end, until Next returns false, closes them too.
	Query(ctx context.Context, q SQL, args ...any) (Rows, error)

	// QueryRow runs a statement that returns at most one row. Errors are Scan's.
	QueryRow(ctx context.Context, q SQL, args ...any) Row

	// Pgx returns the native handle for COPY, batches and arrays; false on SQLite.
	Pgx() (PgxConn, bool)
}

// DB is a Conn that can begin transactions.
type DB interface {
	Conn

	// Tx runs fn in a transaction: read committed on PostgreSQL; on SQLite it
	// takes the one write lock first, so it never fails half-way for want of it.
	// It commits if fn returns nil and rolls back if fn fails or panics. The
	// error is fn's, as it is, or that of the commit. Statements of fn go to the
	// Conn it is given: with the DB itself they would be outside the transaction.
	// See [Retry] for transactions that may collide.
	Tx(ctx context.Context, fn func(Conn) error) error
}

// Rows is the result of a query. It belongs to one goroutine.
type Rows interface {
	Next() bool
	// Scan copies the columns of the current row. NULL goes to a pointer to a
	// pointer, a db.Time, a db.JSON, a []byte, or a sql.Null type.
	Scan(dest ...any) error
	// Err tells why Next returned false, nil at the regular end.
	Err() error
	Close()
}

// Row is the result of QueryRow.
type Row interface {
	// Scan copies the columns of the row; it returns ErrNoRows if there is none.
	Scan(dest ...any) error
}

// ErrNoRows is what Row.Scan returns when no row matched, on both databases.
// It is the error of database/sql, which pgx's own one wraps: compare with errors.Is.
var ErrNoRows = sql.ErrNoRows

// PgxConn is what a pgx pool, connection and transaction have in common.
type PgxConn interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
	CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, src pgx.CopyFromSource) (int64, error)
	Begin(ctx context.Context) (pgx.Tx, error)
}

// Collect reads all rows with scan and closes them.
//
//	refs, err := db.Collect(rows, func(r db.Row, ref *string) error { return r.Scan(ref) })
func Collect[T any](rows Rows, scan func(Row, *T) error) ([]T, error) {
	defer rows.Close()
	var out []T
	for rows.Next() {
		var v T
		if err := scan(rows, &v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}
