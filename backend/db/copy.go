package db

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// CopyData is rows in the binary format of PostgreSQL's COPY, for [Copy]. The zero value
// has none. Each row is begun by Row, and then has one value for each column.
type CopyData struct{ buf []byte }

// copyHead is the signature, no flags, and no extension (PostgreSQL's manual, COPY, File
// Formats, Binary Format).
var copyHead = append([]byte("PGCOPY\n\xff\r\n\x00"), 0, 0, 0, 0, 0, 0, 0, 0)

// Row begins a row of a number of columns.
func (d *CopyData) Row(columns int) {
	if d.buf == nil {
		d.buf = append(d.buf, copyHead...)
	}
	d.buf = binary.BigEndian.AppendUint16(d.buf, uint16(columns))
}

// Null adds a value for a column of any type.
func (d *CopyData) Null() { d.buf = append(d.buf, 0xff, 0xff, 0xff, 0xff) }

// Int64 adds a value for a column of type bigint.
func (d *CopyData) Int64(v int64) {
	d.buf = binary.BigEndian.AppendUint64(append(d.buf, 0, 0, 0, 8), uint64(v))
}

// Int32 adds a value for a column of type integer.
func (d *CopyData) Int32(v int32) {
	d.buf = binary.BigEndian.AppendUint32(append(d.buf, 0, 0, 0, 4), uint32(v))
}

// Text adds a value for a column of type text.
func (d *CopyData) Text(v string) {
	d.buf = append(binary.BigEndian.AppendUint32(d.buf, uint32(len(v))), v...)
}

// Copy inserts rows with COPY, all or none, and says how many. It is for hundreds to
// hundreds of thousands of small rows, which it holds in memory, and takes less than
// [InsertRows] of both processes, because values are not boxed, and the server writes many
// rows at a time. There is no COPY on SQLite, where it fails.
func Copy(ctx context.Context, c Conn, table string, columns []string, rows *CopyData) (int64, error) {
	if len(rows.buf) == 0 {
		return 0, nil
	}
	pg, ok := c.(pgConn)
	if !ok {
		return 0, errors.New("db: COPY needs a transaction on PostgreSQL")
	}
	native, ok := pg.native.(interface{ Conn() *pgx.Conn })
	if !ok {
		return 0, errors.New("db: COPY needs a transaction on PostgreSQL")
	}
	quoted := make([]string, len(columns))
	for i, column := range columns {
		quoted[i] = quoteIdentifier(column)
	}
	text := "COPY " + quoteIdentifier(table) + " (" + strings.Join(quoted, ", ") + ") FROM STDIN (FORMAT binary)"
	patient, cancel := pg.plugin.patience(ctx)
	defer cancel()
	done := pg.plugin.m.opts.observe.start(patient, pg.plugin.id, text)
	conn := native.Conn().PgConn()
	tag, err := copyInto(patient, conn, text, rows.buf)
	done(err)
	return tag.RowsAffected(), pg.plugin.late(ctx, patient, err)
}

// copyInto ends the rows with the trailer, without making it part of them.
func copyInto(ctx context.Context, conn *pgconn.PgConn, text string, rows []byte) (pgconn.CommandTag, error) {
	return conn.CopyFrom(ctx, bytes.NewReader(append(rows, 0xff, 0xff)), text)
}
