// Package store keeps settings of users in the database of the user-settings plugin.
//
// A setting belongs to one user, and every method names that user: there is no statement
// here that reads or changes the settings of somebody else.
package store

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/callboard-dev/callboard/backend/db"
)

//go:embed migrations
var migrations embed.FS

// Migrations is the schema, in the directories postgres and sqlite.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the directory is embedded above
	}
	return sub
}

// A Store is the table of settings. It is safe for concurrent use.
type Store struct{ db db.DB }

// New returns the store in database d, which Migrations has been applied to.
func New(d db.DB) *Store { return &Store{d} }

// A Name is what a user calls one setting.
type Name struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
}

// Limits bound what one user may keep.
type Limits struct {
	Settings int // how many
	Bytes    int // of all values together
}

// ErrFull is the error of Put if the user would have more than the limits allow.
var ErrFull = errors.New("the user has too many settings, or too large ones")

var selectValue = db.Same(`SELECT value FROM user_settings WHERE user_entity_ref = $1 AND bucket = $2 AND key = $3`)

// Get returns a value. It reports false if there is none.
func (s *Store) Get(ctx context.Context, user string, n Name) (value json.RawMessage, ok bool, err error) {
	var text string
	switch err := s.db.QueryRow(ctx, selectValue, user, n.Bucket, n.Key).Scan(&text); {
	case errors.Is(err, db.ErrNoRows):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("read a setting of %s: %w", user, err)
	}
	return json.RawMessage(text), true, nil
}

// upsertValue inserts nothing if the others and the new one are more than $5, or larger
// than $6. Two requests at the same moment may each find room for theirs.
var upsertValue = db.SQL{
	Postgres: `
	INSERT INTO user_settings (user_entity_ref, bucket, key, value)
	SELECT $1, $2, $3, $4::text FROM (
		SELECT count(*) AS n, coalesce(sum(octet_length(value)), 0) AS bytes FROM user_settings
		WHERE user_entity_ref = $1 AND NOT (bucket = $2 AND key = $3)) others
	WHERE others.n < $5 AND others.bytes + octet_length($4::text) <= $6
	ON CONFLICT (user_entity_ref, bucket, key) DO UPDATE SET value = excluded.value`,
	SQLite: `
	INSERT INTO user_settings (user_entity_ref, bucket, key, value)
	SELECT $1, $2, $3, $4 FROM (
		SELECT count(*) AS n, coalesce(sum(octet_length(value)), 0) AS bytes FROM user_settings
		WHERE user_entity_ref = $1 AND NOT (bucket = $2 AND key = $3)) others
	WHERE others.n < $5 AND others.bytes + octet_length($4) <= $6
	ON CONFLICT (user_entity_ref, bucket, key) DO UPDATE SET value = excluded.value`,
}

// Put stores a value, instead of the one that was there. It is one statement.
func (s *Store) Put(ctx context.Context, user string, n Name, value json.RawMessage, most Limits) error {
	stored, err := s.db.Exec(ctx, upsertValue, user, n.Bucket, n.Key, string(value), most.Settings, most.Bytes)
	if err != nil {
		return fmt.Errorf("store a setting of %s: %w", user, err)
	}
	if stored == 0 {
		return ErrFull
	}
	return nil
}

var deleteValue = db.Same(`DELETE FROM user_settings WHERE user_entity_ref = $1 AND bucket = $2 AND key = $3`)

// Delete removes a value. It reports false if there was none.
func (s *Store) Delete(ctx context.Context, user string, n Name) (bool, error) {
	deleted, err := s.db.Exec(ctx, deleteValue, user, n.Bucket, n.Key)
	if err != nil {
		return false, fmt.Errorf("delete a setting of %s: %w", user, err)
	}
	return deleted > 0, nil
}

var selectValues = db.SQL{
	Postgres: `
	SELECT s.bucket, s.key, s.value FROM unnest($2::text[], $3::text[]) AS n (bucket, key)
	JOIN user_settings s ON s.user_entity_ref = $1 AND s.bucket = n.bucket AND s.key = n.key`,
	SQLite: `
	SELECT s.bucket, s.key, s.value FROM json_each($2) b JOIN json_each($3) k ON b.key = k.key
	CROSS JOIN user_settings s WHERE s.user_entity_ref = $1 AND s.bucket = b.value AND s.key = k.value`,
}

// Values returns the values of those of the names that are set. It is one statement,
// whatever their number; a name that is given twice is read once.
func (s *Store) Values(ctx context.Context, user string, names []Name) (map[Name]json.RawMessage, error) {
	values := make(map[Name]json.RawMessage, len(names))
	var buckets, keys []string
	for _, n := range names {
		if _, known := values[n]; !known {
			values[n] = nil
			buckets, keys = append(buckets, n.Bucket), append(keys, n.Key)
		}
	}
	clear(values)
	if len(buckets) == 0 {
		return values, nil
	}
	rows, err := s.db.Query(ctx, selectValues, user, buckets, keys)
	if err != nil {
		return nil, fmt.Errorf("read settings of %s: %w", user, err)
	}
	type found struct {
		name  Name
		value string
	}
	list, err := db.Collect(rows, func(r db.Row, f *found) error { return r.Scan(&f.name.Bucket, &f.name.Key, &f.value) })
	if err != nil {
		return nil, fmt.Errorf("read settings of %s: %w", user, err)
	}
	for _, f := range list {
		values[f.name] = json.RawMessage(f.value)
	}
	return values, nil
}
