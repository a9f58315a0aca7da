package store

import (
	"context"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
)

// A Delivery is what a processor has to do about one notification.
type Delivery struct {
	ID        string
	Processor string
	Job       []byte // JSON
	Attempts  int    // with this one, once it was claimed
}

var claim = db.SQL{
	Postgres: `UPDATE delivery SET due = $2, attempts = attempts + 1 WHERE id IN (
		SELECT id FROM delivery WHERE due <= $1 ORDER BY due, id LIMIT $3 FOR UPDATE SKIP LOCKED)
		RETURNING id, processor, job, attempts`,
	SQLite: `UPDATE delivery SET due = $2, attempts = attempts + 1 WHERE id IN (
		SELECT id FROM delivery WHERE due <= $1 ORDER BY due, id LIMIT $3)
		RETURNING id, processor, job, attempts`,
}

var (
	postpone       = db.Same(`UPDATE delivery SET due = $2 WHERE id = $1`)
	deleteDelivery = db.Same(`DELETE FROM delivery WHERE id = $1`)
	countDelivery  = db.Same(`SELECT count(*) FROM delivery`)
)

// ClaimDeliveries takes at most n deliveries that are due. Nobody else gets them until then;
// after that, whoever has claimed them is taken to be dead.
func (s *Store) ClaimDeliveries(ctx context.Context, now, then time.Time, n int) ([]Delivery, error) {
	rows, err := s.db.Query(ctx, claim, db.At(now), db.At(then), n)
	if err != nil {
		return nil, err
	}
	return db.Collect(rows, func(r db.Row, d *Delivery) error {
		var job string
		err := r.Scan(&d.ID, &d.Processor, &job, &d.Attempts)
		d.Job = []byte(job)
		return err
	})
}

// Postpone makes a delivery due again.
func (s *Store) Postpone(ctx context.Context, id string, due time.Time) error {
	_, err := s.db.Exec(ctx, postpone, id, db.At(due))
	return err
}

// Delivered ends a delivery.
func (s *Store) Delivered(ctx context.Context, id string) error {
	_, err := s.db.Exec(ctx, deleteDelivery, id)
	return err
}

// Undelivered is how many deliveries there are yet.
func (s *Store) Undelivered(ctx context.Context) (n int, err error) {
	err = s.db.QueryRow(ctx, countDelivery).Scan(&n)
	return n, err
}
