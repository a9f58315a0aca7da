package store

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/internal/events"
)

// Listen hears what publishers call until ctx is done. It has a connection of its own,
// and when that is lost makes another one.
func (s *Store) Listen(ctx context.Context) {
	pause := 500 * time.Millisecond
	for ctx.Err() == nil {
		began := time.Now()
		err := s.listen(ctx)
		s.listening.Store(false)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			pause = 500 * time.Millisecond
		}
		s.log.WarnContext(ctx, "the connection that hears of events is lost; readers look for them meanwhile", "error", err)
		select {
		case <-time.After(pause + rand.N(pause)):
		case <-ctx.Done():
		}
		pause = min(2*pause, 15*time.Second)
	}
}

func (s *Store) listen(ctx context.Context) error {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	conn := pooled.Hijack()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	s.listening.Store(true)
	s.wakeAll() // for what was called before
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		var c call
		if json.Unmarshal([]byte(n.Payload), &c) != nil {
			s.wakeAll() // whoever that was
			continue
		}
		s.heard(c)
	}
}

// What is kept at least and at most (contract/backend.md section 17.2).
const (
	keepAge   = 10 * time.Minute
	maxEvents = 10000
)

var (
	tryCleanup = db.Same(`SELECT pg_try_advisory_xact_lock(hashtextextended('callboard event bus cleanup in ' || current_schema(), 0))`)

	// deleteEvents also counts what a subscription had not read yet.
	deleteEvents = db.Same(`
	WITH dead AS (
		DELETE FROM event_bus_events WHERE created_at < now() - make_interval(secs => $2)
			OR created_at < now() - make_interval(secs => $1)
				AND id <= (SELECT id FROM event_bus_events ORDER BY id DESC OFFSET $3 LIMIT 1)
		RETURNING id, topic, notified_subscribers),
	counted AS (
		SELECT s.id, count(*) AS n FROM event_bus_subscriptions s JOIN dead d
			ON d.id > s.read_until AND d.topic = ANY (s.topics) AND NOT s.id = ANY (d.notified_subscribers)
		GROUP BY s.id)
	UPDATE event_bus_subscriptions s SET missed = s.missed + c.n FROM counted c WHERE s.id = c.id`)

	deleteSubscriptions = db.Same(`DELETE FROM event_bus_subscriptions WHERE updated_at < now() - make_interval(secs => $1)`)
)

// Cleanup deletes events that are too old or too many, and subscriptions that nobody
// reads. It does nothing while another process is at it.
func (s *Store) Cleanup(ctx context.Context) error {
	return s.db.Tx(ctx, func(c db.Conn) error {
		var first bool
		if err := c.QueryRow(ctx, tryCleanup).Scan(&first); err != nil || !first {
			return err
		}
		overtaken, err := c.Exec(ctx, deleteEvents, keepAge.Seconds(), events.MaxAge.Seconds(), maxEvents)
		if err != nil {
			return err
		}
		if overtaken > 0 {
			s.log.WarnContext(ctx, "events were deleted that subscriptions had not read", "subscriptions", overtaken)
		}
		stale, err := c.Exec(ctx, deleteSubscriptions, events.Stale.Seconds())
		if stale > 0 {
			s.log.InfoContext(ctx, "subscriptions that nobody reads were deleted", "subscriptions", stale)
		}
		return err
	})
}
