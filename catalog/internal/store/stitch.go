package store

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

// A Stitch is a claimed entry of the stitch queue. The ticket changes whenever the
// reference is queued again, also while it is being stitched; the claim is whose it is.
type Stitch struct {
	Ref    string
	Ticket int64
	Claim  int64
	DueAt  time.Time
}

// ErrClaimLost says that a stitch took so long that somebody else has it now.
var ErrClaimLost = errors.New("a stitch was claimed by somebody else meanwhile")

var (
	queueStitches = db.SQL{
		Postgres: `INSERT INTO stitch_queue (ref, ticket, due_at) SELECT u.ref, u.ticket, $3 FROM unnest($1::text[], $2::bigint[]) AS u(ref, ticket)` + onQueued,
		SQLite:   `INSERT INTO stitch_queue (ref, ticket, due_at) VALUES ($1, $2, $3)` + onQueued,
	}
	claimStitches = db.SQL{
		Postgres: `
		WITH due AS (
			SELECT ref, due_at FROM stitch_queue WHERE due_at <= $1 ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED),
		claimed AS (
			UPDATE stitch_queue SET due_at = $2, claim = $4 WHERE ref = ANY(ARRAY(SELECT ref FROM due)) RETURNING ref, ticket)
		SELECT ref, ticket, due.due_at FROM claimed JOIN due USING (ref)`,
		ForValues: true,
		SQLite: `
		UPDATE stitch_queue SET due_at = $2, claim = $4 WHERE ref IN (
			SELECT ref FROM stitch_queue WHERE due_at <= $1 ORDER BY due_at LIMIT $3)
		RETURNING ref, ticket, $1`,
	}
	selectTickets = db.List(`SELECT ref, ticket, claim FROM stitch_queue WHERE ref IN ($1...)`)
	lockStitches  = db.SQL{
		Postgres: `SELECT ref, ticket, claim FROM stitch_queue WHERE ref = ANY($1) ORDER BY ref FOR UPDATE`,
		SQLite:   `SELECT ref, ticket, claim FROM stitch_queue WHERE ref IN (SELECT value FROM json_each($1)) ORDER BY ref`,
	}
	redoStitches = db.SQL{
		Postgres: `UPDATE stitch_queue SET due_at = $2, claim = 0 WHERE ref = ANY($1)`,
		SQLite:   `UPDATE stitch_queue SET due_at = $2, claim = 0 WHERE ref IN (SELECT value FROM json_each($1))`,
	}
	giveBackStitches = db.SQL{
		Postgres: `UPDATE stitch_queue SET due_at = $2, claim = 0 WHERE ref = ANY($1) AND claim = $3`,
		SQLite:   `UPDATE stitch_queue SET due_at = $2, claim = 0 WHERE ref IN (SELECT value FROM json_each($1)) AND claim = $3`,
	}
	putOffStitch  = db.Same(`UPDATE stitch_queue SET claim = 0, due_at = CASE WHEN ticket = $2 THEN due_at ELSE $4 END WHERE ref = $1 AND claim = $3`)
	countStitches = db.Same(`SELECT count(*) FROM stitch_queue`)
)

// A reference that is queued already keeps the earlier of the two times. One that is being
// stitched stays with who has it, who sees by the ticket that it is not done with it: two
// who stitch one entity at the same time would write over each other's index rows.
const onQueued = ` ON CONFLICT (ref) DO UPDATE SET ticket = excluded.ticket,
	due_at = CASE WHEN stitch_queue.claim = 0 AND excluded.due_at < stitch_queue.due_at THEN excluded.due_at ELSE stitch_queue.due_at END`

// QueueStitches makes refs due for stitching at the given time.
func (tx *Tx) QueueStitches(ctx context.Context, at time.Time, refs []string) error {
	refs = slices.Compact(slices.Sorted(slices.Values(refs))) // one order of locks for all
	tickets := make([]int64, len(refs))
	for i := range tickets {
		tickets[i] = rand.Int64()
	}
	return forEach(ctx, tx.c, queueStitches, len(refs), refs, tickets, db.At(at))
}

// ClaimStitches claims up to n references that are due at now, until the given time.
func (s *Store) ClaimStitches(ctx context.Context, now, until time.Time, n int) (out []Stitch, err error) {
	ctx, cancel := claiming(ctx)
	defer cancel()
	claim := 1 + rand.Int64N(math.MaxInt64) // not 0, which is nobody
	rows, err := s.db.Query(ctx, claimStitches, db.At(now), db.At(until), n, claim)
	err = each(rows, err, func(r db.Row) error {
		st := Stitch{Claim: claim}
		var at db.Time
		err := r.Scan(&st.Ref, &st.Ticket, &at)
		st.DueAt = at.Time
		out = append(out, st)
		return err
	})
	return out, err
}

// CurrentStitches says which of stitches are still claimed, with the ticket that they had:
// nothing that they are made of has changed since. It locks nothing.
func (tx *Tx) CurrentStitches(ctx context.Context, stitches []Stitch) (map[string]bool, error) {
	return tx.compare(ctx, selectTickets, stitches)
}

func (tx *Tx) compare(ctx context.Context, q db.SQL, stitches []Stitch) (same map[string]bool, err error) {
	type held struct{ ticket, claim int64 }
	mine := make(map[string]held, len(stitches))
	refs := make([]string, len(stitches))
	for i, st := range stitches {
		mine[st.Ref], refs[i] = held{st.Ticket, st.Claim}, st.Ref
	}
	same = make(map[string]bool, len(stitches))
	rows, err := tx.c.Query(ctx, q, refs)
	err = each(rows, err, func(r db.Row) error {
		var ref string
		var is held
		if err := r.Scan(&ref, &is.ticket, &is.claim); err != nil {
			return err
		}
		if is.claim == mine[ref].claim {
			same[ref] = is.ticket == mine[ref].ticket
		}
		return nil
	})
	return same, err
}

// FinishStitches takes stitches whose ticket is still the same off the queue; the others
// become due at now, and again says so. It waits for who queues them at this moment, and
// whoever queues them waits for the end of the transaction, so that it comes late in it.
// It fails with ErrClaimLost if one of those in written has been claimed by somebody else.
func (tx *Tx) FinishStitches(ctx context.Context, now time.Time, stitches []Stitch, written map[string]bool) (again bool, err error) {
	same, err := tx.compare(ctx, lockStitches, stitches)
	if err != nil {
		return false, err
	}
	var done, redo []string
	for _, st := range stitches {
		switch unchanged, mine := same[st.Ref]; {
		case !mine && written[st.Ref]:
			return false, ErrClaimLost
		case !mine: // who has it, or had it last, sees to it
		case unchanged:
			done = append(done, st.Ref)
		default:
			redo = append(redo, st.Ref)
		}
	}
	if len(done) > 0 {
		if _, err := tx.c.Exec(ctx, deleteStitches, done); err != nil {
			return false, err
		}
	}
	if len(redo) > 0 {
		_, err = tx.c.Exec(ctx, redoStitches, redo, db.At(now))
	}
	return len(redo) > 0, err
}

// GiveBackStitches makes those of stitches that are still claimed due at now.
func (s *Store) GiveBackStitches(ctx context.Context, now time.Time, stitches []Stitch) error {
	refs := map[int64][]string{}
	for _, st := range stitches {
		refs[st.Claim] = append(refs[st.Claim], st.Ref)
	}
	for claim, refs := range refs {
		if _, err := s.db.Exec(ctx, giveBackStitches, refs, db.At(now), claim); err != nil {
			return err
		}
	}
	return nil
}

// PutOffStitch ends the claim of a stitch that has failed. It stays due at the end of the
// claim, unless its reference is queued again before, or has been meanwhile, when it
// becomes due at now.
func (s *Store) PutOffStitch(ctx context.Context, now time.Time, st Stitch) error {
	_, err := s.db.Exec(ctx, putOffStitch, st.Ref, st.Ticket, st.Claim, db.At(now))
	return err
}

// CountStitches is the length of the queue.
func (s *Store) CountStitches(ctx context.Context) (n int64, err error) {
	err = s.db.QueryRow(ctx, countStitches).Scan(&n)
	return n, err
}

// A Part is what a final entity is made of.
type Part struct {
	ID        int64
	UID, Ref  string
	Processed []byte // nil: never processed, nothing to serve
	Errors    []byte
	Orphan    bool
	FinalHash []byte // of the entity being served; nil if there is none
	Relations []Relation
}

var (
	selectParts = db.List(`SELECT s.id, s.uid, s.ref, s.processed, s.errors, s.orphan, f.hash FROM refresh_state s
		LEFT JOIN final_entities f ON f.id = s.id WHERE s.ref IN ($1...)`)
	selectPartRelations = db.List(`SELECT DISTINCT source_ref, type, target_ref FROM relations WHERE source_ref IN ($1...) ORDER BY source_ref, type, target_ref`)
)

// Parts returns the parts of refs that exist. Relations are distinct and ordered by
// type and target.
func (s *Store) Parts(ctx context.Context, refs []string) (map[string]*Part, error) {
	out := make(map[string]*Part, len(refs))
	rows, err := s.db.Query(ctx, selectParts, refs)
	err = each(rows, err, func(r db.Row) error {
		p := new(Part)
		err := r.Scan(&p.ID, &p.UID, &p.Ref, &p.Processed, &p.Errors, &p.Orphan, &p.FinalHash)
		out[p.Ref] = p
		return err
	})
	if err != nil {
		return nil, err
	}
	rows, err = s.db.Query(ctx, selectPartRelations, refs)
	err = each(rows, err, func(r db.Row) error {
		var rel Relation
		if err := r.Scan(&rel.Source, &rel.Type, &rel.TargetRef); err != nil {
			return err
		}
		if p := out[rel.Source]; p != nil {
			p.Relations = append(p.Relations, rel)
		}
		return nil
	})
	return out, err
}

// A Final is an entity as it is served, and its index rows.
type Final struct {
	ID       int64
	UID, Ref string
	Entity   []byte
	ETag     string
	Hash     []byte
	Rows     []SearchRow
}

// Read and write are not one transaction: rows that the catalog deleted in between
// must not get a final entity.
var lockPresent = db.SQL{
	Postgres: `SELECT id FROM refresh_state WHERE id = ANY($1) ORDER BY id FOR KEY SHARE`,
	SQLite:   `SELECT id FROM refresh_state WHERE id IN (SELECT value FROM json_each($1)) ORDER BY id`,
}

var upsertFinals = db.SQL{
	Postgres: `INSERT INTO final_entities (id, uid, ref, entity, etag, hash, seq, updated_at)
		SELECT u.*, $8 FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::bytea[], $7::bigint[]) AS u` + onFinal,
	SQLite: `INSERT INTO final_entities (id, uid, ref, entity, etag, hash, seq, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)` + onFinal,
}

const onFinal = ` ON CONFLICT (id) DO UPDATE SET entity = excluded.entity, etag = excluded.etag, hash = excluded.hash, seq = excluded.seq, updated_at = excluded.updated_at`

// LockPresent keeps rows from being deleted until the end of the transaction, and
// says which of them are there. It comes first.
func (tx *Tx) LockPresent(ctx context.Context, ids []int64) (map[int64]bool, error) {
	out := make(map[int64]bool, len(ids))
	found, err := column[int64](tx.c.Query(ctx, lockPresent, ids))
	for _, id := range found {
		out[id] = true
	}
	return out, err
}

// SaveRows stores the index rows of finals, which LockPresent has locked. keys are the ids
// of all keys of the rows, from KnowKeys.
func (tx *Tx) SaveRows(ctx context.Context, finals []Final, keys map[string]int32) error {
	if len(finals) == 0 {
		return nil
	}
	return tx.replaceSearch(ctx, keys, finals)
}

// SaveFinals stores entities whose rows SaveRows has stored, and numbers the changes. It
// comes last.
func (tx *Tx) SaveFinals(ctx context.Context, now time.Time, finals []Final) error {
	n := len(finals)
	if n == 0 {
		return nil
	}
	last, err := tx.takeSeq(ctx, int64(n))
	if err != nil {
		return err
	}
	ids, uids, refs, docs, etags, hashes, seqs := make([]int64, n), make([]string, n), make([]string, n), make([][]byte, n), make([]string, n), make([][]byte, n), make([]int64, n)
	for i, f := range finals {
		ids[i], uids[i], refs[i], docs[i], etags[i], hashes[i], seqs[i] = f.ID, f.UID, f.Ref, f.Entity, f.ETag, f.Hash, last-int64(n-1-i)
	}
	return forEach(ctx, tx.c, upsertFinals, n, ids, uids, refs, docs, etags, hashes, seqs, db.At(now))
}

// staleFinals finds entities that were processed, but are not served, and queued
// nowhere: nothing should ever be in that state.
var staleFinals = db.Same(`SELECT s.ref FROM refresh_state s LEFT JOIN final_entities f ON f.id = s.id
	WHERE s.id > $1 AND s.id <= $1 + $2 AND s.processed IS NOT NULL AND f.id IS NULL
	AND NOT EXISTS (SELECT 1 FROM stitch_queue q WHERE q.ref = s.ref)`)

var lastState = db.Same(`SELECT coalesce(max(id), 0) FROM refresh_state`)

// StaleFinals looks through rows with ids in (after, after+n] for entities that
// should be served and are not. last is the highest id there is.
func (s *Store) StaleFinals(ctx context.Context, after, n int64) (refs []string, last int64, err error) {
	if err := s.db.QueryRow(ctx, lastState).Scan(&last); err != nil {
		return nil, 0, err
	}
	refs, err = column[string](s.db.Query(ctx, staleFinals, after, n))
	return refs, last, err
}
