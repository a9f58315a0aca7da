package db

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Insert describes rows to be inserted by [InsertRows].
type Insert struct {
	Table   string // a table of the plugin's own, unquoted
	Columns []string

	// OnConflict ends each statement, "ON CONFLICT (id) DO NOTHING"; empty for none.
	OnConflict string
}

const (
	// copyFrom is from how many rows on COPY is worth its extra round trips.
	copyFrom = 50
	// batchRows is how many statements one batch to PostgreSQL has.
	batchRows = 1000
	// maxLiteParams bounds the arguments of one statement to SQLite, whose limit is 32766.
	maxLiteParams = 8000
)

// InsertRows inserts rows, all or none, and returns how many were inserted or, by
// OnConflict, changed. It is the fast way for tens to millions of rows: COPY or
// batches on PostgreSQL, statements of many rows on SQLite. Each row has a value for
// every column. A c that is a DB gets a transaction of its own.
//
// COPY does not convert: a Go value must fit the column's type as pgx sees it, so an
// int goes into an integer column, and text into a text, jsonb or uuid column.
func InsertRows(ctx context.Context, c Conn, ins Insert, rows [][]any) (n int64, err error) {
	for i, row := range rows {
		if len(row) != len(ins.Columns) {
			return 0, fmt.Errorf("insert into %s: row %d has %d values for %d columns", ins.Table, i, len(row), len(ins.Columns))
		}
	}
	if len(rows) == 0 {
		return 0, nil
	}
	if d, ok := c.(DB); ok {
		err = d.Tx(ctx, func(c Conn) error {
			n, err = insertRows(ctx, c, ins, rows)
			return err
		})
	} else {
		n, err = insertRows(ctx, c, ins, rows)
	}
	if err != nil {
		return 0, fmt.Errorf("insert into %s: %w", ins.Table, err)
	}
	return n, nil
}

func insertRows(ctx context.Context, c Conn, ins Insert, rows [][]any) (int64, error) {
	pg, ok := c.Pgx()
	switch {
	case !ok:
		return insertLite(ctx, c, ins, rows)
	case ins.OnConflict == "" && len(rows) >= copyFrom:
		return pg.CopyFrom(ctx, pgx.Identifier{ins.Table}, ins.Columns, pgx.CopyFromRows(rows))
	default:
		return insertBatch(ctx, pg, ins, rows)
	}
}

// insertBatch sends one prepared statement many times without waiting for answers.
func insertBatch(ctx context.Context, pg PgxConn, ins Insert, rows [][]any) (n int64, err error) {
	text := ins.text(1, Postgres)
	for len(rows) > 0 && err == nil {
		some := rows[:min(batchRows, len(rows))]
		rows = rows[len(some):]
		batch := &pgx.Batch{}
		for _, row := range some {
			batch.Queue(text, row...)
		}
		results := pg.SendBatch(ctx, batch)
		for range some {
			tag, execErr := results.Exec()
			if execErr != nil {
				err = execErr
				break
			}
			n += tag.RowsAffected()
		}
		if closeErr := results.Close(); err == nil {
			err = closeErr
		}
	}
	return n, err
}

func insertLite(ctx context.Context, c Conn, ins Insert, rows [][]any) (n int64, err error) {
	most := max(1, maxLiteParams/len(ins.Columns))
	for len(rows) > 0 {
		some := rows[:min(most, len(rows))]
		rows = rows[len(some):]
		args := make([]any, 0, len(some)*len(ins.Columns))
		for _, row := range some {
			args = append(args, row...)
		}
		affected, err := c.Exec(ctx, SQL{SQLite: ins.text(len(some), SQLite)}, args...)
		if err != nil {
			return n, err
		}
		n += affected
	}
	return n, nil
}

// text is the statement for a number of rows. SQLite finds a numbered parameter by
// walking a list of all of them, so there they have no numbers.
func (ins Insert) text(rows int, d Dialect) string {
	var b strings.Builder
	b.WriteString("INSERT INTO " + quoteIdentifier(ins.Table) + " (")
	for i, column := range ins.Columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quoteIdentifier(column))
	}
	b.WriteString(") VALUES ")
	arg := 0
	for row := range rows {
		if row > 0 {
			b.WriteString(", ")
		}
		for i := range ins.Columns {
			if i == 0 {
				b.WriteString("(")
			} else {
				b.WriteString(", ")
			}
			arg++
			if d == SQLite {
				b.WriteString("?")
			} else {
				fmt.Fprintf(&b, "$%d", arg)
			}
		}
		b.WriteString(")")
	}
	if ins.OnConflict != "" {
		b.WriteString(" " + ins.OnConflict)
	}
	return b.String()
}
