package store

import (
	"context"

	"github.com/callboard-dev/callboard/backend/db"
)

// A Member is an entity of a provider's set.
type Member struct {
	ID          int64
	Ref         string
	Hash        []byte
	LocationKey string
	Claimed     bool // the provider emits it, but another source holds it
}

var (
	selectMembers = db.Same(`SELECT s.id, s.ref FROM refresh_edges e JOIN refresh_state s ON s.id = e.target_id WHERE e.source_provider = $1`)

	selectMembersByRef = db.SQL{
		Postgres: `SELECT s.id, s.ref, s.unprocessed_hash, s.location_key, false FROM refresh_state s
			JOIN refresh_edges e ON e.target_id = s.id AND e.source_provider = $1 WHERE s.ref = ANY($2)
			UNION ALL SELECT 0, ref, unprocessed_hash, location_key, true FROM refresh_claims WHERE source_provider = $1 AND ref = ANY($2)`,
		SQLite: `SELECT s.id, s.ref, s.unprocessed_hash, s.location_key, 0 FROM refresh_state s
			JOIN refresh_edges e ON e.target_id = s.id AND e.source_provider = $1 WHERE s.ref IN (SELECT value FROM json_each($2))
			UNION ALL SELECT 0, ref, unprocessed_hash, location_key, 1 FROM refresh_claims WHERE source_provider = $1 AND ref IN (SELECT value FROM json_each($2))`,
	}

	selectShared = db.Same(`SELECT e.target_id FROM refresh_edges e WHERE e.source_provider = $1
		AND EXISTS (SELECT 1 FROM refresh_edges o WHERE o.target_id = e.target_id AND o.source_provider IS DISTINCT FROM e.source_provider)
		ORDER BY e.target_id`)

	// A provider's name is not a row, so the lock is on a number made of it.
	lockProvider = db.SQL{Postgres: `SELECT pg_advisory_xact_lock(hashtextextended('catalog provider ' || current_schema() || $1, 0))`}

	selectProviders = db.Same(`SELECT DISTINCT source_provider FROM refresh_edges WHERE source_provider IS NOT NULL
		UNION SELECT DISTINCT source_provider FROM refresh_claims WHERE source_provider IS NOT NULL`)
)

// LockProvider makes changes of one provider's set wait for each other.
func (tx *Tx) LockProvider(ctx context.Context, provider string) error {
	if db.DialectOf(tx.c) == db.SQLite {
		return nil // it has one writer
	}
	_, err := tx.c.Exec(ctx, lockProvider, provider)
	return err
}

// Members calls fn for every entity of the provider's set, ID and Ref only.
func (tx *Tx) Members(ctx context.Context, provider string, fn func(Member)) error {
	rows, err := tx.c.Query(ctx, selectMembers, provider)
	return each(rows, err, func(r db.Row) error {
		var m Member
		err := r.Scan(&m.ID, &m.Ref)
		fn(m)
		return err
	})
}

// MembersByRef returns those of refs that the provider emits.
func (s *Store) MembersByRef(ctx context.Context, provider string, refs []string) ([]Member, error) {
	return membersByRef(ctx, s.db, provider, refs)
}

// MembersByRef is Store.MembersByRef within the transaction.
func (tx *Tx) MembersByRef(ctx context.Context, provider string, refs []string) ([]Member, error) {
	return membersByRef(ctx, tx.c, provider, refs)
}

func membersByRef(ctx context.Context, c db.Conn, provider string, refs []string) (out []Member, err error) {
	rows, err := c.Query(ctx, selectMembersByRef, provider, refs)
	err = each(rows, err, func(r db.Row) error {
		var m Member
		var key *string
		err := r.Scan(&m.ID, &m.Ref, &m.Hash, &key, &m.Claimed)
		m.LocationKey = text(key)
		out = append(out, m)
		return err
	})
	return out, err
}

// Providers lists the names of all providers that emit anything.
func (s *Store) Providers(ctx context.Context) ([]string, error) {
	return column[string](s.db.Query(ctx, selectProviders))
}

// A HeldRemoval is a large shrink of a provider's set that waits to be confirmed.
type HeldRemoval struct {
	Provider       string
	Digest         []byte // of the references that would go
	Removed, Total int
	Times          int     // equal answers so far
	Refs           db.JSON // of all that would go, sorted
	FirstAt        db.Time
	LastAt         db.Time
}

const heldColumns = `provider, digest, removed, total, times, refs, first_at, last_at`

var (
	selectHeld  = db.Same(`SELECT ` + heldColumns + ` FROM held_removals ORDER BY provider`)
	selectHeldP = db.Same(`SELECT ` + heldColumns + ` FROM held_removals WHERE provider = $1`)
	upsertHeld  = db.Same(`INSERT INTO held_removals (` + heldColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (provider) DO UPDATE SET digest = excluded.digest, removed = excluded.removed, total = excluded.total,
		times = excluded.times, refs = excluded.refs, first_at = excluded.first_at, last_at = excluded.last_at`)
	deleteHeld = db.Same(`DELETE FROM held_removals WHERE provider = $1`)
)

func (h *HeldRemoval) scan(r db.Row) error {
	var refs []byte
	err := r.Scan(&h.Provider, &h.Digest, &h.Removed, &h.Total, &h.Times, &refs, &h.FirstAt, &h.LastAt)
	h.Refs = refs
	return err
}

// OwnedByOthersToo returns those of a provider's set that something else emits as well.
func (tx *Tx) OwnedByOthersToo(ctx context.Context, provider string) ([]int64, error) {
	return column[int64](tx.c.Query(ctx, selectShared, provider))
}

// HeldRemovals lists the shrinks that wait.
func (s *Store) HeldRemovals(ctx context.Context) (out []HeldRemoval, err error) {
	rows, err := s.db.Query(ctx, selectHeld)
	err = each(rows, err, func(r db.Row) error {
		var h HeldRemoval
		err := h.scan(r)
		out = append(out, h)
		return err
	})
	return out, err
}

// HeldRemoval returns db.ErrNoRows if none of the provider waits.
func (tx *Tx) HeldRemoval(ctx context.Context, provider string) (h HeldRemoval, err error) {
	err = h.scan(tx.c.QueryRow(ctx, selectHeldP, provider))
	return h, err
}

// HoldRemoval stores a shrink that waits, in place of an earlier one.
func (tx *Tx) HoldRemoval(ctx context.Context, h HeldRemoval) error {
	_, err := tx.c.Exec(ctx, upsertHeld, h.Provider, h.Digest, h.Removed, h.Total, h.Times, []byte(h.Refs), h.FirstAt, h.LastAt)
	return err
}

// DropHeldRemoval forgets the one of provider.
func (tx *Tx) DropHeldRemoval(ctx context.Context, provider string) error {
	_, err := tx.c.Exec(ctx, deleteHeld, provider)
	return err
}
