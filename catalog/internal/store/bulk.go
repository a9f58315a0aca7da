package store

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/callboard-dev/callboard/backend/db"
)

// A bulk is an INSERT of many rows: one statement over arrays on PostgreSQL,
// statements of up to liteRows rows on SQLite, where a statement costs no round trip
// but its text has to hold every value.
type bulk struct {
	width     int
	many, one db.SQL

	table   string
	columns []string // without types
	plain   bool     // nothing after the rows, so that they can be copied
}

const (
	liteRows = 64
	// pgRows bounds the memory of a statement, which is encoded as a whole; docRows is
	// that of rows with documents.
	pgRows  = 2500
	docRows = 500
	// copyFrom is from how many rows on COPY costs less than an INSERT.
	copyFrom = 100
)

// insertInto describes a bulk. Columns are "name type" with PostgreSQL's type; tail
// is ON CONFLICT and RETURNING.
func insertInto(table, tail string, columns ...string) bulk {
	names, arrays := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		name, typ, _ := strings.Cut(c, " ")
		names[i], arrays[i] = name, fmt.Sprintf("$%d::%s[]", i+1, typ)
	}
	head := "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") "
	pg := head + "SELECT * FROM unnest(" + strings.Join(arrays, ", ") + ") " + tail
	return bulk{
		width: len(columns), table: table, columns: names, plain: tail == "",
		many: db.SQL{Postgres: pg, SQLite: head + "VALUES " + tuples(len(columns), liteRows) + " " + tail},
		one:  db.SQL{Postgres: pg, SQLite: head + "VALUES " + tuples(len(columns), 1) + " " + tail},
	}
}

func tuples(width, rows int) string {
	var b strings.Builder
	n := 0
	for r := range rows {
		if r > 0 {
			b.WriteString(", ")
		}
		for c := range width {
			b.WriteString([]string{"(", ", "}[min(c, 1)])
			n++
			b.WriteString("$" + strconv.Itoa(n))
		}
		b.WriteByte(')')
	}
	return b.String()
}

// exec inserts the rows that columns, slices of one length, make up.
func (b bulk) exec(ctx context.Context, c db.Conn, columns ...any) error {
	return b.run(ctx, c, columns, func(q db.SQL, args []any) error {
		_, err := c.Exec(ctx, q, args...)
		return err
	})
}

// query is exec for a tail with RETURNING.
func (b bulk) query(ctx context.Context, c db.Conn, scan func(db.Row) error, columns ...any) error {
	return b.run(ctx, c, columns, func(q db.SQL, args []any) error {
		rows, err := c.Query(ctx, q, args...)
		return each(rows, err, scan)
	})
}

func (b bulk) run(ctx context.Context, c db.Conn, columns []any, do func(q db.SQL, args []any) error) error {
	if len(columns) != b.width {
		return fmt.Errorf("bulk of %d columns is given %d", b.width, len(columns))
	}
	n := reflect.ValueOf(columns[0]).Len()
	if n == 0 {
		return nil
	}
	if db.DialectOf(c) == db.Postgres {
		if b.plain && n >= copyFrom {
			return b.copy(ctx, c, n, columns)
		}
		for from := 0; from < n; from += pgRows {
			part := make([]any, len(columns))
			for i, column := range columns {
				part[i] = reflect.ValueOf(column).Slice(from, min(from+pgRows, n)).Interface()
			}
			if err := do(b.many, part); err != nil {
				return err
			}
		}
		return nil
	}
	for from := 0; from < n; {
		q, rows := b.one, 1
		if n-from >= liteRows {
			q, rows = b.many, liteRows
		}
		args := make([]any, 0, rows*b.width)
		for r := range rows {
			for _, column := range columns {
				args = append(args, at(column, from+r))
			}
		}
		if err := do(q, args); err != nil {
			return err
		}
		from += rows
	}
	return nil
}

// copy inserts the rows of columns, n each, with COPY.
func (b bulk) copy(ctx context.Context, c db.Conn, n int, columns []any) error {
	var data db.CopyData
	add := make([]func(i int), len(columns))
	for i, column := range columns {
		switch v := column.(type) {
		case []int64:
			add[i] = func(i int) { data.Int64(v[i]) }
		case []int32:
			add[i] = func(i int) { data.Int32(v[i]) }
		case []string:
			add[i] = func(i int) { data.Text(v[i]) }
		case []*string:
			add[i] = func(i int) {
				if v[i] == nil {
					data.Null()
				} else {
					data.Text(*v[i])
				}
			}
		default:
			return fmt.Errorf("rows of %s: %T cannot be copied", b.table, v)
		}
	}
	for i := range n {
		data.Row(len(columns))
		for _, column := range add {
			column(i)
		}
	}
	_, err := db.Copy(ctx, c, b.table, b.columns, &data)
	return err
}

// forEach runs a statement for many rows: once over arrays on PostgreSQL, once for
// every row on SQLite. Columns that are not slices are the same for every row.
func forEach(ctx context.Context, c db.Conn, q db.SQL, n int, columns ...any) error {
	if n == 0 {
		return nil
	}
	if db.DialectOf(c) == db.Postgres {
		_, err := c.Exec(ctx, q, columns...)
		return err
	}
	for i := range n {
		args := make([]any, len(columns))
		for j, column := range columns {
			args[j] = at(column, i)
		}
		if _, err := c.Exec(ctx, q, args...); err != nil {
			return err
		}
	}
	return nil
}

// at is row i of a column. Pointers to nothing and nil documents are NULL.
func at(column any, i int) any {
	switch v := column.(type) {
	case []int64:
		return v[i]
	case []int32:
		return v[i]
	case []string:
		return v[i]
	case []*string:
		if v[i] == nil {
			return nil
		}
		return *v[i]
	case []*int64:
		if v[i] == nil {
			return nil
		}
		return *v[i]
	case [][]byte:
		if v[i] == nil {
			return nil
		}
		return v[i]
	case []db.Time:
		return v[i]
	}
	return column
}

// each calls scan for every row and closes them.
func each(rows db.Rows, err error, scan func(db.Row) error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
