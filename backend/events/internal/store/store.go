// Package store keeps the event bus in PostgreSQL.
//
// Events get their ids under a lock that is held until they are committed. So whoever
// has read an event has also seen all those with smaller ids, and a subscription needs
// no more than the id up to which it has handled them.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/internal/events"
)

// channel is where publishers call; its name is upstream's.
const channel = "event_bus_publish"

// deaf is how often readers look while the connection that listens is down.
const deaf = 2 * time.Second

// Store is an events.Broker on PostgreSQL, shared by any number of processes.
type Store struct {
	db   db.DB
	pool *pgxpool.Pool
	log  *slog.Logger

	listening atomic.Bool
	mu        sync.Mutex
	waiting   map[string]*waiting // by subscription
}

// waiting is what this process knows of a subscription.
type waiting struct {
	topics []string // nil: not known yet
	waker  events.Waker
}

var _ events.Broker = (*Store)(nil)

// New returns the bus in that database. Readers wait for calls only while Listen runs.
func New(d db.DB, pool *pgxpool.Pool, log *slog.Logger) *Store {
	return &Store{db: d, pool: pool, log: log, waiting: map[string]*waiting{}}
}

var (
	lockPublish = db.Same(`SELECT pg_advisory_xact_lock(hashtextextended('callboard event bus in ' || current_schema(), 0))`)

	// insertEvent inserts nothing if nobody is left to read it. The call is heard when the
	// transaction commits.
	insertEvent = db.Same(`
	WITH event AS (
		INSERT INTO event_bus_events (topic, data_json, notified_subscribers)
		SELECT $1, $2, $3::text[] WHERE EXISTS (
			SELECT 1 FROM event_bus_subscriptions WHERE $1 = ANY (topics) AND NOT id = ANY ($3::text[]))
		RETURNING id)
	SELECT id, pg_notify('` + channel + `', $4)::text FROM event`)
)

// data is the column data_json.
type data struct {
	Payload  json.RawMessage   `json:"payload"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// call is what is sent on the channel: a topic that has a new event, or a subscription
// whose events are free again.
type call struct {
	Topic        string `json:"topic,omitempty"`
	Subscription string `json:"subscription,omitempty"`
}

func (c call) text() string {
	text, _ := json.Marshal(c) // strings always have a JSON form
	return string(text)
}

// Publish implements events.Broker. It is one round trip.
func (s *Store) Publish(ctx context.Context, e events.Event, notified []string) (bool, error) {
	text, err := db.JSONOf(data{e.Payload, e.Metadata})
	if err != nil {
		return false, err
	}
	if notified == nil {
		notified = []string{}
	}
	b := &pgx.Batch{} // an implicit transaction
	b.Queue(lockPublish.Postgres)
	b.Queue(insertEvent.Postgres, e.Topic, string(text), notified, call{Topic: e.Topic}.text())
	res := s.pool.SendBatch(ctx, b)
	defer res.Close()
	if _, err := res.Exec(); err != nil {
		return false, err
	}
	tag, err := res.Exec()
	if err != nil {
		return false, err
	}
	return tag.RowsAffected() > 0, res.Close()
}

var upsertSubscription = db.Same(`
	INSERT INTO event_bus_subscriptions (id, topics, read_until)
	SELECT $1, $2::text[], coalesce(max(id), 0) FROM event_bus_events
	ON CONFLICT (id) DO UPDATE SET topics = excluded.topics, updated_at = now()`)

// Subscribe implements events.Broker. It takes the publishers' lock: an event that is
// published after it has returned is not missed, and one that was before does not come.
func (s *Store) Subscribe(ctx context.Context, id string, topics []string) error {
	err := s.db.Tx(ctx, func(c db.Conn) error {
		if _, err := c.Exec(ctx, lockPublish); err != nil {
			return err
		}
		_, err := c.Exec(ctx, upsertSubscription, id, topics)
		return err
	})
	if err != nil {
		return fmt.Errorf("subscribe %s: %w", id, err)
	}
	s.know(id, topics)
	return nil
}

var (
	lockSubscription = db.Same(`
	SELECT read_until, topics, missed, coalesce(reader, ''), coalesce(reader_until > now(), false), updated_at < now() - interval '1 minute'
	FROM event_bus_subscriptions WHERE id = $1 FOR UPDATE`)

	newestEvent = db.Same(`SELECT coalesce(max(id), 0) FROM event_bus_events`)

	unreadEvents = db.Same(`
	SELECT id, topic, data_json FROM event_bus_events
	WHERE id > $1 AND topic = ANY ($2::text[]) AND NOT $3 = ANY (notified_subscribers)
	ORDER BY id LIMIT $4`)

	takeEvents = db.Same(`
	UPDATE event_bus_subscriptions SET read_until = $2, missed = 0, updated_at = now(),
		reader = $3, reader_until = now() + make_interval(secs => $4)
	WHERE id = $1`)

	allHandled = db.Same(`
	UPDATE event_bus_subscriptions SET read_until = $2, updated_at = now(), reader = NULL, reader_until = NULL
	WHERE id = $1`)
)

// subscription is a row, locked.
type subscription struct {
	readUntil int64
	topics    []string
	missed    int
	reader    string
	held      bool // reader has not been silent for too long
	old       bool // the last read was a while ago
}

// Fetch implements events.Broker.
func (s *Store) Fetch(ctx context.Context, r events.Read) (events.Batch, error) {
	w := s.know(r.ID, nil)
	b := events.Batch{Turn: w.waker.Turn()}
	err := s.db.Tx(ctx, func(c db.Conn) error {
		b = events.Batch{Turn: b.Turn}
		var sub subscription
		err := c.QueryRow(ctx, lockSubscription, r.ID).
			Scan(&sub.readUntil, &sub.topics, &sub.missed, &sub.reader, &sub.held, &sub.old)
		if errors.Is(err, db.ErrNoRows) {
			s.forget(r.ID)
			return events.ErrUnknown
		}
		if err != nil {
			return err
		}
		s.know(r.ID, sub.topics)
		mine := sub.reader == r.Reader
		if sub.held && !mine {
			return events.ErrBusy
		}
		from := sub.readUntil
		if mine {
			from = max(from, r.Handled)
		}
		return s.take(ctx, c, r, sub, from, &b)
	})
	switch {
	case err == nil, errors.Is(err, events.ErrBusy), errors.Is(err, events.ErrUnknown):
		return b, err
	}
	return b, fmt.Errorf("read events: %w", err)
}

// take gives the events after from to a reader.
func (s *Store) take(ctx context.Context, c db.Conn, r events.Read, sub subscription, from int64, b *events.Batch) error {
	var newest int64 // asked before the events: what is committed in between must not be skipped
	if err := c.QueryRow(ctx, newestEvent).Scan(&newest); err != nil {
		return err
	}
	rows, err := c.Query(ctx, unreadEvents, from, sub.topics, r.ID, r.Most)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			id   int64
			e    events.Event
			text string
			d    data
		)
		if err := rows.Scan(&id, &e.Topic, &text); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			return fmt.Errorf("event %d: %w", id, err)
		}
		e.Payload, e.Metadata = d.Payload, d.Metadata
		b.Events, b.Marks = append(b.Events, e), append(b.Marks, id)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(b.Events) > 0 {
		b.Missed = sub.missed
		_, err := c.Exec(ctx, takeEvents, r.ID, from, r.Reader, events.Lease.Seconds())
		return err
	}
	from = max(from, newest)
	if from == sub.readUntil && sub.reader == "" && !sub.old {
		return nil
	}
	_, err = c.Exec(ctx, allHandled, r.ID, from)
	return err
}

var renewReader = db.Same(`
	UPDATE event_bus_subscriptions SET reader_until = now() + make_interval(secs => $3), updated_at = now()
	WHERE id = $1 AND reader = $2`)

// Renew implements events.Broker.
func (s *Store) Renew(ctx context.Context, id, reader string) error {
	n, err := s.db.Exec(ctx, renewReader, id, reader, events.Lease.Seconds())
	if err != nil {
		return fmt.Errorf("keep events in hand: %w", err)
	}
	if n == 0 {
		return events.ErrLost
	}
	return nil
}

var releaseReader = db.Same(`
	WITH released AS (
		UPDATE event_bus_subscriptions SET read_until = greatest(read_until, $3), reader = NULL, reader_until = NULL, updated_at = now()
		WHERE id = $1 AND reader = $2 RETURNING id)
	SELECT pg_notify('` + channel + `', $4)::text FROM released`)

// Release implements events.Broker.
func (s *Store) Release(ctx context.Context, id, reader string, handled int64) error {
	if _, err := s.db.Exec(ctx, releaseReader, id, reader, handled, call{Subscription: id}.text()); err != nil {
		return fmt.Errorf("give events back: %w", err)
	}
	return nil
}

// Wait implements events.Broker.
func (s *Store) Wait(ctx context.Context, id string, since uint64, most time.Duration) {
	if !s.listening.Load() {
		most = min(most, deaf)
	}
	s.know(id, nil).waker.Wait(ctx, since, most)
}

// know returns what is known of a subscription. topics are taken over unless nil.
func (s *Store) know(id string, topics []string) *waiting {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.waiting[id]
	if w == nil {
		w = &waiting{}
		s.waiting[id] = w
	}
	if topics != nil {
		w.topics = topics
	}
	return w
}

func (s *Store) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, id)
}

// heard wakes the readers that a call is for.
func (s *Store) heard(c call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, w := range s.waiting {
		if w.topics == nil || id == c.Subscription || slices.Contains(w.topics, c.Topic) {
			w.waker.Wake()
		}
	}
}

// wakeAll makes all readers look again.
func (s *Store) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.waiting {
		w.waker.Wake()
	}
}
