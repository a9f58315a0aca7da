package store

import (
	"context"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

var insertQueue = insertInto("refresh_queue", "ON CONFLICT DO NOTHING", "id bigint", "next_update_at timestamptz")

// A Due is a claimed entity, with what is needed to process it.
type Due struct {
	State
	Unprocessed []byte
	Cache       []byte
	Errors      []byte
	Places      []byte // JSON, as Content.Places
	Failures    int
	DueAt       time.Time
}

// claimDue takes the entities that are due, the oldest first, and moves them out of
// the way of other replicas, by an interval that is random so that entities that came
// together do not stay together, and longer for those that keep failing. SQLite has
// one writer, so it needs no row locks, and does not tell when they were due. On
// PostgreSQL the array sees to it that rows are found by their ids one by one, whatever
// the planner believes about a queue that fills and empties.
var claimDue = db.SQL{
	Postgres: `
	WITH due AS (
		SELECT id, next_update_at FROM refresh_queue WHERE next_update_at <= $1
		ORDER BY next_update_at LIMIT $2 FOR UPDATE SKIP LOCKED),
	claimed AS (
		UPDATE refresh_queue SET next_update_at = $1 + make_interval(secs => ($3::float8 + random() * $4::float8) * (1 + least(failures, 3)))
		WHERE id = ANY(ARRAY(SELECT id FROM due)) RETURNING id, failures)
	SELECT id, due.next_update_at, failures FROM claimed JOIN due USING (id)`,
	SQLite: `
	UPDATE refresh_queue SET next_update_at = $1 + CAST(1000000 * ($3 + (random() / 18446744073709551616.0 + 0.5) * $4) * (1 + min(failures, 3)) AS INTEGER)
	WHERE id IN (SELECT id FROM refresh_queue WHERE next_update_at <= $1 ORDER BY next_update_at LIMIT $2)
	RETURNING id, $1, failures`,
	ForValues: true,
}

// selectDue comes after claimDue, as a statement of its own: what left the mark that a
// claim has taken must be seen, and a statement sees what was there when it began.
var selectDue = db.SQL{
	Postgres: `SELECT s.* FROM unnest($1::bigint[]) AS u(due_id) CROSS JOIN LATERAL (
		SELECT ` + dueColumns + ` FROM refresh_state WHERE id = u.due_id OFFSET 0) s ORDER BY s.id`,
	SQLite:    `SELECT ` + dueColumns + ` FROM refresh_state WHERE id IN (SELECT value FROM json_each($1)) ORDER BY id`,
	ForValues: true,
}

const dueColumns = stateColumns + `, unprocessed, cache, errors, places`

// ClaimDue claims up to n entities that are due at now for this replica. They are due
// again after between least and most.
func (s *Store) ClaimDue(ctx context.Context, now time.Time, n int, least, most time.Duration) (out []*Due, err error) {
	ctx, cancel := claiming(ctx)
	defer cancel()
	type mark struct {
		at       time.Time
		failures int
	}
	marks := map[int64]mark{}
	var ids []int64
	rows, err := s.db.Query(ctx, claimDue, db.At(now), n, least.Seconds(), (most - least).Seconds())
	err = each(rows, err, func(r db.Row) error {
		var id int64
		var at db.Time
		var m mark
		err := r.Scan(&id, &at, &m.failures)
		m.at = at.Time
		ids, marks[id] = append(ids, id), m
		return err
	})
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	rows, err = s.db.Query(ctx, selectDue, ids)
	err = each(rows, err, func(r db.Row) error {
		d := new(Due)
		var key *string
		err := r.Scan(&d.ID, &d.UID, &d.Ref, &d.Hash, &key, &d.Orphan, &d.EverProcessed, &d.ResultHash,
			&d.Unprocessed, &d.Cache, &d.Errors, &d.Places)
		d.LocationKey, d.DueAt, d.Failures = text(key), marks[d.ID].at, marks[d.ID].failures
		out = append(out, d)
		return err
	})
	if err != nil {
		_ = s.MakeDue(ctx, now, ids) // or else they are due after the interval
		return nil, err
	}
	return out, nil
}

// claimTimeout is after how long a database is taken not to answer a claim.
const claimTimeout = 10 * time.Second

// claiming is the context of a claim. The end of ctx does not cut it short: the database
// might have claimed what this process then never hears of, and nobody gives back.
func claiming(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
}

var (
	makeDue = db.SQL{
		Postgres: `UPDATE refresh_queue SET next_update_at = $1, failures = 0 WHERE id = ANY($2)`,
		SQLite:   `UPDATE refresh_queue SET next_update_at = $1, failures = 0 WHERE id IN (SELECT value FROM json_each($2))`,
	}
	makeDueByKey = db.SQL{
		Postgres: `UPDATE refresh_queue SET next_update_at = $1, failures = 0 WHERE id IN (SELECT entity_id FROM refresh_keys WHERE key = ANY($2))`,
		SQLite:   `UPDATE refresh_queue SET next_update_at = $1, failures = 0 WHERE id IN (SELECT entity_id FROM refresh_keys WHERE key IN (SELECT value FROM json_each($2)))`,
	}
	makeDueByURL = db.Same(`UPDATE refresh_queue SET next_update_at = $1, failures = 0 WHERE id IN (
		SELECT entity_id FROM refresh_keys WHERE key >= $2 AND key <= $3
		UNION SELECT entity_id FROM search WHERE key_id = (SELECT id FROM search_keys WHERE key = 'metadata.annotations.backstage.io/managed-by-location')
			AND value >= $4 AND value <= $5)`)
	countFailures = db.SQL{
		Postgres: `UPDATE refresh_queue SET failures = failures + 1 WHERE id = ANY($1)`,
		SQLite:   `UPDATE refresh_queue SET failures = failures + 1 WHERE id IN (SELECT value FROM json_each($1))`,
	}
	clearFailures = db.SQL{
		Postgres: `UPDATE refresh_queue SET failures = 0 WHERE id = ANY($1)`,
		SQLite:   `UPDATE refresh_queue SET failures = 0 WHERE id IN (SELECT value FROM json_each($1))`,
	}
	nextDue  = db.Same(`SELECT min(next_update_at) FROM refresh_queue`)
	countDue = db.Same(`SELECT count(*) FROM refresh_queue WHERE next_update_at <= $1`)
)

// MakeDue schedules entities for at, which may be in the past: the oldest go first.
func (tx *Tx) MakeDue(ctx context.Context, at time.Time, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.c.Exec(ctx, makeDue, db.At(at), ids)
	return err
}

// MakeDue is Tx.MakeDue in a transaction of its own.
func (s *Store) MakeDue(ctx context.Context, at time.Time, ids []int64) error {
	return s.Tx(ctx, func(tx *Tx) error { return tx.MakeDue(ctx, at, ids) })
}

// MakeDueByKey schedules the entities that have one of the refresh keys, and says how
// many there are.
func (s *Store) MakeDueByKey(ctx context.Context, at time.Time, keys []string) (int64, error) {
	return s.db.Exec(ctx, makeDueByKey, db.At(at), keys)
}

// MakeDueByURL schedules the entities that were read from one of urls, or depend on it: by
// their refresh keys, and by their annotation backstage.io/managed-by-location. With
// below, those count too that are below a URL. It says how many there are.
func (s *Store) MakeDueByURL(ctx context.Context, at time.Time, urls []string, below bool) (n int64, err error) {
	for _, url := range urls {
		key := "url:" + url
		least, most := key, key
		if below {
			least, most = key+"/", key+"0" // 0 is what follows the slash
		}
		due, err := s.db.Exec(ctx, makeDueByURL, db.At(at), least, most, strings.ToLower(least), strings.ToLower(most))
		if err != nil {
			return n, err
		}
		n += due
	}
	return n, nil
}

// CountFailures makes the next intervals of ids longer, or, for success, usual again.
func (s *Store) CountFailures(ctx context.Context, failed, succeeded []int64) error {
	if len(failed) > 0 {
		if _, err := s.db.Exec(ctx, countFailures, failed); err != nil {
			return err
		}
	}
	if len(succeeded) > 0 {
		if _, err := s.db.Exec(ctx, clearFailures, succeeded); err != nil {
			return err
		}
	}
	return nil
}

// NextDue is when the next entity is due; zero if there is none.
func (s *Store) NextDue(ctx context.Context) (time.Time, error) {
	var t db.Time
	err := s.db.QueryRow(ctx, nextDue).Scan(&t)
	return t.Time, err
}

// CountDue says how many entities are due at now.
func (s *Store) CountDue(ctx context.Context, now time.Time) (n int64, err error) {
	err = s.db.QueryRow(ctx, countDue, db.At(now)).Scan(&n)
	return n, err
}
