package db

import (
	"bytes"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"slices"
)

// JSON is a JSON document as a column: jsonb, json or text on PostgreSQL, TEXT on
// SQLite. A nil JSON is NULL (not the document null). Columns of type jsonb keep
// the meaning, not the bytes; where the bytes matter use text or json.
type JSON []byte

// JSONOf encodes v, without escaping <, > and & for HTML.
func JSONOf(v any) (JSON, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Decode decodes the document into out, a pointer. NULL leaves out as it is.
func (j JSON) Decode(out any) error {
	if j == nil {
		return nil
	}
	return json.Unmarshal(j, out)
}

// Value passes the document as text: SQLite's JSON functions do not take blobs.
func (j JSON) Value() (driver.Value, error) {
	if j == nil {
		return nil, nil
	}
	return string(j), nil
}

// Scan copies the document.
func (j *JSON) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*j = nil
	case string:
		*j = JSON(v)
	case []byte:
		*j = slices.Clone(v)
	default:
		return fmt.Errorf("db.JSON: column holds a %T, want text", src)
	}
	return nil
}

// MarshalJSON returns the document itself, null if it is nil.
func (j JSON) MarshalJSON() ([]byte, error) {
	if j == nil {
		return []byte("null"), nil
	}
	return j, nil
}

// UnmarshalJSON keeps a copy of the document.
func (j *JSON) UnmarshalJSON(b []byte) error {
	*j = slices.Clone(b)
	return nil
}
