package db

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// liteRows is Rows over SQLite's five types, read from the cursor or from memory.
type liteRows struct {
	rows    *sql.Rows // nil when buffered
	values  []any     // the current row
	ptrs    []any
	cursor  func() // frees the statement
	release func() // gives the connection back; nil if it is not ours

	buffered [][]any
	err      error
}

func newLiteRows(rows *sql.Rows, columns int, cursor func()) *liteRows {
	r := &liteRows{rows: rows, values: make([]any, columns), ptrs: make([]any, columns), cursor: cursor}
	for i := range r.values {
		r.ptrs[i] = &r.values[i]
	}
	return r
}

// buffer reads all rows, so that the connection is free when it returns.
func (r *liteRows) buffer() (*liteRows, error) {
	defer r.Close()
	out := &liteRows{}
	for r.Next() {
		out.buffered = append(out.buffered, append([]any(nil), r.values...))
	}
	return out, r.Err()
}

func (r *liteRows) Next() bool {
	if r.rows == nil {
		if len(r.buffered) == 0 {
			return false
		}
		r.values, r.buffered = r.buffered[0], r.buffered[1:]
		return true
	}
	if r.rows.Next() {
		if r.err = r.rows.Scan(r.ptrs...); r.err == nil {
			return true
		}
	}
	r.Close()
	return false
}

func (r *liteRows) Scan(dest ...any) error {
	if len(dest) != len(r.values) {
		return fmt.Errorf("number of columns is %d, number of scan targets %d", len(r.values), len(dest))
	}
	for i, d := range dest {
		if err := assign(d, r.values[i]); err != nil {
			return fmt.Errorf("column %d: %w", i+1, err)
		}
	}
	return nil
}

func (r *liteRows) Err() error { return r.err }

func (r *liteRows) Close() {
	if r.rows == nil {
		r.buffered = nil
		return
	}
	if r.err == nil {
		r.err = r.rows.Err()
	}
	if err := r.rows.Close(); r.err == nil {
		r.err = err
	}
	r.rows = nil
	r.cursor()
	if r.release != nil {
		r.release()
	}
}

// liteArgs turns arguments that pgx understands into those of SQLite.
func liteArgs(args []any) ([]any, error) {
	out := make([]any, len(args))
	for i, a := range args {
		switch v := a.(type) {
		case time.Time:
			out[i] = v.UnixMicro()
		case *time.Time:
			if v != nil {
				out[i] = v.UnixMicro()
			}
		case json.RawMessage:
			if v != nil {
				out[i] = string(v)
			}
		case []string, []int, []int32, []int64, []float64:
			text, err := json.Marshal(v)
			if err != nil {
				return nil, fmt.Errorf("argument $%d: %w", i+1, err)
			}
			if string(text) == "null" {
				text = []byte("[]")
			}
			out[i] = string(text)
		default:
			out[i] = a
		}
	}
	return out, nil
}

// assign copies a value of SQLite to what dest points to.
func assign(dest, src any) error {
	switch d := dest.(type) {
	case sql.Scanner:
		return d.Scan(src)
	case *any:
		*d = src
		return nil
	case *[]byte:
		switch v := src.(type) {
		case nil:
			*d = nil
		case []byte:
			*d = v
		case string:
			*d = []byte(v)
		default:
			return mismatch(dest, src)
		}
		return nil
	case *time.Time:
		var t Time
		if src == nil {
			return mismatch(dest, src)
		}
		err := t.Scan(src)
		*d = t.Time
		return err
	case *string:
		if v, ok := src.(string); ok {
			*d = v
			return nil
		}
	case *int64:
		if v, ok := src.(int64); ok {
			*d = v
			return nil
		}
	}
	v := reflect.ValueOf(dest)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("scan target is a %T, want a pointer", dest)
	}
	return assignValue(v.Elem(), dest, src)
}

func assignValue(v reflect.Value, dest, src any) error {
	if v.Kind() == reflect.Pointer {
		if src == nil {
			v.SetZero()
			return nil
		}
		p := reflect.New(v.Type().Elem())
		if err := assign(p.Interface(), src); err != nil {
			return err
		}
		v.Set(p)
		return nil
	}
	switch s := src.(type) {
	case int64:
		return assignInt(v, dest, s)
	case float64:
		if v.CanFloat() {
			v.SetFloat(s)
			return nil
		}
		if v.CanInt() && s == float64(int64(s)) {
			return assignInt(v, dest, int64(s))
		}
	case string:
		return assignText(v, dest, s)
	case []byte:
		if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(s)
			return nil
		}
		return assignText(v, dest, string(s))
	}
	return mismatch(dest, src)
}

func assignInt(v reflect.Value, dest any, n int64) error {
	switch {
	case v.CanInt() && !v.OverflowInt(n):
		v.SetInt(n)
	case v.CanUint() && n >= 0 && !v.OverflowUint(uint64(n)):
		v.SetUint(uint64(n))
	case v.CanFloat():
		v.SetFloat(float64(n))
	case v.Kind() == reflect.Bool && (n == 0 || n == 1):
		v.SetBool(n == 1)
	case v.Kind() == reflect.String:
		v.SetString(strconv.FormatInt(n, 10))
	default:
		return mismatch(dest, n)
	}
	return nil
}

func assignText(v reflect.Value, dest any, s string) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
		return nil
	case reflect.Slice, reflect.Map, reflect.Struct:
		if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(s)) // json.RawMessage
			return nil
		}
		// As pgx does for arrays and jsonb.
		if err := json.Unmarshal([]byte(s), v.Addr().Interface()); err != nil {
			return fmt.Errorf("scan into %T: %w", dest, err)
		}
		return nil
	}
	return mismatch(dest, s)
}

func mismatch(dest, src any) error {
	if src == nil {
		return fmt.Errorf("cannot scan NULL into %T", dest)
	}
	return fmt.Errorf("cannot scan a %T into %T", src, dest)
}
