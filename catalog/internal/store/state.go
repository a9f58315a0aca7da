package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

// A State is what the engine knows about one reference, without the documents.
type State struct {
	ID            int64
	UID, Ref      string
	Hash          []byte // of the unprocessed entity
	LocationKey   string // empty: none
	Orphan        bool
	EverProcessed bool
	ResultHash    []byte
}

const stateColumns = `id, uid, ref, unprocessed_hash, location_key, orphan, processed IS NOT NULL, result_hash`

func (s *State) scan(r db.Row) error {
	var key *string
	err := r.Scan(&s.ID, &s.UID, &s.Ref, &s.Hash, &key, &s.Orphan, &s.EverProcessed, &s.ResultHash)
	s.LocationKey = text(key)
	return err
}

// lockStates takes its locks in the order of ids, as every other writer does, so
// that two transactions never wait for each other. NO KEY: inserting an edge that
// refers to the row must not wait.
var lockStates = db.SQL{
	Postgres: `SELECT ` + stateColumns + ` FROM refresh_state WHERE id = ANY($1::bigint[]) OR ref = ANY($2::text[]) ORDER BY id FOR NO KEY UPDATE`,
	SQLite: `SELECT ` + stateColumns + ` FROM refresh_state WHERE id IN (
		SELECT value FROM json_each($1) UNION SELECT id FROM refresh_state WHERE ref IN (SELECT value FROM json_each($2))) ORDER BY id`,
}

// LockStates returns the rows with one of the ids or references, and keeps them from
// changing until the end of the transaction.
func (tx *Tx) LockStates(ctx context.Context, ids []int64, refs []string) ([]*State, error) {
	if len(ids) == 0 && len(refs) == 0 {
		return nil, nil
	}
	return collectStates(tx.c.Query(ctx, lockStates, ids, refs))
}

// lockDoomed waits for stitches of the rows, and for others who add an edge from them:
// both hold a share of them. All transactions take locks in this order: rows, stitch
// queue, change numbers.
var lockDoomed = db.SQL{
	Postgres: `SELECT ` + stateColumns + ` FROM refresh_state WHERE id = ANY($1) ORDER BY id FOR UPDATE`,
	SQLite:   `SELECT ` + stateColumns + ` FROM refresh_state WHERE id IN (SELECT value FROM json_each($1)) ORDER BY id`,
}

// LockDoomed is LockStates for rows that may be deleted: until the end of the
// transaction nobody can refer to them either.
func (tx *Tx) LockDoomed(ctx context.Context, ids []int64) ([]*State, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return collectStates(tx.c.Query(ctx, lockDoomed, ids))
}

func collectStates(rows db.Rows, err error) (out []*State, _ error) {
	err = each(rows, err, func(r db.Row) error {
		s := new(State)
		out = append(out, s)
		return s.scan(r)
	})
	return out, err
}

// A Content is an unprocessed entity and whose it is.
type Content struct {
	ID, Via     int64
	UID, Ref    string
	LocationKey string
	Unprocessed []byte
	Parked      func() ([]byte, error) // reads the unprocessed entity where that is not in memory
	Hash        []byte
	Places      []byte // JSON: where in its file the document stands; nil: unknown
}

// Document is the unprocessed entity, wherever it is.
func (c *Content) Document() ([]byte, error) {
	if c.Parked != nil {
		return c.Parked()
	}
	return c.Unprocessed, nil
}

// inParts calls store with contents and their documents, so many at a time that the
// documents take little memory.
func inParts(contents []*Content, store func(part []*Content, docs [][]byte) error) error {
	for part := range slices.Chunk(contents, docRows) {
		docs := make([][]byte, len(part))
		for i, c := range part {
			doc, err := c.Document()
			if err != nil {
				return fmt.Errorf("read the entity %s, which was put aside: %w", c.Ref, err)
			}
			docs[i] = doc
		}
		if err := store(part, docs); err != nil {
			return err
		}
	}
	return nil
}

var insertStates = insertInto("refresh_state", "ON CONFLICT (ref) DO NOTHING RETURNING id, ref",
	"uid text", "ref text", "unprocessed bytea", "unprocessed_hash bytea", "location_key text", "places bytea", "last_discovery_at timestamptz")

// InsertStates adds rows for references that have none, due at now, and returns their
// ids. A reference that got a row meanwhile is left out.
func (tx *Tx) InsertStates(ctx context.Context, now time.Time, contents []*Content) (map[string]int64, error) {
	out := make(map[string]int64, len(contents))
	err := inParts(contents, func(part []*Content, docs [][]byte) error {
		n := len(part)
		uids, refs, keys := make([]string, n), make([]string, n), make([]*string, n)
		hashes, places, at := make([][]byte, n), make([][]byte, n), make([]db.Time, n)
		for i, c := range part {
			uids[i], refs[i], keys[i], hashes[i], places[i], at[i] = c.UID, c.Ref, null(c.LocationKey), c.Hash, c.Places, db.At(now)
		}
		ids := make([]int64, 0, n)
		err := insertStates.query(ctx, tx.c, func(r db.Row) error {
			var id int64
			var ref string
			err := r.Scan(&id, &ref)
			out[ref], ids = id, append(ids, id)
			return err
		}, uids, refs, docs, hashes, keys, places, at)
		if err != nil {
			return err
		}
		return insertQueue.exec(ctx, tx.c, ids, at[:len(ids)])
	})
	return out, err
}

var updateContents = db.SQL{
	Postgres: `UPDATE refresh_state s SET unprocessed = u.doc, unprocessed_hash = u.hash, location_key = u.key, places = u.places, orphan = false, last_discovery_at = $6
		FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::text[], $5::bytea[]) AS u(id, doc, hash, key, places) WHERE s.id = u.id`,
	SQLite: `UPDATE refresh_state SET unprocessed = $2, unprocessed_hash = $3, location_key = $4, places = $5, orphan = 0, last_discovery_at = $6 WHERE id = $1`,
}

// UpdateContents replaces what the source gave, makes the rows due at now, and ends
// their being orphans.
func (tx *Tx) UpdateContents(ctx context.Context, now time.Time, contents []*Content) error {
	return inParts(contents, func(part []*Content, docs [][]byte) error {
		n := len(part)
		ids, hashes, keys, places := make([]int64, n), make([][]byte, n), make([]*string, n), make([][]byte, n)
		for i, c := range part {
			ids[i], hashes[i], keys[i], places[i] = c.ID, c.Hash, null(c.LocationKey), c.Places
		}
		if err := forEach(ctx, tx.c, updateContents, n, ids, docs, hashes, keys, places, db.At(now)); err != nil {
			return err
		}
		return tx.MakeDue(ctx, now, ids)
	})
}

var setOrphans = db.SQL{
	Postgres: `UPDATE refresh_state SET orphan = $2 WHERE id = ANY($1)`,
	SQLite:   `UPDATE refresh_state SET orphan = $2 WHERE id IN (SELECT value FROM json_each($1))`,
}

// SetOrphans marks rows as orphans, or as no longer being any.
func (tx *Tx) SetOrphans(ctx context.Context, ids []int64, orphan bool) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.c.Exec(ctx, setOrphans, ids, orphan)
	return err
}

var selectOrphans = db.Same(`SELECT id FROM refresh_state WHERE orphan ORDER BY id LIMIT $1`)

// Orphans lists up to n rows that are marked as orphans.
func (s *Store) Orphans(ctx context.Context, n int) ([]int64, error) {
	rows, err := s.db.Query(ctx, selectOrphans, n)
	return column[int64](rows, err)
}

// column collects the rows of a statement with one column.
func column[T any](rows db.Rows, err error) (out []T, _ error) {
	err = each(rows, err, func(r db.Row) error {
		var v T
		err := r.Scan(&v)
		out = append(out, v)
		return err
	})
	return out, err
}

var (
	selectStatesByRefs = db.List(`SELECT ` + stateColumns + ` FROM refresh_state WHERE ref IN ($1...)`)
	selectStatesByIDs  = db.List(`SELECT ` + stateColumns + ` FROM refresh_state WHERE id IN ($1...)`)
	selectStateByUID   = db.Same(`SELECT ` + stateColumns + ` FROM refresh_state WHERE uid = $1`)
	selectUnprocessed  = db.List(`SELECT id, unprocessed FROM refresh_state WHERE id IN ($1...)`)
)

// States returns the rows of refs that have one.
func (s *Store) States(ctx context.Context, refs []string) ([]*State, error) {
	return collectStates(s.db.Query(ctx, selectStatesByRefs, refs))
}

// StatesByID returns the rows that are still there.
func (tx *Tx) StatesByID(ctx context.Context, ids []int64) ([]*State, error) {
	return collectStates(tx.c.Query(ctx, selectStatesByIDs, ids))
}

// StateByUID returns db.ErrNoRows if there is none.
func (tx *Tx) StateByUID(ctx context.Context, uid string) (*State, error) {
	s := new(State)
	return s, s.scan(tx.c.QueryRow(ctx, selectStateByUID, uid))
}

// Unprocessed returns the documents that the sources gave for ids.
func (tx *Tx) Unprocessed(ctx context.Context, ids []int64) (map[int64][]byte, error) {
	out := make(map[int64][]byte, len(ids))
	rows, err := tx.c.Query(ctx, selectUnprocessed, ids)
	err = each(rows, err, func(r db.Row) error {
		var id int64
		var doc []byte
		err := r.Scan(&id, &doc)
		out[id] = doc
		return err
	})
	return out, err
}

// A Result is the outcome of processing one entity.
type Result struct {
	ID        int64
	Processed []byte // nil: keep that of an earlier run
	Hash      []byte
	Errors    []byte // nil: none
	Cache     []byte
}

var saveResults = db.SQL{
	Postgres: `UPDATE refresh_state s SET processed = coalesce(u.processed, s.processed), result_hash = u.hash, errors = u.errors, cache = u.cache
		FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[]) AS u(id, processed, hash, errors, cache) WHERE s.id = u.id`,
	SQLite: `UPDATE refresh_state SET processed = coalesce($2, processed), result_hash = $3, errors = $4, cache = $5 WHERE id = $1`,
}

// SaveResults stores outcomes.
func (tx *Tx) SaveResults(ctx context.Context, results []Result) error {
	n := len(results)
	ids, docs, hashes, errs, caches := make([]int64, n), make([][]byte, n), make([][]byte, n), make([][]byte, n), make([][]byte, n)
	for i, r := range results {
		ids[i], docs[i], hashes[i], errs[i], caches[i] = r.ID, r.Processed, r.Hash, r.Errors, r.Cache
	}
	return forEach(ctx, tx.c, saveResults, n, ids, docs, hashes, errs, caches)
}

var saveCaches = db.SQL{
	Postgres: `UPDATE refresh_state s SET cache = u.cache FROM unnest($1::bigint[], $2::bytea[]) AS u(id, cache) WHERE s.id = u.id`,
	SQLite:   `UPDATE refresh_state SET cache = $2 WHERE id = $1`,
}

// SaveCaches stores what processors keep, of runs that changed nothing else.
func (tx *Tx) SaveCaches(ctx context.Context, ids []int64, caches [][]byte) error {
	return forEach(ctx, tx.c, saveCaches, len(ids), ids, caches)
}

var forgetResults = db.List(`UPDATE refresh_state SET result_hash = NULL, cache = NULL WHERE id IN ($1...)`)

// ForgetResults makes the next run of ids read everything in full and store its
// outcome, whatever it is, and makes them due at now.
func (tx *Tx) ForgetResults(ctx context.Context, now time.Time, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	if _, err := tx.c.Exec(ctx, forgetResults, ids); err != nil {
		return err
	}
	return tx.MakeDue(ctx, now, ids)
}

var (
	selectRelationSources = db.List(`SELECT DISTINCT source_ref FROM relations WHERE originating_id IN ($1...)`)
	selectServedIDs       = db.List(`SELECT count(*) FROM final_entities WHERE id IN ($1...)`)
	insertTombstones      = db.SQL{
		Postgres: `INSERT INTO final_deletions (seq, id, uid, ref, deleted_at)
			SELECT $2 + row_number() OVER (ORDER BY id), id, uid, ref, $3 FROM final_entities WHERE id = ANY($1)`,
		SQLite: `INSERT INTO final_deletions (seq, id, uid, ref, deleted_at)
			SELECT $2 + row_number() OVER (ORDER BY id), id, uid, ref, $3 FROM final_entities WHERE id IN (SELECT value FROM json_each($1))`,
	}
	deleteSearch   = db.List(`DELETE FROM search WHERE entity_id IN ($1...)`)
	deleteOrigins  = db.List(`DELETE FROM relations WHERE originating_id IN ($1...)`)
	deleteStates   = db.List(`DELETE FROM refresh_state WHERE id IN ($1...)`)
	deleteStitches = db.List(`DELETE FROM stitch_queue WHERE ref IN ($1...)`)
	pruneDeletions = db.Same(`DELETE FROM final_deletions WHERE deleted_at < $1`)
)

// DeleteStates deletes rows, which LockDoomed locked, and all that hangs on them, leaves
// a tombstone and a copy in the trash for each that was served, and queues those that lose a relation for stitching at a time.
func (tx *Tx) DeleteStates(ctx context.Context, now, stitchAt time.Time, ids []int64, refs []string) error {
	if len(ids) == 0 {
		return nil
	}
	peers, err := column[string](tx.c.Query(ctx, selectRelationSources, ids))
	if err != nil {
		return err
	}
	if _, err := tx.c.Exec(ctx, deleteStitches, refs); err != nil {
		return err
	}
	gone := make(map[string]bool, len(refs))
	for _, ref := range refs {
		gone[ref] = true
	}
	peers = slices.DeleteFunc(peers, func(ref string) bool { return gone[ref] })
	if err := tx.QueueStitches(ctx, stitchAt, peers); err != nil {
		return err
	}
	var served int64
	if err := tx.c.QueryRow(ctx, selectServedIDs, ids).Scan(&served); err != nil {
		return err
	}
	if served > 0 {
		if _, err := tx.c.Exec(ctx, insertTrash, ids, db.At(now)); err != nil {
			return err
		}
		last, err := tx.takeSeq(ctx, served)
		if err != nil {
			return err
		}
		if _, err := tx.c.Exec(ctx, insertTombstones, ids, last-served, db.At(now)); err != nil {
			return err
		}
	}
	for _, q := range []db.SQL{deleteSearch, deleteOrigins, deleteStates} {
		if _, err := tx.c.Exec(ctx, q, ids); err != nil {
			return err
		}
	}
	return nil
}

// PruneDeletions forgets tombstones from before t.
func (s *Store) PruneDeletions(ctx context.Context, t time.Time) error {
	_, err := s.db.Exec(ctx, pruneDeletions, db.At(t))
	return err
}

var takeSeq = db.Same(`UPDATE change_seq SET value = value + $1 WHERE one = 1 RETURNING value`)

// takeSeq takes n change numbers and returns the last. Until the transaction ends no
// other one gets any, so that they are committed in order; call it late.
func (tx *Tx) takeSeq(ctx context.Context, n int64) (last int64, err error) {
	err = tx.c.QueryRow(ctx, takeSeq, n).Scan(&last)
	return last, err
}
