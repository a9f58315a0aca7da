package db

import (
	"database/sql/driver"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// Time is a point in time as a column: timestamptz on PostgreSQL, an INTEGER of
// microseconds since 1970 on SQLite, so that both sort and compare. It keeps
// microseconds and reads back in UTC. The zero Time is NULL, and NULL reads as zero.
//
// Statements take the time as an argument instead of calling now().
type Time struct{ time.Time }

// At returns t as it reads back from a column: in UTC, cut to microseconds.
func At(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{t.UTC().Truncate(time.Microsecond)}
}

// Value returns the form for SQLite; pgx uses TimestamptzValue.
func (t Time) Value() (driver.Value, error) {
	if t.IsZero() {
		return nil, nil
	}
	return t.UnixMicro(), nil
}

// Scan reads either form.
func (t *Time) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*t = Time{}
	case int64:
		*t = Time{time.UnixMicro(v).UTC()}
	case time.Time:
		*t = At(v)
	case []byte:
		return t.scanText(string(v))
	case string:
		return t.scanText(v)
	default:
		return fmt.Errorf("db.Time: column holds a %T, want integer microseconds", src)
	}
	return nil
}

// scanText reads what an aggregate over an untyped column can yield.
func (t *Time) scanText(s string) error {
	if micros, err := strconv.ParseInt(s, 10, 64); err == nil {
		*t = Time{time.UnixMicro(micros).UTC()}
		return nil
	}
	v, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return fmt.Errorf("db.Time: column holds %q, want integer microseconds", s)
	}
	*t = At(v)
	return nil
}

// TimestamptzValue makes Time a native value of pgx.
func (t Time) TimestamptzValue() (pgtype.Timestamptz, error) {
	return pgtype.Timestamptz{Time: t.Time, Valid: !t.IsZero()}, nil
}

// ScanTimestamptz makes *Time a native target of pgx.
func (t *Time) ScanTimestamptz(v pgtype.Timestamptz) error {
	if v.InfinityModifier != pgtype.Finite {
		return fmt.Errorf("db.Time: column holds %s", v.InfinityModifier)
	}
	if !v.Valid {
		*t = Time{}
		return nil
	}
	*t = At(v.Time)
	return nil
}
