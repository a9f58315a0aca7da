package store

import (
	"cmp"
	"context"
	"slices"

	"github.com/callboard-dev/callboard/backend/db"
)

// A SearchRow is one row of the index (contract 5.2). Value nil is the null value.
type SearchRow struct {
	Key      string
	Value    *string // lower case
	Original *string // nil if Value is nil, or the same
}

var (
	// Each key is looked up on its own: reading all keys instead, as PostgreSQL plans to
	// while there are few, costs more with each that there will be.
	selectSearchKeys = db.SQL{
		Postgres:  `SELECT k.id, u.key FROM unnest($1::text[]) AS u(key) CROSS JOIN LATERAL (SELECT id FROM search_keys WHERE key = u.key OFFSET 0) k`,
		SQLite:    `SELECT id, key FROM search_keys WHERE key IN (SELECT value FROM json_each($1))`,
		ForValues: true,
	}
	insertSearchKeys = insertInto("search_keys", "ON CONFLICT DO NOTHING", "key text")
	selectSearch     = db.List(`SELECT entity_id, key_id, value, original FROM search WHERE entity_id IN ($1...)`)
	insertSearch     = insertInto("search", "", "entity_id bigint", "key_id integer", "value text", "original text")
	deleteSearchRows = db.SQL{
		Postgres: `DELETE FROM search s USING unnest($1::bigint[], $2::integer[], $3::text[]) AS u(id, key, value)
			WHERE s.entity_id = u.id AND s.key_id = u.key AND s.value IS NOT DISTINCT FROM u.value`,
		SQLite: `DELETE FROM search WHERE entity_id = $1 AND key_id = $2 AND value IS $3`,
	}
)

// maxKnownKeys bounds the memory of key ids: arrays of references make a key of every
// element, so that there are as many as entities.
const maxKnownKeys = 20_000

// KnowKeys makes the ids of keys known. It is called before the transaction that
// uses them, because ids that were rolled back must not be remembered.
func (s *Store) KnowKeys(ctx context.Context, keys []string) (map[string]int32, error) {
	out := make(map[string]int32, len(keys))
	var missing []string
	s.keysMu.RLock()
	for _, key := range keys {
		if _, ok := out[key]; ok {
			continue
		}
		id, ok := s.keys[key]
		if !ok {
			missing = append(missing, key)
		}
		out[key] = id
	}
	s.keysMu.RUnlock()
	if len(missing) == 0 {
		return out, nil
	}
	read := func() error {
		rows, err := s.db.Query(ctx, selectSearchKeys, missing)
		return each(rows, err, func(r db.Row) error {
			var id int32
			var key string
			err := r.Scan(&id, &key)
			out[key] = id
			return err
		})
	}
	if err := read(); err != nil {
		return nil, err
	}
	var absent []string
	for _, key := range missing {
		if out[key] == 0 {
			absent = append(absent, key)
		}
	}
	if len(absent) > 0 {
		slices.Sort(absent) // one order of locks for all
		if err := insertSearchKeys.exec(ctx, s.db, absent); err != nil {
			return nil, err
		}
		missing = absent
		if err := read(); err != nil {
			return nil, err
		}
	}
	s.keysMu.Lock()
	if len(s.keys)+len(out) > maxKnownKeys {
		clear(s.keys)
	}
	for key, id := range out {
		s.keys[key] = id
	}
	s.keysMu.Unlock()
	return out, nil
}

type searchRow struct {
	entity   int64
	key      int32
	null     bool
	value    string
	original string
}

// column is the value as it is stored.
func (r searchRow) column() *string {
	if r.null {
		return nil
	}
	return &r.value
}

// replaceSearch writes the difference between the index rows of finals and those
// that are stored. A row whose original changed counts as another row.
func (tx *Tx) replaceSearch(ctx context.Context, keys map[string]int32, finals []Final) error {
	ids := make([]int64, len(finals))
	for i, f := range finals {
		ids[i] = f.ID
	}
	stored := map[searchRow]bool{}
	rows, err := tx.c.Query(ctx, selectSearch, ids)
	err = each(rows, err, func(r db.Row) error {
		var row searchRow
		var value, original *string
		err := r.Scan(&row.entity, &row.key, &value, &original)
		row.null, row.value, row.original = value == nil, text(value), text(original)
		stored[row] = true
		return err
	})
	if err != nil {
		return err
	}
	var added []searchRow
	var addIDs, dropIDs []int64
	var addKeys, dropKeys []int32
	var values, originals, dropValues []*string
	for _, f := range finals {
		for _, r := range f.Rows {
			row := searchRow{f.ID, keys[r.Key], r.Value == nil, text(r.Value), text(r.Original)}
			if stored[row] {
				delete(stored, row)
				continue
			}
			added = append(added, row)
		}
	}
	// In the order of the larger index, which then takes them in runs.
	slices.SortFunc(added, func(a, b searchRow) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.value, b.value), cmp.Compare(a.entity, b.entity))
	})
	for _, row := range added {
		addIDs, addKeys = append(addIDs, row.entity), append(addKeys, row.key)
		values, originals = append(values, row.column()), append(originals, null(row.original))
	}
	for row := range stored {
		dropIDs, dropKeys = append(dropIDs, row.entity), append(dropKeys, row.key)
		dropValues = append(dropValues, row.column())
	}
	if err := forEach(ctx, tx.c, deleteSearchRows, len(dropIDs), dropIDs, dropKeys, dropValues); err != nil {
		return err
	}
	return insertSearch.exec(ctx, tx.c, addIDs, addKeys, values, originals)
}
