package store

import (
	"context"

	"github.com/callboard-dev/callboard/backend/db"
)

// What follows is for readers that keep a copy of what is served (catalog/internal/index).
// Every statement sees one state of the database, and change numbers are committed in
// order, so that a copy that has followed all changes up to a number is the state of it.

var (
	selectSeq    = db.Same(`SELECT value FROM change_seq`)
	selectServed = db.Same(`SELECT id, uid, ref, seq FROM final_entities`)
	selectColumn = db.Same(`SELECT entity_id, value, original FROM search WHERE key_id = $1 ORDER BY value`)
	selectSizes  = db.Same(`SELECT count(*) FROM search WHERE key_id = $1`)

	// Planned for the number, which is near the end: a plan for any number reads all.
	selectChanges = func() db.SQL {
		q := db.List(`
		SELECT 0, value, CAST(NULL AS text), CAST(NULL AS text), CAST(0 AS bigint) FROM change_seq
		UNION ALL SELECT 1, f.id, f.uid, f.ref, f.seq FROM final_entities f WHERE f.seq > $1
		UNION ALL SELECT 2, d.id, d.uid, d.ref, d.seq FROM final_deletions d WHERE d.seq > $1
		UNION ALL SELECT 3, s.entity_id, s.value, s.original, s.key_id FROM final_entities f
			JOIN search s ON s.entity_id = f.id AND s.key_id IN ($2...) WHERE f.seq > $1`)
		q.ForValues = true
		return q
	}()
	selectDocuments = db.List(`SELECT id, seq, entity FROM final_entities WHERE id IN ($1...)`)
)

// A Served is an entity that is served, without its bytes.
type Served struct {
	ID       int64
	UID, Ref string
	Seq      int64 // of its latest change
}

// A ColumnRow is an index row of one key.
type ColumnRow struct {
	ID       int64
	Value    *string
	Original *string // nil if Value is nil, or the same
}

// Changes are what happened after a change number, up to Seq.
type Changes struct {
	Seq     int64
	Changed []Served
	Gone    []int64               // ids that are served no more
	Rows    map[int32][]ColumnRow // by key: all rows of the entities of Changed
}

// Seq is the number of the latest change of what is served.
func (s *Store) Seq(ctx context.Context) (seq int64, err error) {
	err = s.db.QueryRow(ctx, selectSeq).Scan(&seq)
	return seq, err
}

// EachServed calls fn for every entity that is served, in any order.
func (s *Store) EachServed(ctx context.Context, fn func(Served)) error {
	rows, err := s.db.Query(ctx, selectServed)
	return each(rows, err, func(r db.Row) error {
		var e Served
		err := r.Scan(&e.ID, &e.UID, &e.Ref, &e.Seq)
		fn(e)
		return err
	})
}

// KeyIDs looks up the numbers of keys; one that no entity has is absent.
func (s *Store) KeyIDs(ctx context.Context, keys []string) (map[string]int32, error) {
	return s.keyIDs(ctx, keys)
}

// CountColumn is how many index rows a key has.
func (s *Store) CountColumn(ctx context.Context, key int32) (n int, err error) {
	err = s.db.QueryRow(ctx, selectSizes, key).Scan(&n)
	return n, err
}

// EachRow calls fn for every index row of a key, ordered by value; those without a value
// are together, at one end.
func (s *Store) EachRow(ctx context.Context, key int32, fn func(ColumnRow)) error {
	rows, err := s.db.Query(ctx, selectColumn, key)
	return each(rows, err, func(r db.Row) error {
		var row ColumnRow
		err := r.Scan(&row.ID, &row.Value, &row.Original)
		fn(row)
		return err
	})
}

// ChangesSince returns all changes after since, with the index rows of keys. There are as
// many as the difference of the numbers at most.
func (s *Store) ChangesSince(ctx context.Context, since int64, keys []int32) (Changes, error) {
	c := Changes{Rows: map[int32][]ColumnRow{}}
	rows, err := s.db.Query(ctx, selectChanges, since, keys)
	err = each(rows, err, func(r db.Row) error {
		var what int
		var id, n int64
		var a, b *string
		if err := r.Scan(&what, &id, &a, &b, &n); err != nil {
			return err
		}
		switch what {
		case 0:
			c.Seq = id
		case 1:
			c.Changed = append(c.Changed, Served{id, text(a), text(b), n})
		case 2:
			c.Gone = append(c.Gone, id)
		default:
			c.Rows[int32(n)] = append(c.Rows[int32(n)], ColumnRow{id, a, b})
		}
		return nil
	})
	return c, err
}

// A Document is an entity as it is served.
type Document struct {
	ID, Seq int64
	Entity  []byte
}

// Documents calls fn for those of ids that are served.
func (s *Store) Documents(ctx context.Context, ids []int64, fn func(Document)) error {
	rows, err := s.db.Query(ctx, selectDocuments, ids)
	return each(rows, err, func(r db.Row) error {
		var d Document
		err := r.Scan(&d.ID, &d.Seq, &d.Entity)
		fn(d)
		return err
	})
}
