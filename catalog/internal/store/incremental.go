package store

import (
	"context"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

// An Ingestion is how far the listing of a source in bursts is.
type Ingestion struct {
	Provider     string
	Round        int64
	State        string // ingest, rest, backoff, cancel
	NextActionAt time.Time
	Sequence     int64  // pages of the round so far
	Cursor       []byte // JSON, of the next page; nil: the first one
	Attempts     int    // failures since the last page
	LastError    string // empty: none
	StartedAt    time.Time
}

// A Mark is a page of the present round.
type Mark struct {
	Round, Sequence int64
	Cursor          []byte // of the page after it
	Entities        int
	CreatedAt       time.Time
}

const ingestionColumns = `provider, round, state, next_action_at, sequence, cursor, attempts, last_error, started_at`

var (
	selectIngestion = db.SQL{
		Postgres: `SELECT ` + ingestionColumns + ` FROM ingestions WHERE provider = $1 FOR UPDATE`,
		SQLite:   `SELECT ` + ingestionColumns + ` FROM ingestions WHERE provider = $1`,
	}
	readIngestion = db.Same(`SELECT ` + ingestionColumns + ` FROM ingestions WHERE provider = $1`)
	listIngestion = db.Same(`SELECT provider FROM ingestions ORDER BY provider`)
	saveIngestion = db.Same(`INSERT INTO ingestions (` + ingestionColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (provider) DO UPDATE SET round = excluded.round, state = excluded.state, next_action_at = excluded.next_action_at,
		sequence = excluded.sequence, cursor = excluded.cursor, attempts = excluded.attempts, last_error = excluded.last_error, started_at = excluded.started_at`)
	deleteIngestion = db.Same(`DELETE FROM ingestions WHERE provider = $1`)

	insertMark  = db.Same(`INSERT INTO ingestion_marks (provider, round, sequence, cursor, entities, created_at) VALUES ($1, $2, $3, $4, $5, $6)`)
	selectMarks = db.Same(`SELECT round, sequence, cursor, entities, created_at FROM ingestion_marks WHERE provider = $1 ORDER BY round, sequence`)
	deleteMarks = db.Same(`DELETE FROM ingestion_marks WHERE provider = $1`)

	insertSeen = insertInto("ingestion_seen", "ON CONFLICT DO NOTHING", "provider text", "ref text")
	forgetSeen = db.SQL{
		Postgres: `DELETE FROM ingestion_seen WHERE provider = $1 AND ref = ANY($2)`,
		SQLite:   `DELETE FROM ingestion_seen WHERE provider = $1 AND ref IN (SELECT value FROM json_each($2))`,
	}
	deleteSeen = db.Same(`DELETE FROM ingestion_seen WHERE provider = $1`)
	countSeen  = db.Same(`SELECT count(*) FROM ingestion_seen WHERE provider = $1`)
	countSet   = db.Same(`SELECT count(*) FROM refresh_edges WHERE source_provider = $1`)

	selectUnseen = db.Same(`SELECT s.id, s.ref FROM refresh_edges e JOIN refresh_state s ON s.id = e.target_id WHERE e.source_provider = $1
		AND NOT EXISTS (SELECT 1 FROM ingestion_seen n WHERE n.provider = $1 AND n.ref = s.ref) ORDER BY s.id`)
	selectUnseenClaims = db.Same(`SELECT c.ref FROM refresh_claims c WHERE c.source_provider = $1
		AND NOT EXISTS (SELECT 1 FROM ingestion_seen n WHERE n.provider = $1 AND n.ref = c.ref) ORDER BY c.ref`)
)

func (i *Ingestion) scan(r db.Row) error {
	var next, started db.Time
	var last *string
	err := r.Scan(&i.Provider, &i.Round, &i.State, &next, &i.Sequence, &i.Cursor, &i.Attempts, &last, &started)
	i.NextActionAt, i.StartedAt, i.LastError = next.Time, started.Time, text(last)
	return err
}

// Ingestion returns db.ErrNoRows if the provider has none.
func (s *Store) Ingestion(ctx context.Context, provider string) (i Ingestion, err error) {
	err = i.scan(s.db.QueryRow(ctx, readIngestion, provider))
	return i, err
}

// Ingestions lists the providers that have one.
func (s *Store) Ingestions(ctx context.Context) ([]string, error) {
	return column[string](s.db.Query(ctx, listIngestion))
}

// Marks lists the pages of the present round of a provider.
func (s *Store) Marks(ctx context.Context, provider string) (out []Mark, err error) {
	rows, err := s.db.Query(ctx, selectMarks, provider)
	err = each(rows, err, func(r db.Row) error {
		var m Mark
		var at db.Time
		err := r.Scan(&m.Round, &m.Sequence, &m.Cursor, &m.Entities, &at)
		m.CreatedAt = at.Time
		out = append(out, m)
		return err
	})
	return out, err
}

// Ingestion is Store.Ingestion, and keeps the row from changing until the end of the
// transaction.
func (tx *Tx) Ingestion(ctx context.Context, provider string) (i Ingestion, err error) {
	err = i.scan(tx.c.QueryRow(ctx, selectIngestion, provider))
	return i, err
}

// SaveIngestion stores where a provider is.
func (tx *Tx) SaveIngestion(ctx context.Context, i Ingestion) error {
	_, err := tx.c.Exec(ctx, saveIngestion, i.Provider, i.Round, i.State, db.At(i.NextActionAt), i.Sequence, i.Cursor, i.Attempts, null(i.LastError), db.At(i.StartedAt))
	return err
}

// DropIngestion forgets where a provider is, and says how many rows that were.
func (tx *Tx) DropIngestion(ctx context.Context, provider string) (int64, error) {
	return tx.c.Exec(ctx, deleteIngestion, provider)
}

// AddMark notes a page.
func (tx *Tx) AddMark(ctx context.Context, provider string, m Mark) error {
	_, err := tx.c.Exec(ctx, insertMark, provider, m.Round, m.Sequence, m.Cursor, m.Entities, db.At(m.CreatedAt))
	return err
}

// DropMarks forgets the pages of a provider, and says how many there were.
func (tx *Tx) DropMarks(ctx context.Context, provider string) (int64, error) {
	return tx.c.Exec(ctx, deleteMarks, provider)
}

// AddSeen notes references that the present round of a provider has.
func (tx *Tx) AddSeen(ctx context.Context, provider string, refs []string) error {
	providers := make([]string, len(refs))
	for i := range providers {
		providers[i] = provider
	}
	return insertSeen.exec(ctx, tx.c, providers, refs)
}

// ForgetSeen takes references back that the present round of a provider has.
func (tx *Tx) ForgetSeen(ctx context.Context, provider string, refs []string) error {
	if len(refs) == 0 {
		return nil
	}
	_, err := tx.c.Exec(ctx, forgetSeen, provider, refs)
	return err
}

// DropSeen forgets what the present round of a provider has, and says how much it was.
func (tx *Tx) DropSeen(ctx context.Context, provider string) (int64, error) {
	return tx.c.Exec(ctx, deleteSeen, provider)
}

// CountSeen says how many references the present round has, and how many entities the
// provider's set.
func (tx *Tx) CountSeen(ctx context.Context, provider string) (seen, set int, err error) {
	if err := tx.c.QueryRow(ctx, countSeen, provider).Scan(&seen); err != nil {
		return 0, 0, err
	}
	err = tx.c.QueryRow(ctx, countSet, provider).Scan(&set)
	return seen, set, err
}

// Unseen returns what a provider emits and its present round has not: rows, and the
// references of claims.
func (tx *Tx) Unseen(ctx context.Context, provider string) (rows []Member, claimed []string, err error) {
	found, err := tx.c.Query(ctx, selectUnseen, provider)
	err = each(found, err, func(r db.Row) error {
		var m Member
		err := r.Scan(&m.ID, &m.Ref)
		rows = append(rows, m)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	claimed, err = column[string](tx.c.Query(ctx, selectUnseenClaims, provider))
	return rows, claimed, err
}
